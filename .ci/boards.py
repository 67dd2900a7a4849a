"""Prints one table of all boards that jetson.yml measures as Markdown, for the summary of the job that follows theirs.

    python .ci/boards.py FOLDER TITLE >> "$GITHUB_STEP_SUMMARY"

FOLDER holds the results of the boards' jobs as actions/download-artifact leaves them, each in live-RUNNER-ATTEMPT.
Which boards there should be, the list in jetson.yml says: one whose job left nothing is in the table too.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import Dict, Iterator, List, Optional, Tuple

import summary
import yaml

_WORKFLOW = Path(__file__).parents[1] / ".github" / "workflows" / "jetson.yml"


def main(arguments: List[str]) -> int:
    if len(arguments) != 2:
        print("error: expected a folder with what the boards' jobs left, and a title", file=sys.stderr)
        return 4
    folder, title = Path(arguments[0]), arguments[1]
    attempt = int(os.environ.get("GITHUB_RUN_ATTEMPT", "1"))
    return summary.main([*(_argument(board, folder, attempt) for board in boards()), title])


def boards() -> Iterator[Dict[str, str]]:
    """Yields each line of the list: hardware, mode, runner."""
    workflow = yaml.safe_load(_WORKFLOW.read_text(encoding="utf-8"))
    yield from workflow["jobs"]["measure"]["strategy"]["matrix"]["include"]


def _argument(board: Dict[str, str], folder: Path, attempt: int) -> str:
    name = f"{board['hardware']} {board['mode']}"
    newest = newest_results(folder, board["runner"])
    if newest is None:
        return f"{name}={folder / board['runner']}"
    # "Re-run failed jobs" leaves the results of the others as they are: the column says so.
    older = f" (attempt {newest[0]} of {attempt})" if newest[0] < attempt else ""
    return f"{name}{older}={newest[1]}"


def newest_results(folder: Path, runner: str) -> Optional[Tuple[int, Path]]:
    """Returns the last attempt that left results of this runner's board, and where they are; None without any."""
    pattern = re.compile(rf"live-{re.escape(runner)}-(\d+)")
    found = [(pattern.fullmatch(path.name), path) for path in folder.glob("live-*")]
    return max(((int(match.group(1)), path) for match, path in found if match), default=None)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
