"""The hooks and the fixture by which pytest runs the suite; what a session does, its `Session` says."""

from __future__ import annotations

from typing import Any, Dict, List, Tuple

import pytest

from ..errors import UsageError
from ..needed import SESSION, refuse_missing

try:  # before all else of the suite: what is not installed ends pytest in one line, and no traceback
    refuse_missing("the suite", SESSION)
except UsageError as error:
    raise pytest.UsageError(str(error)) from None

# isort: split
from ..goldens.configuration import load_configuration
from ..goldens.inputs import check_goldens
from ..goldens.root import repository_of
from ..measure.protocol import Plan
from ..subjects.from_pytest import CATCHER
from .catch import PLAN, Catch
from .failures import BeforeShortSummary, Failures
from .latency import Latency
from .live import Live
from .live_options import add_live_options, read_plan
from .options import add_options, read_options
from .printing import finish, header_lines, print_summary
from .replay import EveryConfiguration, Replay
from .reports import Results
from .selection import MARKERS, give_parameters, select, subject_of, tests_of
from .session import Session

_SESSION = pytest.StashKey[Session]()
_PLAN = pytest.StashKey[Plan]()
_RESULTS = pytest.StashKey[Results]()
_FAILURES = pytest.StashKey[Failures]()
_NOT_RELATED = r"ignore:\s*Can not relate snapshot (location|name):UserWarning"  # goldens stand below their board


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
        config.stash[_PLAN], config.stash[_SESSION] = _chosen_session(config)
        if not hasattr(config, "workerinput"):
            _gather_reports(config)


def _gather_reports(config: pytest.Config) -> None:
    """In the process that prints them."""
    config.stash[_RESULTS], config.stash[_FAILURES] = Results(), Failures(config.stash[_SESSION], config)
    for plugin in (config.stash[_RESULTS], config.stash[_FAILURES], BeforeShortSummary(config.stash[_FAILURES])):
        config.pluginmanager.register(plugin)


def pytest_report_header(config: pytest.Config) -> List[str]:
    """Says what is estimated, what it is held against, and with which software."""
    return header_lines(config.stash[_SESSION], config.stash[_PLAN].choice)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Gives a test of every configuration each one that has goldens, and where there are several boards a test each."""
    give_parameters(metafunc.config.stash[_SESSION], metafunc)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: List[pytest.Item]) -> None:
    """Deselects what the session leaves out."""
    select(config.stash[_SESSION], config, items)


@pytest.fixture
def latency(request: pytest.FixtureRequest) -> Latency:
    """Returns what a test asserts with: `latency.check(model, example_inputs, budget_ms=25)`.

    On a device, a subject that is known before its test runs is measured now.
    """
    session = request.config.stash[_SESSION]
    subject = subject_of(request.node)
    if subject is not None:
        session.prepare(request, subject)
    return Latency(session, request, getattr(request, "param", None))


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> None:
    """Starts what measures, where there is something to measure."""
    if not session.config.option.collectonly:
        tests = tests_of(session.items)
        session.config.stash[_SESSION].start([test for test in tests if test.is_ours])


@pytest.hookimpl(optionalhook=True)
def pytest_benchmark_update_machine_info(config: pytest.Config, machine_info: Dict[str, Any]) -> None:
    """Puts the device into what pytest-benchmark says about the machine."""
    machine_info["device"] = config.stash[_SESSION].device_info()


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Writes the record of `--record` and the files of `--output`, unless the session was cut short."""
    stash = session.config.stash
    if _SESSION in stash:
        finish(stash[_SESSION], stash[_PLAN].choice, stash.get(_RESULTS, Results()), session, exitstatus)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Prints the tables, and below them what the session has to say."""
    stash = config.stash
    print_summary(stash[_SESSION], stash[_RESULTS], bool(stash[_FAILURES].in_short), terminalreporter)


def _chosen_session(config: pytest.Config) -> Tuple[Plan, Session]:
    """Returns what is measured, and the session; pytest.UsageError in one line for a bad option or a damaged file."""
    try:
        _refuse_without_syrupy(config)
        if config.pluginmanager.has_plugin(CATCHER):
            repository = repository_of(config)
            options = read_options(config, repository)
            return PLAN, Catch(config, options, load_configuration(repository, options.target))
        plan = read_plan(config)
        return plan, _session(config, plan)
    except UsageError as error:
        raise pytest.UsageError(" ".join(str(error).split())) from None


def _refuse_without_syrupy(config: pytest.Config) -> None:
    if not config.pluginmanager.hasplugin("syrupy"):
        raise UsageError("the suite needs syrupy's plugin: leave -p no:syrupy out, and load it where plugins are not")


def _session(config: pytest.Config, plan: Plan) -> Session:
    repository = repository_of(config)
    options = read_options(config, repository)
    if plan.choice.live:
        options = options.on_this_machine()
    check_goldens(repository)
    configuration = load_configuration(repository, options.target)
    if plan.choice.live:
        return Live(config, options, configuration, plan)
    return (EveryConfiguration if options.every_configuration else Replay)(config, options, configuration)
