"""`python -m estimator estimate MODEL`: how long one forward pass takes, without a test and without the device."""

from __future__ import annotations

import argparse
import json

from .estimate_text import estimate_data, estimate_lines
from .pipeline import Estimate, estimate_stream
from .subjects.named import Named
from .target import Target, tensor_dtype
from .target_options import add_target_options, read_named

HELP = "how long one forward pass takes, with what bounds it"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the options."""
    add_target_options(parser)
    parser.add_argument("--json", action="store_true", help="print all terms as JSON")


def run(options: argparse.Namespace) -> int:
    """Prints the estimate and returns 0; raises GoldenLatencyError for what is bad."""
    subject, target = read_named(options)
    estimate = _estimated(subject, target)
    if options.json:
        print(json.dumps(estimate_data(subject.name, target, estimate), indent=2))
    else:
        print("\n".join(estimate_lines(subject.name, target, estimate)))
    return 0


def _estimated(subject: Named, target: Target) -> Estimate:
    from .capture import capture

    inputs = subject.example_input(target.batch_size)
    return estimate_stream(capture(subject.build(), inputs, tensor_dtype(target.precision.name)), target)
