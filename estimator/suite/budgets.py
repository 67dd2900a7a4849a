"""The budget of a test: a warning where it is kept but not surely, a failure with what costs most where it is not."""

from __future__ import annotations

import shlex
import warnings
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Iterator, Optional, Tuple

from ..compare import Comparison
from ..errors import GoldenLatencyError
from ..estimates import Estimates
from ..figures import significant
from ..subjects.custom import OwnModel
from .reports import Problem

if TYPE_CHECKING:
    from ..explain.breakdown import ExpensiveOp
    from ..explain.explanation import Explanation
    from ..explain.what_if import WhatIf
    from .session import Asked

SURELY, NOT_SURELY, OUTSIDE = "surely within", "within, not surely", "outside"
"""The verdicts; "surely" is within the interval's other end as well."""
MOST_OPS = 3
MOST_CHANGES = 3
_LEAST_SPEED_UP = 1.02


@dataclass(frozen=True)
class Budget:
    """What a latency may be at most, and what it is, in ms.

    `what` says whether that is "estimated" or "measured". `interval_pct` is the half-width of the 80 % interval of an
    estimate, or the noise of a measurement; None where nothing says how sure it is.
    """

    budget_ms: float
    latency_ms: float
    what: str
    interval_pct: Optional[float]

    @property
    def most_ms(self) -> Optional[float]:
        """Returns the upper end of the interval."""
        return None if self.interval_pct is None else significant(self.latency_ms * (1 + self.interval_pct / 100))

    @property
    def least_ms(self) -> Optional[float]:
        """Returns the lower end of the interval."""
        return (
            None if self.interval_pct is None else significant(self.latency_ms * max(0.0, 1 - self.interval_pct / 100))
        )

    @property
    def verdict(self) -> str:
        """Returns which of the three it is."""
        if self.latency_ms > self.budget_ms:
            return OUTSIDE
        return SURELY if self.most_ms is not None and self.most_ms <= self.budget_ms else NOT_SURELY

    @property
    def text(self) -> str:
        """Returns the verdict in a sentence with its figures."""
        return f"{self.latency_ms:g} ms {self.what}, {self._distance} the budget of {self.budget_ms:g} ms{self._sure}"

    @property
    def _distance(self) -> str:
        over_ms = self.latency_ms - self.budget_ms
        side = "over" if over_ms > 0 else "below"
        return f"{significant(abs(over_ms), 3):g} ms ({100 * abs(over_ms) / self.budget_ms:.0f} %) {side}"

    @property
    def _sure(self) -> str:
        if self.interval_pct is None or self.most_ms is None or self.least_ms is None:
            return ", and nothing measured says how sure that is"
        interval = f"(± {self.interval_pct:.1f} %)"
        if self.verdict == OUTSIDE:
            unsure = f"not surely: it may be {self.least_ms:g} ms" if self.least_ms <= self.budget_ms else "surely"
            return f", {unsure} {interval}"
        most = f"it may be {self.most_ms:g} ms"
        return f", {'surely' if self.verdict == SURELY else 'not surely'}: {most} {interval}"


def budget_of(row: Comparison, noise_pct: Optional[float] = None) -> Optional[Budget]:
    """Returns the budget of a row, None where it has none or nothing to hold against it.

    `noise_pct` is given where the row was measured in this session: then the measurement is what counts.
    """
    if row.budget_ms is None:
        return None
    if noise_pct is not None and row.meas_ms is not None:
        return Budget(row.budget_ms, row.meas_ms, "measured", noise_pct)
    return None if row.est_ms is None else Budget(row.budget_ms, row.est_ms, "estimated", row.interval_pct)


class BudgetWarning(UserWarning):
    """A latency is within its budget, but its interval is not."""


def with_budget(
    row: Comparison, budget_ms: Optional[float], noise_pct: Optional[float] = None
) -> Tuple[Comparison, Optional[Budget]]:
    """Returns the row with its budget and the verdict on that; `noise_pct` where it was measured in this session."""
    row = replace(row, budget_ms=budget_ms)
    budget = budget_of(row, noise_pct)
    return replace(row, budget=None if budget is None else budget.verdict), budget


def budget_problem(budget: Optional[Budget], asked: Asked, test: str, estimates: Estimates) -> Optional[Problem]:
    """Returns how far a latency is outside its budget, which ops cost most, and what would help; else None.

    Warns where it is within, but not surely. `test` is the node id of the test.
    """
    name = asked.subject.name
    if budget is not None and budget.verdict == NOT_SURELY:
        warnings.warn(BudgetWarning(f"{name}: {budget.text}"), stacklevel=4)
    if budget is None or budget.verdict != OUTSIDE:
        return None
    return Problem(f"{name}: {budget.text}", tuple(_why(budget, asked, test, estimates)))


def _why(budget: Budget, asked: Asked, test: str, estimates: Estimates) -> Iterator[str]:
    """What is known of an estimate; a machine without one has no more than the measurement."""
    from ..explain.explanation import explain

    configuration = asked.configuration
    target = configuration.target
    if not configuration.has_estimates:
        return
    try:
        found = explain(asked.subject, target, configuration.repository, estimates)
    except GoldenLatencyError as error:
        yield f"  what costs most cannot be told: {error}"
        return
    yield f"  {target.hardware}, {target.label}: bound by the {found.estimate.bound}; what costs most of the estimate:"
    yield from (_op_line(op, found.estimate.latency_ms) for op in found.breakdown.expensive[:MOST_OPS])
    yield from _help_lines(found, budget)
    explained = test if isinstance(asked.subject, OwnModel) else asked.subject.name
    yield f"  all of it: python -m estimator explain {shlex.quote(explained)}"


def _op_line(op: ExpensiveOp, latency_ms: float) -> str:
    limit = f", bound by {op.limit}" if op.limit != "-" else ""
    shape = " x ".join(map(str, op.shape))
    return f"    {op.share_pct * latency_ms / 100:7.3g} ms ({op.share_pct:.0f} %)  {op.module}: {op.op}, {shape}{limit}"


def _help_lines(found: Explanation, budget: Budget) -> Iterator[str]:
    """The changes that make it fastest; another batch makes no forward pass faster."""
    as_is, *others = found.what_if
    faster = [row for row in others if _is_worth_trying(row, as_is)]
    best = sorted(faster, key=lambda row: row.latency_ms or 0.0)[:MOST_CHANGES]
    if not best:
        yield "  what to try: less work in these ops; no change of precision, layout or dispatch makes it faster"
        return
    yield "  what to try, each by itself:"
    for row in best:
        within = "within the budget" if (row.latency_ms or 0.0) <= budget.budget_ms else "still over it"
        yield f"    {row.latency_ms:7.3g} ms, {within}: {row.change}"


def _is_worth_trying(row: WhatIf, as_is: WhatIf) -> bool:
    is_change = not row.change.startswith("batch ")
    faster = row.latency_ms is not None and as_is.latency_ms is not None
    return is_change and faster and (as_is.latency_ms or 0.0) >= _LEAST_SPEED_UP * (row.latency_ms or 0.0)
