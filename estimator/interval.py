"""How far an estimate may be off: the fit's covariance, what it cannot explain, and how far it was carried."""

from __future__ import annotations

import math
from typing import Callable, Mapping

import numpy as np

from .hardware.quantities import HOST_CONSTANTS
from .target import Target

QUANTILE = 1.2816  # of the normal distribution: 80 % lie within +- 1.2816 standard deviations
_STEP = 0.01  # relative, of each constant in turn
PENALTIES_PCT: Mapping[str, float] = {"power mode": 5.0, "batch": 5.0, "precision": 10.0, "board": 20.0}
"""One standard deviation each, by judgement: nothing has been measured there yet."""
SOFTWARE_PCT = 17.0
"""One standard deviation of what all ops cost the host: two labs with one board differ by 13 and by 20 %."""


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
    carried = transfer_variance(target) + software_variance(target, dict(zip(values, gradient)))
    return 100 * QUANTILE * math.sqrt(fit_variance + unexplained + carried)


def transfer_variance(target: Target) -> float:
    """Returns the relative variance for what the calibration has not seen: mode, batch, precision, board."""
    carried = {
        "power mode": target.mode.name != target.profile.calibrated_mode,
        "batch": target.batch_size != 1,
        "precision": target.precision.name != "fp32",
        "board": bool(target.profile.transferred_from),
    }
    return sum((PENALTIES_PCT[what] / 100) ** 2 for what, is_so in carried.items() if is_so)


def software_variance(target: Target, gradient: Mapping[str, float]) -> float:
    """Returns the relative variance for a software that the host's constants were not fitted with.

    By the share of the latency that follows them: `gradient` is that of its logarithm by those of the constants. Where
    host and device are one processor, all of it does.
    """
    if target.same_software is not False:
        return 0.0
    share = sum(gradient.get(name, 0.0) for name in HOST_CONSTANTS) if target.board.host_is_apart else 1.0
    return (share * SOFTWARE_PCT / 100) ** 2
