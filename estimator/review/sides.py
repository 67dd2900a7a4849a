"""One side of a review: the goldens, inputs and records of a folder or of a git revision, read and not computed."""

from __future__ import annotations

import contextlib
import os
import subprocess
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Iterator, Mapping, Optional, Tuple

from ..errors import UsageError
from ..goldens.inputs import check_goldens, golden_inputs
from ..goldens.repository import Repository, is_measured
from ..goldens.tables import Document, Table
from ..goldens.whole_session import golden_session
from ..records.kinds import KINDS, kinds_in
from ..records.record import Record, load_record
from .changes import CrossValidation, Place

MAIN_BRANCHES = ("origin/main", "main", "origin/master", "master")


@dataclass(frozen=True)
class Golden:
    """What one golden keeps, whether it is of a model or a pattern, and the module of tests whose own it is, if any."""

    kind: str
    data: Mapping[str, Any]
    own_tests: str = ""


@dataclass(frozen=True)
class Side:
    """What stands below the folder `golden` of a tree.

    `inputs` and `cross_validations` by board (and configuration), goldens by place, records by board, configuration and
    folder of tests; `session` is what a whole session is made of. `content` is every file by name, to see quickly that
    nothing changed.
    """

    name: str
    content: Mapping[str, bytes]
    inputs: Mapping[str, Table] = field(default_factory=dict)
    streams: Document = field(default_factory=dict)
    goldens: Mapping[Place, Golden] = field(default_factory=dict)
    records: Mapping[Tuple[str, str, str], Record] = field(default_factory=dict)
    cross_validations: Mapping[str, CrossValidation] = field(default_factory=dict)
    session: Document = field(default_factory=dict)


def read_side(name: str, repository: Repository) -> Side:
    """Returns what a repository has; UsageError where it has no goldens, RecordError for a damaged one."""
    folder = repository.folder
    if not folder.is_dir():
        raise UsageError(f"{name}: there is no folder {folder.name} to review")
    check_goldens(repository)
    boards = [path.name for path in sorted(folder.iterdir()) if path.is_dir()]
    labels = [(board, label) for board in boards for label in repository.labels(board)]
    return Side(
        name,
        {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()},
        {board: golden_inputs(repository, board) for board in boards},
        repository.document(repository.streams_path),
        dict(pair for board, label in labels for pair in _goldens(repository, board, label)),
        dict(_records(repository, labels)),
        dict(_cross_validations(repository, labels)),
        golden_session(repository),
    )


def _goldens(repository: Repository, board: str, label: str) -> Iterator[Tuple[Place, Golden]]:
    """Those of the zoo may be rows of the board's table, where the configuration has no folder."""
    zoo = KINDS if repository.has_zoo else ()
    for kind in dict.fromkeys([*zoo, *kinds_in(repository.folder / board / label, repository.has_zoo)]):
        for _, name, data in repository.read_goldens(board, label, kind):
            yield (board, label, name), Golden(kind.parameter, data, "" if kind in KINDS else kind.folder)


def _records(repository: Repository, labels: Any) -> Iterator[Tuple[Tuple[str, str, str], Record]]:
    for board, label in labels:
        folder = repository.folder / board / label
        for kind in kinds_in(folder, repository.has_zoo):
            if (folder / kind.record).exists():
                yield (board, label, kind.folder), load_record(folder / kind.record, ())


def _cross_validations(repository: Repository, labels: Any) -> Iterator[Tuple[str, CrossValidation]]:
    for board, label in labels:
        folder = repository.folder / board / label
        found = repository.cross_validation(folder) if is_measured(folder) else {}
        if found:
            means, most = ({kind: pcts[i] for kind, pcts in found.items()} for i in range(2))
            yield f"{board} {label}", CrossValidation(means, most)


@contextlib.contextmanager
def side_of(root: Path, name: Optional[str]) -> Iterator[Side]:
    """Gives the side of a folder, of a git revision of the repository at `root`, or for None of its working tree."""
    own = Repository.at(root)
    if name is None:
        yield read_side("the working tree", own)
    elif Path(name).is_dir():
        yield read_side(name, Repository(Path(name), own.has_zoo))
    else:
        with exported(root, name) as folder:
            yield read_side(f"{name} ({_git(root, 'rev-parse', '--short', name)})", Repository(folder, own.has_zoo))


@contextlib.contextmanager
def exported(root: Path, revision: str) -> Iterator[Path]:
    """Gives a folder with the goldens of a revision; UsageError where git knows no such revision."""
    with tempfile.TemporaryDirectory() as folder:
        index = {"GIT_INDEX_FILE": str(Path(folder, "index"))}  # an archive would leave out what .gitattributes says
        run_git(root, "read-tree", f"{revision}:golden", **index)
        run_git(root, "checkout-index", "--all", f"--prefix={folder}/golden/", **index)
        yield Path(folder)


def merge_base(root: Path) -> str:
    """Returns the commit at which this branch left the main one; UsageError where neither is known."""
    for branch in MAIN_BRANCHES:
        with contextlib.suppress(UsageError):
            return _git(root, "merge-base", branch, "HEAD")
    raise UsageError(f"there is no branch to compare with (looked for {', '.join(MAIN_BRANCHES)}): name BASE")


def top_folder(folder: Path) -> Path:
    """Returns the top of the git repository around a folder; UsageError with git's reason where there is none."""
    return Path(_git(folder, "rev-parse", "--show-toplevel"))


def _git(root: Path, *words: str) -> str:
    return run_git(root, *words).decode("utf-8", "replace").strip()


def run_git(root: Path, *words: str, **environment: str) -> bytes:
    """Returns what git prints; UsageError with its reason."""
    command = ["git", "-C", str(root), *words]
    try:
        done = subprocess.run(command, capture_output=True, check=False, env={**os.environ, **environment})
    except OSError as error:
        raise UsageError(f"git cannot be run ({error}): name two folders") from error
    if done.returncode:
        reason = done.stderr.decode("utf-8", "replace").strip().splitlines()
        raise UsageError(f"git {' '.join(words)}: {reason[0] if reason else 'failed'}")
    return done.stdout
