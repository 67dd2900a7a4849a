"""How far an estimate may be off: the fit's covariance, what it cannot explain, and how far it was carried."""

from __future__ import annotations

import math
from typing import Callable, Mapping

import numpy as np

from .target import Target

QUANTILE = 1.2816  # of the normal distribution: 80 % lie within +- 1.2816 standard deviations
_STEP = 0.01  # relative, of each constant in turn
PENALTIES_PCT: Mapping[str, float] = {"power mode": 5.0, "batch": 5.0, "precision": 10.0, "board": 20.0}
"""One standard deviation each, by judgement: nothing has been measured there yet."""


def interval_pct(latency_of: Callable[[Mapping[str, float]], float], target: Target) -> float:
    """Returns the half-width of the prediction interval, +- percent of the estimate, that covers 80 % of models.

    `latency_of` gives the latency for other constants; its gradient carries the covariance of the fit.
    """
    profile = target.profile
    values = profile.values()
    latency = latency_of(values)
    moved = (latency_of({**values, name: value * (1 + _STEP)}) for name, value in values.items())
    gradient = np.array([math.log(m / latency) for m in moved]) / math.log1p(_STEP)
    fit_variance = float(gradient @ np.array(profile.covariance) @ gradient) if profile.covariance else 0.0
    unexplained = (profile.held_out_spread_pct / 100) ** 2
    return 100 * QUANTILE * math.sqrt(fit_variance + unexplained + transfer_variance(target))


def transfer_variance(target: Target) -> float:
    """Returns the relative variance for what the calibration has not seen: mode, batch, precision, board."""
    carried = {
        "power mode": target.mode.name != target.profile.calibrated_mode,
        "batch": target.batch_size != 1,
        "precision": target.precision.name != "fp32",
        "board": bool(target.profile.transferred_from),
    }
    return sum((PENALTIES_PCT[what] / 100) ** 2 for what, is_so in carried.items() if is_so)
