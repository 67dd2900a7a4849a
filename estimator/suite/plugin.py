"""The hooks and fixtures by which pytest runs the suite."""

from __future__ import annotations

import sys
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, Dict, Iterator, List, Optional, Sequence, Union

import pytest

from ..compare import Comparison
from ..errors import GoldenLatencyError, UsageError
from ..files import write_atomically
from ..records.kinds import PATTERN_KIND
from ..report import FORMATS, bar_lines, pattern_lines, summarise, summary_lines, terminal_table
from ..subjects.patterns import PATTERNS, Pattern
from ..subjects.zoo import ZooModel
from .checks import Golden, ValidationReport, measured_from, relative
from .goldens import GoldenExtension
from .live import Live
from .live_options import LiveOptions, add_live_options, live_options
from .live_report import LiveResult
from .options import Settings, add_options, every_configuration, load_settings, settings_of
from .results import Result, ResultCollector, as_properties, validate

if TYPE_CHECKING:
    from syrupy.assertion import SnapshotAssertion

    from ..subjects.zoo import Subject
    from .calibrate import Calibration
    from .configurations import ConfigurationGoldens

_LIVE = pytest.StashKey[Live]()
_DEVICE = pytest.StashKey[LiveOptions]()
_SETTINGS = pytest.StashKey[Settings]()
_PATTERN_SETTINGS = pytest.StashKey[Settings]()
_COLLECTOR = pytest.StashKey[ResultCollector]()
_PATTERN_COLLECTOR = pytest.StashKey[ResultCollector]()
_WHOLE_ZOO = "whole_zoo"
_CALIBRATES = "calibrates"
_AGAINST_BASELINE = "against_baseline"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds the options of the suite."""
    add_options(parser)
    add_live_options(parser)


def pytest_configure(config: pytest.Config) -> None:
    """Checks every option and record before anything runs; what is bad ends the run in one line, exit code 4."""
    config.addinivalue_line("markers", f"{_WHOLE_ZOO}: judges all models at once; left out when options select some")
    config.addinivalue_line("markers", f"{_CALIBRATES}: writes a profile; runs alone, and only with --calibrate")
    config.addinivalue_line(
        "markers", f"{_AGAINST_BASELINE}: judges all models of a live run together; left out where few have a baseline"
    )
    if config.getoption("help"):
        return
    try:
        config.stash[_DEVICE] = live_options(config)
        settings = load_settings(config)
        config.stash[_PATTERN_SETTINGS] = settings_of(config, settings.configuration, PATTERN_KIND)
    except UsageError as error:
        raise pytest.UsageError(" ".join(str(error).split())) from None
    config.stash[_SETTINGS] = settings
    if config.stash[_DEVICE].choice.live:
        config.stash[_LIVE] = Live(config, settings, config.stash[_DEVICE])
    GoldenExtension.folder = settings.folder
    if not hasattr(config, "workerinput"):
        from ..subjects.zoo import MODELS

        for key, subjects, parameter in ((_COLLECTOR, MODELS, "model"), (_PATTERN_COLLECTOR, PATTERNS, "pattern")):
            config.stash[key] = ResultCollector(subjects, parameter)
            config.pluginmanager.register(config.stash[key])


def pytest_report_header(config: pytest.Config) -> List[str]:
    """Says what is estimated, what it is held against, and with which software."""
    settings = config.stash[_SETTINGS]
    configuration = settings.configuration
    record = relative(settings.measurements.path, config.rootpath)
    choice = config.stash[_DEVICE].choice
    live = config.stash[_LIVE].header() if choice.live else ()
    software = ", ".join(f"{name} {_version(name)}" for name in ("torch", "torchvision"))
    return [
        f"hardware: {configuration.hardware}, mode {configuration.thermal_profile}, "
        f"precision {configuration.precision}, batch {configuration.batch_size}{settings.transferred}",
        f"measurements: {record}: {measured_from(settings)}"
        if settings.measurements.runs_ms
        else measured_from(settings),
        f"device: {choice.device} ({choice.why})",
        *live,
        f"software: {software}, Python {sys.version.split()[0]}",
    ]


def _version(distribution: str) -> str:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return "not installed"


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> Optional[bool]:
    """Leaves the module of the other kind of run out: one configuration, or every one that has goldens."""
    other = "test_models.py" if config.getoption("every_configuration") else "test_configurations.py"
    return True if collection_path == config.rootpath / "test_models" / other else None


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Gives a test with a `configuration` each one that has goldens."""
    if "configuration" in metafunc.fixturenames:
        configurations = every_configuration(metafunc.config)
        metafunc.parametrize("configuration", configurations, ids=[f"{c.hardware}/{c.label}" for c in configurations])


