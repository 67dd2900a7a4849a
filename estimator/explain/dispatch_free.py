"""What a CUDA graph leaves of a forward pass: its kernels, one after another, and no dispatch."""

from __future__ import annotations

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


def dispatch_free_ms(found: ForwardPass, target: Target) -> float:
    """Returns the latency without dispatch: a replay, and each kernel at its time or the least a kernel takes.

    At most the latency as it is: a graph that would take longer is not used. On a CPU, which has no graphs, the sum of
    the kernels.
    """
    device_us = found.costs.device_us
    if found.costs.one_clock:
        return float(device_us.sum()) / 1e3
    kcycles_per_us = target.mode.gpu_mhz / 1e3
    least_us = KERNEL.value / kcycles_per_us
    replay_us = float(np.maximum(device_us, least_us).sum()) + REPLAY.value / kcycles_per_us
    return min(replay_us / 1e3, found.latency_ms)
