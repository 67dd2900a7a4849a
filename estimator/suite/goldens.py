"""Holds an estimate against its golden through syrupy, and says what differs."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Iterator, List, Mapping, Optional, Sequence, Tuple

from ..compare import BANDS_PCT
from ..errors import GoldenLatencyError
from ..goldens.configuration import Configuration, kind_of
from ..goldens.content import ESTIMATE_TITLES, STREAM_TITLES, estimate_row, golden_data, stream_row
from ..goldens.difference import Difference, term_change
from ..goldens.extensions import GoldenFiles
from ..goldens.inputs import golden_inputs, inputs_now, write_inputs
from ..goldens.repository import UPDATE_ALL, UPDATE_OWN, VALIDATION, Repository
from ..goldens.tables import INPUTS, Row, Table
from ..records.kinds import Kind, kinds_in
from ..report import table as report
from ..report.table import left, right
from ..review.causes import changed_inputs
from ..review.changes import InputChange
from ..review.verdict import input_text
from ..subjects.custom import OwnModel
from .reports import Problem

if TYPE_CHECKING:
    from syrupy.assertion import SnapshotAssertion

    from ..estimates import Result
    from ..subjects.registry import Subject


_MOST_NAMES = 3
_WIDTHS = {"golden": 12, "now": 12, "change": 10}
Golden = Tuple[str, str, Kind, str]
"""The place of a golden: board, configuration, kind and name."""


class Goldens:
    """The goldens of one configuration; `updating` rewrites what differs instead of saying so."""

    def __init__(self, configuration: Configuration, snapshot: SnapshotAssertion, updating: bool) -> None:
        self._configuration = configuration
        self._files = GoldenFiles(configuration.repository, snapshot)
        self._updating = updating

    def problem(self, subject: Subject, result: Result) -> Optional[Problem]:
        """Returns what differs and where to look; None if all is well, or rewritten."""
        stream = stream_row(subject.name, result.ops, result)
        place = self._configuration.repository.streams_path, self._configuration.target.stream_label
        try:
            is_same = [self._is_estimate(subject, result), self._files.has_row(*place, STREAM_TITLES, stream)]
        except (OSError, GoldenLatencyError) as error:
            return Problem(f"{subject.name}: its golden could not be written: {error}")
        if self._updating:
            return None
        difference = self._difference(subject, result, stream)
        if all(is_same) and not difference.left_band:
            return None
        summary = difference.summary(textual=not all(is_same))
        return Problem(summary, tuple(_short(difference)), tuple(self._details(subject, difference)), difference)

    def _is_estimate(self, subject: Subject, result: Result) -> bool:
        configuration, path = self._configuration, self._configuration.golden_path(subject)
        if not configuration.keeps_file(kind_of(subject)):
            return self._files.has_row(path, configuration.target.label, ESTIMATE_TITLES, estimate_row(result))
        is_same = self._files.has_data(path, golden_data(result))
        if self._updating and configuration.is_measured:
            configuration.repository.drop_section(configuration.target)
        return is_same

    def _difference(self, subject: Subject, result: Result, stream: Row) -> Difference:
        configuration, kind = self._configuration, kind_of(subject)
        streams = configuration.repository.streams(configuration.target.stream_label)
        return Difference(
            *configuration.where,
            kind.parameter,
            subject.name,
            configuration.golden(subject),
            golden_data(result, in_row=not configuration.keeps_file(kind)),
            streams.rows.get(subject.name, ()),
            stream,
            subject.family if isinstance(subject, OwnModel) else "",
        )

    def _details(self, subject: Subject, difference: Difference) -> Iterator[str]:
        """Every term, and where each figure is from."""
        terms = [*difference.terms, *_stream_terms(difference)]
        if terms and difference.before:
            columns = (left("term", width=32), *(right(title, str, width) for title, width in _WIDTHS.items()))
            rows = [(term, before, now, term_change(term, before, now)) for term, before, now in terms]
            yield from report.Table(columns, rows).text(gap=1)
        configuration = self._configuration
        record = configuration.record_of(kind_of(subject))
        runs_ms = ", ".join(map(str, record.runs_ms.get(difference.name, ()))) or "none"
        yield f"  golden:   {relative(configuration.golden_path(subject), configuration.root)} (compared exactly)"
        yield f"  record:   {relative(record.path, configuration.root)} (median of {runs_ms} ms)"
        yield f"  estimate: {relative(configuration.target.profile.path, configuration.root)}"

    def validation_problem(self, text: str) -> Optional[Problem]:
        """Returns how the whole table differs from its golden, validation.md."""
        path = self._configuration.folder / f"{VALIDATION}.md"
        where = str(relative(path, self._configuration.root))
        try:
            if self._files.has_text(path, text) or self._updating:
                return None
        except OSError as error:
            return Problem(f"{where}: could not be written: {error}")
        before = (self._configuration.repository.text(path) or "").splitlines()
        diff = tuple(difflib.unified_diff(before, text.splitlines(), where, "now", n=0, lineterm=""))
        lines = sum(line.startswith("+") for line in diff[2:])
        return Problem(f"{where}: {lines} lines of the table differ", (), diff)


def _short(difference: Difference) -> Iterator[str]:
    """The terms that moved most, and a band that was left."""
    most = difference.most_moved()
    if most and difference.before:
        yield f"  most: {', '.join(most)}"
    if difference.left_band:
        row, rating = difference.now, difference.ratings[0]
        yield "  the error left the band of its golden rating:"
        yield f"  expected |error| < {BANDS_PCT[rating]:.0f} % ({rating})"
        yield f"  got {row['error_pct']:+.2f} % ({row['rating']})"
        yield f"  estimated {row['est_ms']} ms, measured {row['meas_ms']} ms"


def _stream_terms(difference: Difference) -> Iterator[Any]:
    rows = difference.stream_before, difference.stream_now
    if all(rows):
        triples = zip(STREAM_TITLES, *rows)
        yield from ((f"op stream: {title}", old, new) for title, old, new in triples if old != new)


def relative(path: Path, root: Path) -> Path:
    """Returns the path as seen from `root`, unless it is elsewhere."""
    return path.relative_to(root) if root in path.parents else path


def inputs_problem(
    repository: Repository, boards: Mapping[str, Sequence[str]], snapshot: SnapshotAssertion, updating: bool
) -> Optional[Problem]:
    """Returns which inputs of which boards moved since the goldens were made; None where none did, or all is rewritten.

    `boards` says which configurations of each board this session rewrites: inputs that are newer than some golden would
    hide why that golden is stale.
    """
    files = GoldenFiles(repository, snapshot)
    before = {hardware: golden_inputs(repository, hardware) for hardware in boards}
    now = {hardware: inputs_now(repository, hardware) for hardware in boards}
    stale: List[str] = []
    is_same = True
    for hardware, rewritten in boards.items():
        left = [label for label in repository.labels(hardware) if label not in rewritten]
        if not (updating and left):
            is_same &= files.has_section(repository.estimates_path(hardware), INPUTS, now[hardware])
        elif before[hardware] != now[hardware]:
            stale.append(f"  not rewritten in this session: {hardware} {', '.join(left)}")
    if not stale and (is_same or updating):
        return None
    changes = changed_inputs(before, now)
    lines = [f"  {input_text(change)}" for change in changes]
    lines += [f"  {board} has no goldens yet: pytest --hardware {board} --snapshot-update" for board in _new(before)]
    lines += [*stale, *([f"  to rewrite them all: {UPDATE_ALL}"] if stale else [])]
    return Problem(f"the goldens were made from other inputs: {_names(changes, _new(before))}", tuple(lines))


def inputs_lines(repository: Repository, rewritten: Sequence[Golden]) -> List[str]:
    """Writes what the goldens of each board were made from, where all of the board's are rewritten; says where not.

    Inputs that are newer than some golden would hide why that golden is stale.
    """
    lines: List[str] = []
    for hardware in dict.fromkeys(golden[0] for golden in rewritten):
        left = [golden for golden in _own_goldens(repository, hardware) if golden not in rewritten]
        if not left:
            write_inputs(repository, hardware)
        elif golden_inputs(repository, hardware) != inputs_now(repository, hardware):
            names = ", ".join(sorted({golden[-1] for golden in left}))
            lines.append(
                f"  The inputs of {hardware}'s goldens stay as they were, for these were not rewritten: {names}."
            )
            lines.append(f"  To rewrite them all: {UPDATE_OWN}; of tests that are gone, delete the goldens.")
    return lines


def _own_goldens(repository: Repository, hardware: str) -> Iterator[Golden]:
    for label in repository.labels(hardware):
        for kind in kinds_in(repository.folder / hardware / label, of_zoo=False):
            yield from ((hardware, label, kind, name) for _, name, _ in repository.read_goldens(hardware, label, kind))


def _new(inputs: Mapping[str, Table]) -> List[str]:
    return [hardware for hardware, table in inputs.items() if not table.rows]


def _names(changes: Sequence[InputChange], new_boards: Sequence[str]) -> str:
    names = [*dict.fromkeys(change.short_name for change in changes), *(f"{board} is new" for board in new_boards)]
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    return ", ".join(names[:_MOST_NAMES]) + more if names else "their text differs"
