"""A figure beside what is promised of it."""

from __future__ import annotations


def beside_bar(figure: str, bar: str, met: bool) -> str:
    """Returns the figure with its bar and whether it is met, "3.2 times  bar <= 4  met"."""
    return f"{figure}  bar {bar}  {'met' if met else 'MISSED'}"
