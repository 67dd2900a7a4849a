"""`python -m estimator estimate MODEL`: how long one forward pass takes, without a test and without the device."""

from __future__ import annotations

import argparse
import json

from .estimate_text import estimate_data, estimate_lines
from .estimates import Estimates
from .target_options import add_target_options, read_named

HELP = "how long one forward pass takes, with what bounds it"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the options."""
    add_target_options(parser)
    parser.add_argument("--json", action="store_true", help="print all terms as JSON")


def run(options: argparse.Namespace) -> int:
    """Prints the estimate and returns 0; raises GoldenLatencyError for what is bad."""
    subject, target = read_named(options)
    estimate = Estimates().estimate(subject, target)
    if options.json:
        print(json.dumps(estimate_data(subject.name, target, estimate), indent=2))
    else:
        print("\n".join(estimate_lines(subject.name, target, estimate)))
    return 0
