"""What a session prints and writes: the header, the tables with what stands below them, and the files asked for."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Callable, Iterable, Iterator, List, Sequence, Tuple

import pytest

from ..compare import Comparison, summarise
from ..figures import percent
from ..files import write_atomically
from ..goldens.configuration import Configuration
from ..hardware.software import software_text
from ..measure.device.environment import installed_software
from ..records.kinds import MODEL_KIND, PATTERN_KIND, Kind
from ..report.answers import THEIRS, Beside, beside_lines, held_out_notes
from ..report.comparisons import FORMATS, short_summary
from ..report.html import page_html
from ..report.page import Page, Row
from .goldens import relative
from .reports import Results, Where
from .session import Session
from .summary import decided_lines, defaulted_lines, mode_lines, model_summary, table_lines

_WRITTEN = pytest.StashKey[List[str]]()
_NOT_WRITTEN = "NOT WRITTEN to"


def header_lines(session: Session) -> List[str]:
    """Returns what is estimated, what it is held against, and with which software."""
    software = software_text(installed_software(Path("/")), ("torch", "torchvision", "python"))
    return [
        *_target_lines(session),
        f"device: {session.choice.device} ({session.choice.why})",
        *session.header(),
        *(f"against: {other.name}" for other in session.options.against),
        f"software: {software}",
    ]


def _target_lines(session: Session) -> Iterator[str]:
    for target in session.options.targets:
        configuration = session.configuration_of(target)
        yield f"hardware: {target.hardware}, {target.in_words}{configuration.transferred}"
        measured = configuration.measured_from()
        record = configuration.record
        yield f"record: {relative(record.path, configuration.root)}: {measured}" if record.runs_ms else measured


def finish(session: Session, results: Results, run: pytest.Session, exitstatus: int) -> None:
    """Writes the record of `--record` and the files of `--output` and `--report`, unless the run was cut short."""
    ran = exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED)
    if not session.finish(ran and not run.shouldfail and not run.shouldstop):
        run.exitstatus = pytest.ExitCode.TESTS_FAILED
    rows = results.rows(MODEL_KIND)
    if rows and ran:
        written = list(_written(session, rows, _others(session, results)))
        run.config.stash[_WRITTEN] = written
        if any(_NOT_WRITTEN in line for line in written):
            run.exitstatus = pytest.ExitCode.TESTS_FAILED


def _others(session: Session, results: Results) -> List[Beside]:
    """The other estimators with what they said in this session, in the order of the command line."""
    configurations = [session.configuration_of(target) for target in session.options.targets]
    notes = [note for found in configurations for note in held_out_notes(found.held_out_means_pct)]
    return [Beside(other.name, results.answers(other.name), tuple(notes)) for other in session.options.against]


def _written(session: Session, rows: Sequence[Comparison], others: Sequence[Beside]) -> Iterator[str]:
    """Writes the files that were asked for; yields a line for each, also where it could not be written after all."""
    page = session.options.report
    texts: List[Tuple[str, Path, Callable[[], str]]] = [
        ("Table", path, functools.partial(FORMATS[path.suffix], rows, others)) for path in session.options.outputs
    ]
    if page is not None:
        texts.append(("Page", page, lambda: page_html(_page(session, rows, others))))
    for what, path, text in texts:
        try:
            write_atomically(path, text())
            yield f"  {what} written to {path}"
        except OSError as error:
            yield f"  {what} {_NOT_WRITTEN} {path}: {error.strerror}"


def print_summary(session: Session, results: Results, in_short: bool, reporter: pytest.TerminalReporter) -> None:
    """Prints the tables, and below them what the session has to say; `in_short` leaves out what failed."""
    for kind in (PATTERN_KIND, MODEL_KIND):
        for where in results.wheres(kind):
            _print_table(session, results, kind, where, in_short, reporter)
    modes_ms = results.said("modes_ms", MODEL_KIND)
    lines = ["", *mode_lines(modes_ms, session.options.target)] if modes_ms else []
    _write(reporter, (*lines, *session.summary(), *reporter.config.stash.get(_WRITTEN, [])))


def _print_table(
    session: Session, results: Results, kind: Kind, where: Where, in_short: bool, reporter: pytest.TerminalReporter
) -> None:
    configuration = session.configuration_at(where)
    rows, failed = results.rows(kind, where), results.failed(kind, where)
    title, place = "PATTERNS", where[0]
    if kind is MODEL_KIND:
        title, place = "GOLDEN REFERENCE VALIDATION", f"{place} ({configuration.target.mode.name})"
    place += configuration.transferred
    _print(reporter, f"{title} - {place}", table_lines(rows, failed, configuration, in_short, session.ops_of))
    if configuration.has_estimates:
        of_models = model_summary(rows, failed, configuration, in_short)
        _write(reporter, of_models if kind is MODEL_KIND else short_summary(rows))
    for beside in _others(session, results):
        answered = beside.answered(rows)
        if answered:
            _print(reporter, f"AGAINST {beside.name} - {place}", beside_lines(answered, beside))
    notes = results.said("memory_note", kind, where)
    _write(reporter, ("", *(f"  {name}: {note}" for name, note in notes.items())) if notes else ())
    _write(reporter, defaulted_lines(results.said("defaulted_share_pct", kind, where)))
    _write(reporter, decided_lines(results.said("decided_by", kind, where)))


def _print(reporter: pytest.TerminalReporter, title: str, lines: Iterable[str]) -> None:
    reporter.write_sep("=", title)
    _write(reporter, lines)


def _write(reporter: pytest.TerminalReporter, lines: Iterable[str]) -> None:
    for line in lines:
        reporter.write_line(line)


def _page(session: Session, rows: Sequence[Comparison], others: Sequence[Beside]) -> Page:
    """What the page of a session shows, with what the session says of itself."""
    configuration = session.configuration
    more = len({(row.hardware, row.configuration) for row in rows}) - 1
    about = (line.partition(": ")[::2] if ": " in line else ("note", line) for line in header_lines(session))
    provenance = configuration.record.provenance
    return Page(
        title=", ".join(configuration.where) + configuration.transferred + (f", and {more} more" if more else ""),
        measured="Measured in this session." if session.measurements() else configuration.measured_from(),
        summary=(*_figures(rows, configuration), *_contests(others, rows)),
        rows=_page_rows(session, rows, several=more > 0),
        provenance=(*about, *((f"record, {key}", text) for key, text in provenance.items())),
        others=others,
    )


def _page_rows(session: Session, rows: Sequence[Comparison], several: bool) -> List[Row]:
    measurements = session.measurements()
    held_out = session.configuration.repository.held_out_pct(session.configuration.folder)
    return [
        Row(
            row,
            runs_ms=measurements[row.model].runs_ms if row.model in measurements else _recorded_ms(session, row),
            measurement=measurements.get(row.model),
            place=f", {row.hardware} {row.configuration}" if several else "",
            **held_out.get(row.model, {}),
        )
        for row in rows
    ]


def _recorded_ms(session: Session, row: Comparison) -> Tuple[float, ...]:
    records = session.configuration_at((row.hardware, row.configuration)).records
    found = (records[kind].runs_ms.get(row.model) for kind in records if kind is not PATTERN_KIND)
    return next((runs_ms for runs_ms in found if runs_ms), ())


def _figures(rows: Sequence[Comparison], configuration: Configuration) -> Iterator[Tuple[str, str]]:
    summary = summarise(rows)
    yield "Models", str(summary.total)
    if summary.mean_abs_error_pct is not None:
        yield "Mean |error|", percent(summary.mean_abs_error_pct)
        yield "Largest |error|", percent(summary.max_abs_error_pct)
    yield from ((rating, str(count)) for rating, count in summary.per_rating.items())
    for kind, mean_pct in configuration.held_out_means_pct.items():
        yield f"{kind.replace('_', ' ').capitalize()}, mean |error|", percent(mean_pct)


def _contests(others: Sequence[Beside], rows: Sequence[Comparison]) -> Iterator[Tuple[str, str]]:
    for beside in others:
        contest = beside.contest(rows)
        if contest is not None:
            yield f"{beside.name}, mean |error|", percent(contest.theirs.mean_abs_error_pct)
            yield f"{beside.name}, nearer", f"{contest.nearer.get(THEIRS, 0)} of {contest.theirs.total}"
