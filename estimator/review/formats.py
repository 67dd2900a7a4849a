"""A review as text for a terminal, as Markdown for a pull request, and as JSON for a program."""

from __future__ import annotations

import json
from dataclasses import fields, is_dataclass
from typing import Any, Callable, Dict, Iterator, List, Mapping, Sequence

from .changes import Review
from .page import Cells, Section, headline, page

_MOST_ROWS = 24
_MOST_BYTES = 64_000
"""A summary of a job, or a comment, holds 65,536 characters."""
_CUT = "\n\n**Truncated here**, at 64 KB; `python -m estimator review --format json` has it all.\n"


def terminal_text(review: Review) -> str:
    """Returns the review without what is folded, the longest tables cut with a notice."""
    if review.is_empty:
        notices = "".join(f"\n  {notice}" for notice in review.notices)
        return f"{review.base} -> {review.head}: {next(headline(review))}{notices}\n"
    sections = page(review)
    lines = [line for section in sections if not section.folded for line in _terminal_section(section)]
    folded = sum(len(section.rows) for section in sections if section.folded)
    return "\n".join([*lines, *([f"{folded} more rows: --format markdown", ""] if folded else [])])


def _terminal_section(section: Section) -> Iterator[str]:
    yield section.title.upper() if section.rows else section.title
    yield from (f"  {text}" for text in section.paragraphs)
    if section.rows:
        yield from aligned([section.titles, *section.rows[:_MOST_ROWS]])
    if len(section.rows) > _MOST_ROWS:
        yield f"  ... and {len(section.rows) - _MOST_ROWS} more that moved less: --format markdown"
    yield ""


def aligned(rows: Sequence[Cells]) -> Iterator[str]:
    """Yields the rows with columns of one width: the first to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows)]
    for row in rows:
        first, *others = row
        cells = [f"{first:<{widths[0]}}", *(f"{cell:>{width}}" for cell, width in zip(others, widths[1:]))]
        yield ("  " + "  ".join(cells)).rstrip()


def markdown_text(review: Review) -> str:
    """Returns the review in Markdown, below 64 KB: the rest folded, and cut with a notice where it is too long."""
    if review.is_empty:
        notices = "".join(f" {_escaped(notice)}." for notice in review.notices)
        return f"**{review.base} -> {review.head}:** {next(headline(review))}{notices}\n"
    text = "\n".join(line for section in page(review) for line in _markdown_section(section))
    return _cut(text) + "\n"


def _cut(text: str) -> str:
    """Cut between two sections, so that no tag stays open."""
    if len(text.encode()) <= _MOST_BYTES:
        return text
    kept: List[str] = []
    for part in text.split("\n\n### "):
        if len("\n\n### ".join([*kept, part]).encode()) + len(_CUT) > _MOST_BYTES:
            break
        kept.append(part)
    return "\n\n### ".join(kept) + _CUT


def _markdown_section(section: Section) -> Iterator[str]:
    if section.folded:
        yield from ("", f"<details><summary>{section.title} ({len(section.rows)})</summary>")
    else:
        yield from ("", f"### {section.title}")
    for text in section.paragraphs:
        yield from ("", _escaped(text))
    if section.rows:
        marks = ["---", *["---:"] * (len(section.titles) - 1)]
        yield ""
        yield from ("| " + " | ".join(map(_escaped, cells)) + " |" for cells in (section.titles, marks, *section.rows))
    if section.folded:
        yield from ("", "</details>")


def _escaped(cell: str) -> str:
    """A record's text is somebody's: it must not end a cell or open a tag."""
    return cell.replace("|", "\\|").replace("<", "&lt;")


def data(review: Review) -> Dict[str, Any]:
    """Returns the review as plain values: its fields, and its headline; a place is one text."""
    return {"headline": list(headline(review)), **_plain(review)}


def _plain(value: Any) -> Any:
    if is_dataclass(value):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {" ".join(key) if isinstance(key, tuple) else key: _plain(part) for key, part in value.items()}
    return [_plain(part) for part in value] if isinstance(value, (list, tuple)) else value


def json_text(review: Review) -> str:
    """Returns the data as JSON."""
    return json.dumps(data(review), indent=2) + "\n"


FORMATS: Mapping[str, Callable[[Review], str]] = {
    "terminal": terminal_text,
    "markdown": markdown_text,
    "json": json_text,
}
"""By name of the option --format."""
