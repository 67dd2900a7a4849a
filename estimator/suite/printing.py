"""What a session prints and writes: the header, the tables with what stands below them, and the files asked for."""

from __future__ import annotations

import sys
from importlib import metadata
from typing import Iterator, List, Optional, Sequence

import pytest

from ..compare import Comparison
from ..files import write_atomically
from ..measure.device.choice import Choice
from ..records.kinds import MODEL_KIND, PATTERN_KIND
from ..report import FORMATS
from ..subjects.patterns import PATTERNS
from ..subjects.zoo import MODELS
from .collector import ResultCollector
from .failures import BeforeShortSummary, Failures
from .goldens import relative
from .page import write_page
from .session import Session
from .tables import model_lines, pattern_table

_FAILURES = "golden-latency-failures"
_WRITTEN = pytest.StashKey[List[str]]()
_NOT_WRITTEN = "NOT WRITTEN to"


def register_collectors(config: pytest.Config, session: Session) -> None:
    """Registers what gathers rows and failures, in the process that prints them."""
    if not hasattr(config, "workerinput"):
        failures = Failures(session, config)
        config.pluginmanager.register(failures, _FAILURES)
        config.pluginmanager.register(BeforeShortSummary(failures))
        for kind, subjects in ((MODEL_KIND, MODELS), (PATTERN_KIND, PATTERNS)):
            collector = ResultCollector(subjects, kind.parameter)
            config.pluginmanager.register(collector, _collector_name(kind.parameter))


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
        f"software: {software}, Python {sys.version.split()[0]}",
    ]


def _target_lines(session: Session) -> Iterator[str]:
    target, configuration = session.options.target, session.configuration
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
        run.config.stash[_WRITTEN] = written = list(_written(session, collector.rows(), header_lines(session, choice)))
        if any(_NOT_WRITTEN in line for line in written):
            run.exitstatus = pytest.ExitCode.TESTS_FAILED


def _written(session: Session, rows: Sequence[Comparison], header: Sequence[str]) -> Iterator[str]:
    """Writes the files that were asked for; yields a line for each, also where it could not be written after all."""
    pages = [path for path in (session.options.report,) if path is not None]
    for what, path in (*(("Table", path) for path in session.options.outputs), *(("Page", path) for path in pages)):
        try:
            if what == "Table":
                write_atomically(path, FORMATS[path.suffix](rows))
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
    config, configuration = terminalreporter.config, session.configuration
    hardware, mode = configuration.target.hardware, configuration.target.mode.name
    patterns, models = (_collector(config, kind.parameter) for kind in (PATTERN_KIND, MODEL_KIND))
    if patterns is not None and patterns.rows():
        terminalreporter.write_sep("=", f"PATTERNS - {hardware}{configuration.transferred}")
        yield from pattern_table(patterns.rows(), patterns.failed(), configuration.target, _in_short(config))
    if models is not None and models.rows():
        title = f"{hardware} ({mode}){configuration.transferred}"
        terminalreporter.write_sep("=", f"GOLDEN REFERENCE VALIDATION - {title}")
        yield from model_lines(models.rows(), models.failed(), configuration, _in_short(config))
    yield from session.summary()
    yield from config.stash.get(_WRITTEN, [])


def _in_short(config: pytest.Config) -> bool:
    failures = config.pluginmanager.get_plugin(_FAILURES)
    return failures is not None and bool(failures.in_short)
