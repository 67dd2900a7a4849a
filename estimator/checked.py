"""Numbers, texts and tables that come from files and options: checked in one place, refused in one line.

The line names the file, the key, what is known there, and what was found. Bounds say why nothing true lies outside.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple, Type, TypeVar

from .errors import RecordError, UsageError

_LONGEST = 60
"""Characters of a value that a message shows."""
_Checked = TypeVar("_Checked")


@dataclass(frozen=True)
class Bounds:
    """What a number may be at least and at most, its unit, and why nothing true lies outside."""

    lower: float
    upper: float
    unit: str = ""
    why: str = ""

    @property
    def text(self) -> str:
        """Returns "from 100 to 10000 MHz"."""
        return f"from {_figure(self.lower)} to {_figure(self.upper)} {self.unit}".rstrip()


def _figure(value: float) -> str:
    return str(int(value)) if value == int(value) and abs(value) < 1e8 else f"{value:g}"


ANY = Bounds(-1e300, 1e300)
"""Any number that a few operations leave finite."""
LATENCY_MS = Bounds(1e-5, 1e8, "ms", "no clock tells 10 ns, nobody waits a day for a forward pass")
LATENCY_US = Bounds(1e-2, 1e11, "us", LATENCY_MS.why)
TERM_MS = Bounds(0, LATENCY_MS.upper, "ms")
ERROR_PCT = Bounds(-100, 1e2 * LATENCY_MS.upper / LATENCY_MS.lower, "%", "no estimate is negative")
SHARE = Bounds(1e-4, 2, "", "relative: below 0.01 % no device repeats, above 2 nothing is known")
PERCENT = Bounds(0, 1e4, "%", "more than a hundredfold is no estimate")
SIZE = Bounds(1, 65536, "", "no tensor that fits a device is wider")
BATCH = Bounds(1, 2**20, "", "so many images alone take 600 GB")
COUNT = Bounds(0, 10**6, "", "a forward pass takes a millisecond")


def number(value: Any, bounds: Bounds = ANY) -> float:
    """Returns a number within its bounds; ValueError says what it must be. True and False are no numbers."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not bounds.lower <= value <= bounds.upper:
        raise ValueError(_must_be("a finite number", value, bounds))
    return float(value)


def whole(value: Any, bounds: Bounds) -> int:
    """Returns a whole number within its bounds; ValueError says what it must be."""
    if number(value, bounds) != int(value):
        raise ValueError(_must_be("a whole number", value, bounds))
    return int(value)


def _must_be(what: str, value: Any, bounds: Bounds) -> str:
    within = "" if bounds is ANY else f" {bounds.text}"
    is_number = isinstance(value, (int, float)) and abs(value) < float("inf")
    why = f" ({bounds.why})" if bounds.why and is_number else ""
    return f"must be {what}{within}, got {shown(value)}{why}"


def parsed(text: Any, bounds: Bounds = ANY) -> float:
    """Returns the number that a cell of a table or an option says, as `number` does."""
    try:
        return number(float(_plain(text)), bounds)
    except ValueError:
        raise ValueError(_must_be("a finite number", text, bounds)) from None


def parsed_whole(text: Any, bounds: Bounds) -> int:
    """Returns the whole number that a cell of a table or an option says; digits alone, no sign and no exponent."""
    if not re.fullmatch(r"[0-9]{1,18}", str(text)) or not bounds.lower <= int(text) <= bounds.upper:
        raise ValueError(_must_be("a whole number", text, bounds))
    return int(text)


def _plain(text: Any) -> str:
    """Python's own notation is more than a file may say: underscores, blanks, digits of other scripts."""
    if not re.fullmatch(r"[-+]?[0-9]*\.?[0-9]+([eE][-+]?[0-9]+)?|[-+]?[0-9]+\.", str(text)):
        raise ValueError("no number")
    return str(text)


def text_of(value: Any) -> str:
    """Returns a text that is more than blanks; ValueError if it is none."""
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"must be a text, got {shown(value)}")
    return value


def one_of(value: Any, known: Sequence[Any]) -> Any:
    """Returns the value if it is known; ValueError names what is."""
    if not any(value is choice or (type(value) is type(choice) and value == choice) for choice in known):
        raise ValueError(f"unknown {shown(value)}; known: {', '.join(map(str, known))}")
    return value


def checked_option(option: str, check: Callable[[], _Checked]) -> _Checked:
    """Returns what `check` returns; its ValueError becomes a UsageError that names the option."""
    try:
        return check()
    except ValueError as error:
        raise UsageError(f"{option}: {error}") from None


