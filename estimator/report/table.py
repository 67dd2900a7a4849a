"""A table: its columns and rows are said once, and written as text, Markdown, CSV or JSON."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import dataclass
from typing import Any, Callable, Dict, Iterator, List, Sequence, Tuple

Row = Sequence[Any]
NAME_WIDTH = 22
"""The least width of a column of models' names."""


def _shown(value: Any) -> str:
    return "-" if value is None else str(value)


@dataclass(frozen=True)
class Column:
    """A column: its title, whether it stands to the right, the text of a value, and its least width in a terminal."""

    title: str
    is_right: bool
    show: Callable[[Any], str] = _shown
    width: int = 0


def left(title: str, show: Callable[[Any], str] = _shown, width: int = 0) -> Column:
    """Returns a column of words."""
    return Column(title, False, show, width)


def right(title: str, show: Callable[[Any], str] = _shown, width: int = 0) -> Column:
    """Returns a column of figures."""
    return Column(title, True, show, width)


@dataclass(frozen=True)
class Table:
    """Columns, and rows of one value for each; `groups` has the heading that each row stands below, or is empty."""

    columns: Tuple[Column, ...]
    rows: Sequence[Row]
    groups: Sequence[str] = ()

    @property
    def titles(self) -> List[str]:
        """Returns the titles of the columns."""
        return [column.title for column in self.columns]

    def cells(self, row: Row) -> List[str]:
        """Returns the row as text."""
        return [column.show(value) for column, value in zip(self.columns, row)]

    def text(self, gap: int = 2, ruled: bool = False) -> List[str]:
        """Returns the lines for a terminal; `ruled` puts a rule below the titles, and one below the rows."""
        indent = "  " if self.groups else ""
        groups = [(name, [self._indented(indent, row) for row in rows]) for name, rows in self._grouped()]
        columns = zip(self.titles, *(cells for _, rows in groups for cells in rows))
        widths = [max(column.width, *map(len, cells)) for column, cells in zip(self.columns, columns)]
        if not self.columns[-1].is_right:
            widths[-1] = max(self.columns[-1].width, len(self.titles[-1]))  # words at the end may be of any length
        rule = ["  " + "-" * (sum(widths) + gap * (len(widths) - 1))] if ruled else []
        lines = [self._line(self.titles, widths, gap), *rule]
        for name, rows in groups:
            lines += [f"  {name}"] if self.groups else []
            lines += [self._line(cells, widths, gap) for cells in rows]
        return [*lines, *rule]

    def _indented(self, indent: str, row: Row) -> List[str]:
        first, *others = self.cells(row)
        return [indent + first, *others]

    def _line(self, cells: Sequence[str], widths: Sequence[int], gap: int) -> str:
        sides = ("><"[not column.is_right] for column in self.columns)
        padded = (f"{cell:{side}{width}}" for cell, side, width in zip(cells, sides, widths))
        return ("  " + (" " * gap).join(padded)).rstrip()

    def _grouped(self) -> Iterator[Tuple[str, List[Row]]]:
        """Each heading with its rows, in order of first appearance."""
        found: Dict[str, List[Row]] = {}
        for name, row in zip(self.groups or [""] * len(self.rows), self.rows):
            found.setdefault(name, []).append(row)
        yield from found.items()

    def markdown(self) -> List[str]:
        """Returns the lines in Markdown, a row in bold before each group."""
        lines = [self.titles, ["---:" if column.is_right else "---" for column in self.columns]]
        for name, rows in self._grouped():
            lines += [[f"**{name}**", *[""] * (len(self.columns) - 1)]] if self.groups else []
            lines += map(self.cells, rows)
        return ["| " + " | ".join(map(escaped, cells)) + " |" for cells in lines]

    def csv(self) -> str:
        """Returns the values with a line of titles; an empty cell for None."""
        out = io.StringIO()
        csv.writer(out, lineterminator="\n").writerows([self.titles, *self.rows])
        return out.getvalue()

    def json(self) -> str:
        """Returns the values as a list of objects by the titles; null for None."""
        return json.dumps([dict(zip(self.titles, row)) for row in self.rows], indent=2) + "\n"


def escaped(text: str) -> str:
    """Returns a text that ends no cell of a table in Markdown, and opens no tag."""
    return text.replace("|", "\\|").replace("<", "&lt;")


def unescaped(text: str) -> str:
    """Returns the text that `escaped` was given."""
    return text.replace("&lt;", "<").replace("\\|", "|")
