"""What a session prints and writes: the header, the tables with what stands below them, and the files asked for."""

from __future__ import annotations

import sys
from importlib import metadata
from typing import Iterable, Iterator, List, Sequence

import pytest

from ..against.comparison import Beside
from ..against.rendering import FORMATS as WITH_OTHERS
from ..against.rendering import beside_lines, held_out_notes
from ..compare import Comparison
from ..files import write_atomically
from ..measure.device.choice import Choice
from ..records.kinds import MODEL_KIND, PATTERN_KIND, Kind
from ..report import FORMATS
from .goldens import relative
from .page import write_page
from .reports import Results, Where
from .session import Session
from .tables import defaulted_lines, mode_lines, model_lines, pattern_table

_WRITTEN = pytest.StashKey[List[str]]()
_NOT_WRITTEN = "NOT WRITTEN to"


def header_lines(session: Session, choice: Choice) -> List[str]:
    """Returns what is estimated, what it is held against, and with which software."""
    software = ", ".join(f"{name} {_version(name)}" for name in ("torch", "torchvision"))
    return [
        *_target_lines(session),
        f"device: {choice.device} ({choice.why})",
        *session.header(),
        *(f"against: {other.name}" for other in session.options.against),
        f"software: {software}, Python {sys.version.split()[0]}",
    ]


def _target_lines(session: Session) -> Iterator[str]:
    for target in session.options.targets:
        configuration = session.configuration_of(target)
        yield (
            f"hardware: {target.hardware}, mode {target.mode.name}, "
            f"precision {target.precision.name}, batch {target.batch_size}{configuration.transferred}"
        )
        measured = configuration.measured_from()
        record = configuration.record
        yield f"record: {relative(record.path, configuration.root)}: {measured}" if record.runs_ms else measured


def _version(distribution: str) -> str:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return "not installed"


def finish(session: Session, choice: Choice, results: Results, run: pytest.Session, exitstatus: int) -> None:
    """Writes the record of `--record` and the files of `--output` and `--report`, unless the run was cut short."""
    ran = exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED)
    if not session.finish(ran and not run.shouldfail and not run.shouldstop):
        run.exitstatus = pytest.ExitCode.TESTS_FAILED
    rows = results.rows(MODEL_KIND)
    if rows and ran:
        written = list(_written(session, rows, header_lines(session, choice), _others(session, results)))
        run.config.stash[_WRITTEN] = written
        if any(_NOT_WRITTEN in line for line in written):
            run.exitstatus = pytest.ExitCode.TESTS_FAILED


def _others(session: Session, results: Results) -> List[Beside]:
    """The other estimators with what they said in this session, in the order of the command line."""
    configurations = [session.configuration_of(target) for target in session.options.targets]
    notes = [note for found in configurations for note in held_out_notes(found.held_out_means_pct)]
    return [Beside(other.name, results.answers(other.name), tuple(notes)) for other in session.options.against]


def _written(
    session: Session, rows: Sequence[Comparison], header: Sequence[str], others: Sequence[Beside]
) -> Iterator[str]:
    """Writes the files that were asked for; yields a line for each, also where it could not be written after all."""
    pages = [path for path in (session.options.report,) if path is not None]
    for what, path in (*(("Table", path) for path in session.options.outputs), *(("Page", path) for path in pages)):
        try:
            if what == "Table":
                write_atomically(path, _table_text(path.suffix, rows, others))
            else:
                write_page(session, rows, header, others)
            yield f"  {what} written to {path}"
        except OSError as error:
            yield f"  {what} {_NOT_WRITTEN} {path}: {error.strerror}"


def _table_text(suffix: str, rows: Sequence[Comparison], others: Sequence[Beside]) -> str:
    return WITH_OTHERS[suffix](rows, others) if others else FORMATS[suffix](rows)


def print_summary(session: Session, results: Results, in_short: bool, reporter: pytest.TerminalReporter) -> None:
    """Prints the tables, and below them what the session has to say; `in_short` leaves out what failed."""
    for kind in (PATTERN_KIND, MODEL_KIND):
        for where in results.wheres(kind):
            _print_table(session, results, kind, where, in_short, reporter)
    modes_ms = results.said("modes_ms", MODEL_KIND)
    lines = ["", *mode_lines(modes_ms, session.options.target)] if modes_ms else []
    for line in (*lines, *session.summary(), *reporter.config.stash.get(_WRITTEN, [])):
        reporter.write_line(line)


def _print_table(
    session: Session, results: Results, kind: Kind, where: Where, in_short: bool, reporter: pytest.TerminalReporter
) -> None:
    configuration, rows, failed = (
        session.configuration_at(where),
        results.rows(kind, where),
        results.failed(kind, where),
    )
    if kind is PATTERN_KIND:
        place, title = f"{where[0]}{configuration.transferred}", "PATTERNS"
        lines = pattern_table(rows, failed, configuration.target, in_short, session.ops_of)
    else:
        place = f"{where[0]} ({configuration.target.mode.name}){configuration.transferred}"
        title = "GOLDEN REFERENCE VALIDATION"
        lines = model_lines(rows, failed, configuration, in_short, session.ops_of)
    _print(reporter, f"{title} - {place}", lines)
    for beside in _others(session, results):
        answered = beside.answered(rows)
        if answered:
            _print(reporter, f"AGAINST {beside.name} - {place}", beside_lines(answered, beside))
    for line in defaulted_lines(results.said("defaulted_share_pct", kind, where)):
        reporter.write_line(line)


def _print(reporter: pytest.TerminalReporter, title: str, lines: Iterable[str]) -> None:
    reporter.write_sep("=", title)
    for line in lines:
        reporter.write_line(line)
