"""The hooks and the fixture by which pytest runs the suite; what a session does, its `Session` says."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, Dict, List, Mapping, Optional, Sequence

import pytest

from ..errors import UsageError, one_line
from ..needed import SESSION, refuse_missing

try:  # before all else of the suite: what is not installed ends pytest in one line, and no traceback
    refuse_missing("the suite", SESSION)
except UsageError as error:
    raise pytest.UsageError(str(error)) from None

# isort: split
from ..goldens.configuration import load_configuration
from ..goldens.inputs import check_goldens
from ..goldens.repository import INI_FILES, Repository
from ..goldens.whole_session import golden_session
from ..measure.device.choice import Choice
from ..measure.protocol import Plan
from ..missing_operators import declare_before_torchvision
from ..records.kinds import KINDS
from ..subjects.from_pytest import CATCHER
from ..subjects.patterns import Pattern
from ..subjects.zoo import ZooModel
from .accounting import Accounting, stated
from .latency import Latency
from .live import Live
from .live_options import add_live_options, read_plan
from .options import add_options, declare, read_options
from .printing import finish, header_lines, print_summary
from .replay import EveryConfiguration, Replay
from .reports import Failures, Results, Where, tell
from .session import EVERY, MARKERS, Asked, Session, Test

if TYPE_CHECKING:
    from ..subjects.registry import Subject

_WATCH = pytest.StashKey[Callable[[], None]]()
_SESSION = pytest.StashKey[Session]()
_RESULTS = pytest.StashKey[Results]()
_FAILURES = pytest.StashKey[Failures]()
_ACCOUNTING = pytest.StashKey[Accounting]()
_PACKAGE = __name__.split(".")[0]
_WITHOUT_SYRUPY = (
    "the suite needs syrupy's plugin: leave -p no:syrupy out, and load it where plugins are not; "
    "pytest-snapshot, whose option is called the same, goes with -p no:snapshot"
)
_NOT_RELATED = r"ignore:\s*Can not relate snapshot (location|name):UserWarning"  # goldens stand below their board


def pytest_addoption(parser: pytest.Parser, pluginmanager: pytest.PytestPluginManager) -> None:
    """Adds the options of the suite, under the names that they have in this repository."""
    config: Any = pluginmanager.get_plugin("pytestconfig")
    repository = repository_of(config)
    declare_before_torchvision()  # a test module may import it at its top

    def add(parser: pytest.Parser) -> None:
        add_options(parser, repository)
        add_live_options(parser, repository)

    config.stash[_WATCH] = declare(parser, pluginmanager, add)


def pytest_configure(config: pytest.Config) -> None:
    """Checks every option and record before anything runs; what is bad ends the session in one line, exit code 4."""
    config.stash[_WATCH]()
    for marker, meaning in _markers(repository_of(config)).items():
        config.addinivalue_line("markers", f"{marker}: {meaning}")
    config.addinivalue_line("filterwarnings", _NOT_RELATED)
    if not config.getoption("help"):
        config.stash[_SESSION] = _chosen_session(config)
        config.stash[_ACCOUNTING] = Accounting(config.stash[_SESSION])
        config.pluginmanager.register(config.stash[_ACCOUNTING])
        if not hasattr(config, "workerinput"):
            _gather_reports(config)


def _markers(repository: Repository) -> Mapping[str, str]:
    """In another repository a marker of such a name is its own."""
    return MARKERS if repository.has_zoo else {}


def _gather_reports(config: pytest.Config) -> None:
    """In the process that prints them."""
    config.stash[_RESULTS], config.stash[_FAILURES] = Results(), Failures(config.stash[_SESSION].verdict, config)
    config.pluginmanager.register(config.stash[_RESULTS])
    config.pluginmanager.register(config.stash[_FAILURES])


def pytest_report_header(config: pytest.Config) -> List[str]:
    """Says what is estimated, what it is held against, and with which software."""
    return header_lines(config.stash[_SESSION])


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Gives a test of every configuration each one that has goldens, and where there are several boards a test each."""
    session = metafunc.config.stash[_SESSION]
    _give_boards(session, metafunc)
    if _role(session, metafunc.definition) == EVERY:
        found = session.configurations
        metafunc.parametrize("configuration", found, ids=[c.name.replace(" ", "/") for c in found])


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(session: pytest.Session, config: pytest.Config, items: List[pytest.Item]) -> None:
    """Deselects what the session leaves out; names each test's model or pattern, so that every report carries it.

    What the session is red for beside its tests becomes a test of its own.
    """
    ours = config.stash[_SESSION]
    tests = _tests_of(ours, items)
    more = [stated(session, name, lines) for name, lines in config.stash[_ACCOUNTING].collected(tests)]
    _select(ours, tests, items)
    items += more


