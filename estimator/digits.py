"""How many digits a figure keeps, so that goldens can be compared exactly on every machine."""

from __future__ import annotations

DIGITS = 4


def significant(value: float, digits: int = DIGITS) -> float:
    """Returns the value rounded to this many significant digits."""
    return float(f"{float(value):.{digits}g}")
