"""Comparisons as a person or a program reads them: the table of models and patterns, their summary, and the report."""

from __future__ import annotations

from dataclasses import asdict, fields
from typing import Any, Callable, Dict, Iterator, List, Mapping, Sequence, Tuple

from ..compare import BANDS_PCT, NO_EVIDENCE, UNMEASURED, Comparison, Summary, summarise
from ..figures import compact_error, compact_percent, ms, percent
from .answers import Beside, Theirs, markdown_figures, their_cells, their_columns
from .table import NAME_WIDTH, Table, left, right

FIELDS = (
    *("model", "est_ms", "meas_ms", "error_pct", "rating", "bound", "host_ms", "device_ms", "interval_pct"),
    *("hardware", "configuration", "budget_ms", "budget"),
)
"""The columns of the table as data, in order."""
AGAINST = "against"
"""The key of other estimators' answers in JSON, and what their columns in CSV begin with."""
_BAND_LABELS = {"EXCELLENT": "(<10%)", "GOOD": "(10-25%)", "FAIR": "(25-50%)", "POOR": "(>50%)"}


COLUMNS = (
    left("Model", width=NAME_WIDTH),
    right("Est (ms)", ms, 9),
    right("Meas (ms)", ms, 10),
    right("Error", compact_error, 10),
    left("Rating", width=10),
    left("Bound", width=6),
    right("80% within", width=11),
)
"""The columns of the table for people."""


def comparison_table(rows: Sequence[Comparison], others: Sequence[Beside] = ()) -> Table:
    """Returns the table for people by family, with four columns for each other estimator."""
    theirs = [column for beside in others for column in their_columns(f"{beside.name} (ms)")]
    cells = [(*_cells(row), *(cell for beside in others for cell in their_cells(row, beside))) for row in rows]
    return Table((*COLUMNS, *theirs), cells, [row.family for row in rows])


def _cells(row: Comparison) -> Tuple[Any, ...]:
    return row.model, row.est_ms, row.meas_ms, row.error_pct, row.rating, row.bound, _interval(row)


def _interval(row: Comparison) -> str:
    is_unsure = row.interval_pct is None and row.est_ms is not None
    return NO_EVIDENCE if is_unsure else percent(row.interval_pct, "± ", "%")


def budget_table(rows: Sequence[Comparison]) -> Table:
    """Returns the rows that have a budget, and the verdicts."""
    found = [(row.model, f"{row.budget_ms:g}", row.budget or row.rating) for row in rows if row.budget_ms is not None]
    return Table((left("Model", width=NAME_WIDTH), right("Budget (ms)"), left("Verdict")), found)


def summary_lines(summary: Summary) -> List[str]:
    """Returns the SUMMARY block: counts, mean and max |error|, models per rating."""
    failed = summary.failed_or_skipped
    counts = {"Total models": summary.total, "Successful": summary.total - failed, "Failed/Skipped": failed}
    lines = ["  SUMMARY", "  " + "-" * 40, *map(_pair, counts.items())]
    if summary.mean_abs_error_pct is None:
        return [*lines, _pair((UNMEASURED, summary.per_rating.get(UNMEASURED, 0)))]
    errors = {"Mean |error|": summary.mean_abs_error_pct, "Max |error|": summary.max_abs_error_pct}
    shown = ((label, compact_percent(pct)) for label, pct in errors.items())
    return [*lines, "", *map(_pair, shown), "", *map(_pair, _rating_counts(summary))]


def _pair(pair: Tuple[str, Any]) -> str:
    return f"  {pair[0] + ':':<17} {pair[1]}"


def _rating_counts(summary: Summary) -> Iterator[Tuple[str, int]]:
    for rating in BANDS_PCT:
        yield f"{rating} {_BAND_LABELS[rating]}", summary.per_rating.get(rating, 0)
    if summary.per_rating.get(UNMEASURED):
        yield UNMEASURED, summary.per_rating[UNMEASURED]


def short_summary(rows: Sequence[Comparison]) -> List[str]:
    """Returns one line with mean and max |error| and the ratings; none where nothing was measured."""
    summary = summarise(rows)
    if summary.mean_abs_error_pct is None:
        return []
    mean, most = map(compact_percent, (summary.mean_abs_error_pct, summary.max_abs_error_pct))
    counts = ", ".join(f"{count} {rating}" for rating, count in summary.per_rating.items())
    return [f"  Mean |error| {mean}, max {most}; {counts}"]


def markdown_report(title: str, command: str, measured: str, rows: Sequence[Comparison]) -> str:
    """Returns the validation report of a configuration: which command writes it, table, and summary."""
    summary = summarise(rows)
    errors = {"Mean": summary.mean_abs_error_pct, "Max": summary.max_abs_error_pct}
    facts: Dict[str, Any] = {"Models": summary.total, **dict(_rating_counts(summary))}
    facts.update((f"{label} absolute error", compact_percent(pct)) for label, pct in errors.items())
    head = ("<!-- written by golden-latency -->", f"<!-- {command} -->", "", f"# {title}", "", measured, "")
    figures = (f"- {label}: {value}" for label, value in facts.items())
    return "\n".join([*head, *comparison_table(rows).markdown(), "", *figures]) + "\n"


def markdown_text(rows: Sequence[Comparison], others: Sequence[Beside] = ()) -> str:
    """Returns the tables in Markdown: one for each board and configuration, with budgets and others' figures."""
    boards: Dict[Tuple[str, str], List[Comparison]] = {}
    for row in rows:
        boards.setdefault((row.hardware, row.configuration), []).append(row)
    if len(boards) < 2:
        return "\n".join(_markdown_lines(rows, others)) + "\n"
    parts = ("\n".join([f"## {' '.join(where)}", "", *_markdown_lines(of, others)]) for where, of in boards.items())
    return "\n\n".join(parts) + "\n"


def _markdown_lines(rows: Sequence[Comparison], others: Sequence[Beside]) -> Iterator[str]:
    yield from comparison_table(rows, others).markdown()
    for beside in others:
        yield from markdown_figures(beside, rows)
    budgets = budget_table(rows)
    if budgets.rows:
        yield from ("", *budgets.markdown())


def _values(row: Comparison) -> List[Any]:
    return [getattr(row, field) for field in FIELDS]


def csv_text(rows: Sequence[Comparison], others: Sequence[Beside] = ()) -> str:
    """Returns the rows as CSV, with `against.<name>.<field>` of each other estimator; an empty cell for unknown."""
    theirs = [f"{AGAINST}.{beside.name}.{field.name}" for beside in others for field in fields(Theirs)]
    values = [(*_values(row), *(said for beside in others for said in asdict(beside.of(row)).values())) for row in rows]
    return Table(tuple(map(left, (*FIELDS, *theirs))), values).csv()


def json_text(rows: Sequence[Comparison], others: Sequence[Beside] = ()) -> str:
    """Returns the rows as a JSON list of objects, each with `against` where others were asked; null for unknown."""
    titles = (*FIELDS, *([AGAINST] if others else ()))
    theirs = ({beside.name: asdict(beside.of(row)) for beside in others} for row in rows)
    return Table(tuple(map(left, titles)), [(*_values(row), said) for row, said in zip(rows, theirs)]).json()


FORMATS: Mapping[str, Callable[[Sequence[Comparison], Sequence[Beside]], str]] = {
    ".csv": csv_text,
    ".md": markdown_text,
    ".json": json_text,
}
"""File suffix to the function that renders rows, and what other estimators say of them."""
