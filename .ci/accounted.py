"""Says whether tox.ini runs all that judges, and whether the tests that golden/tests.md names ran and passed.

    python .ci/accounted.py [JUNIT.xml ...]

By what pytest wrote, whatever its exit code was: those of all files together, the main job and every configuration.
Exit code 1 names what is missing.
"""

from __future__ import annotations

import argparse
import configparser
import re
import sys
from pathlib import Path
from typing import Dict, Iterable, List, Optional
from xml.etree import ElementTree

_ROOT = Path(__file__).parents[1]
_TESTS, _TOX = _ROOT / "golden" / "tests.md", _ROOT / "tox.ini"
_ENVIRONMENTS = ("lint", "workflows", "types", "tests", "user")
_JUNIT = "{work_dir}/junit-{env_name}.xml", "{work_dir}/junit-{env_name}-every.xml"
_COMMANDS = (
    f"pytest test_models test_patterns meta_tests -n 2 --junitxml {_JUNIT[0]} {{posargs}}",
    f"pytest --every-configuration -n 2 --junitxml {_JUNIT[1]}",
    f"python .ci/accounted.py {_JUNIT[0]} {_JUNIT[1]}",
)
"""Of the environment `tests`."""
_MOST = 5
_NEVER = ("::test_baseline",)
"""What only a device judges."""


def main(arguments: Optional[List[str]] = None) -> int:
    parser = argparse.ArgumentParser(prog="python .ci/accounted.py", description=__doc__)
    parser.add_argument("files", nargs="*", type=Path, metavar="JUNIT.xml")
    files = parser.parse_args(arguments).files
    problem = why_not_in_tox() or (why_not(files) if files else None)
    if problem is not None:
        print(f"not accounted for: {problem}", file=sys.stderr)
    return int(problem is not None)


def why_not_in_tox() -> Optional[str]:
    """Says what of all that judges tox.ini does not run, or runs for nothing; None where it runs all."""
    tox = configparser.ConfigParser(interpolation=None)
    try:
        tox.read_string(_TOX.read_text(encoding="utf-8"))
    except (OSError, configparser.Error) as error:
        return f"tox.ini: {error}".replace("\n", " ")
    listed = re.split(r"[\s,]+", tox.get("tox", "env_list", fallback=""))
    tests = [tox[name] for name in tox if re.match(r"testenv:.*\btests\b", name)]
    commands = [section.get("commands", "").strip().split("\n") for section in tests]
    missing = [
        *(f"env_list lacks {name}" for name in _ENVIRONMENTS if name not in listed),
        *(f"the tests lack {each}" for each in _COMMANDS if not commands or any(each not in of for of in commands)),
        *(f"[{name}] ignores an exit code" for name in tox if _ignores(tox[name])),
        *(f"[{name}] sets an option of pytest's" for name in tox if "PYTEST_" in tox[name].get("set_env", "")),
    ]
    return f"tox.ini: {missing[0]}" if missing else None


def _ignores(section: configparser.SectionProxy) -> bool:
    lines = "\n".join(text for key, text in section.items() if key.startswith("commands")).split("\n")
    return any(line.startswith(("-", "!")) for line in lines) or any(key.startswith("ignore_") for key in section)


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
