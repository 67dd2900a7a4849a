"""The hooks and the fixture by which pytest runs the suite; what a session does, its `Session` says."""

from __future__ import annotations

from typing import Any, Dict, List

import pytest

from . import first  # noqa: F401

# isort: split
from ..measure.plan import Plan
from .choosing import add_ini_lines, chosen_session
from .latency import Latency
from .live_options import add_live_options
from .options import add_options
from .printing import finish, header_lines, print_summary, register_collectors
from .selecting import give_parameters, select, subject_of, tests_of
from .session import Session

_SESSION = pytest.StashKey[Session]()
_PLAN = pytest.StashKey[Plan]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds the options of the suite."""
    add_options(parser)
    add_live_options(parser)


def pytest_configure(config: pytest.Config) -> None:
    """Checks every option and record before anything runs; what is bad ends the session in one line, exit code 4."""
    add_ini_lines(config)
    if not config.getoption("help"):
        config.stash[_PLAN], config.stash[_SESSION] = chosen_session(config)
        register_collectors(config, config.stash[_SESSION])


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
        finish(stash[_SESSION], stash[_PLAN].choice, session, exitstatus)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Prints the tables, and below them what the session has to say."""
    print_summary(config.stash[_SESSION], terminalreporter)
