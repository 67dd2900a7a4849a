"""From pytest's items to the tests of the suite, and which of them a session runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, List, Optional, Sequence

import pytest

from ..records.kinds import KINDS
from ..subjects.patterns import Pattern
from ..subjects.zoo import ZooModel
from .session import EVERY, MARKERS, Session, Test

if TYPE_CHECKING:
    from ..subjects.all import Subject


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
        if test.subject is not None and test.kind is not None:
            test.item.user_properties.append((test.kind.parameter, test.subject.name))


def give_configurations(session: Session, metafunc: pytest.Metafunc) -> None:
    """Gives a test of every configuration each one that has goldens."""
    if metafunc.definition.get_closest_marker(EVERY):
        found = session.configurations()
        metafunc.parametrize("configuration", found, ids=[c.name.replace(" ", "/") for c in found])
