"""Says whether the tests that golden/tests.md names ran and passed, by what pytest wrote, whatever the exit code was.

    python .ci/accounted.py JUNIT.xml ...

Those of all files together: the main job and every configuration. Exit code 1 names the first that did not.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path
from typing import Dict, Iterable, List, Optional
from xml.etree import ElementTree

_TESTS = Path(__file__).parents[1] / "golden" / "tests.md"
_MOST = 5
_NEVER = ("::test_baseline",)
"""What only a device judges."""


def main(arguments: Optional[List[str]] = None) -> int:
    parser = argparse.ArgumentParser(prog="python .ci/accounted.py", description=__doc__)
    parser.add_argument("files", nargs="+", type=Path, metavar="JUNIT.xml")
    problem = why_not(parser.parse_args(arguments).files)
    if problem is not None:
        print(f"not accounted for: {problem}", file=sys.stderr)
    return int(problem is not None)


def why_not(files: Iterable[Path], of: str = "::") -> Optional[str]:
    """Says which of the tests with that text in their name did not run and pass, None where all did."""
    try:
        wanted = [test for test in expected() if of in test and not test.endswith(_NEVER)]
        outcomes = {test: outcome for file in files for test, outcome in results(file).items()}
    except (OSError, ElementTree.ParseError) as error:
        return f"{error}"
    if not wanted:
        return f"{_TESTS.name} names no test"
    wrong = [f"{test} {outcomes.get(test, 'did not run')}" for test in wanted if outcomes.get(test) != "passed"]
    more = f", and {len(wrong) - _MOST} more" if len(wrong) > _MOST else ""
    return f"{len(wrong)} of {len(wanted)} tests: {', '.join(wrong[:_MOST])}{more}" if wrong else None


def expected() -> List[str]:
    """Returns the tests that golden/tests.md names."""
    return re.findall(r"^\| ([^|]+::[^|]+?) +\|$", _TESTS.read_text(encoding="utf-8"), re.MULTILINE)


def results(junit: Path) -> Dict[str, str]:
    """Returns the outcome of each test in a file, by its node id; of one that ran twice the last."""
    found = {}
    for case in ElementTree.parse(junit).getroot().iter("testcase"):
        path = case.get("classname", "").replace(".", "/") + ".py"
        outcome = next((kind for kind in ("failure", "error", "skipped") if case.find(kind) is not None), "passed")
        found[f"{path}::{case.get('name', '')}"] = outcome
    return found


if __name__ == "__main__":
    sys.exit(main())
