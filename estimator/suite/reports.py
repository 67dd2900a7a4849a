"""What a test says of its subjects and why it failed, as properties of its report, which reach the printing process."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Callable, Dict, Generator, Iterator, List, NoReturn, Optional, Sequence, Tuple

import pytest

from ..compare import Comparison, key_of, without_estimate
from ..errors import GoldenLatencyError
from ..goldens.configuration import kind_of
from ..goldens.difference import Difference
from ..records.kinds import Kind
from ..report.answers import Answer
from ..subjects.registry import subject_names

if TYPE_CHECKING:
    from ..pipeline import Estimate
    from ..subjects.registry import Subject

Where = Tuple[str, str]
"""Board and configuration, "Jetson-Orin-AGX" and "50W-fp32-b1"."""
Verdict = Callable[[Sequence[Difference], Sequence[str]], Iterator[str]]
"""Says what changed, from the differences from goldens and the names of what was judged."""
UNFINISHED = "unfinished"
"""The outcome of a test whose process died in it."""
SUBJECT = "subject"
"""The user property with all that a test says of one subject on one target, as JSON."""
SUMMARY = "summary"
"""The user property with the one line of a failed test."""
CONFIGURATION = "whole_configuration"
"""The user property with the name of the whole configuration that a test judges."""
DIFFERENCE = "golden_difference"
"""The user property with what differs from a golden, as JSON."""
MOST_IN_FULL = 3
"""Up to so many failures have their message in full; of more, each has its line, and -v shows the messages."""


def tell(item: pytest.Item, subject: Subject, where: Where, **said: Any) -> None:
    """Adds plain values to what the test's report says of a subject on a target."""
    properties = item.user_properties
    about = {"kind": kind_of(subject).parameter, "name": subject.name, "family": subject.family, "where": list(where)}
    told = [json.loads(str(text)) if name == SUBJECT else {} for name, text in properties]
    place = next((place for place, each in enumerate(told) if about.items() <= each.items()), len(told))
    text = json.dumps({**about, **(told[place] if place < len(told) else {}), **said})
    properties[place : place + 1] = [(SUBJECT, text)]


def tell_row(item: pytest.Item, subject: Subject, row: Comparison, **said: Any) -> None:
    """Adds the subject's row of the table to the test's report."""
    tell(item, subject, (row.hardware, row.configuration), row=asdict(row), **said)


def noted(estimate: Estimate) -> Dict[str, Any]:
    """Returns what a session prints of an estimate below its table."""
    return {
        "defaulted_share_pct": dict(estimate.defaulted_share_pct),
        "decided_by": estimate.decided_by,
        "memory_note": estimate.memory_note,
    }


def properties_of(report: pytest.TestReport, name: str) -> Tuple[str, ...]:
    """Returns the values of the user properties of that name."""
    return tuple(str(value) for key, value in report.user_properties if key == name)


def subjects_of(report: pytest.TestReport) -> List[Dict[str, Any]]:
    """Returns what a report says of each of its subjects: at least kind, name, family, where."""
    return [json.loads(text) for text in properties_of(report, SUBJECT)]


@dataclass
class _Entry:
    """What the reports have said of one subject on one target so far."""

    said: Dict[str, Any]
    outcome: str = UNFINISHED

    @property
    def where(self) -> Where:
        hardware, configuration = self.said["where"]
        return hardware, configuration

    def row(self) -> Comparison:
        if "row" not in self.said:
            return without_estimate(self.said["name"], self.said["family"], self.outcome, self.where)
        return Comparison(**self.said["row"])

    def add(self, outcome: str, is_call: bool) -> None:
        """The worst outcome of a test's phases counts."""
        if self.outcome in (UNFINISHED, "passed") and (is_call or outcome != "passed"):
            self.outcome = outcome


