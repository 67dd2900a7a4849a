"""The options that say what a command estimates, those of the suite where they mean the same: declared and read."""

from __future__ import annotations

import argparse
from dataclasses import replace
from typing import Any, Callable, Dict, Mapping, Tuple

from .checked import BATCH, checked_option, parsed_whole
from .errors import UsageError
from .hardware.boards import DEFAULT_HARDWARE, find_board
from .importing import FORM
from .subjects.find import find_named
from .subjects.from_pytest import FORM as TESTED
from .subjects.from_pytest import tested_by
from .subjects.registry import Subject
from .target import Target, find_precision, resolve

OPTIONS: Mapping[str, Tuple[str, ...]] = {
    "hardware": ("--hardware", f"board (default: {DEFAULT_HARDWARE}, or a test's own)"),
    "thermal_profile": ("--thermal-profile", "--power-mode", "power mode of the board (default: the profile's own)"),
    "precision": ("--precision", "fp32 (PyTorch's defaults), tf32, fp16 or bf16 (default: fp32)"),
    "batch_size": ("--batch-size", "inputs per forward pass (default: 1)"),
}
"""Board, power mode, precision and batch: the names of each option, and last its help."""


def add_options(add: Callable[..., Any], *names: str) -> None:
    """Declares those of OPTIONS with a parser's `add_argument`, or pytest's `addoption`."""
    for name in names:
        *flags, words = OPTIONS[name]
        add(*flags, dest=name, metavar="N" if name == "batch_size" else "NAME", help=words)


def add_target_options(parser: argparse.ArgumentParser) -> None:
    """Declares the model and the target."""
    parser.add_argument(
        "model",
        metavar="MODEL",
        help=f"a model or pattern by name; {FORM}, which gives a module and its inputs; or {TESTED}, a test",
    )
    add_options(parser.add_argument, *OPTIONS)


def read_named(options: argparse.Namespace) -> Tuple[Subject, Target]:
    """Returns what is named and for which target; a test's own target holds where no option says another.

    UsageError for an unknown name, a bad batch, or what the hardware has no estimates for.
    """
    if "::" in options.model:
        subject, target = tested_by(options.model)
        return subject, _checked(_with_options(target, options))
    target = resolve(options.hardware or DEFAULT_HARDWARE, options.thermal_profile, **_of_stream(options))
    return find_named(options.model), _checked(target)


def _with_options(target: Target, options: argparse.Namespace) -> Target:
    mode = options.thermal_profile
    if options.hardware is not None:
        board = find_board(options.hardware)
        profile = board.profile()
        target = replace(target, board=board, profile=profile, mode=profile.mode(mode))
    elif mode is not None:
        target = replace(target, mode=target.profile.mode(mode))
    batch_size = target.batch_size if options.batch_size is None else read_batch_size(options.batch_size)
    precision = target.precision if options.precision is None else find_precision(options.precision)
    return replace(target, precision=precision, batch_size=batch_size)


def _of_stream(options: argparse.Namespace) -> Dict[str, Any]:
    batch_size = 1 if options.batch_size is None else read_batch_size(options.batch_size)
    return {"precision": options.precision or "fp32", "batch_size": batch_size}


def _checked(target: Target) -> Target:
    if not target.board.estimates(target.precision.name):
        raise UsageError(f"{target.hardware} is calibrated for fp32 alone; leave --precision out")
    return target


def read_batch_size(text: str) -> int:
    """Returns the number; UsageError where it is no whole number that a batch can be."""
    return checked_option("--batch-size", lambda: parsed_whole(text, BATCH))


def target_command(target: Target) -> str:
    """Returns the command line that runs the suite for this target."""
    options = {"--hardware": target.hardware, "--thermal-profile": target.mode.name}
    if target.precision.name != "fp32":
        options["--precision"] = target.precision.name
    if target.batch_size != 1:
        options["--batch-size"] = str(target.batch_size)
    return " ".join(["pytest", *(f"{name} {value}" for name, value in options.items())])
