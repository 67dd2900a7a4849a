"""A session that estimates nothing: it catches what the tests ask about, for another process or for `explain`."""

from __future__ import annotations

from typing import Any, List, Sequence

import pytest

from ..measure.device.choice import Choice
from ..measure.protocol import Plan, make_protocol
from ..subjects.from_pytest import CATCHER
from .selection import Test
from .session import Asked, Session

PLAN = Plan(Choice("recorded", "nothing is measured"), make_protocol("cpu", None, None), runs=1, record=False)


class Catch(Session):
    """Runs every test as far as it goes, and keeps what it asks about."""

    def select(self, tests: Sequence[Test]) -> List[Test]:
        """Returns the tests that are about a subject."""
        return [test for test in tests if test.is_own or test.subject is not None]

    def check(self, request: pytest.FixtureRequest, asked: Asked) -> None:
        """Keeps subject and target."""
        catcher: Any = self.config.pluginmanager.get_plugin(CATCHER)
        catcher.found[asked.subject.name] = (asked.subject, asked.configuration.target)
