"""What differs between two goldens of one model or pattern, or between a golden and the estimate now."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from typing import Any, Dict, Iterator, List, Mapping, Optional, Tuple

from ..compare import BANDS_PCT, UNMEASURED
from .content import RUNTIME_KEYS, STREAM_TITLES, moved_terms
from .tables import Row

_MOST_TERMS = 2
_DIGEST = STREAM_TITLES.index("Digest")
_COUNTS = STREAM_TITLES.index("Ops by name")


@dataclass(frozen=True)
class Difference:
    """One subject in one configuration, before and now: what its golden keeps, and its row of op-streams.md.

    `before` and `now` are as `golden_data` or `row_data` says; empty where there is none. `own_tests` is the module
    whose tests check it, empty for a subject of the zoo.
    """

    hardware: str
    label: str
    kind: str
    name: str
    before: Mapping[str, Any]
    now: Mapping[str, Any]
    stream_before: Row = ()
    stream_now: Row = ()
    own_tests: str = ""

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Difference:
        """Returns the difference that `data` says, as it comes back from JSON."""
        rows = {key: tuple(data[key]) for key in ("stream_before", "stream_now")}
        return cls(**{**data, **rows})

    def data(self) -> Dict[str, Any]:
        """Returns it as plain values."""
        return asdict(self)

    @property
    def place(self) -> Tuple[str, str, str]:
        """Returns board, configuration and name."""
        return self.hardware, self.label, self.name

    @property
    def moved(self) -> bool:
        """Whether there is an estimate on both sides, and another one now."""
        return self._both and self.before["est_ms"] != self.now["est_ms"]

    @property
    def _both(self) -> bool:
        return bool(self.before) and bool(self.now)

    @property
    def change_pct(self) -> Optional[float]:
        """Returns how far the estimate moved, in percent; None without two."""
        return 100 * (self.now["est_ms"] / self.before["est_ms"] - 1) if self._both and self.before["est_ms"] else None

    @property
    def ratings(self) -> Tuple[str, str]:
        """Returns the rating before and now."""
        before, now = (data.get("rating") or UNMEASURED for data in (self.before, self.now))
        return before, now

    @property
    def rating_changed(self) -> bool:
        """Whether both sides are rated, and not alike."""
        before, now = self.ratings
        return self._both and before != now

    @property
    def got_worse(self) -> bool:
        """Whether the rating now is a worse one, or there is none any more."""
        before, now = map(_rank, self.ratings)
        return before is not None and (now is None or now > before)

    @property
    def got_better(self) -> bool:
        """Whether the rating now is a better one."""
        before, now = map(_rank, self.ratings)
        return before is not None and now is not None and now < before

    @property
    def band_pct(self) -> Optional[float]:
        """Returns the |error| that the rating before allows, None where it allows any."""
        band_pct = BANDS_PCT.get(self.ratings[0], float("inf"))
        return None if band_pct == float("inf") else band_pct

    @property
    def left_band(self) -> bool:
        """Whether the error now is not below what the rating before allows."""
        error_pct = self.now.get("error_pct")
        return error_pct is not None and self.band_pct is not None and abs(error_pct) >= self.band_pct

    @property
    def another_stream(self) -> bool:
        """Whether the op stream is another one: other ops, or other shapes."""
        both = bool(self.stream_before) and bool(self.stream_now)
        return both and self.stream_before[_DIGEST] != self.stream_now[_DIGEST]

    @property
    def another_runtime(self) -> bool:
        """Whether another runtime, or other constants of it, gave the estimate."""
        return self._both and any(self.before.get(key) != self.now.get(key) for key in RUNTIME_KEYS)

    @property
    def digest_now(self) -> str:
        """Returns the digest of the op stream now; empty where there is none."""
        return self.stream_now[_DIGEST] if self.stream_now else ""

    @property
    def terms(self) -> List[Tuple[str, Any, Any]]:
        """Returns (term, before, now) for each term that differs."""
        return moved_terms(self.before, self.now)

    @property
    def measured_anew(self) -> bool:
        """Whether it is held against another measurement than before."""
        return self._both and self.before.get("meas_ms") != self.now.get("meas_ms")

    def summary(self, textual: bool = False) -> str:
        """Returns one line: name, estimate before and now, change, rating; `textual` where the files differ."""
        parts = [*self._summary()] or (["only the text of its golden differs"] if textual else [])
        return f"{self.name}: {'; '.join(parts) or 'as before'}"

    def _summary(self) -> Iterator[str]:
        if not self.before:
            yield f"there is no golden to compare with, {_ms(self.now['est_ms'])} ms now"
        elif not self.now:
            yield f"{_ms(self.before['est_ms'])} ms before, gone now"
        elif self.moved:
            before, now = _ms(self.before["est_ms"]), _ms(self.now["est_ms"])
            yield f"{before} -> {now} ms ({_percent(self.change_pct)}){self._rated}"
        elif self.measured_anew:
            yield f"measured {_value(self.before.get('meas_ms'))} -> {_value(self.now.get('meas_ms'))} ms{self._rated}"
        elif self.terms:
            yield f"{_ms(self.now['est_ms'])} ms as before; {term_text(self.terms[0])}"
        yield from self._stream_summary()

    @property
    def _rated(self) -> str:
        before, now = self.ratings
        return "" if before == now == UNMEASURED else f", {before} -> {now}" if before != now else f", {now}"

    def _stream_summary(self) -> Iterator[str]:
        if self.stream_now and not self.stream_before:
            yield "its op stream has no row in golden/op-streams.md"
        elif self.another_stream:
            yield f"another op stream: {', '.join(self.ops_text()) or 'the same ops with other shapes'}"
        elif self.stream_before != self.stream_now and not self.terms:
            yield "its row in golden/op-streams.md differs"

    def ops_text(self) -> List[str]:
        """Returns a text for each op that came, went, or is called another number of times."""
        before, now = (_counts(row) for row in (self.stream_before, self.stream_now))
        names = sorted({*before, *now})
        return [f"{n} {before.get(n, 0)} -> {now.get(n, 0)}" for n in names if before.get(n, 0) != now.get(n, 0)]

    def most_moved(self) -> List[str]:
        """Returns the texts of the terms of host and device that moved most, in ms."""
        terms = [term for term in self.terms if "_terms_ms." in term[0]]
        terms = terms or [term for term in self.terms if term[0] in ("host_ms", "device_ms")]
        terms.sort(key=lambda term: -abs((term[2] or 0.0) - (term[1] or 0.0)))
        return [term_text(term) for term in terms[:_MOST_TERMS]]


def _rank(rating: str) -> Optional[int]:
    """0 for the best rating, None for none."""
    return list(BANDS_PCT).index(rating) if rating in BANDS_PCT else None


def term_text(term: Tuple[str, Any, Any]) -> str:
    """Returns "host_ms 6.41 -> 6.48 (+1.1 %)"."""
    name, before, now = term
    change = term_change(*term)
    return f"{name} {_value(before)} -> {_value(now)}" + (f" ({change})" if change else "")


def term_change(term: str, before: Any, now: Any) -> str:
    """Returns by how much a term moved, in percent or in points of percent; empty where that means nothing."""
    if not all(isinstance(value, (int, float)) for value in (before, now)):
        return ""
    if term.endswith("_pct"):
        return f"{now - before:+.2f} pts"
    return _percent(100 * (now / before - 1)) if before else ""


def _counts(row: Row) -> Dict[str, int]:
    return {op: int(count) for op, count in re.findall(r"(\S+) (\d{1,9})\b", row[_COUNTS])} if row else {}


def _ms(value: float) -> str:
    return f"{value:#.4g}".rstrip(".") if value < 1000 else f"{value:.0f}"


def _value(value: Any) -> str:
    return "none" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def _percent(value: Optional[float]) -> str:
    return "-" if value is None else f"{value:+.1f} %" if abs(value) >= 0.05 else f"{value:+.2f} %"
