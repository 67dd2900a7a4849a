"""Sessions without a device: one configuration, or each that has goldens, held against record and goldens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Dict, Iterator, List, Mapping, Optional, Sequence

import pytest

from ..errors import GoldenLatencyError, UsageError
from ..goldens.files import boards_with_goldens, every_target, labels_of
from ..hardware.boards import load_profile
from ..records.kinds import MODEL_KIND, PATTERN_KIND
from ..report import markdown_report
from ..results import Result, validate
from .configuration import Configuration, kind_of, load_configuration
from .goldens import Goldens, Inputs
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

    def boards(self) -> Sequence[str]:
        """Returns the boards whose inputs are held against their goldens: all, whatever the session's own is."""
        return sorted({*boards_with_goldens(self.configuration.root), self.options.target.hardware})

    def check(self, request: pytest.FixtureRequest, subject: Subject) -> None:
        """Fails unless the estimate equals its golden term by term, and its error stays in the golden rating's band."""
        __tracebackhide__ = True
        try:
            result = estimated(subject, self.configuration)
        except GoldenLatencyError as error:
            pytest.fail(f"{subject.name}: no estimate: {error}", pytrace=False)
        self.keep_row(request, result.comparison)
        fail_with(_goldens(request, self.configuration, self.options.updating).problems(subject, result))

    def check_all(self, request: pytest.FixtureRequest) -> None:
        """Fails unless the table of all models is the golden one."""
        __tracebackhide__ = True
        goldens = _goldens(request, self.configuration, self.options.updating)
        try:
            text = validation_text(self.configuration, _models_estimated(self.configuration))
        except GoldenLatencyError as error:
            pytest.fail(f"no table: {error}", pytrace=False)
        fail_with(goldens.validation_problems(text))

    def check_inputs(self, request: pytest.FixtureRequest, hardware: str) -> None:
        """Fails where the board's goldens were made from other constants and facts than its profile has now."""
        __tracebackhide__ = True
        root = self.configuration.root
        try:
            inputs = Inputs(root, hardware, load_profile(hardware))
        except UsageError as error:
            pytest.fail(str(error), pytrace=False)
        snapshot = request.getfixturevalue("snapshot")
        fail_with(inputs.problems(snapshot, self.options.updating, self._rewritten(hardware)))

    def _rewritten(self, hardware: str) -> Mapping[str, bool]:
        """Whether this session rewrites each of the board's configurations, when it updates."""
        target = self.options.target
        return {target.label: self.options.whole_zoo} if hardware == target.hardware else {}

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
        problems: List[str] = []
        try:
            for subject in _subjects_of(configuration):
                problems += goldens.problems(subject, estimated(subject, configuration))
            if configuration.is_measured:
                text = validation_text(configuration, _models_estimated(configuration))
                problems += goldens.validation_problems(text)
        except GoldenLatencyError as error:
            problems.append(f"{configuration.name}: no estimate: {error}")
        fail_with(problems)

    def _rewritten(self, hardware: str) -> Mapping[str, bool]:
        return {label: label in self._kept.get(hardware, []) for label in labels_of(self.configuration.root, hardware)}


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


def fail_with(problems: Sequence[str]) -> None:
    """Fails the test with these lines, if there are any."""
    __tracebackhide__ = True
    if problems:
        pytest.fail("\n".join(problems), pytrace=False)
