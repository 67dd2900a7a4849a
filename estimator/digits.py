"""How many digits a figure keeps: in goldens, to be compared exactly on every machine; in tables, to be read."""

from __future__ import annotations

from typing import Optional

DIGITS = 4


def significant(value: float, digits: int = DIGITS) -> float:
    """Returns the value rounded to this many significant digits."""
    return float(f"{float(value):.{digits}g}")


def ms_text(value: Optional[float]) -> str:
    """Returns milliseconds to two digits after the point, three below one; a dash for None."""
    return "-" if value is None else f"{value:.2f}" if value >= 1 else f"{value:.3f}"


def percent_text(value: Optional[float]) -> str:
    """Returns a signed percentage to one digit after the point; a dash for None."""
    return "-" if value is None else f"{value:+.1f}%"
