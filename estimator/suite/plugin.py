"""The hooks and fixtures by which pytest runs the suite; what a session does, its `Session` says."""

from __future__ import annotations

import sys
from importlib import metadata
from typing import TYPE_CHECKING, Any, Dict, Iterator, List, Optional, Type

import pytest

from ..errors import UsageError
from ..files import write_atomically
from ..measure.plan import Plan
from ..records.kinds import KINDS, MODEL_KIND, PATTERN_KIND
from ..report import FORMATS
from ..subjects.patterns import PATTERNS, Pattern
from ..subjects.zoo import MODELS, ZooModel
from .calibrate import Calibrate, CalibrateHost
from .collector import ResultCollector
from .configuration import Configuration, load_configuration
from .failures import BeforeShortSummary, Failures
from .goldens import relative
from .live import Live
from .live_options import add_live_options, read_plan
from .measuring import Measuring
from .options import Options, add_options, read_options
from .page import write_page
from .replay import EveryConfiguration, Replay
from .session import EVERY, MARKERS, Latency, Session, Test
from .tables import model_lines, pattern_table

if TYPE_CHECKING:
    from ..subjects.all import Subject

_SESSION = pytest.StashKey[Session]()
_PLAN = pytest.StashKey[Plan]()
_FAILURES = "golden-latency-failures"
_NOT_RELATED = r"ignore:\s*Can not relate snapshot location:UserWarning"  # goldens stand below their board


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds the options of the suite."""
    add_options(parser)
    add_live_options(parser)


def pytest_configure(config: pytest.Config) -> None:
    """Checks every option and record before anything runs; what is bad ends the session in one line, exit code 4."""
    for marker, meaning in MARKERS.items():
        config.addinivalue_line("markers", f"{marker}: {meaning}")
    config.addinivalue_line("filterwarnings", _NOT_RELATED)
    if not config.getoption("help"):
        try:
            config.stash[_PLAN] = read_plan(config)
            config.stash[_SESSION] = _session(config, config.stash[_PLAN])
        except UsageError as error:
            raise pytest.UsageError(" ".join(str(error).split())) from None
        _register_collectors(config)


def _session(config: pytest.Config, plan: Plan) -> Session:
    options = read_options(config)
    if plan.choice.live:
        options = options.on_this_machine()
    configuration = load_configuration(config.rootpath, options.target)
    if plan.choice.live:
        return _measuring(plan)(config, options, configuration, plan)
    return (EveryConfiguration if options.every_configuration else Replay)(config, options, configuration)


def _measuring(plan: Plan) -> Type[Measuring]:
    if not plan.calibration_share:
        return Live
    return CalibrateHost if plan.host_alone else Calibrate


def _register_collectors(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        failures = Failures(config.stash[_SESSION], config)
        config.pluginmanager.register(failures, _FAILURES)
        config.pluginmanager.register(BeforeShortSummary(failures))
        for kind, subjects in ((MODEL_KIND, MODELS), (PATTERN_KIND, PATTERNS)):
            collector = ResultCollector(subjects, kind.parameter)
            config.pluginmanager.register(collector, _collector_name(kind.parameter))


def _collector_name(parameter: str) -> str:
    return f"golden-latency-{parameter}s"


def _collector(config: pytest.Config, parameter: str) -> Optional[ResultCollector]:
    return config.pluginmanager.get_plugin(_collector_name(parameter))


def pytest_report_header(config: pytest.Config) -> List[str]:
    """Says what is estimated, what it is held against, and with which software."""
    session = config.stash[_SESSION]
    choice = config.stash[_PLAN].choice
    software = ", ".join(f"{name} {_version(name)}" for name in ("torch", "torchvision"))
    return [
        *_target_lines(session.configuration, session.options),
        f"device: {choice.device} ({choice.why})",
        *session.header(),
        f"software: {software}, Python {sys.version.split()[0]}",
    ]


def _target_lines(configuration: Configuration, options: Options) -> Iterator[str]:
    target = options.target
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


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Gives a test of every configuration each one that has goldens."""
    if metafunc.definition.get_closest_marker(EVERY):
        found = metafunc.config.stash[_SESSION].configurations()
        metafunc.parametrize("configuration", found, ids=[c.name.replace(" ", "/") for c in found])


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: List[pytest.Item]) -> None:
    """Deselects what the session leaves out; names each test's model or pattern, so that every report carries it."""
    tests = [_test(item) for item in items]
    kept = config.stash[_SESSION].select(tests)
    left_out = [test.item for test in tests if test not in kept]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [test.item for test in kept]
    for test in kept:
        if test.subject is not None and test.kind is not None:
            test.item.user_properties.append((test.kind.parameter, test.subject.name))


