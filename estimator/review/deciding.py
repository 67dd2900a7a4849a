"""What decides whether a change passes, beside the goldens: the tests, the suite, its bars, and what runs them."""

from __future__ import annotations

import difflib
import re
from pathlib import Path
from typing import Dict, Iterator, Mapping, Tuple

from ..figures import counted

DECIDING: Tuple[str, ...] = (
    *("conftest.py", "test_models", "test_patterns", "meta_tests"),
    *("tox.ini", "pyproject.toml", "pytest.ini", "setup.cfg"),
    *(".ci", ".github/workflows"),
    *("estimator/suite", "estimator/goldens", "estimator/review", "estimator/report/bars.py"),
    *("estimator/compare.py", "estimator/interval.py", "estimator/judging.py", "estimator/judging.toml"),
    "estimator/uncertainty.toml",
)
"""Files and folders below the root of a repository, the suite's own or one that uses it."""
_OF_PYTEST = {"pyproject.toml": r"\[tool\.pytest", "setup.cfg": r"\[tool:pytest\]"}
"""Of these the sections of pytest alone."""


def deciding_files(root: Path) -> Dict[str, str]:
    """Returns the text of each such file below a root, by its name there."""
    paths = (path for name in DECIDING for path in _files(root / name))
    return {path.relative_to(root).as_posix(): _text(path) for path in paths}


def _files(path: Path) -> Iterator[Path]:
    if path.is_file():
        yield path
    yield from (each for each in sorted(path.rglob("*")) if each.is_file() and "__pycache__" not in each.parts)


def _text(path: Path) -> str:
    text = path.read_text(encoding="utf-8", errors="replace")
    section = _OF_PYTEST.get(path.name)
    if section is None:
        return text
    parts = re.split(r"^(?=\[)", text, flags=re.MULTILINE)
    return "".join(part for part in parts if re.match(section, part))


def changed_files(before: Mapping[str, str], now: Mapping[str, str]) -> Iterator[str]:
    """Yields "conftest.py (3 lines)" for each file that differs; nothing where a side has goldens alone."""
    if not (before and now):
        return
    for name in sorted({*before, *now}):
        old, new = before.get(name, ""), now.get(name, "")
        if old != new:
            verb = "" if name in before and name in now else "new, " if name in now else "gone, "
            yield f"{name} ({verb}{counted(_lines(old, new), 'line')})"


def _lines(old: str, new: str) -> int:
    """How many lines were added or removed, the more of both."""
    marks = [line[:1] for line in difflib.ndiff(old.splitlines(), new.splitlines())]
    return max(marks.count("+"), marks.count("-"))
