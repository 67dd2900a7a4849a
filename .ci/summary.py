"""Prints what runs left in folders as Markdown, for the summary of a CI job: verdict, table, and what failed.

    python .ci/summary.py FOLDER TITLE >> "$GITHUB_STEP_SUMMARY"
    python .ci/summary.py NAME=FOLDER [NAME=FOLDER ...] TITLE >> "$GITHUB_STEP_SUMMARY"

The first prints a run as it printed itself; the second, boards side by side: a row per model, a column per board.

Reads junit.xml, table.md, table.json, benchmark.json and log.txt, each if it is there: a run that was cut short has a
summary too, which says so.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Sequence, Tuple
from xml.etree import ElementTree

_MOST_CHARACTERS = 200_000  # a summary may hold 1 MiB
_MOST_PROBLEMS = 30
_BAD = ("error", "failure")
_USAGE = "give FOLDER TITLE, or NAME=FOLDER [NAME=FOLDER ...] TITLE"

Case = Tuple[str, Optional[str]]
"""A test's name and the first line of its problem, None where it passed."""


@dataclass(frozen=True)
class Board:
    """What a board's run came to: its verdict, a cell for each model, the errors in percent, and its tests."""

    name: str
    verdict: str
    cells: Dict[str, str]
    errors_pct: Sequence[float]
    cases: Sequence[Case]


def main(arguments: List[str]) -> int:
    folders, title = arguments[:-1], arguments[-1] if arguments else ""
    named = [folder.partition("=") for folder in folders if "=" in folder]
    if len(folders) != 1 and not 0 < len(named) == len(folders):
        print(f"summary.py {' '.join(arguments)}: {_USAGE}; nothing was printed", file=sys.stderr)
        return 4
    boards = [read_board(name, Path(folder)) for name, _, folder in named]
    text = "\n".join(boards_summary(boards, title) if boards else summary(Path(folders[0]), title))
    sys.stdout.buffer.write((text[:_MOST_CHARACTERS] + "\n").encode("utf-8"))
    return 0


def summary(folder: Path, title: str) -> Iterator[str]:
    """Yields the lines of the summary of one run."""
    cases = test_cases(folder / "junit.xml")
    yield from (f"## {title}", "", verdict(cases, not_measured(folder / "log.txt")), "")
    yield _text(folder / "table.md") or "No table: the run ended before it had tested a model."
    yield from problem_lines("Not passed", cases or [])


def boards_summary(boards: Sequence[Board], title: str) -> Iterator[str]:
    """Yields the lines of the summary of several boards: one table, and what each of them did not pass."""
    models = dict.fromkeys(model for board in boards for model in board.cells)
    yield from (f"## {title}", "", "A cell: measured latency, error of the estimate, verdict against the record.", "")
    yield _row("Model", [board.name for board in boards])
    yield "| --- |" + " --- |" * len(boards)
    yield _row("**tests**", [board.verdict for board in boards])
    for model in models:
        yield _row(model, [board.cells.get(model, "-") for board in boards])
    yield _row("**mean, largest error**", [_errors(board.errors_pct) for board in boards])
    for board in boards:
        yield from problem_lines(f"{board.name}: not passed", board.cases)


def problem_lines(heading: str, cases: Sequence[Case]) -> Iterator[str]:
    """Yields the tests that did not pass, each with its problem, below a heading; nothing where all passed."""
    bad = [(name, problem) for name, problem in cases if problem is not None]
    if bad:
        yield from ("", f"### {heading}", "")
        yield from (f"- `{name}`: {_code(problem)}" for name, problem in bad[:_MOST_PROBLEMS])
    if len(bad) > _MOST_PROBLEMS:
        yield f"- and {len(bad) - _MOST_PROBLEMS} more"


def verdict(cases: Optional[Sequence[Case]], unmeasured: Optional[str]) -> str:
    if unmeasured is not None:
        return f"**Not measured:** {_code(unmeasured)}"
    if not cases:
        return "**No test ran.**"
    bad = sum(problem is not None for _, problem in cases)
    return f"**{bad} of {len(cases)} tests did not pass.**" if bad else f"**All {len(cases)} tests passed.**"


def read_board(name: str, folder: Path) -> Board:
    """Returns what a board's run left in its folder; one that is not there is a board that measured nothing."""
    cases = test_cases(folder / "junit.xml")
    rows = _records(_json(folder / "table.json"))
    verdicts = _verdicts(folder / "benchmark.json")
    cells = {str(row.get("model")): _cell(row, verdicts) for row in rows}
    errors_pct = [abs(row["error_pct"]) for row in rows if row.get("error_pct") is not None]
    return Board(name, verdict(cases, why_not_measured(folder, cases)), cells, errors_pct, cases or [])


def why_not_measured(folder: Path, cases: Optional[Sequence[Case]]) -> Optional[str]:
    """Returns why a board's run measured nothing, or not all; None for one that did."""
    log = folder / "log.txt"
    said = not_measured(log)
    if said is not None or cases is not None:
        return said
    lines = _text(log).strip().splitlines()
    if not lines:
        return "its job left no results; the job's own log says how it ended"
    return f"its run was cut short; the log ends with: {lines[-1]}"


def _verdicts(path: Path) -> Dict[str, str]:
    """The verdict on each model's latency since the baseline, which only pytest-benchmark's file carries."""
    data = _json(path)
    measured = _records(data.get("benchmarks")) if isinstance(data, dict) else []
    return {str(one.get("param")): str(one.get("extra_info", {}).get("verdict", "")) for one in measured}


def _cell(row: Dict[str, Any], verdicts: Dict[str, str]) -> str:
    if row.get("meas_ms") is None:
        return "not measured"
    error_pct = row.get("error_pct")
    error = "no estimate" if error_pct is None else f"{error_pct:+.1f} %"
    return ", ".join(filter(None, (_ms(row["meas_ms"]), error, verdicts.get(str(row.get("model"))))))


def _ms(value: float) -> str:
    return f"{value:.2f} ms" if value >= 1 else f"{value:.3f} ms"


def _errors(errors_pct: Sequence[float]) -> str:
    return f"{sum(errors_pct) / len(errors_pct):.1f} %, {max(errors_pct):.1f} %" if errors_pct else "-"


def _row(title: str, cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in (title, *cells)) + " |"


def test_cases(junit: Path) -> Optional[List[Case]]:
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


def _json(path: Path) -> Any:
    try:
        return json.loads(_text(path))
    except ValueError:  # not there, or cut short
        return None


def _records(data: Any) -> List[Dict[str, Any]]:
    return [one for one in data if isinstance(one, dict)] if isinstance(data, list) else []


def _code(text: str) -> str:
    return "`" + text.replace("`", "'") + "`"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
