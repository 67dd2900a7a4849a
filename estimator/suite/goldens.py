"""Holds an estimate against its golden through syrupy, and says what differs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Dict, Iterator, List, Mapping

from ..compare import BANDS_PCT, UNMEASURED, within_band
from ..goldens.content import (
    ESTIMATE_TITLES,
    INPUT_TITLES,
    INPUTS,
    STREAM_TITLES,
    estimate_row,
    golden_data,
    inputs_table,
    moved_terms,
    row_data,
    stream_row,
)
from ..goldens.extensions import JsonGolden, TableGolden, TextGolden
from ..goldens.files import (
    ESTIMATES,
    OP_STREAMS,
    UPDATE_ALL,
    VALIDATION,
    drop_section,
    estimates_path,
    golden_root,
    labels_of,
)
from ..goldens.tables import Row, Table, read_document
from .configuration import Configuration, kind_of

if TYPE_CHECKING:
    from syrupy.assertion import SnapshotAssertion

    from ..hardware.profile import Profile
    from ..results import Result
    from ..subjects.all import Subject


class Goldens:
    """The goldens of one configuration; `updating` rewrites what differs instead of saying so."""

    def __init__(self, configuration: Configuration, snapshot: SnapshotAssertion, updating: bool) -> None:
        self._configuration = configuration
        self._snapshot = snapshot
        self._updating = updating

    def problems(self, subject: Subject, result: Result) -> List[str]:
        """Returns the lines that say what differs and where to look; none if all is well, or rewritten."""
        is_estimate = self._is_estimate(subject, result)
        is_stream = self._is_stream(result)
        if self._updating:
            return []
        lines = [*self._difference(subject, result)] if not is_estimate else []
        lines += self._stream_difference(result) if not is_stream else []
        lines += self._band_problem(subject, result)
        return [*lines, *self._sources(subject, result)] if lines else []

    def _is_estimate(self, subject: Subject, result: Result) -> bool:
        target = self._configuration.target
        name = result.comparison.model
        if self._configuration.is_measured:
            place = kind_of(subject).golden_path(Path(target.hardware, target.label), name).with_suffix("")
            if self._updating:
                drop_section(self._configuration.root, target)
            return bool(self._snapshot(name=place.as_posix(), extension_class=JsonGolden) == golden_data(result))
        return self._is_row(f"{target.hardware}/{ESTIMATES} {target.label}", ESTIMATE_TITLES, estimate_row(result))

    def _is_stream(self, result: Result) -> bool:
        row = stream_row(result.comparison.model, result.ops, result)
        return self._is_row(f"{OP_STREAMS} {self._configuration.target.stream_label}", STREAM_TITLES, row)

    def _is_row(self, section: str, titles: Row, row: Row) -> bool:
        snapshot = self._snapshot(name=f"{section} {row[0]}", extension_class=TableGolden)
        return bool(snapshot == Table(titles, {row[0]: row}))

    def _difference(self, subject: Subject, result: Result) -> Iterator[str]:
        name = result.comparison.model
        golden = self._configuration.golden(subject)
        if not golden:
            yield f"{name} on {self._configuration.name}: there is no golden to compare with"
            return
        moved = moved_terms(golden, self._data(result))
        what = f"{len(moved)} terms differ" if moved else "only the text differs"
        yield f"{name} on {self._configuration.name}: {what} from the golden"
        yield f"  {'term':<32} {'golden':>12} {'now':>12} {'change':>10}"
        yield from (
            f"  {term:<32} {before!s:>12} {now!s:>12} {_change(term, before, now):>10}" for term, before, now in moved
        )

    def _data(self, result: Result) -> Dict[str, Any]:
        if self._configuration.is_measured:
            return golden_data(result)
        return row_data(dict(zip(ESTIMATE_TITLES, estimate_row(result))))

    def _stream_difference(self, result: Result) -> List[str]:
        name = result.comparison.model
        path = golden_root(self._configuration.root) / f"{OP_STREAMS}.md"
        table = read_document(path).sections.get(self._configuration.target.stream_label)
        if table is None or name not in table.rows:
            return [f"{name}: its op stream has no row in {relative(path, self._configuration.root)}"]
        now = dict(zip(STREAM_TITLES, stream_row(name, result.ops, result)))
        before = table.named(name)
        lines = (f"  {title}: {before.get(title)} -> {now[title]}" for title in now if before.get(title) != now[title])
        return [f"{name}: its op stream is another one than when the goldens were made", *lines]

    def _band_problem(self, subject: Subject, result: Result) -> Iterator[str]:
        row = result.comparison
        rating = self._configuration.golden(subject).get("rating", UNMEASURED)
        if rating in BANDS_PCT and row.error_pct is not None and not within_band(row.error_pct, rating):
            yield f"{row.model}: the error left the band of its golden rating"
            yield f"  expected |error| < {BANDS_PCT[rating]:.0f} % ({rating})"
            yield f"  got {row.error_pct:+.2f} % ({row.rating})"
            yield f"  estimated {row.est_ms} ms, measured {row.meas_ms} ms"

    def _sources(self, subject: Subject, result: Result) -> Iterator[str]:
        configuration = self._configuration
        kind = kind_of(subject)
        record = configuration.records[kind]
        runs_ms = ", ".join(map(str, record.runs_ms.get(result.comparison.model, ()))) or "none"
        golden = estimates_path(configuration.root, configuration.target.hardware)
        if configuration.is_measured:
            golden = kind.golden_path(configuration.folder, result.comparison.model)
        yield f"  golden:   {relative(golden, configuration.root)} (compared exactly)"
        yield f"  record:   {relative(record.path, configuration.root)} (median of {runs_ms} ms)"
        yield f"  estimate: {relative(configuration.target.profile.path, configuration.root)}"
        yield advice(configuration)

    def validation_problems(self, text: str) -> List[str]:
        """Returns the lines that say how the whole table differs from its golden, validation.md."""
        target = self._configuration.target
        place = f"{target.hardware}/{target.label}/{VALIDATION}"
        path = golden_root(self._configuration.root) / f"{place}.md"
        before = path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
        if self._snapshot(name=place, extension_class=TextGolden) == text or self._updating:
            return []
        diff = unified_diff(before, text, str(relative(path, self._configuration.root)))
        return ["the validation table differs from its golden", *diff, advice(self._configuration)]


def unified_diff(before: str, now: str, name: str) -> Iterator[str]:
    """Yields the lines that differ, without their neighbours."""
    import difflib

    yield from difflib.unified_diff(before.splitlines(), now.splitlines(), name, "now", n=0, lineterm="")


def advice(configuration: Configuration) -> str:
    """Returns the line that says how a change that is meant becomes golden."""
    return (
        f"  If the change is meant: {UPDATE_ALL} (this configuration alone: {configuration.target.command} "
        "--snapshot-update), then review git diff golden"
    )


def relative(path: Path, root: Path) -> Path:
    """Returns the path as seen from `root`, unless it is elsewhere."""
    return path.relative_to(root) if root in path.parents else path


def _change(term: str, before: Any, now: Any) -> str:
    if not all(isinstance(value, (int, float)) for value in (before, now)):
        return ""
    if term.endswith("_pct"):
        return f"{now - before:+.2f} pts"
    return f"{100 * (now / before - 1):+.2f} %" if before else ""


class Inputs:
    """What the goldens of a board were made from, held against its profile."""

    def __init__(self, root: Path, hardware: str, profile: Profile) -> None:
        self._root = root
        self._hardware = hardware
        self._now = inputs_table(profile)

    def problems(self, snapshot: SnapshotAssertion, updating: bool, rewritten: Mapping[str, bool]) -> List[str]:
        """Returns the lines that say which inputs moved; none where they are golden, or every golden is rewritten.

        `rewritten` says of each configuration of the board whether this session rewrites it: inputs that are newer
        than some golden would hide why that golden is stale.
        """
        moved = list(self._moved())
        left = [label for label in labels_of(self._root, self._hardware) if not rewritten.get(label)]
        if updating and left and moved:
            return [*self._headline(moved), f"  not rewritten in this session: {', '.join(left)}; {UPDATE_ALL}"]
        place = snapshot(name=f"{self._hardware}/{ESTIMATES} {INPUTS}", extension_class=TableGolden)
        if updating and left:
            return []
        if place == self._now or updating:
            return []
        return [*self._headline(moved), f"  If the change is meant: {UPDATE_ALL}, then review git diff golden"]

    def _headline(self, moved: List[str]) -> List[str]:
        return [f"{self._hardware}: the goldens were made from other inputs", *moved]

    def _moved(self) -> Iterator[str]:
        golden = read_document(estimates_path(self._root, self._hardware)).sections.get(INPUTS, Table(INPUT_TITLES, {}))
        for name in dict.fromkeys([*golden.rows, *self._now.rows]):
            before = golden.rows.get(name)
            now = self._now.rows.get(name)
            if before != now:
                yield f"  {name}: {_value(before)} -> {_value(now)}"


def _value(row: Any) -> str:
    return "none" if row is None else " ".join(row[1:])