def _select(session: Session, tests: Sequence[Test], items: List[pytest.Item]) -> None:
    kept = session.select(tests)
    left_out = [test.item for test in tests if test not in kept]
    if left_out:
        session.config.hook.pytest_deselected(items=left_out)
        items[:] = [test.item for test in kept]
    for test in kept:
        if test.subject is not None:
            tell(test.item, test.subject, _where(session, test.item))


@pytest.fixture
def latency(request: pytest.FixtureRequest) -> Latency:
    """Returns what a test asserts with: `latency.check(model, example_inputs, budget_ms=25)`.

    On a device, a subject that is known before its test runs is measured now.
    """
    session = request.config.stash[_SESSION]
    subject = _subject_of(request.node)
    if subject is not None:
        session.prepare(request, subject)
    return Latency(session, request, getattr(request, "param", None))


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> None:
    """Starts what measures, where there is something to measure."""
    if not session.config.option.collectonly:
        ours = session.config.stash[_SESSION]
        ours.start([test for test in _tests_of(ours, session.items) if test.is_ours])


@pytest.hookimpl(optionalhook=True)
def pytest_benchmark_update_machine_info(config: pytest.Config, machine_info: Dict[str, Any]) -> None:
    """Puts the device into what pytest-benchmark says about the machine."""
    machine_info["device"] = config.stash[_SESSION].device_info()


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Writes the record of `--record` and the files of `--output`, unless the session was cut short."""
    stash = session.config.stash
    if _SESSION not in stash:
        return
    accounting = stash[_ACCOUNTING]
    try:
        finish(stash[_SESSION], stash.get(_RESULTS, Results()), session, exitstatus)
        accounting.finish(session, exitstatus)
    except OSError as error:
        accounting.problems.append(f"could not be written: {one_line(error)}")
    if accounting.problems:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Prints the tables, and below them what the session has to say; pytest has printed its messages of failures."""
    stash = config.stash
    print_summary(stash[_SESSION], stash[_RESULTS], stash[_FAILURES].in_short, terminalreporter)
    for line in stash[_ACCOUNTING].problems:
        terminalreporter.write_line(f"FAILED {line}", red=True)
    stash[_FAILURES].hide(terminalreporter)


def _chosen_session(config: pytest.Config) -> Session:
    """Returns the session that the options ask for; pytest.UsageError in one line for a bad one or a damaged file."""
    try:
        if not config.pluginmanager.hasplugin("syrupy"):
            raise UsageError(_WITHOUT_SYRUPY)
        repository = repository_of(config)
        if config.pluginmanager.has_plugin(CATCHER):
            options, choice = read_options(config, repository), Choice("recorded", "nothing is measured")
            return Catch(config, options, load_configuration(repository, options.target), choice)
        return _session(config, read_plan(config, repository), repository)
    except UsageError as error:
        raise pytest.UsageError(one_line(error)) from None


