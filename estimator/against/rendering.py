"""Another estimator beside this one as a person or a program reads it: terminal, Markdown, CSV, JSON."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import asdict, fields
from typing import Any, Callable, Dict, Iterator, Mapping, Optional, Sequence, Tuple

from ..compare import BANDS_PCT, Comparison
from ..digits import ms_text, percent_text
from ..report import FIELDS, TITLES, by_family, cells_of, data_of, markdown_output, markdown_row, name_width
from .comparison import OURS, Beside, Contest, Figures, Theirs

THEIR_FIELDS = tuple(field.name for field in fields(Theirs))
"""What is known of another estimator's answer, as data."""
KEY = "against"
"""The key of other estimators' answers in JSON, and what their columns in CSV begin with."""
_ROW = "  {:<{}} {:>9} {:>9} {:>8} {:>11} {:>8} {:<11} {:<6}"
_TITLES = ("Model", "Meas (ms)", "Ours (ms)", "Error", "Theirs (ms)", "Error", "Rating", "Nearer")
_OTHER_WIDTH = 69
_FIGURES = ("mean |error|", "max |error|", *BANDS_PCT, "nearer")
_HELD_OUT = {"leave_one_model_out": "them", "leave_one_family_out": "their family"}
_NO_CONTEST = "no model that it estimates was measured: nothing says who is nearer"


def beside_lines(rows: Sequence[Comparison], beside: Beside) -> Iterator[str]:
    """Yields the table of another estimator's answers for a terminal, and below it the figures of both sides."""
    width = name_width(rows)
    rule = "  " + "-" * (width + _OTHER_WIDTH)
    yield from (_ROW.format(_TITLES[0], width, *_TITLES[1:]).rstrip(), rule)
    for family, members in by_family(rows):
        yield f"  {family}"
        yield from (_line(row, beside.of(row), width) for row in members)
    yield rule
    yield from (f"  {line}" for line in _figure_lines(beside, rows))


def _line(row: Comparison, theirs: Theirs, width: int) -> str:
    ours = "  " + row.model, width, ms_text(row.meas_ms), ms_text(row.est_ms), percent_text(row.error_pct)
    if theirs.problem:
        return f"{_ROW.format(*ours, *[''] * 4).rstrip()}  {theirs.problem}"
    return _ROW.format(*ours, *_their_cells(theirs)).rstrip()


def _their_cells(theirs: Theirs) -> Tuple[str, ...]:
    return ms_text(theirs.est_ms), percent_text(theirs.error_pct), theirs.rating, theirs.nearer or "-"


def _figure_lines(beside: Beside, rows: Sequence[Comparison]) -> Iterator[str]:
    contest = beside.contest(rows)
    yield _counted(beside, contest)
    if contest is not None:
        yield from _contest_lines(beside.name, contest)
        yield from _notes(beside, contest)
    unanswered = sum(1 for row in rows if beside.of(row).problem)
    if unanswered:
        yield f"{unanswered} of {len(rows)} without an estimate of {beside.name}: their lines say why"


def _counted(beside: Beside, contest: Optional[Contest]) -> str:
    if contest is None:
        return f"{beside.name}: {_NO_CONTEST}"
    who = "both estimate" if contest.ours else f"{beside.name} estimates, and ours does not,"
    return f"Models that {who} and that were measured: {contest.models}"


def _contest_lines(name: str, contest: Contest) -> Iterator[str]:
    width = max(len(name), 20)
    for side, cells in (("", _FIGURES), *_sides(name, contest)):
        yield f"  {side:<{width}}" + "".join(f"  {text:>{len(title)}}" for title, text in zip(_FIGURES, cells))


def _sides(name: str, contest: Contest) -> Iterator[Tuple[str, Sequence[str]]]:
    if contest.ours is not None:
        yield OURS, _figure_cells(contest.ours)
    yield name, _figure_cells(contest.theirs)


def _notes(beside: Beside, contest: Contest) -> Iterator[str]:
    if contest.equal:
        yield f"as far off on either side: {contest.equal}"
    if contest.ours is not None:
        yield from beside.notes


