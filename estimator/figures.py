"""How a figure is written: in goldens, to be compared exactly on every machine; in tables, to be read."""

from __future__ import annotations

from typing import Optional

from .judging import judged_by

DIGITS = int(judged_by("golden.digits"))


def significant(value: float, digits: int = DIGITS) -> float:
    """Returns the value rounded to this many significant digits."""
    return float(f"{float(value):.{digits}g}")


def ms(value: Optional[float]) -> str:
    """Returns milliseconds to two digits after the point, three below one; a dash for None."""
    return "-" if value is None else f"{value:.2f}" if value >= 1 else f"{value:.3f}"


def percent(value: Optional[float], sign: str = "", unit: str = " %") -> str:
    """Returns a percentage to one digit after the point, a dash for None.

    With "+" as its `sign` it always has one; any other, "± ", stands before it.
    """
    if value is None:
        return "-"
    return f"{value:+.1f}{unit}" if sign == "+" else f"{sign}{value:.1f}{unit}"


def counted(count: int, word: str) -> str:
    """Returns "1 line", "2 lines"."""
    return f"{count} {word}{'' if count == 1 else 's'}"


def compact_percent(value: Optional[float]) -> str:
    """Returns "5.7%", a dash for None."""
    return percent(value, unit="%")


def compact_error(value: Optional[float]) -> str:
    """Returns "+5.7%", a dash for None."""
    return percent(value, "+", "%")


def signed_percent(value: Optional[float]) -> str:
    """Returns a signed percentage, "+1.0 %"."""
    return percent(value, "+")
