"""What judges: bands, bars, margins and limits, by name, each with its unit and its reason."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Mapping

from .checked import Checked
from .files import read_toml


@dataclass(frozen=True)
class Judge:
    """A number by which something is judged."""

    value: float
    unit: str
    reason: str


def _read(path: Path) -> Mapping[str, Judge]:
    tables = Checked(path, read_toml(path)).tables()
    return {
        name: Judge(table.number("value"), table.text("unit"), table.text("reason")) for name, table in tables.items()
    }


JUDGES = _read(Path(__file__).with_suffix(".toml"))
"""By name."""


def judged_by(name: str) -> float:
    """Returns the number of that name."""
    return JUDGES[name].value
