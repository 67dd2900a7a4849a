"""`python -m estimator calibrate [NAME]`: fits a board's constants and writes its profile, whole or not at all.

The board is this machine's: micro-benchmarks are measured on it. With --refit nothing is measured, and what the
repository has recorded is fitted again.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

from ..checked import COUNT, Bounds, checked_option, parsed, parsed_whole
from ..commands import calibrate_command
from ..errors import CalibrationError, MeasurementError, MeasurementRefused, UsageError
from ..hardware.boards import DEFAULT_HARDWARE, Board, find_board
from ..hardware.public_gpus import NAME as PUBLIC_GPUS
from ..measure.device.choice import Choice, choose_device
from ..measure.progress import Progress, terminal_line
from ..measure.protocol import Plan, make_protocol
from ..needed import CALIBRATION, MEASURING, refuse_missing
from ..target import target_on
from ..target_options import add_options

HELP = "fit a board's constants to what is measured here, or recorded, and write its profile"
EVIDENCE = ("records", "microbenchmarks", "both")
_HOST_RUNS = "3"
_SHARE = Bounds(1e-3, 1, "", "a share of the micro-benchmarks: fewer than one is none")
_OF_MEASURING = ("host", "device", "thermal_profile", "runs", "share")
_OF_REFIT = ("evidence", "fit_only")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the options."""
    parser.add_argument("hardware", metavar="NAME", nargs="?", default=DEFAULT_HARDWARE, help="default: %(default)s")
    add_options(parser.add_argument, "thermal_profile")
    parser.add_argument("--device", metavar="auto|cpu|cuda", help="what to measure on (default: the named board)")
    parser.add_argument("--host", action="store_true", help="the host's constants alone; the device's stay")
    parser.add_argument("--runs", metavar="N", help=f"fresh processes that measure the host (default: {_HOST_RUNS})")
    parser.add_argument("--share", metavar="SHARE", help="only this share of the micro-benchmarks: quicker, less sure")
    parser.add_argument("--refit", action="store_true", help="measure nothing: fit what was recorded again")
    parser.add_argument("--check", action="store_true", help="a refit that writes nothing; exit code 1 on a difference")
    parser.add_argument(
        "--evidence", metavar="|".join(EVIDENCE), help="what a refit is of (default: all that there is)"
    )
    parser.add_argument("--fit-only", action="store_true", help="a refit without the cross-validation (29 refits)")
    parser.add_argument(
        "--published", nargs="+", type=Path, metavar="TABLE.csv", help="only print the errors for these kernels"
    )


def run(options: argparse.Namespace) -> int:
    """Returns the exit code: 1 where --check found a difference or nothing could be measured or fitted."""
    is_public = options.hardware == PUBLIC_GPUS
    board = None if is_public else find_board(options.hardware)
    if board and options.published:
        from .published import print_errors

        print_errors(options.published, board.profile())
        return 0
    is_refit = options.refit or options.check
    for name in _OF_MEASURING if is_refit else _OF_REFIT:
        if getattr(options, name):
            flag, other = f"--{name.replace('_', '-')}", "leave --refit and --check out" if is_refit else "add --refit"
            raise UsageError(f"{flag} is of {'measuring' if is_refit else 'a refit'}: {other}")
    if board is None and not is_refit:
        raise UsageError(f"{PUBLIC_GPUS} are no board to measure on: add --refit or --check")
    if board is None and (options.published or options.evidence or options.fit_only):
        raise UsageError(f"{PUBLIC_GPUS} have one kind of evidence: --refit or --check alone")
    refuse_missing("calibrate", CALIBRATION)
    if board is None:
        return _public_gpus(options.check)
    return _refit(options, board) if is_refit else _measure(options, board)


def _public_gpus(only_check: bool) -> int:
    """The constants of GPUs that nobody calibrated: fitted to published figures, measured nowhere."""
    from . import public_fit

    figures, fit = public_fit.fit_public_gpus(lambda step: print(f"  refit {step}", flush=True))
    found = public_fit.table(figures, fit)
    print("\n".join(found.text()))
    return public_fit.compare(fit) if only_check else public_fit.write(found, fit)


def _refit(options: argparse.Namespace, board: Board) -> int:
    from .refit import compare, refitted, write

    if options.evidence not in (None, *EVIDENCE):
        raise UsageError(f"--evidence {options.evidence}: unknown; known: {', '.join(EVIDENCE)}")
    files = refitted(board, Path("golden"), options.evidence, options.fit_only)
    return compare(files) if options.check else write(files)


def _measure(options: argparse.Namespace, board: Board) -> int:
    from .on_board import calibrated

    refuse_missing("calibrate", MEASURING)
    if options.host and board.device == "cpu":
        raise UsageError(
            f"--host: on {board.name} host and device are one processor with one clock, and no constant is the "
            f"host's alone: {calibrate_command(board.name)}"
        )
    runs = _runs(options)
    share = checked_option("--share", lambda: parsed(options.share or "1", _SHARE))
    choice = _choice(options.device, board)
    target = target_on(board, board.base_profile(), options.thermal_profile)
    plan = Plan(choice, make_protocol(choice.device), runs, record=False)
    print(f"hardware: {board.name}, mode {target.mode.name}\ndevice: {choice.device} ({choice.why})")
    try:
        for line in calibrated(target, plan, share, options.host, Path.cwd(), Progress(terminal_line())):
            print(line, flush=True)
    except (MeasurementRefused, MeasurementError, CalibrationError) as error:
        print(f"not calibrated: {error}", file=sys.stderr)
        return 1
    return 0


def _runs(options: argparse.Namespace) -> int:
    """All constants are measured in one process."""
    if options.runs and not options.host:
        raise UsageError("--runs is of --host: all constants are measured in one process")
    counts = replace(COUNT, lower=1)
    return checked_option("--runs", lambda: parsed_whole(options.runs or _HOST_RUNS, counts)) if options.host else 1


def _choice(wanted: str, board: Board) -> Choice:
    choice = choose_device(wanted or "auto", board)
    if not choice.live:
        raise UsageError(f"calibrate measures on {board.name} itself ({choice.why}); --refit fits what was recorded")
    return choice
