"""Files that changed beside the goldens: those that decide whether a change passes, and the others, by git."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List, NamedTuple, Optional, Tuple

from ..figures import counted
from ..goldens.repository import INI_FILES, golden_root
from .sides import run_git

DECIDING: Tuple[str, ...] = (
    *("test_models", "test_patterns", "meta_tests"),
    *INI_FILES,
    *(".ci", ".github", ".gitattributes"),
    *("estimator/suite", "estimator/goldens", "estimator/review", "estimator/report/bars.py"),
    *("estimator/compare.py", "estimator/interval.py", "estimator/judging.py", "estimator/judging.toml"),
    *("estimator/uncertainty.toml", "estimator/measure/regression.py", "estimator/measure/together.py"),
)
"""Files and folders below the root of a repository, the suite's own or one that uses it; and every conftest.py."""
_DOCUMENTS = (".md", ".svg")
_AS_THEY_ARE = ("--text", "--no-ext-diff", "--no-textconv", "--no-renames")
_WORDS = {"A": "new", "D": "gone", "T": "a file and a link"}
"""What git's letter for a change says, beside the number of lines."""


@dataclass(frozen=True)
class ChangedFiles:
    """What decides, and what else is no document: "conftest.py (3 lines)" of each."""

    deciding: Tuple[str, ...] = ()
    others: Tuple[str, ...] = ()


NO_FILES = ChangedFiles()


class _Change(NamedTuple):
    """Of one file: git's letter for it, and the number of lines, or that nobody counted them."""

    letter: str
    lines: str = ""


def changed_files(root: Path, base: str, head: Optional[str]) -> ChangedFiles:
    """Returns the files that differ between two revisions, or for None the working tree; UsageError without git.

    Of goldens, which a review reads, only those whose text is elsewhere on one side.
    """
    found = {**_tracked(root, base, head), **({} if head else _untracked(root))}
    goldens = f"{golden_root(root).relative_to(root).as_posix()}/"
    read = {name for name, change in found.items() if name.startswith(goldens) and change.letter != "T"}
    names = [name for name in sorted(found) if name not in read]
    deciding = [name for name in names if _decides(name) or name.startswith(goldens)]
    others = [name for name in names if name not in deciding and not name.endswith(_DOCUMENTS)]
    return ChangedFiles(*(tuple(_text(name, found[name]) for name in each) for each in (deciding, others)))


def _decides(name: str) -> bool:
    return name.split("/")[-1] == "conftest.py" or any(f"{name}/".startswith(f"{each}/") for each in DECIDING)


def _text(name: str, change: _Change) -> str:
    said = (_WORDS.get(change.letter, ""), change.lines)
    return f"{name} ({', '.join(filter(None, said))})"


def _tracked(root: Path, base: str, head: Optional[str]) -> Dict[str, _Change]:
    """By name, from ":MODES LETTER", "NAME" and then "ADDED<tab>REMOVED<tab>NAME" of each."""
    revisions = [base, head] if head else [base]
    words = iter(_words(root, "diff", "--raw", "--numstat", "-z", *_AS_THEY_ARE, *revisions, "--"))
    found: Dict[str, _Change] = {}
    for word in words:
        if word.startswith(":"):
            found[next(words)] = _Change(word[-1])
        else:
            added, removed, name = word.split("\t", 2)
            lines = "binary" if added == "-" else counted(max(int(added), int(removed)), "line")
            found[name] = found[name]._replace(lines=lines)
    return found


def _untracked(root: Path) -> Dict[str, _Change]:
    ignored = ("--exclude-standard", "--exclude=__pycache__")
    return dict.fromkeys(_words(root, "ls-files", "--others", *ignored, "-z"), _Change("A"))


def _words(root: Path, *command: str) -> List[str]:
    return [word for word in run_git(root, *command).decode("utf-8", "replace").split("\0") if word]
