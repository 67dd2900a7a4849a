"""How far an estimate may be off: the fit's covariance, what it cannot explain, and how far it was carried."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Callable, Iterable, Mapping, Optional, Tuple

import numpy as np

from .cost.columns import Column
from .hardware.profile import Quantity
from .target import Target

QUANTILE = 1.2816  # of the normal distribution: 80 % lie within +- 1.2816 standard deviations
_STEP = 0.01  # relative, of each constant in turn
_HOST_UNIT = "kcycle of the CPU"  # what the unit of every constant of the host begins with
_SMS = tuple(f"{arithmetic}_flops_per_clock_per_sm" for arithmetic in ("fp32", "tf32", "fp16"))


@dataclass(frozen=True)
class Penalty:
    """What being carried that far adds: a standard deviation of host time and one of device time, and their evidence.

    Both are errors that all ops of a forward pass have in common, so that they do not average out. 0 where what was
    measured lies closer than fit and held-out spread say already.
    """

    host_pct: float
    device_pct: float
    evidence: str


PENALTIES: Mapping[str, Penalty] = {
    "power mode": Penalty(
        2.0, 0.0, "dispatch of two ops in four modes, root mean square (branes-ai/graphs b6c5e82); 24 rows as for batch"
    ),
    "batch": Penalty(
        0.0,
        0.0,
        "24 rows of another lab at 30W, batch 32 to 256: 4 %, less than fit and spread (Juanx65/ArtTRT a04f94a)",
    ),
    "fp16": Penalty(0.0, 8.0, "94 published FP16 kernels at 50W: bias of their classes, root mean square"),
    "software": Penalty(
        30.0,
        0.0,
        "6 models of that lab at batch 1: root mean square of the error's logarithm 0.27; 24 rows as for batch",
    ),
    "micro-benchmarks": Penalty(
        58.0,
        58.0,
        "22 models in FP32 at batch 1, 8 and 32 on an H200 that was calibrated from them alone: root mean square of "
        "the error's logarithm 0.58",
    ),
}
"""What has been measured where nothing was calibrated, on GPUs. What is carried and not named here has no evidence."""


@dataclass(frozen=True)
class Doubt:
    """Standard deviations of the logarithm of an op's host time and of its device time, and where they are from."""

    host: float
    device: float
    evidence: str


DOUBTS: Mapping[str, Doubt] = {
    "no rule": Doubt(
        0.39,
        0.67,
        "each of the 26 op names of the 22 models priced by its bytes instead of by its rule: root mean square of the "
        "logarithm of one over the other",
    ),
    "recurrent": Doubt(
        0.4,
        0.5,
        "59 layers drawn at random on an H200, none in a fit: root mean square 0.17 of the host, 0.36 to 0.40 of the "
        "device; by judgement twice as much for other hosts, which may launch at another share of their dispatch",
    ),
    "fused attention": Doubt(
        0.2,
        0.6,
        "50 drawn at random on an H200, none in a fit: root mean square 0.16 of the host, 0.51 to 0.73 of the device, "
        "most in FP32, where few blocks take longer than their work",
    ),
}
"""How far the price of an op may be off that no calibration has seen; of all ops of a name in common."""


def interval_pct(
    latency_of: Callable[[Mapping[str, float]], float], target: Target, doubt_variance: float = 0.0
) -> Optional[float]:
    """Returns the half-width of the prediction interval, +- percent of the estimate, that covers 80 % of models.

    `latency_of` gives the latency for other constants; its gradient carries the covariance of the fit. `doubt_variance`
    is the relative variance from ops in DOUBTS. None where nothing measured says how far the estimate may be off.
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
    transferred = transfer_variance(carried(target), with_host)
    return 100 * QUANTILE * math.sqrt(fit_variance + unexplained + transferred + doubt_variance)


def transfer_variance(what: Iterable[str], with_host: Callable[[float], float]) -> float:
    """Returns the relative variance of a latency that was carried so far.

    `with_host` gives the latency, relative to the estimate, were the host's times this factor of what they are: one
    standard deviation is tried, because a latency may follow the device now, and a slower host.
    """
    penalties = [PENALTIES[name] for name in what]
    of_device = 1 - (with_host(1 + _STEP) - 1) / _STEP
    host = sum((with_host(1 + p.host_pct / 100) - 1) ** 2 for p in penalties)
    return host + sum((of_device * p.device_pct / 100) ** 2 for p in penalties)


def carried(target: Target) -> Tuple[str, ...]:
    """Returns what differs from the calibration: power mode, batch, SMs, software, or the precision by its name."""
    profile = target.profile
    differs = {
        "power mode": target.mode.name != profile.calibrated_mode and profile.processor == "gpu",
        "batch": target.batch_size != 1,
        target.precision.name: target.precision.name != "fp32",
        "other SMs": _sms(profile.facts) != _sms(profile.calibrated_facts),
    }
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
    return target.profile.processor == "gpu" and (elsewhere or bool(target.profile.transferred_from))


def without_evidence(target: Target) -> Tuple[str, ...]:
    """Returns what an estimate was carried over though nothing measured says what that does to it."""
    known = PENALTIES if target.profile.processor == "gpu" else {}
    return tuple(name for name in carried(target) if name not in known)


def _gradient(
    latency_of: Callable[[Mapping[str, float]], float], values: Mapping[str, float], latency: float
) -> Column:
    moved = (latency_of({**values, name: value * (1 + _STEP)}) for name, value in values.items())
    return np.array([math.log(m / latency) for m in moved]) / math.log1p(_STEP)
