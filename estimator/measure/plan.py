"""What a session measures on, how often, and what for."""

from __future__ import annotations

from dataclasses import dataclass

from .device.choice import Choice
from .protocol import Protocol


@dataclass(frozen=True)
class Plan:
    """The device and why, the rounds of a run, the runs of a model, and whether they become the record."""

    choice: Choice
    protocol: Protocol
    runs: int
    record: bool
