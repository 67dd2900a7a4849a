"""What another estimator says of each model, held against the same measurement as this one's estimate."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import List, Mapping, Optional, Sequence, Tuple

from ..compare import Comparison, Summary, rate, summary_of

OURS, THEIRS, EQUAL = "ours", "theirs", "equal"
"""Whose estimate is nearer to the measurement."""
NO_ESTIMATE = "NO ESTIMATE"
"""The rating where the other estimator has none."""


@dataclass(frozen=True)
class Answer:
    """Another estimator's estimate of a model in ms, to four significant digits; None with one line that says why."""

    est_ms: Optional[float]
    problem: str = ""


@dataclass(frozen=True)
class Theirs:
    """An answer beside the measurement: signed error in percent, rating, and whose |error| is smaller.

    `error_pct` is None without estimate or measurement, `nearer` where one of the two errors is not known.
    """

    est_ms: Optional[float]
    error_pct: Optional[float]
    rating: str
    nearer: Optional[str]
    problem: str


@dataclass(frozen=True)
class Contest:
    """Both sides over the models that both have an error of, and of how many each is nearer, or both are as far off.

    Where ours has no error of any, `ours` is None and the models are those that theirs has one of.
    """

    ours: Optional[Summary]
    theirs: Summary
    nearer: Mapping[str, int]


@dataclass(frozen=True, eq=False)
class Beside:
    """Another estimator's name, its answers by key of a row, and what must be known to compare its errors with ours."""

    name: str
    answers: Mapping[str, Answer]
    notes: Tuple[str, ...] = ()

    def of(self, row: Comparison) -> Theirs:
        """Returns what it says of the model of a row."""
        answer = self.answers.get(row.key, Answer(None, "was not asked"))
        if answer.est_ms is None:
            return Theirs(None, None, NO_ESTIMATE, None, answer.problem)
        error_pct = None if row.meas_ms is None else round(100 * (answer.est_ms / row.meas_ms - 1), 2)
        return Theirs(answer.est_ms, error_pct, rate(error_pct), _nearer(row.error_pct, error_pct), "")

    def answered(self, rows: Sequence[Comparison]) -> List[Comparison]:
        """Returns the rows of the models that it was asked about."""
        return [row for row in rows if row.key in self.answers]

    def contest(self, rows: Sequence[Comparison]) -> Optional[Contest]:
        """Returns the figures of both sides; None where theirs has no error of any model."""
        sides = [(row.error_pct, self.of(row)) for row in rows]
        both = [(ours_pct, theirs) for ours_pct, theirs in sides if theirs.nearer is not None]
        counted = both or [(None, theirs) for _, theirs in sides if theirs.error_pct is not None]
        if not counted:
            return None
        nearer = Counter(theirs.nearer for _, theirs in counted if theirs.nearer)
        ours = _summary([ours_pct for ours_pct, _ in both]) if both else None
        return Contest(ours, _summary([theirs.error_pct for _, theirs in counted]), nearer)


def _nearer(ours_pct: Optional[float], theirs_pct: Optional[float]) -> Optional[str]:
    if ours_pct is None or theirs_pct is None:
        return None
    if abs(ours_pct) == abs(theirs_pct):
        return EQUAL
    return OURS if abs(ours_pct) < abs(theirs_pct) else THEIRS


def _summary(errors_pct: Sequence[Optional[float]]) -> Summary:
    return summary_of(errors_pct, list(map(rate, errors_pct)))
