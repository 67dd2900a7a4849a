"""`python -m estimator COMMAND`: what the estimator does beside the suite."""

from __future__ import annotations

import argparse
import importlib
import sys
from typing import Mapping, NoReturn, Optional, Sequence

from .errors import GoldenLatencyError, UsageError, one_line

COMMANDS: Mapping[str, str] = {
    "estimate": "estimator.estimate_command",
    "explain": "estimator.explain.explain_command",
    "review": "estimator.review.review_command",
    "calibrate": "estimator.calibration.calibrate_command",
    "new-board": "estimator.hardware.new_board",
}
"""Each command's module: its HELP, add_arguments(parser), and run(arguments) that returns the exit code."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Raises UsageError: what argparse refuses is a mistake like any other."""
        raise UsageError(f"{message} (see {self.prog} --help)")


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Runs one command; a user's mistake, or a file that cannot be written, is one line and exit code 4."""
    parser = _Parser(prog="python -m estimator")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, module in COMMANDS.items():
        command = importlib.import_module(module)
        command.add_arguments(commands.add_parser(name, help=command.HELP, description=command.__doc__))
    try:
        options = parser.parse_args(arguments)
        return int(importlib.import_module(COMMANDS[options.command]).run(options))
    except (GoldenLatencyError, OSError) as error:
        print(f"error: {one_line(error)}", file=sys.stderr)
        return 4
    except KeyboardInterrupt:  # a calibration takes minutes
        print("\ninterrupted", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
