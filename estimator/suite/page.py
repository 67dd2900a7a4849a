"""A session as a page: what it has found, put together for `--report`."""

from __future__ import annotations

from typing import Iterator, List, Sequence, Tuple

from ..against.comparison import Beside
from ..compare import Comparison
from ..files import write_atomically
from ..goldens.configuration import Configuration
from ..page.content import Page, Row
from ..page.html import page_html
from ..records.kinds import PATTERN_KIND
from ..report import summarise
from .session import Session


def write_page(session: Session, rows: Sequence[Comparison], header: Sequence[str], others: Sequence[Beside]) -> None:
    """Writes the page of `--report`, where that was asked for; `header` is what the session says of itself."""
    if session.options.report is not None:
        write_atomically(session.options.report, page_html(page_of(session, rows, header, others)))


def page_of(session: Session, rows: Sequence[Comparison], header: Sequence[str], others: Sequence[Beside]) -> Page:
    """Returns what the page of a session shows."""
    configuration = session.configuration
    target, record = configuration.target, configuration.record
    return Page(
        title=f"{target.hardware}, {target.label}{configuration.transferred}{_others(rows)}",
        measured="Measured in this session." if session.measurements() else configuration.measured_from(),
        summary=(*_summary(rows, configuration), *_contests(others, rows)),
        rows=_rows(session, rows),
        provenance=(*_header_parts(header), *((f"record, {k}", text) for k, text in record.provenance.items())),
        others=others,
    )


def _rows(session: Session, rows: Sequence[Comparison]) -> List[Row]:
    measurements = session.measurements()
    held_out = session.configuration.repository.held_out_pct(session.configuration.folder)
    return [
        Row(
            row,
            runs_ms=measurements[row.model].runs_ms if row.model in measurements else _recorded_ms(session, row),
            measurement=measurements.get(row.model),
            place=f", {row.hardware} {row.configuration}" if _others(rows) else "",
            **held_out.get(row.model, {}),
        )
        for row in rows
    ]


def _others(rows: Sequence[Comparison]) -> str:
    """What the title says of the boards and configurations beside the first."""
    more = len({(row.hardware, row.configuration) for row in rows}) - 1
    return f", and {more} more" if more > 0 else ""


def _recorded_ms(session: Session, row: Comparison) -> Tuple[float, ...]:
    records = session.configuration_at((row.hardware, row.configuration)).records
    found = (records[kind].runs_ms.get(row.model) for kind in records if kind is not PATTERN_KIND)
    return next((runs_ms for runs_ms in found if runs_ms), ())


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
