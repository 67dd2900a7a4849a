"""Nothing that judges goes quietly: what a whole session is made of, against its golden; goldens nobody asked for."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Iterator, List, Sequence, Set, Tuple

import pytest

from ..goldens.whole_session import golden_session, session_changes, session_document
from ..hardware.reading import known_profiles
from ..records.kinds import KINDS, Kind
from .options import command_of
from .reports import CONFIGURATION, SUMMARY, Where, fail_in_one_line, properties_of, subjects_of

if TYPE_CHECKING:
    from ..goldens.configuration import Configuration
    from ..goldens.repository import Repository
    from .session import Session, Test

_SELECTING = ("keyword", "markexpr", "deselect", "ignore", "ignore_glob", "lf", "stepwise", "collectonly")
"""Options of pytest's by which a session is not the whole one."""
_MOST_LINES = 10
_EVERY_TEST = "test_configuration"
"""Of each configuration that has goldens."""


def _is_whole(config: pytest.Config) -> bool:
    """Returns whether no option of pytest's leaves tests out, and all that `testpaths` names is collected."""
    if any(getattr(config.option, name, None) for name in _SELECTING):
        return False
    paths = [config.rootpath / path for path in config.getini("testpaths")]
    wanted = [path for path in paths if path.exists()] or [config.rootpath]
    given = [(config.invocation_params.dir / arg).resolve() for arg in config.args]
    return all(any(arg in (path.resolve(), *path.resolve().parents) for arg in given) for path in wanted)


class Stated(pytest.Item):
    """A test that is there only where it fails: with a line, and what it is made of below."""

    def __init__(self, *, lines: Sequence[str], **about: Any) -> None:
        super().__init__(**about)
        self._lines = lines

    def runtest(self) -> None:
        """Fails with its lines."""
        __tracebackhide__ = True
        self.user_properties.append((SUMMARY, self._lines[0]))
        fail_in_one_line("\n".join(self._lines))

    def reportinfo(self) -> Tuple[Path, None, str]:
        """Returns what a report calls it."""
        return self.path, None, self.name


def stated(run: pytest.Session, name: str, lines: Sequence[str]) -> Stated:
    """Returns the test that fails with these lines."""
    return Stated.from_parent(run, name=name, nodeid=name, lines=lines)


def _lines(changes: Sequence[str], command: str) -> Iterator[str]:
    also = f", and {len(changes) - 1} more" if len(changes) > 1 else ""
    yield f"a whole session is not what was last reviewed: {changes[0]}{also}"
    yield from (f"  {change}" for change in changes[:_MOST_LINES])
    if len(changes) > _MOST_LINES:
        yield f"  ... and {len(changes) - _MOST_LINES} more"
    yield f"  If all of it is meant: {command}"


def _write_session(repository: Repository, names: Sequence[str]) -> None:
    """Writes what a whole session is made of, where that is another than before; OSError where it cannot.

    `names` are the tests of this session; those of configurations that came or went with its update are others.
    """
    path, base = repository.tests_path, _EVERY_TEST
    others = [name for name in names if f"::{base}[" not in name]
    folders = {name.partition("::")[0] for name in names if f"::{base}[" in name}
    found = [f"{target.hardware}/{target.label}" for target in repository.targets()]
    now = session_document(
        repository, [*others, *(f"{folder}::{base}[{each}]" for folder in folders for each in found)]
    )
    if session_changes(golden_session(repository), now):
        repository.write(path, repository.document_text(path, now))


def _boards_without_goldens(repository: Repository) -> Iterator[str]:
    boards = repository.boards()
    yield from (f"board {name} has a profile and no goldens" for name in known_profiles() if name not in boards)


