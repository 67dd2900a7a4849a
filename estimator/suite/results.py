"""What a run produces: one result per model, and their collection from pytest's reports in whichever process."""

from __future__ import annotations

import functools
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Dict, List, Optional, Sequence, Tuple

from ..compare import Comparison, compare, without_estimate

if TYPE_CHECKING:
    import pytest

    from ..configuration import Configuration
    from ..pipeline import Estimate
    from ..subjects.zoo import Subject


@dataclass(frozen=True)
class Result:
    """A model's estimate with all its terms, and its comparison with the measurement."""

    comparison: Comparison
    estimate: Estimate


def validate(model: Subject, configuration: Configuration, meas_ms: Optional[float]) -> Result:
    """Returns the model's estimate for the configuration, held against the measured latency in ms if there is one."""
    estimate = _estimate(model, configuration)
    return Result(compare(model.name, model.family, estimate, meas_ms), estimate)


@functools.lru_cache(maxsize=None)
def _estimate(model: Subject, configuration: Configuration) -> Estimate:
    from ..pipeline import estimate_stream
    from ..subjects.zoo import op_stream

    return estimate_stream(op_stream(model, configuration.batch_size, configuration.precision), configuration)


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

    def failed_or_skipped(self) -> int:
        """Returns how many of the tested models did not pass."""
        return sum(outcome != "passed" for outcome in self._outcomes.values())


def as_properties(comparison: Comparison) -> List[Tuple[str, Any]]:
    """Returns the row but for the model's name as user properties: plain values, which survive pytest-xdist."""
    return [(field, value) for field, value in asdict(comparison).items() if field != "model"]


def _row(name: str, properties: Dict[str, Any]) -> Comparison:
    values = {"model": name, **properties}
    return Comparison(**{field: values[field] for field in Comparison.__dataclass_fields__})