@pytest.fixture
def configuration_goldens(request: pytest.FixtureRequest) -> ConfigurationGoldens:
    """Returns the comparison of any configuration with its goldens."""
    from .configurations import ConfigurationGoldens

    return ConfigurationGoldens(request.config)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: List[pytest.Item]) -> None:
    """Deselects what the options leave out; names each test's model or pattern, so that every report carries it.

    Patterns run where some are recorded, unless the options select models; live where no model is to be measured.
    """
    live = _LIVE in config.stash
    patterns = not (live and any(isinstance(_subject_of(item), ZooModel) for item in items))
    deselected = [item for item in items if not _is_selected(item, config, patterns)]
    if deselected:
        config.hook.pytest_deselected(items=deselected)
        items[:] = [item for item in items if item not in deselected]
    for item in items:
        subject = _subject_of(item)
        if subject is not None:
            item.user_properties.append(("pattern" if isinstance(subject, Pattern) else "model", subject.name))


def _is_selected(item: pytest.Item, config: pytest.Config, patterns: bool) -> bool:
    settings, subject = config.stash[_SETTINGS], _subject_of(item)
    live, calibrates = _LIVE in config.stash, item.get_closest_marker(_CALIBRATES) is not None
    if calibrates or config.stash[_DEVICE].calibrate:
        return calibrates and bool(config.stash[_DEVICE].calibrate)
    if item.get_closest_marker(_AGAINST_BASELINE) is not None:
        return live and config.stash[_LIVE].has_baseline
    if isinstance(subject, Pattern):
        recorded = bool(config.stash[_PATTERN_SETTINGS].measurements.runs_ms)
        return patterns and settings.whole_zoo and (live or recorded)
    if subject is not None:
        return subject in settings.models
    return (settings.whole_zoo and not live) or item.get_closest_marker(_WHOLE_ZOO) is None


def _subject_of(item: pytest.Item) -> Optional[Subject]:
    estimated = "validated" in getattr(item, "fixturenames", ())
    params = getattr(getattr(item, "callspec", None), "params", {}) if estimated else {}
    subject = params.get("model") or params.get("pattern")
    return subject if isinstance(subject, (ZooModel, Pattern)) else None


def _settings_of(item: pytest.Item) -> Settings:
    return item.config.stash[_PATTERN_SETTINGS if isinstance(_subject_of(item), Pattern) else _SETTINGS]


@pytest.fixture
def validated(request: pytest.FixtureRequest) -> Callable[[Subject], Union[Result, LiveResult]]:
    """Returns the function that estimates a model (or pattern) and compares the estimate with its measurement."""
    live, subject = request.config.stash.get(_LIVE, None), _subject_of(request.node)
    if live is not None and subject is not None:
        return live.validated(request, subject)

    def validate_model(model: Subject) -> Result:
        result = _validate(model, _settings_of(request.node))
        request.node.user_properties.extend(as_properties(result.comparison))
        return result

    return validate_model


@pytest.fixture
def validated_zoo(request: pytest.FixtureRequest) -> Sequence[Result]:
    """Returns the results of all models, in the order of the report."""
    from ..subjects.zoo import MODELS

    return [_validate(model, request.config.stash[_SETTINGS]) for model in MODELS]