def repository_of(config: pytest.Config) -> Repository:
    """Returns the repository whose conftest.py loads the suite, else that in pytest's own rootdir.

    It is the nearest folder at or above that conftest.py with a file in which pytest is configured. pytest's rootdir is
    another folder under `--rootdir` and `-c`, and goldens do not move with those.
    """
    found = (_conftest_folder(plugin) for plugin in config.pluginmanager.get_plugins())
    folder = next((folder for folder in found if folder is not None), None)
    if folder is None:
        return Repository.at(getattr(config, "rootpath", Path.cwd()))  # none yet of a plugin given to pytest.main
    above = (folder, *folder.parents)
    return Repository.at(next((each for each in above if any((each / name).is_file() for name in INI_FILES)), folder))


def _conftest_folder(plugin: Any) -> Optional[Path]:
    """The folder of a conftest.py that names a module of this package as its plugin; None for any other plugin."""
    path, names = getattr(plugin, "__file__", None), getattr(plugin, "pytest_plugins", ())
    loaded = [names] if isinstance(names, str) else list(names or ())
    is_ours = any(str(name).split(".")[0] == _PACKAGE for name in loaded)
    return Path(path).parent if is_ours and path and Path(path).name == "conftest.py" else None


def _session(config: pytest.Config, plan: Plan, repository: Repository) -> Session:
    options = read_options(config, repository)
    if plan.choice.live:
        options = options.on_this_machine()
    check_goldens(repository)
    golden_session(repository)
    configuration = load_configuration(repository, options.target)
    if plan.choice.live:
        return Live(config, options, configuration, plan)
    kind = EveryConfiguration if options.every_configuration else Replay
    return kind(config, options, configuration, plan.choice)


class Catch(Session):
    """Runs every test as far as it goes, and keeps what it asks about."""

    def select(self, tests: Sequence[Test]) -> List[Test]:
        """Returns the tests that are about a subject."""
        return [test for test in tests if test.is_own or test.subject is not None]

    def check(self, request: pytest.FixtureRequest, asked: Asked) -> None:
        """Keeps subject and target."""
        catcher: Any = self.config.pluginmanager.get_plugin(CATCHER)
        catcher.found[asked.subject.name] = (asked.subject, asked.configuration.target)


def _tests_of(session: Session, items: Sequence[pytest.Item]) -> List[Test]:
    """Returns each item with the subject that it is about, and the marker that says what else it is for."""
    return [Test(item, _subject_of(item), _role(session, item)) for item in items]


def _role(session: Session, item: pytest.Item) -> Optional[str]:
    markers = _markers(session.configuration.repository)
    return next((name for name in markers if item.get_closest_marker(name)), None)


def _subject_of(item: pytest.Item) -> Optional[Subject]:
    """Returns the model or pattern that a test with the fixture `latency` is given; None for any other test."""
    has_latency = "latency" in getattr(item, "fixturenames", ())
    params = getattr(getattr(item, "callspec", None), "params", {}) if has_latency else {}
    subject = next((params[kind.parameter] for kind in KINDS if kind.parameter in params), None)
    return subject if isinstance(subject, (ZooModel, Pattern)) else None


def _where(session: Session, item: pytest.Item) -> Where:
    """Board and configuration of the session, or where there are several boards of the item."""
    hardware = getattr(item, "callspec", None) and item.callspec.params.get("latency")  # type: ignore[attr-defined]
    target = next((target for target in session.options.targets if target.hardware == hardware), session.options.target)
    return target.hardware, target.label


def _give_boards(session: Session, metafunc: pytest.Metafunc) -> None:
    """A test that names boards itself, by its parameters, is left alone."""
    boards = [target.hardware for target in session.options.targets]
    has_role = _role(session, metafunc.definition) is not None
    if len(boards) > 1 and "latency" in metafunc.fixturenames and not has_role and not _names_boards(metafunc):
        metafunc.parametrize("latency", boards, indirect=True)


def _names_boards(metafunc: pytest.Metafunc) -> bool:
    arguments = (marker.args[0] for marker in metafunc.definition.iter_markers("parametrize") if marker.args)
    names = {name.strip() for found in arguments for name in (found.split(",") if isinstance(found, str) else found)}
    return bool(names & {"latency", "hardware"})
