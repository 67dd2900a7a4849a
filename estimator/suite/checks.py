"""The two assertions of the suite: a model against its golden and its band, the whole table against its report."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any, Iterator, List, Optional, Sequence

import pytest
from syrupy.assertion import SnapshotAssertion

from ..compare import BANDS_PCT, UNMEASURED, within_band
from ..files import write_atomically
from ..hardware.profile import load_profile
from ..report import markdown_report
from .goldens import REPORT_NAME, GoldenExtension, golden_data, moved_terms
from .options import Settings
from .results import Result


class Golden:
    """Compares results with the goldens of the run's configuration."""

    def __init__(self, settings: Settings, snapshot: Optional[SnapshotAssertion], root: Path) -> None:
        self._settings = settings
        self._snapshot = snapshot and snapshot.use_extension(GoldenExtension)
        self._root = root

    def check(self, result: Result) -> None:
        """Fails unless the result equals its golden term by term, and its error stays in the golden rating's band.

        With `--snapshot-update` the golden is rewritten instead, and its new rating holds by definition.
        """
        __tracebackhide__ = True
        unchanged = self._snapshot == golden_data(result)
        if self._settings.updating:
            return
        problems = self.problems(result, unchanged)
        if problems:
            pytest.fail("\n".join(problems), pytrace=False)

    def problems(self, result: Result, unchanged: Optional[bool] = None) -> List[str]:
        """Returns the lines that say what differs from the golden and where to look; none if all is well."""
        if unchanged is None:
            unchanged = self._settings.goldens.get(result.comparison.model) == golden_data(result)
        lines = [*([] if unchanged else self._difference(result)), *self._band_problem(result)]
        return [*lines, *self._sources(result)] if lines else []

    def _difference(self, result: Result) -> Iterator[str]:
        name = result.comparison.model
        where = f"{self._settings.configuration.hardware} {self._settings.configuration.label}"
        golden = self._settings.goldens.get(name)
        if golden is None:
            yield f"{name} on {where}: there is no golden to compare with"
            return
        moved = moved_terms(golden, golden_data(result))
        what = f"{len(moved)} terms differ" if moved else "only the text differs"
        yield f"{name} on {where}: {what} from the golden"
        yield f"  {'term':<32} {'golden':>12} {'now':>12} {'change':>10}"
        yield from (
            f"  {term:<32} {before!s:>12} {now!s:>12} {_change(term, before, now):>10}" for term, before, now in moved
        )

    def _band_problem(self, result: Result) -> Iterator[str]:
        row = result.comparison
        rating = self._settings.goldens.get(row.model, {}).get("rating", UNMEASURED)
        if rating in BANDS_PCT and row.error_pct is not None and not within_band(row.error_pct, rating):
            yield f"{row.model}: the error left the band of its golden rating"
            yield f"  expected |error| < {BANDS_PCT[rating]:.0f} % ({rating})"
            yield f"  got {row.error_pct:+.2f} % ({row.rating})"
            yield f"  estimated {row.est_ms} ms, measured {row.meas_ms} ms"

    def _sources(self, result: Result) -> Iterator[str]:
        settings, name = self._settings, result.comparison.model
        runs_ms = ", ".join(map(str, settings.measurements.runs_ms.get(name, ()))) or "none"
        golden = settings.kind.golden_path(settings.folder, name)
        yield f"  golden:      {relative(golden, self._root)} (compared exactly)"
        yield f"  measurement: {relative(settings.measurements.path, self._root)} (median of {runs_ms} ms)"
        yield f"  estimate:    {relative(load_profile(settings.configuration.hardware).path, self._root)}"
        yield _advice(settings)


def _advice(settings: Settings) -> str:
    return f"  If the change is meant: {settings.command} --snapshot-update, then review git diff golden"


def relative(path: Path, root: Path) -> Path:
    """Returns the path as seen from `root`, unless it is elsewhere."""
    return path.relative_to(root) if root in path.parents else path


def _change(term: str, before: Any, now: Any) -> str:
    if not all(isinstance(value, (int, float)) for value in (before, now)):
        return ""
    if term.endswith("_pct"):
        return f"{now - before:+.2f} pts"
    return f"{100 * (now / before - 1):+.2f} %" if before else ""


class ValidationReport:
    """Compares the whole table with validation.md of the run's configuration."""

    def __init__(self, settings: Settings, root: Path) -> None:
        self._settings = settings
        self._path = settings.folder / REPORT_NAME
        self._root = root

    def check(self, results: Sequence[Result]) -> None:
        """Fails with a diff unless the report of these results is the recorded one; `--snapshot-update` rewrites it."""
        __tracebackhide__ = True
        now = self._text(results)
        before = self._path.read_text(encoding="utf-8", errors="replace") if self._path.exists() else ""
        if before == now:
            return
        if not self._settings.updating:
            pytest.fail("\n".join(self._difference(before, now)), pytrace=False)
        self._path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(self._path, now)

    def _text(self, results: Sequence[Result]) -> str:
        settings = self._settings
        title = f"{settings.configuration.hardware}, {settings.configuration.label}{settings.transferred}"
        rows = [result.comparison for result in results]
        return markdown_report(title, f"{settings.command} --snapshot-update", measured_from(settings), rows)

    def _difference(self, before: str, now: str) -> List[str]:
        name = str(relative(self._path, self._root))
        diff = difflib.unified_diff(before.splitlines(), now.splitlines(), name, "now", n=0, lineterm="")
        return ["the validation table differs from its golden", *diff, _advice(self._settings)]


def measured_from(settings: Settings) -> str:
    """Returns one sentence that says where the run's measurements come from."""
    record = settings.measurements
    if not record.runs_ms:
        return f"Not measured: there is no record for {settings.configuration.hardware} {settings.configuration.label}."
    about, runs = record.provenance, sorted({len(runs_ms) for runs_ms in record.runs_ms.values()})
    counts = " to ".join(map(str, sorted({runs[0], runs[-1]})))
    return f"Measured: median of {counts} recorded runs, {about['board']}, {about['mode']}, {about['software']}."
