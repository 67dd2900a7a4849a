"""What a CUDA graph leaves of a forward pass: its kernels, one after another, and no dispatch."""

from __future__ import annotations

import math

import numpy as np

from ..hardware.profile import Constant
from ..pipeline import ForwardPass
from ..target import Target

_SOURCE = (
    "replays of a graph of one kernel (28.7 us) and of a perceptron's five (88 us) on a Jetson AGX Orin, mode inferred "
    "as 30W, 0.612 GHz (GiveThanksAlways/agx-orin-dev-kit 88f64a5)"
)
REPLAY = Constant("graph_replay_kcycles", 8.5, "kcycle of the GPU per replay", _SOURCE, 1, 100, 8.5, 0.5, 50.0)
"""What a replay takes beside its kernels."""
KERNEL = Constant("graph_kernel_kcycles", 9.07, "kcycle of the GPU per kernel", _SOURCE, 1, 50, 9.07, 0.5, 50.0)
"""The least that a kernel in a graph takes."""
_STEP = 0.01  # relative, of each constant in turn


def dispatch_free_ms(
    found: ForwardPass, target: Target, replay_kcycles: float = REPLAY.value, kernel_kcycles: float = KERNEL.value
) -> float:
    """Returns the latency without dispatch: a replay, and each kernel at its time or the least a kernel takes.

    At most the latency as it is: a graph that would take longer is not used. On a CPU, which has no graphs, the sum of
    the kernels.
    """
    device_us = found.costs.device_us
    if found.costs.one_clock:
        return float(device_us.sum()) / 1e3
    kcycles_per_us = target.mode.gpu_mhz / 1e3
    replay_us = float(np.maximum(device_us, kernel_kcycles / kcycles_per_us).sum()) + replay_kcycles / kcycles_per_us
    return min(replay_us / 1e3, found.latency_ms)


def graph_variance(found: ForwardPass, target: Target) -> float:
    """Returns the relative variance that the uncertainty of a graph's two constants adds to `dispatch_free_ms`."""
    latency_ms = dispatch_free_ms(found, target)
    moved = (
        (REPLAY, dispatch_free_ms(found, target, replay_kcycles=REPLAY.value * (1 + _STEP))),
        (KERNEL, dispatch_free_ms(found, target, kernel_kcycles=KERNEL.value * (1 + _STEP))),
    )
    gradients = ((constant, math.log(ms / latency_ms) / math.log1p(_STEP)) for constant, ms in moved)
    return sum((gradient * constant.uncertainty_pct / 100) ** 2 for constant, gradient in gradients)