def _figure_cells(figures: Figures) -> Sequence[str]:
    ratings = (str(figures.per_rating.get(rating, 0)) for rating in BANDS_PCT)
    errors = (f"{pct:.1f}%" for pct in (figures.mean_abs_error_pct, figures.max_abs_error_pct))
    return [*errors, *ratings, str(figures.nearer)]


def markdown_text(rows: Sequence[Comparison], others: Sequence[Beside]) -> str:
    """Returns the suite's tables with four columns for each other estimator, and below each the figures of both."""
    return markdown_output(rows, lambda of_one_board: _markdown_table(of_one_board, others))


def _markdown_table(rows: Sequence[Comparison], others: Sequence[Beside]) -> str:
    theirs = [title for beside in others for title in (f"{_escaped(beside.name)} (ms)", "Error", "Rating", "Nearer")]
    kinds = ["---", "---:", "---:", "---:", "---", "---", "---:", *["---:", "---:", "---", "---"] * len(others)]
    lines = [markdown_row((*TITLES, *theirs)), markdown_row(kinds)]
    for family, members in by_family(rows):
        lines.append(markdown_row((f"**{family}**", *[""] * (len(kinds) - 1))))
        lines += [markdown_row((*cells_of(row), *_markdown_cells(row, others))) for row in members]
    return "\n".join([*lines, *(line for beside in others for line in _markdown_figures(beside, rows))]) + "\n"


def _markdown_cells(row: Comparison, others: Sequence[Beside]) -> Iterator[str]:
    for beside in others:
        theirs = beside.of(row)
        yield from ("-", "-", _escaped(theirs.problem), "-") if theirs.problem else _their_cells(theirs)


def _markdown_figures(beside: Beside, rows: Sequence[Comparison]) -> Iterator[str]:
    contest = beside.contest(rows)
    yield from ("", _escaped(_counted(beside, contest)))
    if contest is not None:
        yield from ("", markdown_row(("", *map(_escaped, _FIGURES))), markdown_row(("---", *["---:"] * len(_FIGURES))))
        yield from (markdown_row((_escaped(side), *cells)) for side, cells in _sides(beside.name, contest))
        yield from (line for note in _notes(beside, contest) for line in ("", _escaped(note)))


def held_out_notes(held_out_means_pct: Mapping[str, float]) -> Iterator[str]:
    """Yields what must be known of this estimator's errors: that they are in-sample, where a cross-validation says so.

    By kind of cross-validation, mean |error| in percent.
    """
    means = [
        f"{text} {held_out_means_pct[kind]:.1f}%" for kind, text in _HELD_OUT.items() if kind in held_out_means_pct
    ]
    if means:
        yield f"ours was fitted to the record; mean |error| over its models when a fit has not seen {', '.join(means)}"


def _escaped(text: str) -> str:
    return text.replace("|", "\\|")


def csv_text(rows: Sequence[Comparison], others: Sequence[Beside]) -> str:
    """Returns the suite's columns, then `against.<name>.<field>` for each other estimator and each THEIR_FIELDS."""
    out = io.StringIO()
    columns = [f"{KEY}.{beside.name}.{field}" for beside in others for field in THEIR_FIELDS]
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow((*FIELDS, *columns))
    writer.writerows((*data_of(row).values(), *_flat(row, others)) for row in rows)
    return out.getvalue()


def _flat(row: Comparison, others: Sequence[Beside]) -> Iterator[Any]:
    for beside in others:
        yield from asdict(beside.of(row)).values()


def json_text(rows: Sequence[Comparison], others: Sequence[Beside]) -> str:
    """Returns the suite's objects, each with `against`: the answers by the other estimators' names."""
    return json.dumps([_data(row, others) for row in rows], indent=2) + "\n"


def _data(row: Comparison, others: Sequence[Beside]) -> Dict[str, Any]:
    return {**data_of(row), KEY: {beside.name: asdict(beside.of(row)) for beside in others}}


FORMATS: Mapping[str, Callable[[Sequence[Comparison], Sequence[Beside]], str]] = {
    ".csv": csv_text,
    ".md": markdown_text,
    ".json": json_text,
}
"""File suffix to the function that renders rows with what others say of them; the suffixes of `report.FORMATS`."""