def _test(item: pytest.Item) -> Test:
    role = next((name for name in MARKERS if item.get_closest_marker(name)), None)
    return Test(item, _subject(item), role)


def _subject(item: pytest.Item) -> Optional[Subject]:
    has_latency = "latency" in getattr(item, "fixturenames", ())
    params = getattr(getattr(item, "callspec", None), "params", {}) if has_latency else {}
    subject = next((params[kind.parameter] for kind in KINDS if kind.parameter in params), None)
    return subject if isinstance(subject, (ZooModel, Pattern)) else None


@pytest.fixture
def latency(request: pytest.FixtureRequest) -> Latency:
    """Returns what a test asserts with: `latency.check(model)`. On a device, the test's subject is measured now."""
    session = request.config.stash[_SESSION]
    subject = _subject(request.node)
    if subject is not None:
        session.prepare(request, subject)
    return Latency(session, request)


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> None:
    """Starts what measures, where there is something to measure."""
    if not session.config.option.collectonly:
        tests = [_test(item) for item in session.items]
        session.config.stash[_SESSION].start([test for test in tests if test.is_ours])


@pytest.hookimpl(optionalhook=True)
def pytest_benchmark_update_machine_info(config: pytest.Config, machine_info: Dict[str, Any]) -> None:
    """Puts the device into what pytest-benchmark says about the machine."""
    machine_info["device"] = config.stash[_SESSION].device_info()


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Writes the record of `--record` and the files of `--output`, unless the session was cut short."""
    ours = session.config.stash.get(_SESSION, None)
    ran = exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED)
    if ours is not None and not ours.finish(ran and not session.shouldfail and not session.shouldstop):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
    collector = _collector(session.config, MODEL_KIND.parameter)
    if ours is not None and collector is not None and collector.rows() and ran:
        for path in ours.options.outputs:
            write_atomically(path, FORMATS[path.suffix](collector.rows()))
        write_page(ours, collector.rows(), pytest_report_header(session.config))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Prints the tables, and below them what the session has to say."""
    for line in _summary(terminalreporter, config):
        terminalreporter.write_line(line)


def _summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> Iterator[str]:
    session = config.stash[_SESSION]
    configuration = session.configuration
    about = f"{configuration.target.hardware}{configuration.transferred}"
    patterns = _collector(config, PATTERN_KIND.parameter)
    if patterns is not None and patterns.rows():
        terminalreporter.write_sep("=", f"PATTERNS - {about}")
        yield from pattern_table(patterns.rows(), patterns.failed(), configuration.target, _in_short(config))
    models = _collector(config, MODEL_KIND.parameter)
    if models is not None and models.rows():
        mode = configuration.target.mode.name
        title = f"{configuration.target.hardware} ({mode}){configuration.transferred}"
        terminalreporter.write_sep("=", f"GOLDEN REFERENCE VALIDATION - {title}")
        yield from model_lines(models.rows(), models.failed(), configuration, _in_short(config))
    yield from session.summary()
    if models is not None and models.rows():
        yield from (f"  Table written to {path}" for path in session.options.outputs if path.exists())
        yield from (f"  Page written to {path}" for path in (session.options.report,) if path and path.exists())


def _in_short(config: pytest.Config) -> bool:
    failures = config.pluginmanager.get_plugin(_FAILURES)
    return failures is not None and bool(failures.in_short)
