"""Comparisons as a person or a program reads them: terminal table, Markdown, CSV, JSON, summary and bars."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any, Callable, Dict, Iterable, Iterator, List, Mapping, Optional, Sequence, Tuple

from .compare import BANDS_PCT, NO_EVIDENCE, UNMEASURED, Comparison
from .digits import ms_text, percent_text

FIELDS = (
    *("model", "est_ms", "meas_ms", "error_pct", "rating", "bound", "host_ms", "device_ms", "interval_pct"),
    *("hardware", "configuration", "budget_ms", "budget"),
)
"""The columns of the table as data, in order."""
TITLES = ("Model", "Est (ms)", "Meas (ms)", "Error", "Rating", "Bound", "80% within")
"""The columns of the tables for people, in order."""
_TERMINAL_ROW = "  {:<{}} {:>9}  {:>9}  {:>9} {:<10} {:<6} {:>11}"
_NAME_WIDTH = 22
_OTHER_WIDTH = 61
_BAND_LABELS = {"EXCELLENT": "(<10%)", "GOOD": "(10-25%)", "FAIR": "(25-50%)", "POOR": "(>50%)"}


@dataclass(frozen=True)
class Bars:
    """What a calibration promises of all models: mean and largest |error| in percent, and whether all are EXCELLENT."""

    mean_pct: float
    max_pct: float
    all: bool


MODEL_BARS = Bars(2.5, 8.0, all=True)
"""In-sample: the constants were fitted to these models."""
MICROBENCHMARK_BARS: Mapping[str, Bars] = {"cpu": Bars(7.0, 25.0, all=False), "gpu": Bars(10.0, 25.0, all=False)}
"""By kind of processor: the constants were fitted to micro-benchmarks alone, the models are all held out."""
CROSS_VALIDATION_BARS_PCT: Mapping[str, float] = {"leave_one_model_out": 4.0, "leave_one_family_out": 7.0}
"""Mean |error| in percent of models that the fit has not seen, at most."""


@dataclass(frozen=True)
class Summary:
    """Figures over all models of a run; errors in percent, None where nothing was measured."""

    total: int
    failed_or_skipped: int
    mean_abs_error_pct: Optional[float]
    max_abs_error_pct: Optional[float]
    per_rating: Mapping[str, int]


def summarise(rows: Sequence[Comparison], failed_or_skipped: int = 0) -> Summary:
    """Returns the summary of the rows, `failed_or_skipped` of which did not pass their test."""
    errors = [abs(row.error_pct) for row in rows if row.error_pct is not None]
    mean_pct = sum(errors) / len(errors) if errors else None
    ratings = Counter(row.rating for row in rows)
    return Summary(len(rows), failed_or_skipped, mean_pct, max(errors, default=None), ratings)


def terminal_table(rows: Iterable[Comparison]) -> List[str]:
    """Returns the lines of the table, families as headings."""
    found = list(rows)
    width = name_width(found)
    rule = "  " + "-" * (width + _OTHER_WIDTH)
    lines = [_TERMINAL_ROW.format(TITLES[0], width, *TITLES[1:]), rule]
    for family, members in by_family(found):
        lines.append(f"  {family}")
        named = ((f"  {cells[0]}", width, *cells[1:]) for cells in map(cells_of, members))
        lines.extend(_TERMINAL_ROW.format(*cells).rstrip() for cells in named)
    return [*lines, rule]


def name_width(rows: Iterable[Comparison]) -> int:
    """Returns how wide the column of names must be."""
    return max([_NAME_WIDTH, *(len(row.model) + 2 for row in rows)])


def by_family(rows: Iterable[Comparison]) -> Iterator[Tuple[str, List[Comparison]]]:
    """Yields each family with its rows, in order of first appearance."""
    families: Dict[str, List[Comparison]] = {}
    for row in rows:
        families.setdefault(row.family, []).append(row)
    yield from families.items()


def cells_of(row: Comparison) -> Tuple[str, ...]:
    """Returns the row as the tables for people show it, by TITLES."""
    return (
        row.model,
        ms_text(row.est_ms),
        ms_text(row.meas_ms),
        percent_text(row.error_pct),
        row.rating,
        row.bound or "-",
        _interval(row),
    )


def _interval(row: Comparison) -> str:
    if row.interval_pct is None:
        return "-" if row.est_ms is None else NO_EVIDENCE
    return f"± {row.interval_pct:.1f}%"


def summary_lines(summary: Summary) -> List[str]:
    """Returns the SUMMARY block: counts, mean and max |error|, models per rating."""
    lines = [
        "  SUMMARY",
        "  " + "-" * 40,
        f"  Total models:     {summary.total}",
        f"  Successful:       {summary.total - summary.failed_or_skipped}",
        f"  Failed/Skipped:   {summary.failed_or_skipped}",
    ]
    if summary.mean_abs_error_pct is None:
        return [*lines, f"  {UNMEASURED}:       {summary.per_rating.get(UNMEASURED, 0)}"]
    lines += [
        "",
        f"  Mean |error|:     {percent_text(summary.mean_abs_error_pct).lstrip('+')}",
        f"  Max |error|:      {percent_text(summary.max_abs_error_pct).lstrip('+')}",
        "",
    ]
    return lines + [f"  {label:<17} {count}" for label, count in _rating_counts(summary)]


def _rating_counts(summary: Summary) -> Iterator[Tuple[str, int]]:
    for rating in BANDS_PCT:
        yield f"{rating} {_BAND_LABELS[rating]}:", summary.per_rating.get(rating, 0)
    if summary.per_rating.get(UNMEASURED):
        yield f"{UNMEASURED}:", summary.per_rating[UNMEASURED]


def bar_lines(summary: Summary, held_out_means_pct: Mapping[str, float], bars: Bars) -> List[str]:
    """Returns one line per bar with the reached figure; held-out means in percent by the kind of cross-validation."""
    lines = ["  BARS", "  " + "-" * 40]
    if summary.mean_abs_error_pct is not None and summary.max_abs_error_pct is not None:
        lines += _error_bars(summary, bars, summary.mean_abs_error_pct, summary.max_abs_error_pct)
    for kind, bar_pct in CROSS_VALIDATION_BARS_PCT.items():
        if kind in held_out_means_pct:
            mean_pct = held_out_means_pct[kind]
            title = f"{kind.replace('_', ' ').capitalize()}, mean |error|:"
            lines.append(_bar(title, f"{mean_pct:.1f}%", f"<= {bar_pct:.0f}%", mean_pct <= bar_pct))
    return lines


def pattern_lines(rows: Sequence[Comparison]) -> List[str]:
    """Returns one line with the patterns' mean |error| and ratings."""
    summary = summarise(rows)
    if summary.mean_abs_error_pct is None:
        return []
    counts = ", ".join(f"{count} {rating}" for rating, count in summary.per_rating.items())
    return [f"  Mean |error| {summary.mean_abs_error_pct:.1f}%, max {summary.max_abs_error_pct:.1f}%; {counts}"]


