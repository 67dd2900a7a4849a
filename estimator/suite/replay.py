"""Sessions without a device: one configuration, or each that has goldens, held against record and goldens."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Dict, Iterator, List, Sequence

import pytest

from ..errors import GoldenLatencyError
from ..estimates import Estimates
from ..goldens.configuration import Configuration, kind_of, load_configuration
from ..goldens.difference import Difference
from ..measure.device.choice import Choice
from ..records.kinds import MODEL_KIND, PATTERN_KIND
from ..report.comparisons import markdown_report
from ..review.sections import spread_text
from ..review.verdict import golden_verdict_lines
from ..target_options import target_command
from .budgets import budget_problem, with_budget
from .goldens import Golden, Goldens, inputs_lines, inputs_problem
from .options import Options, command_of
from .reports import CONFIGURATION, Problem, fail_in_one_line, fail_with, noted, tell_row
from .session import EVERY, INPUTS, WHOLE_ZOO, Asked, Session, Test, not_repeated
from .summary import latencies_ms

if TYPE_CHECKING:
    from ..subjects.registry import Subject


class Replay(Session):
    """Estimates each subject of one configuration and holds it against record and golden."""

    is_replay = True
    _rewrites_all = False

    def __init__(self, config: pytest.Config, options: Options, configuration: Configuration, choice: Choice) -> None:
        super().__init__(config, options, configuration, choice)
        self._rewritten_goldens: List[Golden] = []
        self._left: Sequence[str] = ()
        if configuration.repository.has_zoo:
            self.is_new = configuration.target.board.has_goldens and not any(configuration.goldens.values())
            self.expected = [configuration] if options.whole_zoo else []

    @functools.cached_property
    def configurations(self) -> Sequence[Configuration]:  # type: ignore[override]
        """Each that has goldens; a session of one leaves their tests out, once they are accounted for."""
        repository = self.configuration.repository
        return [load_configuration(repository, target) for target in repository.targets()]

    def select(self, tests: Sequence[Test]) -> List[Test]:
        """Models as the options say; patterns where some are recorded, and no option selects models."""
        kept = [test for test in tests if not test.is_ours or self._runs(test)]
        names = {test.subject.name for test in kept if test.subject is not None}
        self._rewrites_all = names >= {subject.name for subject in _subjects_of(self.configuration)}
        return kept

    def _runs(self, test: Test) -> bool:
        if test.kind is MODEL_KIND:
            return test.subject in self.options.models
        if test.kind is PATTERN_KIND:
            return self.options.whole_zoo and bool(self.configuration.record_of(PATTERN_KIND).runs_ms)
        if test.is_own:
            return self.options.whole_zoo
        is_judged = test.role == INPUTS or (test.role == WHOLE_ZOO and self.configuration.is_measured)
        return is_judged and self.options.whole_zoo

    def check(self, request: pytest.FixtureRequest, asked: Asked) -> None:
        """Fails unless the estimate equals its golden term by term, and error and budget keep what they promise."""
        __tracebackhide__ = True
        subject, configuration = asked.subject, asked.configuration
        try:
            result = configuration.estimated(subject, self.estimates)
        except GoldenLatencyError as error:
            fail_in_one_line(f"{subject.name}: no estimate: {error}")
        row, budget = with_budget(result.comparison, asked.budget_ms)
        modes_ms = latencies_ms(subject, configuration.target, self.options.compared_modes, self.estimates)
        tell_row(request.node, subject, row, modes_ms=modes_ms, **noted(result.estimate))
        self._rewritten_goldens.append((*configuration.where, kind_of(subject), subject.name))
        goldens = _goldens(request, configuration, self.options.updating)
        unreviewed = self.is_new and configuration is self.configuration and not self.options.updating
        golden = None if unreviewed else goldens.problem(subject, result)
        test = not_repeated(request.node, request.node.nodeid)
        over_budget = budget_problem(budget, asked, test, self.estimates)
        fail_with(request, [over_budget, golden])

    def check_table(self, request: pytest.FixtureRequest) -> None:
        """Fails unless the table of all models is the golden one."""
        __tracebackhide__ = True
        goldens = _goldens(request, self.configuration, self.options.updating)
        try:
            text = _validation_text(self.configuration, self.estimates)
        except GoldenLatencyError as error:
            fail_in_one_line(f"no table: {error}")
        fail_with(request, [goldens.validation_problem(text)])

    def check_inputs(self, request: pytest.FixtureRequest) -> None:
        """Fails where the goldens of any board were made from other constants and facts than its profile has now."""
        __tracebackhide__ = True
        repository = self.configuration.repository
        hardware = sorted({*repository.boards(), self.options.target.hardware})
        boards = {name: self._rewritten(name) for name in hardware}
        try:
            problem = inputs_problem(repository, boards, request.getfixturevalue("snapshot"), self.options.updating)
        except (OSError, GoldenLatencyError) as error:
            fail_in_one_line(str(error))
        fail_with(request, [problem])

    def _rewritten(self, hardware: str) -> Sequence[str]:
        """The configurations of a board that this session rewrites whole, when it updates."""
        target = self.options.target
        return [target.label] if self._rewrites_all and hardware == target.hardware else []

    def finish(self, ended: bool) -> bool:
        """Writes what the goldens of other repositories were made from, once all of a board's are rewritten."""
        if ended and self.options.updating and not self.configuration.repository.has_zoo:
            self._left = inputs_lines(self.configuration.repository, self._rewritten_goldens)
        return True

    def verdict(self, differences: Sequence[Difference], judged: Sequence[str]) -> Iterator[str]:
        """Yields which inputs, op streams or records changed, or that the code did, and what that did."""
        repository = self.configuration.repository
        found = [self.configuration, *(self.configuration_at(d.place[:2]) for d in differences)]
        command = command_of(self.config, self.options, repository)
        return golden_verdict_lines(repository, found, judged, differences, command, self.estimates)

    def summary(self) -> Iterator[str]:
        """Yields which boards' inputs stay as they were, because some of their goldens do."""
        yield from self._left


