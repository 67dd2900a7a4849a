"""The tests of the suite among pytest's items: what each is about, which a session runs, with which parameters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Dict, List, Optional, Sequence

import pytest

from ..goldens.configuration import Configuration, kind_of
from ..records.kinds import KINDS, Kind
from ..subjects.patterns import Pattern
from ..subjects.zoo import ZooModel
from .reports import tell

if TYPE_CHECKING:
    from ..subjects.registry import Subject
    from .session import Session

WHOLE_ZOO = "whole_zoo"
BASELINE = "against_baseline"
EVERY = "every_configuration"
INPUTS = "inputs"
MARKERS: Dict[str, str] = {
    WHOLE_ZOO: "judges all models at once; left out when options select some",
    BASELINE: "judges all models of a live session together; left out where few have a baseline",
    INPUTS: "holds what a board's goldens were made from against its profile; left out when options select models",
    EVERY: "holds a whole configuration against its goldens; runs only with --every-configuration",
}
"""What a test that is not about one subject is for."""


@dataclass(frozen=True)
class Test:
    """A collected test, the subject that it is about, and the marker that says what else it is for."""

    item: pytest.Item
    subject: Optional[Subject]
    role: Optional[str]

    @property
    def kind(self) -> Optional[Kind]:
        """Returns whether it is about a model or a pattern, None for neither."""
        return kind_of(self.subject) if self.subject is not None else None

    @property
    def is_ours(self) -> bool:
        """Whether it is a test of the suite, and not one beside it."""
        return self.subject is not None or self.role is not None or self.is_own

    @property
    def is_own(self) -> bool:
        """Whether it checks a module of its own, which only its run says."""
        return self.subject is None and self.role is None and "latency" in getattr(self.item, "fixturenames", ())


def tests_of(items: Sequence[pytest.Item]) -> List[Test]:
    """Returns each item with the subject that it is about, and the marker that says what else it is for."""
    return [Test(item, subject_of(item), _role(item)) for item in items]


def _role(item: pytest.Item) -> Optional[str]:
    return next((name for name in MARKERS if item.get_closest_marker(name)), None)


def subject_of(item: pytest.Item) -> Optional[Subject]:
    """Returns the model or pattern that a test with the fixture `latency` is given; None for any other test."""
    has_latency = "latency" in getattr(item, "fixturenames", ())
    params = getattr(getattr(item, "callspec", None), "params", {}) if has_latency else {}
    subject = next((params[kind.parameter] for kind in KINDS if kind.parameter in params), None)
    return subject if isinstance(subject, (ZooModel, Pattern)) else None


def select(session: Session, config: pytest.Config, items: List[pytest.Item]) -> None:
    """Deselects what the session leaves out; names each test's model or pattern, so that every report carries it."""
    tests = tests_of(items)
    kept = session.select(tests)
    left_out = [test.item for test in tests if test not in kept]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [test.item for test in kept]
    for test in kept:
        if test.subject is not None:
            tell(test.item, test.subject, _configuration_of(session, test.item).where)


def _configuration_of(session: Session, item: pytest.Item) -> Configuration:
    """The session's, or where there are several boards that of the item's."""
    hardware = getattr(item, "callspec", None) and item.callspec.params.get("latency")  # type: ignore[attr-defined]
    target = next((target for target in session.options.targets if target.hardware == hardware), session.options.target)
    return session.configuration_of(target)


def give_parameters(session: Session, metafunc: pytest.Metafunc) -> None:
    """Gives a test of every configuration each one that has goldens, and where there are several boards a test each."""
    _give_boards(session, metafunc)
    if metafunc.definition.get_closest_marker(EVERY):
        found = session.configurations()
        metafunc.parametrize("configuration", found, ids=[c.name.replace(" ", "/") for c in found])


def _give_boards(session: Session, metafunc: pytest.Metafunc) -> None:
    """A test that names boards itself, by its parameters, is left alone."""
    boards = [target.hardware for target in session.options.targets]
    has_role = any(metafunc.definition.get_closest_marker(name) for name in MARKERS)
    if len(boards) > 1 and "latency" in metafunc.fixturenames and not has_role and not _names_boards(metafunc):
        metafunc.parametrize("latency", boards, indirect=True)


def _names_boards(metafunc: pytest.Metafunc) -> bool:
    arguments = (marker.args[0] for marker in metafunc.definition.iter_markers("parametrize") if marker.args)
    names = {name.strip() for found in arguments for name in (found.split(",") if isinstance(found, str) else found)}
    return bool(names & {"latency", "hardware"})
