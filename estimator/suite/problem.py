"""Why a test fails: one line for the summary, a short message, and what -v adds; carried to whoever prints the end."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import List, NoReturn, Optional, Sequence, Tuple

import pytest

from ..goldens.difference import Difference

SUMMARY = "summary"
"""The user property with the one line of a failed test."""
CONFIGURATION = "whole_configuration"
"""The user property with the name of the whole configuration that a test judges."""
DIFFERENCE = "golden_difference"
"""The user property with what differs from a golden, as JSON."""


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong: a line by itself, lines below it, and details that take -v."""

    summary: str
    lines: Tuple[str, ...] = ()
    details: Tuple[str, ...] = ()
    difference: Optional[Difference] = None


def fail_with(request: pytest.FixtureRequest, problems: Sequence[Problem]) -> None:
    """Fails the test with these problems, if there are any."""
    __tracebackhide__ = True
    if not problems:
        return
    properties = request.node.user_properties
    properties.append((SUMMARY, problems[0].summary))
    found = (problem.difference for problem in problems if problem.difference is not None)
    properties.extend((DIFFERENCE, json.dumps(difference.data())) for difference in found)
    pytest.fail("\n".join(message(problems, request.config.option.verbose > 0)), pytrace=False)


def fail_in_one_line(text: str) -> NoReturn:
    """Fails the test with this line and nothing else, also while an exception is handled."""
    __tracebackhide__ = True
    raise pytest.fail.Exception(text, pytrace=False) from None


def message(problems: Sequence[Problem], verbose: bool) -> List[str]:
    """Returns the lines of a failed test's message."""
    lines: List[str] = []
    for problem in problems:
        lines += [problem.summary, *problem.lines, *(problem.details if verbose else ())]
    if not verbose and any(problem.details for problem in problems):
        lines.append("  -v shows every term, and where each figure is from")
    return lines
