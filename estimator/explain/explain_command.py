"""`python -m estimator explain MODEL`: where a latency goes, which ops make it long, and what would make it shorter."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..estimates import Estimates
from ..files import refuse_unwritable, write_atomically
from ..goldens.repository import Repository
from ..target_options import add_target_options, read_named
from .explanation import explain, json_of, text_of
from .trace import trace_text

HELP = "where a model's latency goes, which ops make it long, and what would make it shorter"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the options."""
    add_target_options(parser)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument(
        "--trace", type=Path, metavar="FILE", help="write the timeline, for Perfetto or chrome://tracing"
    )


def run(options: argparse.Namespace) -> int:
    """Prints the explanation, writes the trace, and returns 0; raises GoldenLatencyError for what is bad."""
    subject, target = read_named(options)
    if options.trace is not None:
        refuse_unwritable("--trace", options.trace)
    found = explain(subject, target, Repository.at(Path.cwd()), Estimates())
    if options.trace is not None:
        write_atomically(options.trace, trace_text(found))
    print(json_of(found) if options.json else text_of(found), end="")
    return 0
