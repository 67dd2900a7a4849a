"""What a session measures on, how often, and what for."""

from __future__ import annotations

from dataclasses import dataclass

from .device.choice import Choice
from .protocol import Protocol


@dataclass(frozen=True)
class Plan:
    """The device and why, the rounds of a run, the runs of a model, and whether they become the record.

    `calibration_share` is the share of the micro-benchmarks to measure instead, 0 for none; with `host_alone` they are
    those of the host.
    """

    choice: Choice
    protocol: Protocol
    runs: int
    record: bool
    calibration_share: float = 0.0
    host_alone: bool = False