def shown(value: Any) -> str:
    """Returns the value for a message: on one line, the longest ones cut."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # thousands of digits, hundreds of brackets
        return f"{type(value).__name__} that is too long to print"
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 20]}... ({len(text)} characters)"


class Checked:
    """A table of a file that knows its file and key, for the message when something is wrong with it."""

    def __init__(
        self, path: Path, content: Any, key: str = "", error: Type[UsageError] = RecordError, repair: str = ""
    ) -> None:
        self.path, self.key, self._error, self._repair = path, key, error, repair
        self.content: Mapping[str, Any] = content
        if not isinstance(content, dict):
            raise self.error(f"must be a table, got {shown(content)}")

    def error(self, what: str, key: str = "") -> UsageError:
        """Returns the error to raise: file, key, what is wrong, and what to do."""
        where = self.where(key) or "document"
        repair = f"; {self._repair}" if self._repair else ""
        return self._error(f"{self.path}: {where}: {what}{repair}")

    def where(self, key: str) -> str:
        """Returns the key as seen from the top of the file."""
        name = key if re.fullmatch(r"[\w\-\[\]() .,+/=]{0,60}", key, re.ASCII) else shown(key)
        return ".".join(part for part in (self.key, name) if part)

    def has(self, key: str) -> bool:
        """Whether the key is there."""
        return key in self.content

    def get(self, key: str) -> Any:
        """Returns what is there, whatever it is; the error names the keys that are."""
        if key not in self.content:
            raise self.error(f"is missing; keys here: {_names(self.content) or 'none'}", key)
        return self.content[key]

    def only(self, known: Sequence[str], needed: bool = False) -> None:
        """Refuses keys that are not known, and if all are needed also that one is missing."""
        for key in known if needed else ():
            self.get(key)
        for key in self.content:
            if key not in known:
                raise self.error(f"is not known; known keys: {', '.join(known)}", key)

    def check(self, key: str, value: Any, check: Callable[..., _Checked], *about: Any) -> _Checked:
        """Returns what `check` makes of the value; its ValueError becomes the error that names this key."""
        try:
            return check(value, *about)
        except ValueError as error:
            raise self.error(str(error), key) from None

    def text(self, key: str, default: Optional[str] = None) -> str:
        """Returns a text; the default where the key is missing and there is one."""
        return default if default is not None and not self.has(key) else self.check(key, self.get(key), text_of)

    def number(self, key: str, bounds: Bounds = ANY) -> float:
        """Returns a number within its bounds."""
        return self.check(key, self.get(key), number, bounds)

    def whole(self, key: str, bounds: Bounds) -> int:
        """Returns a whole number within its bounds."""
        return self.check(key, self.get(key), whole, bounds)

    def one_of(self, key: str, known: Sequence[Any]) -> Any:
        """Returns one of the known values."""
        return self.check(key, self.get(key), one_of, known)

    def items(self, key: str) -> List[Any]:
        """Returns a list, whatever is in it."""
        found = self.get(key)
        if not isinstance(found, list):
            raise self.error(f"must be a list, got {shown(found)}", key)
        return found

    def numbers(self, key: str, bounds: Bounds = ANY, count: Optional[int] = None) -> Tuple[float, ...]:
        """Returns a list of numbers; of so many, where that is given, else of at least one."""
        return self._row(key, self.items(key), bounds, count)

    def rows(self, key: str, columns: int, bounds: Bounds = ANY) -> Tuple[Tuple[float, ...], ...]:
        """Returns a list of lists of so many numbers each."""
        return tuple(self._row(f"{key}[{place}]", row, bounds, columns) for place, row in enumerate(self.items(key)))

    def _row(self, key: str, row: Any, bounds: Bounds, count: Optional[int]) -> Tuple[float, ...]:
        if not isinstance(row, list) or (len(row) != count if count is not None else not row):
            raise self.error(f"must be a list of {count or 'some'} numbers, got {shown(row)}", key)
        return tuple(self.check(f"{key}[{place}]", value, number, bounds) for place, value in enumerate(row))

    def table(self, key: str) -> Checked:
        """Returns the table below this one."""
        return self.part(key, self.get(key))

    def part(self, key: str, content: Any) -> Checked:
        """Returns content of this file as a table of that key."""
        return Checked(self.path, content, self.where(key), self._error, self._repair)

    def beside(self, key: str, value: Any) -> Checked:
        """Returns this table with one more key."""
        return Checked(self.path, {**self.content, key: value}, self.key, self._error, self._repair)

    def tables(self) -> Dict[str, Checked]:
        """Returns the tables below this one by name."""
        return {key: self.table(key) for key in self.content}


def _names(keys: Mapping[str, Any]) -> str:
    return ", ".join(key if key.isprintable() and len(key) <= _LONGEST else shown(key) for key in keys)
