"""Sessions without a device: one configuration, or each that has goldens, held against record and goldens."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple

import pytest

from ..errors import GoldenLatencyError
from ..goldens.difference import Difference
from ..goldens.files import UPDATE_ALL, boards_with_goldens, every_target, labels_of
from ..goldens.inputs import golden_inputs, inputs_now
from ..records.kinds import MODEL_KIND, PATTERN_KIND
from ..report import markdown_report
from ..results import Result, validate
from ..review.changes import Place
from ..review.compare import review_differences
from ..review.page import spread_text
from ..review.verdict import verdict_lines
from .configuration import Configuration, kind_of, load_configuration
from .goldens import Goldens, inputs_problem
from .problem import Problem, fail_with
from .session import EVERY, INPUTS, WHOLE_ZOO, Session, Test
from .tables import mode_lines

if TYPE_CHECKING:
    from ..subjects.all import Subject


class Replay(Session):
    """Estimates each subject of one configuration and holds it against record and golden."""

    def select(self, tests: Sequence[Test]) -> List[Test]:
        """Models as the options say; patterns where some are recorded, and no option selects models."""
        return [test for test in tests if not test.is_ours or self._runs(test)]

    def _runs(self, test: Test) -> bool:
        if test.kind is MODEL_KIND:
            return test.subject in self.options.models
        if test.kind is PATTERN_KIND:
            return self.options.whole_zoo and bool(self.configuration.records[PATTERN_KIND].runs_ms)
        is_judged = test.role == INPUTS or (test.role == WHOLE_ZOO and self.configuration.is_measured)
        return is_judged and self.options.whole_zoo

    def _boards(self) -> Sequence[str]:
        """The boards whose inputs are held against their goldens: all, whatever the session's own is."""
        return sorted({*boards_with_goldens(self.configuration.root), self.options.target.hardware})

    def check(self, request: pytest.FixtureRequest, subject: Subject) -> None:
        """Fails unless the estimate equals its golden term by term, and its error stays in the golden rating's band."""
        __tracebackhide__ = True
        try:
            result = estimated(subject, self.configuration)
        except GoldenLatencyError as error:
            pytest.fail(f"{subject.name}: no estimate: {error}", pytrace=False)
        self.keep_row(request, result.comparison)
        problem = _goldens(request, self.configuration, self.options.updating).problem(subject, result)
        fail_with(request, [problem] if problem is not None else [])

    def check_all(self, request: pytest.FixtureRequest) -> None:
        """Fails unless the table of all models is the golden one."""
        __tracebackhide__ = True
        goldens = _goldens(request, self.configuration, self.options.updating)
        try:
            text = validation_text(self.configuration, _models_estimated(self.configuration))
        except GoldenLatencyError as error:
            pytest.fail(f"no table: {error}", pytrace=False)
        problem = goldens.validation_problem(text)
        fail_with(request, [problem] if problem is not None else [])

    def check_inputs(self, request: pytest.FixtureRequest) -> None:
        """Fails where a board's goldens were made from other constants and facts than its profile has now."""
        __tracebackhide__ = True
        boards = {hardware: self._rewritten(hardware) for hardware in self._boards()}
        snapshot = request.getfixturevalue("snapshot")
        try:
            problem = inputs_problem(self.configuration.root, boards, snapshot, self.options.updating)
        except GoldenLatencyError as error:
            pytest.fail(str(error), pytrace=False)
        fail_with(request, [problem] if problem is not None else [])

    def _rewritten(self, hardware: str) -> Mapping[str, bool]:
        """Whether this session rewrites each of the board's configurations, when it updates."""
        target = self.options.target
        return {target.label: self.options.whole_zoo} if hardware == target.hardware else {}

    def verdict(self, differences: Sequence[Difference]) -> Iterator[str]:
        """Yields which inputs, op streams or records changed, or that the code did, and what that did."""
        return golden_verdict_lines(self.configuration.root, self._judged(), differences, self._look_closer)

    @property
    def _look_closer(self) -> str:
        return f"{self.options.target.command} -v"

    def _judged(self) -> Sequence[Configuration]:
        """The configurations whose goldens this session has judged."""
        return [self.configuration]

    def summary(self) -> Iterator[str]:
        """Yields the power modes side by side, where that was asked for."""
        if self.options.compared_modes:
            yield from ("", *mode_lines(self.options.models, self.options.target, self.options.compared_modes))


