"""Synthetic CPUs: what an op takes on each follows from rules that no formula of the estimator has.

They differ in the width of their blocks and in what arithmetic, memory and dispatch cost beside each other. Arithmetic
and memory overlap in part, whole blocks are computed where only a tail is left, and a cache ends somewhere.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from typing import Iterable

from estimator.lower import Kernel, Lowered

_FUNCTION_WORK = {
    "gelu": 1.5,
    "silu": 1.2,
    "sigmoid": 1.0,
    "_softmax": 1.4,
    "hardswish": 0.3,
    "upsample_bilinear2d": 3.0,
}


@dataclass(frozen=True)
class Machine:
    """Blocks in elements, rates of all threads together, times of the host in us."""

    name: str
    block: int
    rows: int
    gflop_s: float
    cache_gb_s: float
    memory_gb_s: float
    cache_mb: float
    dispatch_us: float
    call_us: float
    melements_s: float
    mtaps_s: float
    reorders_pointwise: bool

    def ops_us(self, lowered: Iterable[Lowered]) -> float:
        """Returns what the ops take one after another."""
        return sum(self._op_us(op) for op in lowered)

    def _op_us(self, op: Lowered) -> float:
        if op.host_kind == "view":
            return 0.2 * self.dispatch_us
        norm_us = 1.5 * self.dispatch_us if op.host_kind == "norm" else 0.0
        kernels = [kernel for kernel in op.kernels if kernel.function != "bias"]
        nested_us = 1.2 * self.dispatch_us * (len(kernels) - 1)
        return self.dispatch_us + norm_us + nested_us + sum(map(self._kernel_us, kernels))

    def _kernel_us(self, kernel: Kernel) -> float:
        memory_us = self._traffic_us(kernel)
        if kernel.kind == "stream":
            return memory_us + self._function_us(kernel)
        arithmetic_us = self._blocked_flops(kernel) / (self.gflop_s * 1e3)
        reorder_us = self._reorder_us(kernel) if kernel.window else self._packing_us(kernel)
        return max(arithmetic_us, memory_us) + 0.3 * min(arithmetic_us, memory_us) + reorder_us

    def _traffic_us(self, kernel: Kernel) -> float:
        warm = kernel.read_bytes + kernel.write_bytes
        rate = self.cache_gb_s if warm < self.cache_mb * 1e6 else 0.6 * self.cache_gb_s
        return warm / (rate * 1e3) + kernel.cold_bytes / (self.memory_gb_s * 1e3)

    def _function_us(self, kernel: Kernel) -> float:
        taps = kernel.elements * kernel.window.taps if kernel.window else 0
        gathered = 0 if kernel.contiguous else 0.5 * kernel.elements
        exponentials = kernel.elements * _FUNCTION_WORK.get(kernel.function, 0.0)
        return exponentials / self.melements_s + (taps + gathered) / self.mtaps_s

    def _blocked_flops(self, kernel: Kernel) -> float:
        """Whole blocks of channels (of a group) and of rows; three quarters of the rate where there are groups."""
        product, window = kernel.product, kernel.window
        inside = window.rows_inside if window else 1.0
        if kernel.kind == "depthwise":
            whole = _whole(product.batch, self.block) * product.m * product.k
            return 2 * whole * inside * 3
        grouped = 4 / 3 if window and window.groups > 1 else 1.0
        n, m = _whole(product.n, self.block), _whole(product.m, self.rows)
        return 2 * product.batch * m * n * product.k * inside * grouped

    def _reorder_us(self, kernel: Kernel) -> float:
        window = kernel.window
        if window.taps == 1 and max(window.stride) == 1 and window.groups == 1 and not self.reorders_pointwise:
            return self.call_us
        warm = kernel.read_bytes + kernel.write_bytes
        return 3 * self.call_us + 2 * warm / (self.cache_gb_s * 1e3) + kernel.cold_bytes / (self.memory_gb_s * 1e3)

    def _packing_us(self, kernel: Kernel) -> float:
        return self.call_us * 0.2 + (0 if kernel.product.m == 1 else kernel.cold_bytes / (self.memory_gb_s * 1e3))


def _whole(length: int, block: int) -> int:
    return math.ceil(length / block) * block


MACHINES = (
    Machine("blocks of 8", 8, 6, 150.0, 40.0, 15.0, 16.0, 12.0, 30.0, 1500.0, 700.0, True),
    Machine("blocks of 16", 16, 14, 700.0, 60.0, 30.0, 4.0, 3.0, 8.0, 9000.0, 900.0, False),
    Machine("blocks of 4", 4, 8, 30.0, 12.0, 8.0, 1.0, 20.0, 12.0, 400.0, 300.0, True),
)
"""As AVX2, AVX-512 and Arm's NEON compute: other ratios of arithmetic to memory to dispatch, each of their own."""


def noisy(us: float, source: random.Random, sigma: float = 0.05) -> float:
    """Returns a time as it would be measured."""
    return us * math.exp(source.gauss(0, sigma))
