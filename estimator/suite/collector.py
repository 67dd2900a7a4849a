"""The rows of a session's table, collected from pytest's reports in whichever process the tests ran."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Dict, List, Sequence, Tuple

from ..compare import Comparison, without_estimate

if TYPE_CHECKING:
    import pytest

    from ..subjects.all import Subject


class ResultCollector:
    """Gathers rows and outcomes from test reports, which pytest-xdist brings from every worker to one process."""

    def __init__(self, models: Sequence[Subject], parameter: str = "model") -> None:
        self._models = models
        self._parameter = parameter
        self._rows: Dict[str, Comparison] = {}
        self._outcomes: Dict[str, str] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keeps the row that a model's test has attached to its report, and the worst outcome of its phases."""
        properties = dict(report.user_properties)
        model = properties.get(self._parameter)
        if model is None:
            return
        if "est_ms" in properties:
            self._rows[str(model)] = _row(str(model), properties)
        if self._outcomes.get(str(model)) in (None, "passed"):
            self._outcomes[str(model)] = report.outcome

    def rows(self) -> List[Comparison]:
        """Returns a row for each model that was tested, in the order of the report."""
        tested = [model for model in self._models if model.name in self._outcomes]
        return [self._rows.get(m.name) or without_estimate(m.name, m.family, self._outcomes[m.name]) for m in tested]

    def failed(self) -> Tuple[str, ...]:
        """Returns the models that did not pass."""
        return tuple(model for model, outcome in self._outcomes.items() if outcome != "passed")


def as_properties(comparison: Comparison) -> List[Tuple[str, Any]]:
    """Returns the row but for the model's name as user properties: plain values, which survive pytest-xdist."""
    return [(field, value) for field, value in asdict(comparison).items() if field != "model"]


def _row(name: str, properties: Dict[str, Any]) -> Comparison:
    values = {"model": name, **properties}
    return Comparison(**{field: values[field] for field in Comparison.__dataclass_fields__})
