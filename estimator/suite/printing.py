"""What a session prints and writes: the header, the tables with what stands below them, and the files asked for."""

from __future__ import annotations

import sys
from importlib import metadata
from typing import Iterator, List, Optional, Sequence

import pytest

from ..compare import Comparison
from ..files import write_atomically
from ..measure.device.choice import Choice
from ..records.kinds import KINDS, MODEL_KIND, PATTERN_KIND
from .against import others_of, print_others, register_collector, table_text
from .collector import ResultCollector
from .failures import BeforeShortSummary, Failures
from .goldens import relative
from .page import write_page
from .session import Session
from .tables import defaulted_lines, mode_lines, model_lines, pattern_table

_FAILURES = "golden-latency-failures"
_WRITTEN = pytest.StashKey[List[str]]()
_NOT_WRITTEN = "NOT WRITTEN to"


def register_collectors(config: pytest.Config, session: Session) -> None:
    """Registers what gathers rows and failures, in the process that prints them."""
    if not hasattr(config, "workerinput"):
        failures = Failures(session, config)
        config.pluginmanager.register(failures, _FAILURES)
        config.pluginmanager.register(BeforeShortSummary(failures))
        for kind in KINDS:
            config.pluginmanager.register(ResultCollector(kind.parameter), _collector_name(kind.parameter))
        configurations = [session.configuration_of(target) for target in session.options.targets]
        register_collector(config, session.options.against, configurations)


def _collector_name(parameter: str) -> str:
    return f"golden-latency-{parameter}s"


def _collector(config: pytest.Config, parameter: str) -> Optional[ResultCollector]:
    return config.pluginmanager.get_plugin(_collector_name(parameter))


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


def finish(session: Session, choice: Choice, run: pytest.Session, exitstatus: int) -> None:
    """Writes the record of `--record` and the files of `--output` and `--report`, unless the run was cut short."""
    ran = exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED)
    if not session.finish(ran and not run.shouldfail and not run.shouldstop):
        run.exitstatus = pytest.ExitCode.TESTS_FAILED
    collector = _collector(run.config, MODEL_KIND.parameter)
    if collector is not None and collector.rows() and ran:
        run.config.stash[_WRITTEN] = written = list(
            _written(session, run.config, collector.rows(), header_lines(session, choice))
        )
        if any(_NOT_WRITTEN in line for line in written):
            run.exitstatus = pytest.ExitCode.TESTS_FAILED


def _written(
    session: Session, config: pytest.Config, rows: Sequence[Comparison], header: Sequence[str]
) -> Iterator[str]:
    """Writes the files that were asked for; yields a line for each, also where it could not be written after all."""
    pages = [path for path in (session.options.report,) if path is not None]
    for what, path in (*(("Table", path) for path in session.options.outputs), *(("Page", path) for path in pages)):
        try:
            if what == "Table":
                write_atomically(path, table_text(path.suffix, rows, others_of(config)))
            else:
                write_page(session, rows, header)
            yield f"  {what} written to {path}"
        except OSError as error:
            yield f"  {what} {_NOT_WRITTEN} {path}: {error.strerror}"


def print_summary(session: Session, terminalreporter: pytest.TerminalReporter) -> None:
    """Prints the tables, and below them what the session has to say."""
    for line in _summary(session, terminalreporter):
        terminalreporter.write_line(line)


def _summary(session: Session, terminalreporter: pytest.TerminalReporter) -> Iterator[str]:
    config, in_short = terminalreporter.config, _in_short(terminalreporter.config)
    patterns, models = (_collector(config, kind.parameter) for kind in (PATTERN_KIND, MODEL_KIND))
    if patterns is None or models is None:
        return
    for where in patterns.wheres():
        configuration = session.configuration_at(where)
        title = f"PATTERNS - {where[0]}{configuration.transferred}"
        terminalreporter.write_sep("=", title)
        yield from pattern_table(patterns.rows(where), patterns.failed(where), configuration.target, in_short)
        yield from print_others(terminalreporter, patterns.rows(where), title)
        yield from defaulted_lines(patterns.defaulted_share_pct(where))
    for where in models.wheres():
        configuration = session.configuration_at(where)
        title = f"{where[0]} ({configuration.target.mode.name}){configuration.transferred}"
        terminalreporter.write_sep("=", f"GOLDEN REFERENCE VALIDATION - {title}")
        yield from model_lines(models.rows(where), models.failed(where), configuration, in_short)
        yield from print_others(terminalreporter, models.rows(where), title)
        yield from defaulted_lines(models.defaulted_share_pct(where))
    if models.modes_ms():
        yield from ("", *mode_lines(models.modes_ms(), session.options.target))
    yield from session.summary()
    yield from config.stash.get(_WRITTEN, [])


def _in_short(config: pytest.Config) -> bool:
    failures = config.pluginmanager.get_plugin(_FAILURES)
    return failures is not None and bool(failures.in_short)
