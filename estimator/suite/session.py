"""What one session of pytest does with its subjects: the interface that replay and live implement."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple

import pytest

from ..estimates import Estimates
from ..goldens.configuration import Configuration, kind_of, load_configuration
from ..measure.device.choice import Choice
from ..records.kinds import Kind
from ..subjects.registry import find_subject
from ..subjects.streams import Streams
from ..target import Target
from .options import Options
from .reports import Where

if TYPE_CHECKING:
    from ..goldens.difference import Difference
    from ..opstream import Op
    from ..report.page import Measurement
    from ..subjects.custom import OwnModel
    from ..subjects.registry import Subject


_STEP = "__pytest_repeat_step_number"
"""The parameter by which pytest-repeat makes several tests of one; an id ends in it, "2-3" for the second of three."""
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
"""What a test that is not about one subject is for; a kind of session that selects it has the check that it calls."""


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


@dataclass(frozen=True)
class Asked:
    """What a test asks for: a subject on a target, and what it may take there at most in ms, if that matters."""

    subject: Subject
    configuration: Configuration
    budget_ms: Optional[float] = None


class Session:
    """A session that does nothing: what all kinds of session share.

    A test of every configuration is given those of `configurations`, one at a time. `expected` are those whose goldens
    a whole session compares; `is_new` says whether the session's own has none, and is for a reviewer to see first.
    """

    configurations: Sequence[Configuration] = ()
    expected: Sequence[Configuration] = ()
    is_new = False
    is_replay = False

    def __init__(self, config: pytest.Config, options: Options, configuration: Configuration, choice: Choice) -> None:
        self.config = config
        self.options = options
        self.configuration = configuration
        self.choice = choice
        self.estimates = Estimates(Streams(options.op_cache))
        self.own_models: Dict[str, OwnModel] = {}
        self._loaded = {configuration.name: configuration}
        self.checked: Dict[Tuple[str, str], Tuple[str, object]] = {}  # by name and place of a golden, the test

    def header(self) -> Iterator[str]:
        """Yields what the header says beside target, record and device."""
        return iter(())

    def select(self, tests: Sequence[Test]) -> List[Test]:
        """Returns the tests that run."""
        return [test for test in tests if not test.is_ours]

    def start(self, tests: Sequence[Test]) -> None:
        """Called once, before the first test."""

    def prepare(self, request: pytest.FixtureRequest, subject: Subject) -> None:
        """Called in the set-up of a subject's test: what goes wrong here is an error, not a failure."""

    def check(self, request: pytest.FixtureRequest, asked: Asked) -> None:
        """Fails where the subject's estimate or latency is not what it should be."""
        raise NotImplementedError

    def finish(self, ended: bool) -> bool:
        """Called once, after the last test; `ended` is False where the session was cut short. False if it fails."""
        return True

    def summary(self) -> Iterator[str]:
        """Yields the lines below the tables."""
        return iter(())

    def verdict(self, differences: Sequence[Difference], judged: Sequence[str]) -> Iterator[str]:
        """Yields what changed and what that did, where tests failed; `differences` are those from goldens.

        `judged` names the models, patterns and whole configurations whose tests ended.
        """
        return iter(())

    def measurements(self) -> Mapping[str, Measurement]:
        """Returns what was measured in this session, by subject."""
        return {}

    def device_info(self) -> Dict[str, Any]:
        """Returns what pytest-benchmark should say of the device."""
        return {}

    def configuration_of(self, target: Target) -> Configuration:
        """Returns the configuration of a target, read once; RecordError for a damaged file."""
        name = f"{target.hardware} {target.label}"
        if name not in self._loaded:
            self._loaded[name] = load_configuration(self.configuration.repository, target)
        return self._loaded[name]

    def configuration_at(self, where: Where) -> Configuration:
        """Returns the configuration of a board and the label of one, read once."""
        hardware, label = where
        known = self._loaded.get(f"{hardware} {label}")
        if known is not None:
            return known
        return self.configuration_of(self.configuration.repository.target(hardware, label))

    def ops_of(self, name: str, target: Target) -> Tuple[Op, ...]:
        """Returns the op stream of a model or pattern, or of a test's own module that this session has kept."""
        return self.estimates.ops(self.own_models.get(name) or find_subject(name), target)


def not_repeated(item: pytest.Item, text: str) -> str:
    """Returns the id of a test's parameters, or of the test, without which of its repetitions this is."""
    step = getattr(getattr(item, "callspec", None), "params", {}).get(_STEP)
    if step is None:
        return text
    repetition = rf"{step + 1}-\d+"
    return re.sub(rf"\[{repetition}\]$|(^|-){repetition}(?=\]?$)", "", text)


def repeat_options(config: pytest.Config) -> Tuple[str, ...]:
    """Returns the options with which another session finds the same tests."""
    count = config.getoption("count", default=None) if config.pluginmanager.hasplugin("repeat") else None
    return () if count is None else (f"--count={count}",)