@dataclass(eq=False)
class _Compared:
    """What tests have compared with its golden, from their reports: subjects, whole configurations.

    And the modules, and the tests themselves, of those that were skipped or may fail.
    """

    subjects: Set[Tuple[Where, str, str]] = field(default_factory=set)
    configurations: Set[str] = field(default_factory=set)
    skipped: Set[str] = field(default_factory=set)
    excused: Set[str] = field(default_factory=set)

    def note(self, report: pytest.TestReport) -> None:
        """Keeps what a test has said; one that failed did its part, one that may fail, or has no row, did not."""
        if report.skipped or hasattr(report, "wasxfail"):
            self.skipped.add(Path(report.nodeid.split("::")[0]).stem)
            self.excused.add(report.nodeid)
        if report.nodeid in self.excused:
            return
        self.configurations.update(properties_of(report, CONFIGURATION))
        for said in subjects_of(report):
            if "row" in said or report.failed:
                hardware, label = said["where"]
                self.subjects.add(((hardware, label), said["name"], said["family"]))

    def has(self, configuration: Configuration, kind: Kind, name: str) -> bool:
        """Returns whether the golden of a subject was compared; the family of a test's own module is its module."""
        if configuration.name in self.configurations:
            return True
        own = kind not in KINDS
        return any(
            (where, found) == (configuration.where, name) and (not own or family == kind.folder)
            for where, found, family in self.subjects
        )


def _unasked(session: Session, compared: _Compared) -> List[str]:
    """Returns a line for each golden of what a whole session estimates that no test has compared.

    In another repository a golden may be that of a test that was skipped, and of a board that others are run for.
    """
    repository = session.configuration.repository
    wheres = dict.fromkeys(where for where, _, _ in compared.subjects)
    own = () if repository.has_zoo else map(session.configuration_at, wheres)
    found = [
        _golden(configuration, kind, name)
        for configuration in (*session.expected, *own)
        for kind, goldens in configuration.goldens.items()
        if repository.has_zoo or kind.folder not in compared.skipped
        for name in goldens
        if not compared.has(configuration, kind, name)
    ]
    more = [f"... and {len(found) - _MOST_LINES} more"] if len(found) > _MOST_LINES else []
    return [
        *(f"{golden}: no test compared it; delete it, or bring its test back" for golden in found[:_MOST_LINES]),
        *more,
    ]


def _golden(configuration: Configuration, kind: Kind, name: str) -> str:
    if configuration.keeps_file(kind):
        return str(kind.golden_path(configuration.folder, name).relative_to(configuration.root))
    return f"{configuration.name} {name}"


class Accounting:
    """Holds a session against what a whole one is made of: its tests before they run, its goldens once they ran."""

    def __init__(self, session: Session) -> None:
        self._session, self._compared = session, _Compared()
        self._whole, self._left_out = _is_whole(session.config), False
        self._names: Sequence[str] = ()
        self.problems: List[str] = []

    @property
    def _repository(self) -> Repository:
        return self._session.configuration.repository

    @property
    def _is_named(self) -> bool:
        """Whether the golden names the tests of such a session: a replay of the zoo on one board."""
        session = self._session
        return self._repository.has_zoo and session.is_replay and len(session.options.targets) == 1

    def pytest_deselected(self) -> None:
        """Notes that tests were left out."""
        self._left_out = True

    def collected(self, tests: Sequence[Test]) -> Iterator[Tuple[str, List[str]]]:
        """Yields name and lines of what the session is red for beside its tests, which are all that were collected."""
        self._whole = self._whole and not self._left_out
        self._names = [test.item.nodeid for test in tests if test.is_ours]
        if self._is_named and not self._session.options.updating:
            yield from self._changed() if self._whole else ()
            yield from self._new()

    def _changed(self) -> Iterator[Tuple[str, List[str]]]:
        repository = self._repository
        changes = session_changes(golden_session(repository), session_document(repository, self._names))
        changes += _boards_without_goldens(repository)
        if changes:
            path = repository.tests_path.relative_to(repository.root)
            yield str(path), list(_lines(changes, repository.update_command))

    def _new(self) -> Iterator[Tuple[str, List[str]]]:
        session = self._session
        if session.is_new:
            name, command = session.configuration.name, command_of(session.config, session.options, self._repository)
            yield name, [f"{name} has no goldens: nobody has reviewed it; {command} --snapshot-update writes them"]

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keeps what a test has compared."""
        self._compared.note(report)

    def finish(self, run: pytest.Session, exitstatus: int) -> None:
        """Fails a whole session that compared less than there are goldens, unless it was cut short or updates them."""
        ended = (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED)
        is_worker = hasattr(run.config, "workerinput")
        if is_worker or not self._whole or exitstatus not in ended or run.shouldstop or run.shouldfail:
            return
        if self._is_named and self._session.options.updating:
            _write_session(self._repository, self._names)
            return
        self.problems += _unasked(self._session, self._compared)
