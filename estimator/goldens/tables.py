"""Tables of a golden: a Markdown file with a section per table and a row per name, the way a reviewer reads them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Dict, List, Mapping, Sequence, Tuple

from ..checked import shown
from ..report import table as report
from ..report.table import left, right

Row = Tuple[str, ...]
_LONGEST_TITLE = 100  # it is the name of a folder, too
INPUTS = "Inputs"
"""The section of a board's estimates.md that holds what its goldens were made from."""


@dataclass(frozen=True)
class Table:
    """Titles of the columns, and the cells of each row by the first of them."""

    titles: Row
    rows: Mapping[str, Row]

    def named(self, name: str) -> Dict[str, str]:
        """Returns the cells of a row by their column's title."""
        return dict(zip(self.titles, self.rows[name]))

    def with_rows(self, rows: Mapping[str, Row], order: Sequence[str]) -> Table:
        """Returns the table with these rows put in: in this order as far as it names them, the others behind."""
        merged = {**self.rows, **rows}
        known = [name for name in order if name in merged]
        return Table(self.titles, {name: merged[name] for name in (*known, *merged)})


Document = Mapping[str, Table]
"""The tables of a file by the title of their section."""


def with_section(document: Document, title: str, table: Table) -> Document:
    """Returns the document with this section put in; sections are sorted, numbers by size."""
    sections = {**document, title: table}
    return {name: sections[name] for name in sorted(sections, key=_by_size)}


def _by_size(title: str) -> Tuple[bool, List[Tuple[bool, int, str]]]:
    """Inputs first; then "b4" before "b16", and "50W" before "MAXN"."""
    parts = re.findall(r"\d+|\D+", title)
    numbers = [int(part) if part.isdecimal() else 0 for part in parts]
    return title != INPUTS, [(not part.isdecimal(), number, part) for part, number in zip(parts, numbers)]


def table_text(table: Table) -> str:
    """Returns the table in Markdown; columns of numbers are aligned to the right."""
    rows = list(table.rows.values())
    numeric = [bool(rows) and all(_is_number(row[place]) for row in rows) for place in range(len(table.titles))]
    columns = (right(title) if is_right else left(title) for title, is_right in zip(table.titles, numeric))
    return "\n".join(report.Table(tuple(columns), rows).markdown()) + "\n"


def _is_number(cell: str) -> bool:
    return re.fullmatch(r"(± )?[-+]?[\d.]+(e[-+]?\d+)?( ?%)?|-", cell) is not None


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def document_text(head: str, document: Document) -> str:
    """Returns the file: what stands above the first section, then the sections."""
    parts = [f"## {title}\n\n{table_text(table)}" for title, table in document.items()]
    return "\n".join([head, *parts])


def parse_table(text: str) -> Table:
    """Returns the table that `table_text` wrote; ValueError says which line is none of its rows."""
    lines = [_cells(line) for line in text.splitlines() if line]
    if len(lines) < 2:
        raise ValueError("there must be a line of titles, and one below them")
    titles, rule, *rows = lines
    if not all(re.fullmatch("-+:?", mark) for mark in rule):
        raise ValueError(f"the line below the titles must be | --- | --- |, got {shown(_line(rule))}")
    for row in rows:
        if len(row) != len(titles):
            raise ValueError(f"a row must have {len(titles)} cells, got {shown(_line(row))}")
    if len(set(titles)) != len(titles):
        raise ValueError("there are two columns of one title")
    named = {row[0]: row for row in rows}
    if len(named) != len(rows):
        raise ValueError("there are two rows of one name")
    return Table(titles, named)


def _cells(line: str) -> Row:
    if not (line.startswith("| ") and line.endswith(" |")):
        raise ValueError(f"must be a row of a table, got {shown(line)}")
    return tuple(report.unescaped(cell.strip()) for cell in line[2:-2].split(" | "))


def parse_document(text: str) -> Document:
    """Returns the tables of a file's text; ValueError names the section and what is wrong with it."""
    sections: Dict[str, Table] = {}
    for part in re.split(r"^## ", text, flags=re.MULTILINE)[1:]:
        heading, _, body = part.partition("\n")
        title = heading.strip()
        if title in sections:
            raise ValueError(f"there are two sections {shown(title)}")
        if len(title) > _LONGEST_TITLE:
            raise ValueError(f"a section must be named in at most {_LONGEST_TITLE} characters, got {shown(title)}")
        try:
            sections[title] = parse_table(body)
        except ValueError as error:
            raise ValueError(f"section {shown(title)}: {error}") from error
    return sections
