"""The commands and options that messages name."""

from __future__ import annotations


def option_name(option: str, has_zoo: bool = True) -> str:
    """Returns what an option of the suite is called: where the zoo is not, "--device" is "--latency-device"."""
    return option if has_zoo else f"--latency-{option[2:]}"


def calibrate_command(hardware: str, host_alone: bool = False) -> str:
    """Returns the command line that calibrates a board; `host_alone` that fits what an op costs its host alone."""
    return f"python -m estimator calibrate {hardware}{' --host' if host_alone else ''}"
