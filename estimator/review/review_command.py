"""`python -m estimator review [BASE [HEAD]]`: what moved between two sets of goldens, and why."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from typing import Callable, Iterator, Mapping

from ..checked import checked_option, one_of
from ..estimates import Estimates
from ..goldens.inputs import inputs_now
from ..goldens.repository import IN_SAMPLE, Repository
from ..hardware.boards import known_hardware
from .causes import changed_inputs
from .changes import Review
from .deciding import NO_FILES, changed_files
from .formats import FORMATS
from .review import review
from .sections import rises
from .sides import Side, merge_base, side_of, top_folder

HELP = "what moved between two sets of goldens, and why"


def _held_out(found: Review) -> bool:
    before, now = found.cross_validations
    pairs = ((before[name].mean_pct, found.mean_pct) for name, found in now.items() if name in before)
    return any(rises(old, new, kind) for old, new in pairs for kind in new if kind != IN_SAMPLE)


FAILURES: Mapping[str, Callable[[Review], bool]] = {
    "rating": lambda found: any(difference.got_worse for difference in found.differences),
    "held-out": _held_out,
    "any": lambda found: not found.is_empty,
}
"""By name of the option --fail-on: what makes the exit code 1."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the arguments."""
    parser.add_argument("base", metavar="BASE", nargs="?", help="git revision or folder (default: the merge base)")
    parser.add_argument("head", metavar="HEAD", nargs="?", help="git revision or folder (default: the working tree)")
    parser.add_argument("--format", default="terminal", metavar="|".join(FORMATS), help="default: %(default)s")
    parser.add_argument(
        "--fail-on",
        metavar="|".join(FAILURES),
        help="exit code 1 where a rating or a held-out error got worse, or anything changed",
    )


def run(arguments: argparse.Namespace) -> int:
    """Prints the review; returns 1 where --fail-on asks for it. UsageError for what is not known."""
    checked_option("--format", lambda: one_of(arguments.format, [*FORMATS]))
    if arguments.fail_on is not None:
        checked_option("--fail-on", lambda: one_of(arguments.fail_on, [*FAILURES]))
    folders = [name for name in (arguments.base, arguments.head) if name and Path(name).is_dir()]
    root = Path.cwd() if len(folders) == 2 else top_folder(Path.cwd())
    base = arguments.base or merge_base(root)
    with side_of(root, base) as before, side_of(root, arguments.head) as now:
        beside = NO_FILES if folders else changed_files(root, base, arguments.head)
        found = review(before, now, Estimates(), beside)
    if arguments.head is None:
        found = replace(found, notices=(*found.notices, *_stale(Repository.at(root), now)))
    sys.stdout.buffer.write(FORMATS[arguments.format](found).encode("utf-8"))
    return int(arguments.fail_on is not None and FAILURES[arguments.fail_on](found))


def _stale(repository: Repository, now: Side) -> Iterator[str]:
    """Yields a notice where the working tree's goldens were made from other inputs than its profiles have."""
    boards = [hardware for hardware in now.inputs if hardware in known_hardware()]
    available = {hardware: inputs_now(repository, hardware) for hardware in boards}
    names = [change.short_name for change in changed_inputs(now.inputs, available)]
    if names:
        yield f"the goldens are older than the profiles ({', '.join(names[:5])}): first {repository.update_command}"