def _validate(model: Subject, settings: Settings) -> Result:
    __tracebackhide__ = True
    try:
        return validate(model, settings.configuration, settings.measurements.median_ms(model.name))
    except GoldenLatencyError as error:
        pytest.fail(f"{model.name}: no estimate: {error}", pytrace=False)


@pytest.fixture
def golden(request: pytest.FixtureRequest, snapshot: SnapshotAssertion) -> Union[Golden, Live]:
    """Returns the comparison with the goldens of the run's configuration; in a live run, with the baseline too."""
    live = request.config.stash.get(_LIVE, None)
    return live if live is not None else Golden(_settings_of(request.node), snapshot, request.config.rootpath)


@pytest.fixture
def validation_report(request: pytest.FixtureRequest) -> ValidationReport:
    """Returns the comparison with the configuration's validation.md."""
    return ValidationReport(request.config.stash[_SETTINGS], request.config.rootpath)


@pytest.fixture
def calibration(request: pytest.FixtureRequest) -> Calibration:
    """Returns the calibration of the run's device."""
    return request.config.stash[_LIVE].calibration()


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> None:
    """Starts the processes that measure, where there is something to measure."""
    live = session.config.stash.get(_LIVE, None)
    subjects = [subject for subject in map(_subject_of, session.items) if subject is not None]
    calibrates = any(item.get_closest_marker(_CALIBRATES) for item in session.items)
    if live is not None and not session.config.option.collectonly and (subjects or calibrates):
        live.start(subjects)


@pytest.hookimpl(optionalhook=True)
def pytest_benchmark_update_machine_info(config: pytest.Config, machine_info: Dict[str, Any]) -> None:
    """Puts the device into what pytest-benchmark says about the machine."""
    if _LIVE in config.stash:
        machine_info["device"] = config.stash[_LIVE].device_info()


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Writes the files of `--output` and the baseline of `--record`, unless the run was cut short."""
    live = session.config.stash.get(_LIVE, None)
    ended = exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED) and not session.shouldfail
    if live is not None and not live.finish(ended and not session.shouldstop):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
    collector = session.config.stash.get(_COLLECTOR, None)
    if (
        collector is None
        or not collector.rows()
        or exitstatus not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED)
    ):
        return
    for path in session.config.stash[_SETTINGS].outputs:
        write_atomically(path, FORMATS[path.suffix](collector.rows()))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Prints the table, the summary, and over the whole zoo the bars."""
    rows, settings = config.stash[_COLLECTOR].rows(), config.stash[_SETTINGS]
    patterns = config.stash[_PATTERN_COLLECTOR].rows()
    if patterns:
        terminalreporter.write_sep("=", f"PATTERNS - {settings.configuration.hardware}{settings.transferred}")
        for line in (*terminal_table(patterns), *pattern_lines(patterns)):
            terminalreporter.write_line(line)
    live = list(config.stash[_LIVE].summary()) if _LIVE in config.stash else []
    if not rows:
        for line in live:
            terminalreporter.write_line(line)
        return
    hardware, mode = settings.configuration.hardware, settings.configuration.thermal_profile
    title = f"GOLDEN REFERENCE VALIDATION - {hardware} ({mode}){settings.transferred}"
    terminalreporter.write_sep("=", title)
    lines = list(_report_lines(rows, config.stash[_COLLECTOR].failed_or_skipped(), settings))
    if live:
        lines += ["", *live]
    for line in lines:
        terminalreporter.write_line(line)


def _report_lines(rows: Sequence[Comparison], failed_or_skipped: int, settings: Settings) -> Iterator[str]:
    from ..subjects.zoo import MODELS

    summary = summarise(rows, failed_or_skipped)
    yield from (*terminal_table(rows), "", *summary_lines(summary))
    if len(rows) == len(MODELS) and summary.mean_abs_error_pct is not None:
        yield from ("", *bar_lines(summary, settings.held_out_means_pct, settings.bars))
    if settings.compared_modes:
        from .configurations import mode_lines

        yield from ("", *mode_lines(settings.models, settings.configuration, settings.compared_modes))
    yield from (f"  Table written to {path}" for path in settings.outputs if path.exists())
