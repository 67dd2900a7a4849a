"""The end of a red session: a line for each failed test, and the verdict over all of them."""

from __future__ import annotations

import json
from typing import Any, Generator, List, Tuple

import pytest

from ..errors import GoldenLatencyError
from ..goldens.difference import Difference
from ..subjects.registry import subject_names
from .reports import CONFIGURATION, DIFFERENCE, SUMMARY, properties_of, subjects_of
from .session import Session

MOST_IN_FULL = 3
"""Up to so many failures have their message in full; of more, each has its line, and -v shows the messages."""


class Failures:
    """Gathers what failed tests carry, from whichever process they ran in, and says it at the end."""

    def __init__(self, session: Session, config: pytest.Config) -> None:
        self._session = session
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
        """Returns what differs from goldens."""
        texts = (text for report in self._reports for text in properties_of(report, DIFFERENCE))
        return [Difference.from_data(json.loads(text)) for text in texts]

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
        """Takes the failures out of what pytest has left to print."""
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
            return list(self._session.verdict(self.differences, self._judged))
        except GoldenLatencyError as error:
            return [f"  cannot be told: {error}"]


class BeforeShortSummary:
    """Takes failures out of pytest's short summary, once their messages are printed."""

    def __init__(self, failures: Failures) -> None:
        self._failures = failures

    @pytest.hookimpl(trylast=True)
    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Called after pytest's messages of failures, and before its short summary."""
        self._failures.hide(terminalreporter)


def _in_order_of_the_tables(report: pytest.TestReport) -> Tuple[str, int, str]:
    """Workers report in another order each time."""
    order = subject_names()
    names = [said["name"] for said in subjects_of(report)]
    place = order.index(names[0]) if names and names[0] in order else len(order)
    return report.nodeid.split("::")[0], place, report.nodeid
