"""The options that say what a command estimates, those of the suite where they mean the same: declared and read."""

from __future__ import annotations

import argparse

from .errors import UsageError
from .hardware.boards import DEFAULT_HARDWARE
from .importing import FORM
from .target import PRECISIONS, Target, resolve


def add_target_options(parser: argparse.ArgumentParser) -> None:
    """Declares the model and the target."""
    parser.add_argument(
        "model", metavar="MODEL", help=f"a model or pattern by name, or {FORM}, which gives a module and its inputs"
    )
    parser.add_argument("--hardware", default=DEFAULT_HARDWARE, metavar="NAME", help="default: %(default)s")
    parser.add_argument(
        "--thermal-profile", "--power-mode", metavar="NAME", help="power mode (default: the profile's own)"
    )
    parser.add_argument("--precision", default="fp32", metavar="NAME", help=f"{', '.join(PRECISIONS)} (default: fp32)")
    parser.add_argument("--batch-size", default="1", metavar="N", help="inputs per forward pass (default: 1)")


def read_target(options: argparse.Namespace) -> Target:
    """Returns the target; UsageError for an unknown name, a bad batch, or what the hardware has no estimates for."""
    batch_size = read_batch_size(options.batch_size)
    target = resolve(options.hardware, options.thermal_profile, options.precision, batch_size)
    if not target.board.estimates(target.precision.name):
        raise UsageError(f"{target.hardware} is calibrated for fp32 alone; leave --precision out")
    return target


def read_batch_size(text: str) -> int:
    """Returns the number; UsageError where it is no whole number from 1."""
    if not text.isdecimal() or int(text) < 1:
        raise UsageError(f"--batch-size {text}: must be a whole number from 1")
    return int(text)
