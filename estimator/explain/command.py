"""`python -m estimator explain MODEL`: where a latency goes, which ops make it long, and what would make it shorter."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..checked import BATCH, checked_option, parsed_whole
from ..errors import UsageError
from ..files import refuse_unwritable, write_atomically
from ..hardware.boards import DEFAULT_HARDWARE
from ..subjects.imported import FORM
from ..target import PRECISIONS, resolve
from .explanation import explain, find
from .rendering import json_of, text_of
from .trace import trace_text

HELP = "where a model's latency goes, which ops make it long, and what would make it shorter"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the options, which are those of the suite where they mean the same."""
    parser.add_argument(
        "model", metavar="MODEL", help=f"a model or pattern by name, or {FORM}, which gives a module and its inputs"
    )
    parser.add_argument("--hardware", default=DEFAULT_HARDWARE, metavar="NAME", help="default: %(default)s")
    parser.add_argument(
        "--thermal-profile", "--power-mode", metavar="NAME", help="power mode (default: the profile's own)"
    )
    parser.add_argument("--precision", default="fp32", metavar="NAME", help=f"{', '.join(PRECISIONS)} (default: fp32)")
    parser.add_argument("--batch-size", default="1", metavar="N", help="inputs per forward pass (default: 1)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument(
        "--trace", type=Path, metavar="FILE", help="write the timeline, for Perfetto or chrome://tracing"
    )


def run(options: argparse.Namespace) -> int:
    """Prints the explanation, writes the trace, and returns 0; raises GoldenLatencyError for what is bad."""
    batch_size = checked_option("--batch-size", lambda: parsed_whole(options.batch_size, BATCH))
    target = resolve(options.hardware, options.thermal_profile, options.precision, batch_size)
    if not target.board.estimates(target.precision.name):
        raise UsageError(f"{target.hardware} is calibrated for fp32 alone; leave --precision out")
    if options.trace is not None:
        refuse_unwritable("--trace", options.trace)
    found = explain(find(options.model), target, Path.cwd())
    if options.trace is not None:
        write_atomically(options.trace, trace_text(found))
    print(json_of(found) if options.json else text_of(found), end="")
    return 0
