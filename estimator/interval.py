"""How far an estimate may be off: the fit's covariance, what it cannot explain, and how far it is extrapolated."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Iterable, Mapping, Optional, Tuple

import numpy as np

from .checked import Checked
from .cost.columns import Column
from .files import read_toml
from .hardware.profile import Quantity
from .judging import judged_by
from .runtimes import CAPABILITY, EAGER
from .target import Target

QUANTILE = judged_by("interval.quantile")
"""Of the normal distribution: 80 % lie within so many standard deviations."""
_UNCERTAINTIES = Path(__file__).with_name("uncertainty.toml")
_STEP = 0.01  # relative, of each constant in turn
_HOST_UNIT = "kcycle of the CPU"  # what the unit of every constant of the host begins with
_SMS = tuple(f"{arithmetic}_flops_per_clock_per_sm" for arithmetic in ("fp32", "tf32", "fp16"))


@dataclass(frozen=True)
class Uncertainty:
    """Standard deviations of the host's time and of the device's that all ops concerned have in common; evidence.

    0 where what was measured lies closer than fit and held-out spread say already.
    """

    host: float
    device: float
    evidence: str


def _read(kind: str) -> Mapping[str, Uncertainty]:
    tables = Checked(_UNCERTAINTIES, read_toml(_UNCERTAINTIES)).table(kind).tables()
    return {
        name: Uncertainty(table.number("host"), table.number("device"), table.text("evidence"))
        for name, table in tables.items()
    }


EXTRAPOLATION = _read("extrapolation")
"""What an estimate on a GPU is extrapolated over, relative. What is not named here has no evidence."""
MODEL_UNCERTAINTY = _read("model")
"""How far the price of an op may be off that no calibration has seen; of the logarithm, for all ops of a name alike."""


def interval_pct(
    latency_of: Callable[[Mapping[str, float]], float], target: Target, other_variance: float = 0.0
) -> Optional[float]:
    """Returns the half-width of the prediction interval, +- percent of the estimate, that covers 80 % of models.

    `latency_of` gives the latency for other constants; its gradient weighs the covariance of the fit.
    `other_variance` is relative, from MODEL_UNCERTAINTY and the profile's spreads by kind of kernel. None where
    nothing measured says how far the estimate may be off.
    """
    if without_evidence(target):
        return None
    profile, values = target.profile, target.profile.values()
    latency = latency_of(values)
    gradient = _gradient(latency_of, values, latency)
    fit_variance = float(gradient @ np.array(profile.covariance) @ gradient) if profile.covariance else 0.0
    of_host = [name for name, constant in profile.constants.items() if constant.unit.startswith(_HOST_UNIT)]

    def with_host(factor: float) -> float:
        return latency_of({**values, **{name: factor * values[name] for name in of_host}}) / latency

    unexplained = (profile.held_out_spread_pct / 100) ** 2
    transferred = extrapolation_variance(extrapolated(target), with_host)
    return 100 * QUANTILE * math.sqrt(fit_variance + unexplained + transferred + other_variance)


def extrapolation_variance(what: Iterable[str], with_host: Callable[[float], float]) -> float:
    """Returns the relative variance of a latency that is extrapolated so far.

    `with_host` gives the latency, relative to the estimate, were the host's times this factor of what they are: one
    standard deviation is tried, because a latency may follow the device now, and a slower host.
    """
    found = [EXTRAPOLATION[name] for name in what]
    of_device = 1 - (with_host(1 + _STEP) - 1) / _STEP
    return sum((with_host(1 + u.host) - 1) ** 2 + (of_device * u.device) ** 2 for u in found)


def extrapolated(target: Target) -> Tuple[str, ...]:
    """Returns what differs from the calibration: power mode, batch, SMs, software, or the precision by its name."""
    profile = target.profile
    if target.runtime != EAGER:
        return () if profile.compute_capability == CAPABILITY else (f"{target.runtime} elsewhere",)
    differs = {
        "power mode": target.mode.name != profile.calibrated_mode and profile.processor == "gpu",
        "batch": target.batch_size != 1,
        target.precision.name: target.precision.name != "fp32",
        "other SMs": _sms(profile.facts) != _sms(profile.calibrated_facts),
    }
    if profile.spreads_pct:  # public GPUs in all precisions and at all batches, none of which is this one
        differs = {"power mode": False}
    found = [name for name, is_so in differs.items() if is_so]
    at_home = {
        "software": _other_software(target, bool(found)),
        "micro-benchmarks": profile.sources == "microbenchmarks" and profile.processor == "gpu",
    }
    return (*found, *(name for name, is_so in at_home.items() if is_so))


def _sms(facts: Mapping[str, Quantity]) -> Tuple[float, ...]:
    return tuple(facts[name].value for name in _SMS if name in facts)


def _other_software(target: Target, elsewhere: bool) -> bool:
    """Where no machine was asked, an estimate is for the calibrated software only where it was calibrated."""
    if target.same_software is not None:
        return not target.same_software
    borrowed = bool(target.profile.transferred_from) and not target.profile.spreads_pct
    return target.profile.processor == "gpu" and (elsewhere or borrowed)


def without_evidence(target: Target) -> Tuple[str, ...]:
    """Returns what an estimate is extrapolated over though nothing measured says what that does to it."""
    known = EXTRAPOLATION if target.profile.processor == "gpu" else {}
    return tuple(name for name in extrapolated(target) if name not in known)


def _gradient(
    latency_of: Callable[[Mapping[str, float]], float], values: Mapping[str, float], latency: float
) -> Column:
    moved = (latency_of({**values, name: value * (1 + _STEP)}) for name, value in values.items())
    return np.array([math.log(m / latency) for m in moved]) / math.log1p(_STEP)
