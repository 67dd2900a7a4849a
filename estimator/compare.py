"""Estimate and measurement to verdict: the error in percent, and the rating that follows from it."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Mapping, Optional, Sequence, Tuple

from .figures import significant
from .judging import judged_by

if TYPE_CHECKING:
    from .pipeline import Estimate

BANDS_PCT: Mapping[str, float] = {
    **{rating: judged_by(f"rating.{rating}") for rating in ("EXCELLENT", "GOOD", "FAIR")},
    "POOR": math.inf,
}
"""Each rating and the |error| in percent that it stays below, best first."""
BOUNDS = ("host", "device")
"""Which of the two is the longer one, and bounds the latency."""
UNMEASURED = "UNMEASURED"
"""The rating of an estimate that no measurement can be held against."""

NO_EVIDENCE = "no evidence"
"""In place of an interval where nothing measured says how wide it would be."""


@dataclass(frozen=True)
class Comparison:
    """One model's estimate beside its measurement. Times are in ms, to four significant digits; `error_pct` is signed.

    `meas_ms` and `error_pct` are None where nothing was measured, the figures of the estimate where there is none.
    `interval_pct` is the half-width of the estimate's 80 % prediction interval, None without evidence for one.
    `budget_ms` is what the latency may be at most and `budget` the verdict on that, None where nobody said.
    """

    model: str
    family: str
    est_ms: Optional[float]
    meas_ms: Optional[float]
    error_pct: Optional[float]
    rating: str
    bound: Optional[str]
    host_ms: Optional[float]
    device_ms: Optional[float]
    interval_pct: Optional[float]
    hardware: str = ""
    configuration: str = ""
    budget_ms: Optional[float] = None
    budget: Optional[str] = None

    @property
    def key(self) -> str:
        """Returns what tells the row from all others of a session."""
        return key_of(self.model, (self.hardware, self.configuration))


def key_of(model: str, where: Tuple[str, str]) -> str:
    """Returns what tells a model on a board in a configuration from all others."""
    return " ".join((*where, model)).strip()


def compare(
    model: str, family: str, estimate: Estimate, meas_ms: Optional[float], where: Tuple[str, str] = ("", "")
) -> Comparison:
    """Returns the comparison of an estimate with the measured latency in ms, or with None where there is none.

    `where` names the board and its configuration.
    """
    est_ms = significant(estimate.latency_ms)
    error_pct = None if meas_ms is None else round(100 * (est_ms / meas_ms - 1), 2)
    host_ms, device_ms = significant(estimate.host_ms), significant(estimate.device_ms)
    interval_pct = None if estimate.interval_pct is None else round(estimate.interval_pct, 1)
    terms = estimate.bound, host_ms, device_ms, interval_pct
    return Comparison(model, family, est_ms, meas_ms, error_pct, rate(error_pct), *terms, *where)


def without_estimate(model: str, family: str, outcome: str, where: Tuple[str, str] = ("", "")) -> Comparison:
    """Returns the row of a model whose test ended ("failed", "skipped") before there was an estimate."""
    return Comparison(model, family, None, None, None, outcome.upper(), None, None, None, None, *where)


def rate(error_pct: Optional[float]) -> str:
    """Returns the rating of a signed error in percent; UNMEASURED for None."""
    if error_pct is None:
        return UNMEASURED
    return next((rating for rating in BANDS_PCT if within_band(error_pct, rating)), "POOR")


def within_band(error_pct: float, rating: str) -> bool:
    """Whether an error in percent is as small as the rating promises (or smaller)."""
    return abs(error_pct) < BANDS_PCT[rating]


@dataclass(frozen=True)
class Summary:
    """Figures over all models of a run; errors in percent, None where nothing was measured."""

    total: int
    failed_or_skipped: int
    mean_abs_error_pct: Optional[float]
    max_abs_error_pct: Optional[float]
    per_rating: Mapping[str, int]


def summarise(rows: Sequence[Comparison], failed_or_skipped: int = 0) -> Summary:
    """Returns the summary of the rows, `failed_or_skipped` of which did not pass their test."""
    return summary_of([row.error_pct for row in rows], [row.rating for row in rows], failed_or_skipped)


def summary_of(errors_pct: Sequence[Optional[float]], ratings: Sequence[str], failed_or_skipped: int = 0) -> Summary:
    """Returns the summary of an error and a rating for each model; errors in percent."""
    sizes = [abs(error_pct) for error_pct in errors_pct if error_pct is not None]
    mean_pct = sum(sizes) / len(sizes) if sizes else None
    return Summary(len(ratings), failed_or_skipped, mean_pct, max(sizes, default=None), Counter(ratings))