class EveryConfiguration(Replay):
    """Holds every configuration that has goldens against them, patterns included."""

    def __init__(self, config: pytest.Config, options: Options, configuration: Configuration, choice: Choice) -> None:
        super().__init__(config, options, configuration, choice)
        self.is_new = False
        self.expected = self.configurations
        self._kept: Dict[str, List[str]] = {}

    def select(self, tests: Sequence[Test]) -> List[Test]:
        """Whole configurations, and the inputs of the boards."""
        kept = [test for test in tests if not test.is_ours or test.is_own or test.role in (EVERY, INPUTS)]
        for test in kept:
            configuration = getattr(getattr(test.item, "callspec", None), "params", {}).get("configuration")
            if isinstance(configuration, Configuration):
                target = configuration.target
                self._kept.setdefault(target.hardware, []).append(target.label)
        return kept

    def check_configuration(self, request: pytest.FixtureRequest, configuration: Configuration) -> None:
        """Fails with all differences of one configuration."""
        __tracebackhide__ = True
        request.node.user_properties.append((CONFIGURATION, configuration.name))
        goldens = _goldens(request, configuration, self.options.updating)
        try:
            subjects = _subjects_of(configuration)
            for subject in _in_order_of_worker(subjects, request.config):
                self.estimates.ops(subject, configuration.target)
            self.estimates.together(subjects, configuration.target)
            found = [goldens.problem(each, configuration.estimated(each, self.estimates)) for each in subjects]
            if configuration.is_measured:
                found.append(goldens.validation_problem(_validation_text(configuration, self.estimates)))
        except GoldenLatencyError as error:
            found = [Problem(f"{configuration.name}: no estimate: {error}")]
        problems = [problem for problem in found if problem is not None]
        what = "could not be written" if self.options.updating else "differ"
        fail_with(request, [_of_all(configuration, what, problems), *problems] if problems else [])

    def verdict(self, differences: Sequence[Difference], judged: Sequence[str]) -> Iterator[str]:
        """Yields the same over all configurations that were judged."""
        found = [configuration for configuration in self.configurations if configuration.name in judged]
        command, repository = "pytest --every-configuration", self.configuration.repository
        return golden_verdict_lines(repository, found, None, differences, command, self.estimates)

    def _rewritten(self, hardware: str) -> Sequence[str]:
        return self._kept.get(hardware, [])


def _of_all(configuration: Configuration, what: str, problems: Sequence[Problem]) -> Problem:
    """The one line for all of a configuration's problems."""
    moved = [p.difference.change_pct or 0.0 for p in problems if p.difference is not None and p.difference.moved]
    by = f", estimates moved {len(moved)}, by{spread_text(moved)}" if moved else ""
    return Problem(f"{configuration.name}: goldens {what} {len(problems)}{by}")


def _subjects_of(configuration: Configuration) -> List[Subject]:
    """All models, and where it is measured all patterns."""
    from ..subjects.patterns import PATTERNS
    from ..subjects.zoo import MODELS

    recorded = bool(configuration.record_of(PATTERN_KIND).runs_ms)
    return [*MODELS, *(PATTERNS if recorded else ())]


def _in_order_of_worker(subjects: List[Subject], config: pytest.Config) -> List[Subject]:
    """Of two workers one begins at the end: each then finds half of the op streams in the cache."""
    worker = getattr(config, "workerinput", {}).get("workerid", "gw0")
    return subjects[::-1] if int(worker[2:]) % 2 else subjects


def _goldens(request: pytest.FixtureRequest, configuration: Configuration, updating: bool) -> Goldens:
    return Goldens(configuration, request.getfixturevalue("snapshot"), updating)


def _validation_text(configuration: Configuration, estimates: Estimates) -> str:
    """The validation report of all models of a measured configuration."""
    from ..subjects.zoo import MODELS

    target = configuration.target
    title = f"{target.hardware}, {target.label}{configuration.transferred}"
    rows = [configuration.estimated(model, estimates).comparison for model in MODELS]
    return markdown_report(title, f"{target_command(target)} --snapshot-update", configuration.measured_from(), rows)
