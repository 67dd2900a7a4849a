"""A session as a page: what it has found, put together for `--report`."""

from __future__ import annotations

from typing import Iterator, List, Sequence, Tuple

from ..against.comparison import Beside
from ..compare import Comparison
from ..files import write_atomically
from ..goldens.files import load_held_out_pct
from ..page.content import Page, Row
from ..page.html import page_html
from ..report import summarise
from .against import others_of
from .configuration import Configuration
from .session import Session


def write_page(session: Session, rows: Sequence[Comparison], header: Sequence[str]) -> None:
    """Writes the page of `--report`, where that was asked for; `header` is what the session says of itself."""
    if session.options.report is not None:
        write_atomically(session.options.report, page_html(page_of(session, rows, header)))


def page_of(session: Session, rows: Sequence[Comparison], header: Sequence[str]) -> Page:
    """Returns what the page of a session shows."""
    configuration = session.configuration
    target, record, others = configuration.target, configuration.record, others_of(session.config)
    return Page(
        title=f"{target.hardware}, {target.label}{configuration.transferred}",
        measured="Measured in this session." if session.measurements() else configuration.measured_from(),
        summary=(*_summary(rows, configuration), *_contests(others, rows)),
        rows=_rows(session, rows),
        provenance=(*_header_parts(header), *((f"record, {k}", text) for k, text in record.provenance.items())),
        others=others,
    )


def _rows(session: Session, rows: Sequence[Comparison]) -> List[Row]:
    measurements, recorded = session.measurements(), session.configuration.record.runs_ms
    held_out = load_held_out_pct(session.configuration.folder)
    return [
        Row(
            row,
            runs_ms=measurements[row.model].runs_ms if row.model in measurements else recorded.get(row.model, ()),
            measurement=measurements.get(row.model),
            **held_out.get(row.model, {}),
        )
        for row in rows
    ]


def _summary(rows: Sequence[Comparison], configuration: Configuration) -> Iterator[Tuple[str, str]]:
    summary = summarise(rows)
    yield "Models", str(summary.total)
    if summary.mean_abs_error_pct is not None and summary.max_abs_error_pct is not None:
        yield "Mean |error|", f"{summary.mean_abs_error_pct:.1f} %"
        yield "Largest |error|", f"{summary.max_abs_error_pct:.1f} %"
    yield from ((rating, str(count)) for rating, count in summary.per_rating.items())
    for kind, mean_pct in configuration.held_out_means_pct.items():
        yield f"{kind.replace('_', ' ').capitalize()}, mean |error|", f"{mean_pct:.1f} %"


def _contests(others: Sequence[Beside], rows: Sequence[Comparison]) -> Iterator[Tuple[str, str]]:
    for beside in others:
        contest = beside.contest(rows)
        if contest is not None:
            yield f"{beside.name}, mean |error|", f"{contest.theirs.mean_abs_error_pct:.1f} %"
            yield f"{beside.name}, nearer", f"{contest.theirs.nearer} of {contest.models}"


def _header_parts(header: Sequence[str]) -> Iterator[Tuple[str, str]]:
    for line in header:
        name, _, text = line.partition(": ")
        yield (name, text) if text else ("note", name)