def _error_bars(summary: Summary, bars: Bars, mean_pct: float, max_pct: float) -> List[str]:
    excellent = summary.per_rating.get("EXCELLENT", 0)
    total = summary.total - summary.per_rating.get(UNMEASURED, 0)
    all_bar = _bar("Models EXCELLENT:", f"{excellent} of {total}", f"{total} of {total}", excellent == total)
    return [
        *([all_bar] if bars.all else []),
        _bar("Mean |error|:", f"{mean_pct:.1f}%", f"<= {bars.mean_pct:g}%", mean_pct <= bars.mean_pct),
        _bar("Max |error|:", f"{max_pct:.1f}%", f"< {bars.max_pct:g}%", max_pct < bars.max_pct),
    ]


def _bar(title: str, reached: str, bar: str, met: bool) -> str:
    return f"  {title:<36} {reached:>9}   bar {bar:<9} {'met' if met else 'MISSED'}"


def markdown_table(rows: Iterable[Comparison]) -> str:
    """Returns the table in Markdown, a row in bold before each family."""
    lines = [markdown_row(TITLES), "| --- | ---: | ---: | ---: | --- | --- | ---: |"]
    for family, members in by_family(rows):
        lines.append(markdown_row((f"**{family}**", "", "", "", "", "", "")))
        lines.extend(markdown_row(cells_of(row)) for row in members)
    return "\n".join(lines) + "\n"


def markdown_output(
    rows: Sequence[Comparison], table_of: Callable[[Sequence[Comparison]], str] = markdown_table
) -> str:
    """Returns the tables in Markdown: one for each board and configuration, and budgets where there are any."""
    tables: Dict[Tuple[str, str], List[Comparison]] = {}
    for row in rows:
        tables.setdefault((row.hardware, row.configuration), []).append(row)
    if len(tables) < 2:
        return table_of(rows) + _markdown_budgets(rows)
    parts = (f"## {' '.join(where)}\n\n{table_of(of)}{_markdown_budgets(of)}" for where, of in tables.items())
    return "\n".join(parts)


def _markdown_budgets(rows: Sequence[Comparison]) -> str:
    found = [row for row in rows if row.budget_ms is not None]
    lines = [markdown_row(("Model", "Budget (ms)", "Verdict")), "| --- | ---: | --- |"]
    lines += [markdown_row((row.model, f"{row.budget_ms:g}", row.budget or row.rating)) for row in found]
    return "\n" + "\n".join(lines) + "\n" if found else ""


def markdown_row(cells: Sequence[str]) -> str:
    """Returns a row of a table in Markdown."""
    return "| " + " | ".join(cells) + " |"


def markdown_report(title: str, command: str, measured: str, rows: Sequence[Comparison]) -> str:
    """Returns the validation report of a configuration: which command writes it, table, and summary."""
    summary = summarise(rows)
    facts = [
        ("Models", summary.total),
        *((label.rstrip(":"), count) for label, count in _rating_counts(summary)),
    ]
    errors = [("Mean", summary.mean_abs_error_pct), ("Max", summary.max_abs_error_pct)]
    lines = [f"- {label}: {value}" for label, value in facts]
    lines += [f"- {label} absolute error: {percent_text(value).lstrip('+')}" for label, value in errors]
    head = f"<!-- written by golden-latency -->\n<!-- {command} -->\n\n# {title}\n\n{measured}\n\n"
    return head + markdown_table(rows) + "\n" + "\n".join(lines) + "\n"


def csv_text(rows: Iterable[Comparison]) -> str:
    """Returns the rows as CSV with a header; an empty cell where nothing was measured."""
    out = io.StringIO()
    writer = csv.DictWriter(out, FIELDS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(data_of(row) for row in rows)
    return out.getvalue()


def json_text(rows: Iterable[Comparison]) -> str:
    """Returns the rows as a JSON list of objects; null where nothing was measured."""
    return json.dumps([data_of(row) for row in rows], indent=2) + "\n"


def data_of(row: Comparison) -> Dict[str, Any]:
    """Returns the row as data, by FIELDS."""
    values = asdict(row)
    return {field: values[field] for field in FIELDS}


FORMATS: Mapping[str, Callable[[Sequence[Comparison]], str]] = {
    ".csv": csv_text,
    ".md": markdown_output,
    ".json": json_text,
}
"""File suffix to the function that renders rows for it."""
