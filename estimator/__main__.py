"""`python -m estimator COMMAND`: what the suite knows beyond its tables."""

from __future__ import annotations

import argparse
import importlib
import sys
from typing import List, Mapping, Optional

from .errors import GoldenLatencyError

COMMANDS: Mapping[str, str] = {"explain": "estimator.explain.command"}
"""Each command's module, which has `add_arguments(parser)` and `run(arguments) -> int`."""


def main(arguments: Optional[List[str]] = None) -> int:
    """Returns the command's exit code; 4, with one line that says why, where it cannot do what was asked."""
    parser = argparse.ArgumentParser(prog="python -m estimator", description=__doc__)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    modules = {name: importlib.import_module(path) for name, path in COMMANDS.items()}
    for name, module in modules.items():
        module.add_arguments(commands.add_parser(name, help=module.__doc__, description=module.__doc__))
    options = parser.parse_args(arguments)
    try:
        return int(modules[options.command].run(options))
    except GoldenLatencyError as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return 4


if __name__ == "__main__":
    sys.exit(main())
