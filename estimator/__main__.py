"""`python -m estimator COMMAND`: what the estimator does beside the suite."""

from __future__ import annotations

import argparse
import importlib
import sys
from typing import Mapping, Optional, Sequence

from .errors import GoldenLatencyError

COMMANDS: Mapping[str, str] = {
    "estimate": "estimator.estimate_command",
    "explain": "estimator.explain.command",
    "review": "estimator.review.command",
}
"""Each command's module: its HELP, add_arguments(parser), and run(arguments) that returns the exit code."""


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Runs one command; a user's mistake is one line and exit code 4."""
    parser = argparse.ArgumentParser(prog="python -m estimator")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, module in COMMANDS.items():
        command = importlib.import_module(module)
        command.add_arguments(commands.add_parser(name, help=command.HELP, description=command.__doc__))
    options = parser.parse_args(arguments)
    try:
        return int(importlib.import_module(COMMANDS[options.command]).run(options))
    except GoldenLatencyError as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return 4


if __name__ == "__main__":
    sys.exit(main())
