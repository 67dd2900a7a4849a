"""What a whole session is made of, as a golden: its tests, the records they are held against, and what judges them."""

from __future__ import annotations

import hashlib
from typing import Dict, Iterable, Iterator, List, Mapping, Sequence, Tuple

from ..errors import RecordError
from ..interval import EXTRAPOLATION, MODEL_UNCERTAINTY
from ..judging import JUDGES
from ..records.kinds import KINDS
from .inputs import INPUT_TITLES
from .repository import Repository
from .tables import Document, Row, Table

TESTS, RECORDS, WHAT_JUDGES = "Tests", "Records", "What judges"
JUDGE = "judge."
"""What the name of an input begins with that something is judged by."""
_TITLES: Dict[str, Row] = {
    TESTS: ("Test",),
    RECORDS: ("Record", "Digest"),
    WHAT_JUDGES: ("Judge", "Value", "Unit"),
}


def session_document(repository: Repository, tests: Sequence[str]) -> Document:
    """Returns what a whole session with these tests is made of, a section each."""
    rows: Dict[str, List[Row]] = {
        TESTS: [(test,) for test in sorted(tests)],
        RECORDS: list(_records(repository)),
        WHAT_JUDGES: list(judge_rows()),
    }
    return {title: Table(titles, {row[0]: row for row in rows[title]}) for title, titles in _TITLES.items()}


def _records(repository: Repository) -> Iterator[Row]:
    for kind in KINDS:
        for path in sorted(repository.folder.glob(f"*/*/{kind.record}")):
            digest = hashlib.sha256(path.read_bytes()).hexdigest()[:12]
            yield path.relative_to(repository.folder).as_posix(), digest


def judge_rows() -> Iterator[Row]:
    """Yields name, value and unit of everything that judges: bands, bars, margins, limits, and penalties."""
    yield from ((f"{JUDGE}{name}", f"{judge.value:.12g}", judge.unit) for name, judge in JUDGES.items())
    for kind, found in (("penalty", EXTRAPOLATION), ("model_uncertainty", MODEL_UNCERTAINTY)):
        for name, of in found.items():
            for side, value in (("host", of.host), ("device", of.device)):
                yield f"{JUDGE}{kind}.{name}.{side}", f"{value:.12g}", "1 sd, relative"


def golden_session(repository: Repository) -> Document:
    """Returns what the golden says a whole session is made of, empty without one; RecordError for a damaged one."""
    path = repository.tests_path
    document = repository.document(path)
    for title, titles in _TITLES.items():
        if title in document and document[title].titles != titles:
            raise RecordError(f"{path}: section {title}: columns must be {', '.join(titles)}; {repository.repair}")
    return document


def with_judges(inputs: Mapping[str, Table], session: Document) -> Dict[str, Table]:
    """Returns the inputs of boards with what judges them all, under a name that is no board's."""
    judges = session.get(WHAT_JUDGES)
    return {**inputs, **({} if judges is None else {WHAT_JUDGES: Table(INPUT_TITLES, judges.rows)})}


def session_changes(
    before: Document, now: Document, titles: Iterable[str] = (TESTS, RECORDS, WHAT_JUDGES)
) -> List[str]:
    """Returns a line for each test, record or judge, or those of some sections, that came, went or changed."""
    found: List[str] = []
    for title in titles:
        old, new = (document[title].rows if title in document else {} for document in (before, now))
        for name in dict.fromkeys([*old, *new]):
            if old.get(name) != new.get(name):
                found.append(_change(title, name, old.get(name, ()), new.get(name, ())))
    return found


def _change(title: str, name: str, old: Tuple[str, ...], new: Tuple[str, ...]) -> str:
    what = {TESTS: "test", RECORDS: "record", WHAT_JUDGES: "judge"}[title]
    short = name[len(JUDGE) :] if title == WHAT_JUDGES else name
    if not (old and new):
        return f"{what} {short} {'came' if new else 'is gone'}"
    if title == RECORDS:
        return f"record {name} is another one"
    return f"{short} {old[1]} -> {new[1]} {new[2]}"
