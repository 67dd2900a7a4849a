"""A review as text for a terminal, as Markdown for a pull request, and as JSON for a program."""

from __future__ import annotations

import json
from dataclasses import fields, is_dataclass, replace
from typing import Any, Callable, Dict, Iterator, List, Mapping

from ..report.table import escaped
from .changes import Review
from .sections import Section, headline, sections_of

_MOST_ROWS = 24
_MOST_BYTES = 64_000
"""A summary of a job, or a comment, holds 65,536 characters."""
_CUT = "\n\n**Truncated here**, at 64 KB; `python -m estimator review --format json` has it all.\n"


def terminal_text(review: Review) -> str:
    """Returns the review without what is folded, the longest tables cut with a notice."""
    if review.is_empty:
        notices = "".join(f"\n  {notice}" for notice in review.notices)
        return f"{review.base} -> {review.head}: {next(headline(review))}{notices}\n"
    sections = sections_of(review)
    lines = [line for section in sections if not section.folded for line in _terminal_section(section)]
    folded = sum(len(section.table.rows) for section in sections if section.folded)
    return "\n".join([*lines, *([f"{folded} more rows: --format markdown", ""] if folded else [])])


def _terminal_section(section: Section) -> Iterator[str]:
    rows = section.table.rows
    yield section.title.upper() if rows else section.title
    yield from (f"  {text}" for text in section.paragraphs)
    if rows:
        yield from replace(section.table, rows=rows[:_MOST_ROWS]).text()
    if len(rows) > _MOST_ROWS:
        yield f"  ... and {len(rows) - _MOST_ROWS} more that moved less: --format markdown"
    yield ""


def markdown_text(review: Review) -> str:
    """Returns the review in Markdown, below 64 KB: the rest folded, and cut with a notice where it is too long."""
    if review.is_empty:
        notices = "".join(f" {escaped(notice)}." for notice in review.notices)
        return f"**{review.base} -> {review.head}:** {next(headline(review))}{notices}\n"
    text = "\n".join(line for section in sections_of(review) for line in _markdown_section(section))
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
    folded = f"<details><summary>{section.title} ({len(section.table.rows)})</summary>"
    yield from ("", folded if section.folded else f"### {section.title}")
    for text in section.paragraphs:
        yield from ("", escaped(text))
    if section.table.rows:
        yield from ("", *section.table.markdown())
    if section.folded:
        yield from ("", "</details>")


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
