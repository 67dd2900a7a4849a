"""Prints what a run left in a folder as Markdown, for the summary of a CI job: verdict, table, and what failed.

    python .ci/summary.py FOLDER TITLE >> "$GITHUB_STEP_SUMMARY"

Reads junit.xml, table.md and log.txt, each if it is there: a run that was cut short has a summary too, which says so.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Iterator, List, Optional, Tuple
from xml.etree import ElementTree

_MOST_CHARACTERS = 200_000  # a summary may hold 1 MiB
_MOST_PROBLEMS = 30
_BAD = ("error", "failure")


def main(arguments: List[str]) -> int:
    folder, title = Path(arguments[0]), arguments[1]
    text = "\n".join(summary(folder, title))
    sys.stdout.buffer.write((text[:_MOST_CHARACTERS] + "\n").encode("utf-8"))
    return 0


def summary(folder: Path, title: str) -> Iterator[str]:
    """Yields the lines of the summary."""
    cases = test_cases(folder / "junit.xml")
    yield from (f"## {title}", "", verdict(cases, not_measured(folder / "log.txt")), "")
    table = _text(folder / "table.md")
    yield table or "No table: the run ended before it had tested a model."
    bad = [(name, problem) for name, problem in cases or [] if problem is not None]
    if bad:
        yield from ("", "### Not passed", "")
        yield from (f"- `{name}`: {_code(problem)}" for name, problem in bad[:_MOST_PROBLEMS])
    if len(bad) > _MOST_PROBLEMS:
        yield f"- and {len(bad) - _MOST_PROBLEMS} more"


def verdict(cases: Optional[List[Tuple[str, Optional[str]]]], unmeasured: Optional[str]) -> str:
    if unmeasured is not None:
        return f"**Not measured:** {_code(unmeasured)}"
    if not cases:
        return "**No test ran.**"
    bad = sum(problem is not None for _, problem in cases)
    return f"**{bad} of {len(cases)} tests did not pass.**" if bad else f"**All {len(cases)} tests passed.**"


def test_cases(junit: Path) -> Optional[List[Tuple[str, Optional[str]]]]:
    """Returns the name and the first line of the problem, if any, of each test that ran; None without a report."""
    try:
        root = ElementTree.parse(junit).getroot()
    except (OSError, ElementTree.ParseError):
        return None
    return [
        (f"{case.get('classname')}.{case.get('name')}", _problem(case))
        for case in root.iter("testcase")
        if case.find("skipped") is None
    ]


def _problem(case: ElementTree.Element) -> Optional[str]:
    for kind in _BAD:
        found = case.find(kind)
        if found is not None:
            lines = (found.get("message") or found.text or "").strip().splitlines()
            return lines[0] if lines else kind
    return None


def not_measured(log: Path) -> Optional[str]:
    """Returns the reason that .ci/measure.py gave as its last line, None if it gave none."""
    lines = _text(log).strip().splitlines()
    start = "not measured: "
    return lines[-1][len(start) :] if lines and lines[-1].startswith(start) else None


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""


def _code(text: str) -> str:
    return "`" + text.replace("`", "'") + "`"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