@dataclass(eq=False)
class Results:
    """Gathers rows and outcomes from test reports, which pytest-xdist brings from every worker to one process."""

    entries: Dict[Tuple[str, str, Where], _Entry] = field(default_factory=dict)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keeps what a test has said in its report, and the worst outcome of its phases."""
        for said in subjects_of(report):
            found = _Entry(said)
            entry = self.entries.setdefault((said["kind"], said["name"], found.where), found)
            entry.said.update(said)
            entry.add(report.outcome, report.when == "call")

    def wheres(self, kind: Kind) -> List[Where]:
        """Returns boards and configurations of all rows of this kind."""
        return list(dict.fromkeys(e.where for e in self.entries.values() if e.said["kind"] == kind.parameter))

    def rows(self, kind: Kind, where: Optional[Where] = None) -> List[Comparison]:
        """Returns a row for each subject that was tested, those of the zoo first, in the order of the report."""
        return [entry.row() for entry in self._sorted(kind, where)]

    def failed(self, kind: Kind, where: Where) -> Tuple[str, ...]:
        """Returns the subjects that did not pass."""
        return tuple(e.said["name"] for e in self._sorted(kind, where) if e.outcome != "passed")

    def said(self, what: str, kind: Kind, where: Optional[Where] = None) -> Dict[str, Any]:
        """Returns by subject what its test has said under this name, where it said something."""
        return {e.said["name"]: e.said[what] for e in self._sorted(kind, where) if e.said.get(what)}

    def answers(self, estimator: str) -> Dict[str, Answer]:
        """Returns what another estimator has said, by the key of the subject's row."""
        told = ((entry, entry.said.get("against", {})) for entry in self.entries.values())
        return {key_of(e.said["name"], e.where): Answer(**said[estimator]) for e, said in told if estimator in said}

    def _sorted(self, kind: Kind, where: Optional[Where] = None) -> List[_Entry]:
        """Workers report in another order each time."""
        order = {name: place for place, name in enumerate(subject_names())}
        last = len(order)
        of_kind = [entry for entry in self.entries.values() if entry.said["kind"] == kind.parameter]
        found = [entry for entry in of_kind if where in (None, entry.where)]
        return sorted(found, key=lambda e: (order.get(e.said["name"], last), e.said["family"], e.said["name"], e.where))


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong: a line by itself, lines below it, and details that take -v."""

    summary: str
    lines: Tuple[str, ...] = ()
    details: Tuple[str, ...] = ()
    difference: Optional[Difference] = None


def fail_with(request: pytest.FixtureRequest, found: Sequence[Optional[Problem]]) -> None:
    """Fails the test with these problems, if there are any."""
    __tracebackhide__ = True
    problems = [problem for problem in found if problem is not None]
    if not problems:
        return
    properties = request.node.user_properties
    properties.append((SUMMARY, problems[0].summary))
    differences = (problem.difference for problem in problems if problem.difference is not None)
    properties.extend((DIFFERENCE, json.dumps(difference.data())) for difference in differences)
    pytest.fail("\n".join(_message(problems, request.config.option.verbose > 0)), pytrace=False)


def fail_in_one_line(text: str) -> NoReturn:
    """Fails the test with this line and nothing else, also while an exception is handled."""
    __tracebackhide__ = True
    raise pytest.fail.Exception(text, pytrace=False) from None


def _message(problems: Sequence[Problem], verbose: bool) -> Iterator[str]:
    for problem in problems:
        yield from (problem.summary, *problem.lines, *(problem.details if verbose else ()))
    if not verbose and any(problem.details for problem in problems):
        yield "  -v shows every term, and where each figure is from"


class Failures:
    """Gathers what failed tests carry, from whichever process they ran in, and says it at the end."""

    def __init__(self, verdict: Verdict, config: pytest.Config) -> None:
        self._verdict_lines = verdict
        self._verbose = config.option.verbose > 0
        self._config = config
        self._reports: List[pytest.TestReport] = []
        self._judged: List[str] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keeps what was judged, and the reports of tests that failed with a line of their own."""
        if report.when == "call":
            self._judged += [*(said["name"] for said in subjects_of(report)), *properties_of(report, CONFIGURATION)]
        if report.when == "call" and report.failed and properties_of(report, SUMMARY):
            self._reports.append(report)

    @property
    def in_short(self) -> bool:
        """Whether each failure has its line alone."""
        return not self._verbose and self._has_lines() and len(self._reports) > MOST_IN_FULL

    def _has_lines(self) -> bool:
        """Whether pytest's options ask for a line for each failed test."""
        reporter = self._config.pluginmanager.get_plugin("terminalreporter")
        return reporter is not None and bool(reporter.hasopt("f"))

    @property
    def differences(self) -> List[Difference]:
        """Returns what differs from goldens, once for a test that is repeated or run again."""
        texts = (text for report in self._reports for text in properties_of(report, DIFFERENCE))
        found = (Difference.from_data(json.loads(text)) for text in texts)
        return list({difference.place: difference for difference in found}.values())

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> Generator[None, Any, Any]:
        """Takes the failures out of what pytest prints, which cuts its lines off, and prints them last."""
        failed = terminalreporter.stats.get("failed", [])
        if self.in_short:
            self.hide(terminalreporter)
        try:
            result = yield
        finally:
            if failed:
                terminalreporter.stats["failed"] = failed
        if self._reports:
            self._print(terminalreporter)
        return result

    def hide(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Takes the failures out of what pytest has left to print: once their messages are, of its short summary."""
        stats = terminalreporter.stats
        if self._reports:
            stats["failed"] = [report for report in stats.get("failed", []) if report not in self._reports]

    def _print(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self._has_lines():
            terminalreporter.write_sep("=", "short test summary info")
            for report in sorted(self._reports, key=_in_order_of_the_tables):
                terminalreporter.write("FAILED", red=True)
                terminalreporter.write_line(f" {report.nodeid} - {properties_of(report, SUMMARY)[0]}")
        lines = self._verdict()
        if lines:
            terminalreporter.write_sep("=", "VERDICT")
            for line in lines:
                terminalreporter.write_line(line)

    def _verdict(self) -> List[str]:
        """What is damaged must not take the rest of the summary with it."""
        try:
            return list(self._verdict_lines(self.differences, self._judged))
        except GoldenLatencyError as error:
            return [f"  cannot be told: {error}"]


def _in_order_of_the_tables(report: pytest.TestReport) -> Tuple[str, int, str]:
    """Workers report in another order each time."""
    order = subject_names()
    names = [said["name"] for said in subjects_of(report)]
    place = order.index(names[0]) if names and names[0] in order else len(order)
    return report.nodeid.split("::")[0], place, report.nodeid