class EveryConfiguration(Replay):
    """Holds every configuration that has goldens against them, patterns included."""

    def __init__(self, config: pytest.Config, options: object, configuration: Configuration) -> None:
        super().__init__(config, options, configuration)  # type: ignore[arg-type]
        self._all: Optional[Sequence[Configuration]] = None
        self._kept: Dict[str, List[str]] = {}

    def select(self, tests: Sequence[Test]) -> List[Test]:
        """Whole configurations, and the inputs of the boards."""
        kept = [test for test in tests if not test.is_ours or test.role in (EVERY, INPUTS)]
        for test in kept:
            configuration = _parameter(test, "configuration")
            if isinstance(configuration, Configuration):
                target = configuration.target
                self._kept.setdefault(target.hardware, []).append(target.label)
        return kept

    def configurations(self) -> Sequence[Configuration]:
        """Returns each configuration that has goldens."""
        if self._all is None:
            root = self.configuration.root
            self._all = [load_configuration(root, target) for target in every_target(root)]
        return self._all

    def check_all(self, request: pytest.FixtureRequest) -> None:
        """Fails with all differences of one configuration."""
        __tracebackhide__ = True
        configuration: Configuration = request.node.callspec.params["configuration"]
        goldens = _goldens(request, configuration, self.options.updating)
        try:
            found = [goldens.problem(s, estimated(s, configuration)) for s in _subjects_of(configuration)]
            if configuration.is_measured:
                text = validation_text(configuration, _models_estimated(configuration))
                found.append(goldens.validation_problem(text))
        except GoldenLatencyError as error:
            found = [Problem(f"{configuration.name}: no estimate: {error}")]
        problems = [problem for problem in found if problem is not None]
        fail_with(request, [_of_all(configuration, problems), *problems] if problems else [])

    @property
    def _look_closer(self) -> str:
        return "pytest --every-configuration -v"

    def _judged(self) -> Sequence[Configuration]:
        return self.configurations()

    def _rewritten(self, hardware: str) -> Mapping[str, bool]:
        return {label: label in self._kept.get(hardware, []) for label in labels_of(self.configuration.root, hardware)}


def _errors_pct(configuration: Configuration) -> Iterator[Tuple[Place, float]]:
    """Yields the error of each model in the goldens, where it was measured."""
    for name, golden in configuration.goldens[MODEL_KIND].items():
        if golden.get("error_pct") is not None:
            yield (configuration.target.hardware, configuration.target.label, name), golden["error_pct"]


def _of_all(configuration: Configuration, problems: Sequence[Problem]) -> Problem:
    """The one line for all of a configuration's problems."""
    moved = [p.difference.change_pct or 0.0 for p in problems if p.difference is not None and p.difference.moved]
    by = f", estimates moved {len(moved)}, by{spread_text(moved)}" if moved else ""
    return Problem(f"{configuration.name}: goldens differ {len(problems)}{by}")


def golden_verdict_lines(
    root: Path, judged: Sequence[Configuration], differences: Sequence[Difference], look_closer: str
) -> Iterator[str]:
    """Yields the verdict over differences from the goldens of the judged configurations; nothing if all is the same."""
    boards = dict.fromkeys([*boards_with_goldens(root), *(c.target.hardware for c in judged)])
    before = {hardware: golden_inputs(root, hardware) for hardware in boards}
    now = {hardware: inputs_now(root, hardware) for hardware in boards}
    total = sum(len(goldens) for configuration in judged for goldens in configuration.goldens.values())
    errors_pct = {place: error_pct for c in judged for place, error_pct in _errors_pct(c)}
    found = review_differences(differences, (before, now), errors_pct, total)
    if not found.is_empty:
        yield from verdict_lines(found, UPDATE_ALL, f"{look_closer}, or once accepted: python -m estimator review")


def _parameter(test: Test, name: str) -> object:
    return getattr(getattr(test.item, "callspec", None), "params", {}).get(name)


def _subjects_of(configuration: Configuration) -> List[Subject]:
    """All models, and where it is measured all patterns."""
    from ..subjects.patterns import PATTERNS
    from ..subjects.zoo import MODELS

    recorded = bool(configuration.records[PATTERN_KIND].runs_ms)
    return [*MODELS, *(PATTERNS if recorded else ())]


def estimated(subject: Subject, configuration: Configuration) -> Result:
    """Returns the subject's estimate, held against the median of its recorded runs."""
    record = configuration.records[kind_of(subject)]
    return validate(subject, configuration.target, record.median_ms(subject.name))


def _models_estimated(configuration: Configuration) -> List[Result]:
    from ..subjects.zoo import MODELS

    return [estimated(model, configuration) for model in MODELS]


def _goldens(request: pytest.FixtureRequest, configuration: Configuration, updating: bool) -> Goldens:
    return Goldens(configuration, request.getfixturevalue("snapshot"), updating)


def validation_text(configuration: Configuration, results: Sequence[Result]) -> str:
    """Returns the validation report of all models of a measured configuration."""
    target = configuration.target
    title = f"{target.hardware}, {target.label}{configuration.transferred}"
    rows = [result.comparison for result in results]
    return markdown_report(title, f"{target.command} --snapshot-update", configuration.measured_from(), rows)
