"""The command lines that messages name as what to run next."""

from __future__ import annotations


def calibrate_command(hardware: str, host_alone: bool = False) -> str:
    """Returns the command line that calibrates a board; `host_alone` that fits what an op costs its host alone."""
    return f"python -m estimator calibrate {hardware}{' --host' if host_alone else ''}"
