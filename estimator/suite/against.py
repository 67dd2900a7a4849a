"""Other estimators in a session: asked in each subject's test, gathered from the reports, shown below the tables."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Dict, Iterator, List, Sequence, Tuple

import pytest

from ..against.comparison import Answer, Beside
from ..against.estimators import OtherEstimator, find_estimators
from ..against.known import KNOWN
from ..against.rendering import FORMATS, beside_lines, held_out_notes
from ..compare import Comparison, key_of
from ..errors import UsageError
from ..importing import FORM
from ..report import FORMATS as WITHOUT_OTHERS
from ..subjects.tested import CATCHER

if TYPE_CHECKING:
    from ..subjects.named import Named
    from ..target import Target
    from .configuration import Configuration

AGAINST = "against"
"""The user property with what other estimators say of a test's subject, as JSON."""
_COLLECTOR = "golden-latency-against"
_NOT_WITH = ("every_configuration", "calibrate")


def add_against_option(group: pytest.OptionGroup) -> None:
    """Declares the option that names other estimators."""
    group.addoption(
        "--against",
        metavar="NAME",
        action="append",
        default=[],
        help=f"another estimator beside this one: {', '.join(KNOWN)} or {FORM}; may be given more than once",
    )


def read_against(config: pytest.Config) -> Tuple[OtherEstimator, ...]:
    """Returns the estimators asked for, imported; UsageError for a name that is none, or that nobody would ask."""
    names = config.getoption("against")
    for option in _NOT_WITH:
        if names and config.getoption(option):
            raise UsageError(
                f"--against compares the models of one configuration: leave --{option.replace('_', '-')} out"
            )
    only_catches = config.pluginmanager.has_plugin(CATCHER)  # estimates nothing, in a process that measures
    return () if only_catches else find_estimators(names, config.rootpath)


def ask_others(
    request: pytest.FixtureRequest, others: Sequence[OtherEstimator], subject: Named, target: Target
) -> None:
    """Attaches what the others say of a subject to the test's report, as plain text, which survives pytest-xdist."""
    if others:
        key = key_of(subject.name, (target.hardware, target.label))
        answers = {other.name: asdict(other.ask(subject, target)) for other in others}
        request.node.user_properties.append((AGAINST, json.dumps({"key": key, "answers": answers})))


class AnswerCollector:
    """Gathers the answers from test reports, in the process that prints them."""

    def __init__(self, names: Sequence[str], notes: Sequence[str]) -> None:
        self._answers: Dict[str, Dict[str, Answer]] = {name: {} for name in names}
        self._notes = tuple(notes)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keeps the answers that a test has attached to its report."""
        for text in (value for key, value in report.user_properties if key == AGAINST):
            found = json.loads(str(text))
            for name, answer in found["answers"].items():
                self._answers[name][found["key"]] = Answer(**answer)

    def others(self) -> List[Beside]:
        """Returns each estimator with its answers, in the order of the command line."""
        return [Beside(name, answers, self._notes) for name, answers in self._answers.items()]


def register_collector(
    config: pytest.Config, others: Sequence[OtherEstimator], configurations: Sequence[Configuration]
) -> None:
    """Registers what gathers the answers, where anybody was asked."""
    if others:
        notes = [note for found in configurations for note in held_out_notes(found.held_out_means_pct)]
        config.pluginmanager.register(AnswerCollector([other.name for other in others], notes), _COLLECTOR)


def others_of(config: pytest.Config) -> List[Beside]:
    """Returns what others said in this session; empty where nobody was asked, and in processes that print nothing."""
    collector = config.pluginmanager.get_plugin(_COLLECTOR)
    return collector.others() if isinstance(collector, AnswerCollector) else []


def print_others(terminalreporter: pytest.TerminalReporter, rows: Sequence[Comparison], title: str) -> Iterator[str]:
    """Yields a table for each other estimator that was asked about any of the rows; writes their titles."""
    for beside in others_of(terminalreporter.config):
        answered = beside.answered(rows)
        if answered:
            terminalreporter.write_sep("=", f"AGAINST {beside.name} - {title}")
            yield from beside_lines(answered, beside)


def table_text(suffix: str, rows: Sequence[Comparison], others: Sequence[Beside]) -> str:
    """Returns the table as a file with this suffix has it, with what others say where anybody was asked."""
    return FORMATS[suffix](rows, others) if others else WITHOUT_OTHERS[suffix](rows)
