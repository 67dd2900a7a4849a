"""A latency against its budget: surely within, within but not surely, or outside."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional

from .compare import Comparison
from .figures import significant

SURELY, NOT_SURELY, OUTSIDE = "surely within", "within, not surely", "outside"
"""The verdicts; "surely" is within the interval's other end as well."""


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
