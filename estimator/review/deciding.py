"""Files that changed beside the goldens: those that decide whether a change passes, and the others, by git."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List, Optional, Tuple

from ..figures import counted
from ..goldens.repository import golden_root
from .sides import run_git

DECIDING: Tuple[str, ...] = (
    *("test_models", "test_patterns", "meta_tests"),
    *("tox.ini", "pyproject.toml", "pytest.ini", ".pytest.ini", "pytest.toml", ".pytest.toml", "setup.cfg"),
    *(".ci", ".github", ".gitattributes"),
    *("estimator/suite", "estimator/goldens", "estimator/review", "estimator/report/bars.py"),
    *("estimator/compare.py", "estimator/interval.py", "estimator/judging.py", "estimator/judging.toml"),
    *("estimator/uncertainty.toml", "estimator/measure/regression.py", "estimator/measure/together.py"),
)
"""Files and folders below the root of a repository, the suite's own or one that uses it; and every conftest.py."""
_DOCUMENTS = (".md", ".svg")
_AS_THEY_ARE = ("--text", "--no-ext-diff", "--no-textconv", "--no-renames")
_LINK = "a file and a link, "
_VERBS = {"A": "new, ", "D": "gone, ", "T": _LINK}


@dataclass(frozen=True)
class ChangedFiles:
    """What decides, and what else is no document: "conftest.py (3 lines)" of each."""

    deciding: Tuple[str, ...] = ()
    others: Tuple[str, ...] = ()


NO_FILES = ChangedFiles()


def changed_files(root: Path, base: str, head: Optional[str]) -> ChangedFiles:
    """Returns the files that differ between two revisions, or for None the working tree; UsageError without git."""
    found = {**_tracked(root, base, head), **({} if head else _untracked(root))}
    goldens = f"{golden_root(root).relative_to(root).as_posix()}/"
    links = {name for name in found if name.startswith(goldens) and _LINK in found[name]}  # whose text is elsewhere
    names = [name for name in sorted(found) if not name.startswith(goldens)]
    deciding = sorted({*links, *filter(_decides, names)})
    others = [name for name in names if not _decides(name) and not name.endswith(_DOCUMENTS)]
    return ChangedFiles(tuple(found[name] for name in deciding), tuple(found[name] for name in others))


def _decides(name: str) -> bool:
    return name.split("/")[-1] == "conftest.py" or any(f"{name}/".startswith(f"{each}/") for each in DECIDING)


def _tracked(root: Path, base: str, head: Optional[str]) -> Dict[str, str]:
    """By name, from ":MODES STATUS", "NAME" and then "ADDED<tab>REMOVED<tab>NAME" of each."""
    revisions = [base, head] if head else [base]
    words = iter(_words(root, "diff", "--raw", "--numstat", "-z", *_AS_THEY_ARE, *revisions, "--"))
    verbs: Dict[str, str] = {}
    found = {}
    for word in words:
        if word.startswith(":"):
            verbs[next(words)] = _VERBS.get(word[-1], "")
        else:
            added, removed, name = word.split("\t", 2)
            lines = "binary" if added == "-" else counted(max(int(added), int(removed)), "line")
            found[name] = f"{name} ({verbs[name]}{lines})"
    return found


def _untracked(root: Path) -> Dict[str, str]:
    ignored = ("--exclude-standard", "--exclude=__pycache__")
    return {name: f"{name} (new)" for name in _words(root, "ls-files", "--others", *ignored, "-z")}


def _words(root: Path, *command: str) -> List[str]:
    return [word for word in run_git(root, *command).decode("utf-8", "replace").split("\0") if word]
