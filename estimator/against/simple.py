"""The two estimates that one would try first: one constant per op, and the peaks of a board alone."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import mean
from typing import Mapping, Sequence

from ..cost.rates import rates_of
from ..lower import Lowered
from ..target import Target


def compute_ops(lowered: Sequence[Lowered]) -> int:
    """Returns how many ops launch a kernel."""
    return sum(1 for op in lowered if op.kernels)


def per_op_us(latencies_us: Sequence[float], ops: Sequence[int]) -> float:
    """Returns the one constant per op that fits all of these models best, in the logarithm."""
    return math.exp(mean(math.log(us / count) for us, count in zip(latencies_us, ops)))


@dataclass(frozen=True)
class Peaks:
    """The most a processor could do per microsecond: FLOP by kind of kernel, FLOP of any other, and bytes."""

    flops: Mapping[str, float]
    other_flops: float
    bytes: float


def peaks_of(target: Target) -> Peaks:
    """Returns the peaks of a board in a power mode at a precision; of a CPU those that its calibration found."""
    if target.profile.processor == "cpu":
        c = target.profile.values()
        cpu_flops = {kind: 1e3 * c[f"{kind}_gflop_s"] for kind in ("product", "convolution")}
        return Peaks(cpu_flops, 1e3 * c["depthwise_gflop_s"], 1e3 * c["warm_gb_s"])
    rates = rates_of(target, target.profile.values())
    flops = {
        "product": rates.product_flops_per_us_per_sm * rates.sms,
        "convolution": rates.convolution_flops_per_us_per_sm * rates.sms,
    }
    return Peaks(flops, rates.fp32_flops_per_us_per_sm * rates.sms, rates.bytes_per_us)


def roofline_us(lowered: Sequence[Lowered], peaks: Peaks) -> float:
    """Returns each kernel at the peak of its arithmetic or at the bandwidth, whichever is slower, added up; no host."""
    kernels = [kernel for op in lowered for kernel in op.kernels]
    return sum(max(k.flops / peaks.flops.get(k.kind, peaks.other_flops), k.bytes / peaks.bytes) for k in kernels)
