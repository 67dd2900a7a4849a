"""The options that say what a command estimates, those of the suite where they mean the same: declared and read."""

from __future__ import annotations

import argparse
from dataclasses import replace
from typing import Any, Callable, Mapping, Tuple

from .checked import BATCH, checked_option, parsed_whole
from .commands import option_name
from .errors import UsageError
from .hardware.boards import DEFAULT_HARDWARE
from .importing import FORM
from .runtimes import EAGER
from .subjects.find import find_named
from .subjects.from_pytest import FORM as TESTED
from .subjects.from_pytest import tested_by
from .subjects.registry import Subject
from .target import Target, resolve

OPTIONS: Mapping[str, Tuple[str, ...]] = {
    "hardware": ("--hardware", f"board (default: {DEFAULT_HARDWARE}, or a test's own)"),
    "thermal_profile": ("--thermal-profile", "--power-mode", "power mode of the board (default: the profile's own)"),
    "precision": (
        "--precision",
        "fp32 (PyTorch's defaults), tf32, fp16, bf16; of tensorrt fp32, fp16, int8 (default: fp32)",
    ),
    "batch_size": ("--batch-size", "inputs per forward pass (default: 1)"),
    "runtime": ("--runtime", "eager, or tensorrt: an engine built of the model (default: eager)"),
}
"""Board, power mode, precision, batch and runtime: the names of each option, and last its help."""


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
    subject, target = None, resolve(options.hardware or DEFAULT_HARDWARE)
    if "::" in options.model:
        subject, own = tested_by(options.model)
        elsewhere = target.on_runtime(own.runtime, own.precision.name)
        target = own if options.hardware is None else replace(elsewhere, batch_size=own.batch_size)
    batch_size = None if options.batch_size is None else read_batch_size(options.batch_size)
    target = target.on_runtime(options.runtime, options.precision).changed(options.thermal_profile, None, batch_size)
    if not target.board.estimates(target.precision.name):
        raise UsageError(f"{target.hardware} is calibrated for fp32 alone; leave --precision out")
    return subject or find_named(options.model), target


def read_batch_size(text: str, option: str = "--batch-size") -> int:
    """Returns the number; UsageError, which names the option, where it is no whole number that a batch can be."""
    return checked_option(option, lambda: parsed_whole(text, BATCH))


def target_command(target: Target, name: Callable[[str], str] = option_name) -> str:
    """Returns the command line that runs the suite for this target; `name` says what an option is called."""
    options = {"--hardware": target.hardware, "--thermal-profile": target.mode.name}
    if target.runtime != EAGER:
        options["--runtime"] = target.runtime
    if target.precision.name != "fp32":
        options["--precision"] = target.precision.name
    if target.batch_size != 1:
        options["--batch-size"] = str(target.batch_size)
    return " ".join(["pytest", *(f"{name(option)} {value}" for option, value in options.items())])
