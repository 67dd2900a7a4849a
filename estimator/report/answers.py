"""Another estimator beside this one: what it says of each model, its table, and below it the figures of both sides."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any, Iterator, List, Mapping, Optional, Sequence, Tuple

from ..compare import BANDS_PCT, Comparison, Summary, rate, summary_of
from ..figures import compact_error, compact_percent, ms
from .table import NAME_WIDTH, Column, Table, escaped, left, right

OURS, THEIRS, EQUAL = "ours", "theirs", "equal"
"""Whose estimate is nearer to the measurement."""
NO_ESTIMATE = "NO ESTIMATE"
"""The rating where the other estimator has none."""
_OURS = (
    left("Model", width=NAME_WIDTH),
    right("Meas (ms)", ms),
    right("Ours (ms)", ms),
    right("Error", compact_error, 8),
)
_FIGURES = ("mean |error|", "max |error|", *BANDS_PCT, "nearer")
_HELD_OUT = {"leave_one_model_out": "them", "leave_one_family_out": "their family"}
_NO_CONTEST = "no model that it estimates was measured: nothing says who is nearer"


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


def their_columns(title: str) -> Tuple[Column, ...]:
    """Returns the columns of another estimator's answers, the first with this title."""
    return right(title, ms, 11), right("Error", compact_error, 8), left("Rating", width=11), left("Nearer", width=6)


def their_cells(row: Comparison, beside: Beside) -> Tuple[Any, ...]:
    """Returns what another estimator says of a row: in the last cell whose is nearer, or why it has no estimate."""
    theirs = beside.of(row)
    return theirs.est_ms, theirs.error_pct, theirs.rating, theirs.problem or theirs.nearer


def beside_lines(rows: Sequence[Comparison], beside: Beside) -> Iterator[str]:
    """Yields the table of another estimator's answers for a terminal, and below it the figures of both sides."""
    cells = [(row.model, row.meas_ms, row.est_ms, row.error_pct, *their_cells(row, beside)) for row in rows]
    table = Table((*_OURS, *their_columns("Theirs (ms)")), cells, [row.family for row in rows])
    yield from table.text(gap=1, ruled=True)
    contest = beside.contest(rows)
    yield f"  {_counted(beside, contest)}"
    if contest is not None:
        yield from (f"  {line}" for line in _contest_table(beside.name, contest).text())
        yield from (f"  {note}" for note in _notes(beside, contest))
    unanswered = sum(bool(beside.of(row).problem) for row in rows)
    if unanswered:
        yield f"  {unanswered} of {len(rows)} without an estimate of {beside.name}: their lines say why"


def _counted(beside: Beside, contest: Optional[Contest]) -> str:
    if contest is None:
        return f"{beside.name}: {_NO_CONTEST}"
    who = "both estimate" if contest.ours else f"{beside.name} estimates, and ours does not,"
    return f"Models that {who} and that were measured: {contest.theirs.total}"


def _contest_table(name: str, contest: Contest) -> Table:
    sides = ((OURS, OURS, contest.ours), (THEIRS, name, contest.theirs))
    rows = [(title, *_figure_cells(found), contest.nearer.get(side, 0)) for side, title, found in sides if found]
    return Table((left("", width=20), *map(right, _FIGURES)), rows)


def _figure_cells(found: Summary) -> Sequence[Any]:
    ratings = (found.per_rating.get(rating, 0) for rating in BANDS_PCT)
    return [compact_percent(found.mean_abs_error_pct), compact_percent(found.max_abs_error_pct), *ratings]


def _notes(beside: Beside, contest: Contest) -> Iterator[str]:
    if contest.nearer.get(EQUAL):
        yield f"as far off on either side: {contest.nearer[EQUAL]}"
    if contest.ours is not None:
        yield from beside.notes


def markdown_figures(beside: Beside, rows: Sequence[Comparison]) -> Iterator[str]:
    """Yields the figures of both sides in Markdown."""
    contest = beside.contest(rows)
    yield from ("", escaped(_counted(beside, contest)))
    if contest is not None:
        yield from ("", *_contest_table(beside.name, contest).markdown())
        yield from (line for note in _notes(beside, contest) for line in ("", escaped(note)))


def held_out_notes(held_out_means_pct: Mapping[str, float]) -> Iterator[str]:
    """Yields what must be known of this estimator's errors: that they are in-sample, where a cross-validation says so.

    By kind of cross-validation, mean |error| in percent.
    """
    means = [
        f"{text} {compact_percent(held_out_means_pct[kind])}"
        for kind, text in _HELD_OUT.items()
        if kind in held_out_means_pct
    ]
    if means:
        yield f"ours was fitted to the record; mean |error| over its models when a fit has not seen {', '.join(means)}"
