"""Matrix products in tiles over the SMs: whole waves of thread blocks, each as fast as its tile's operand reuse."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any, NamedTuple, Sequence, Tuple

import numpy as np

from ..lower.kernels import FUSED_ATTENTION
from .columns import Column, KernelColumns
from .rates import Rates

Tile = Tuple[int, int]
FP32_TILES: Tuple[Tile, ...] = ((128, 128), (128, 64), (64, 64), (128, 32), (64, 32), (32, 32))
TENSOR_CORE_TILES: Tuple[Tile, ...] = ((256, 128), (128, 128), (128, 64), (64, 64), (128, 32), (64, 32))
_SPLITS = (2, 4, 8, 16, 32, 64)
_LEAST_DEPTH = 128  # elements of the reduction that a split keeps
_WHOLE_TILE = 128 * 128
_PARTIAL_BYTES = 4
"""A split leaves sums in FP32, which are written, read and added."""
_TF32_POWER = 2
_REUSE_FLOPS_PER_CLOCK = 1024
"""FP16 FLOP per clock and SM of the tensor cores whose half-rate reuse is the constant."""


class Speed(NamedTuple):
    """What cores do, for all kernels or each: FLOP per microsecond and SM at their peak, and the share that is reached.

    Each TFLOP/s takes so many watts; 0 where that is not known.
    """

    peak: Any
    efficiency: Any
    watts_per_tflop: Any = 0.0


@dataclass(frozen=True)
class Route:
    """How the kernels of a kind run: microseconds in all beside a latency, of arithmetic, of conversions of layout.

    Those that are `fast` run at the first of `speeds`, the others at the second.
    """

    us: Column
    arithmetic_us: Column
    fast: Any
    speeds: Tuple[Speed, Speed]
    layout_us: Any = 0.0


@dataclass(frozen=True)
class Cores:
    """The cores that a tile runs on: FLOP per microsecond and SM that they reach, and what a tile needs to fill them.

    At a reuse of `half_elements` a tile reaches half its rate. `fill_waves` are of tiles of 128 x 128: how many more
    blocks' work an SM needs to hide its latency. Each wave takes `block_us` beside its arithmetic: first loads and last
    stores of a block.
    """

    flops_per_us: float
    half_elements: float
    fill_waves: float
    block_us: float

    def rate(self, a: Any, b: Any) -> Any:
        """Returns the FLOP per microsecond and SM at tiles of a x b, which read a + b operands for ab multiply-adds."""
        reuse = a * b / (a + b)
        return self.flops_per_us * reuse / (reuse + self.half_elements)


def fp32_speed(rates: Rates, share: float = 1.0) -> Speed:
    """Returns the speed of FP32 cores, at this share of what they reach in a product."""
    c = rates.constants
    return Speed(rates.fp32_flops_per_us_per_sm, c["fp32_core_efficiency"] * share, c["fp32_watts_per_tflop"])


def tensor_core_speed(kernels: KernelColumns, peak: float, efficiency: Any, rates: Rates) -> Speed:
    """Returns the speed of tensor cores; a TFLOP in TF32 takes as much power as two in FP16."""
    watts = np.where(kernels.item_bytes <= 2, 1.0, _TF32_POWER) * rates.constants["tensor_core_watts_per_tflop"]
    return Speed(peak, efficiency, watts)


def fp32_cores(rates: Rates, speed: Speed) -> Cores:
    """Returns the FP32 cores at this speed."""
    c = rates.constants
    block_us = c["fp32_block_kcycles"] / rates.gpu_kcycles_per_us
    return Cores(speed.peak * speed.efficiency, c["tile_half_elements"], c["fp32_core_fill_waves"], block_us)


def tensor_cores(rates: Rates, speed: Speed) -> Cores:
    """Returns the tensor cores: faster ones ask for operands as much faster, so that a tile must reuse each more."""
    c = rates.constants
    half = c["tensor_core_tile_half_elements"] * rates.tensor_flops_per_clock_per_sm / _REUSE_FLOPS_PER_CLOCK
    block_us = c["tensor_core_block_kcycles"] / rates.gpu_kcycles_per_us
    return Cores(speed.peak * speed.efficiency, half, c["tensor_core_fill_waves"], block_us)


def tiled_us(kernels: KernelColumns, depth: Column, cores: Cores, tiles: Sequence[Tile], rates: Rates) -> Column:
    """Returns what the best of a library's tiles takes, over reductions of this depth."""
    return np.asarray(np.minimum.reduce(_waves_us(kernels, depth, cores, tiles, rates)))


def split_us(
    kernels: KernelColumns,
    depth: Column,
    cores: Cores,
    tiles: Sequence[Tile],
    rates: Rates,
    may_split: Column,
) -> Column:
    """Returns the same where a library may split the reduction over the SMs that few blocks leave idle.

    It splits into no more blocks than there are SMs. Partial sums are written to the L2, and added by a kernel.
    """
    best = tiled_us(kernels, depth, cores, tiles, rates)
    launch_us = rates.constants["split_kcycles"] / rates.gpu_kcycles_per_us
    outputs_bytes = _PARTIAL_BYTES * kernels.batch * kernels.m * kernels.n
    for parts in _SPLITS:
        can = may_split & (kernels.k / parts >= _LEAST_DEPTH)
        if can.any():
            waves_us = np.minimum.reduce(_waves_us(kernels, depth / parts, cores, tiles, rates, parts))
            us = waves_us + launch_us + (parts + 1) * outputs_bytes / rates.l2_bytes_per_us
            best = np.where(can, np.minimum(best, us), best)
    return best


def may_split(kernels: KernelColumns) -> Column:
    """Returns whether a reduction may be split: a batch fills the SMs by itself, and an attention is one kernel."""
    return (kernels.batch <= 1) & ~kernels.computes(FUSED_ATTENTION)


def _waves_us(
    kernels: KernelColumns,
    depth: Column,
    cores: Cores,
    tiles: Sequence[Tile],
    rates: Rates,
    parts: int = 1,
) -> Column:
    """A row for each tile: whole waves of its blocks, of a split reduction no more than one."""
    a, b = _sides(tuple(tiles))
    size = np.minimum(1.0, a * b / _WHOLE_TILE)
    blocks = parts * kernels.batch * np.ceil(kernels.m / a) * np.ceil(kernels.n / b)
    waves = np.ceil(blocks / rates.sms) + cores.fill_waves * _WHOLE_TILE / (a * b)
    block_us = 2.0 * a * b * depth / cores.rate(a, b)
    us = waves * (block_us + cores.block_us * size)
    return us if parts == 1 else np.where(blocks <= rates.sms, us, np.inf)


@functools.lru_cache(maxsize=None)
def _sides(tiles: Tuple[Tile, ...]) -> Tuple[Column, Column]:
    """Both sides of each tile, which may lie either way: a row each, beside the columns of kernels."""
    pairs = np.array(sorted({pair for tile in tiles for pair in (tile, tile[::-1])}))
    return pairs[:, :1], pairs[:, 1:]


def filled_depth(depth: Column, rates: Rates) -> Column:
    """Returns how deep a reduction is with what its pipeline takes to fill."""
    return depth + rates.constants["reduction_fill_elements"]


def power_us(flops: Column, watts_per_tflop: Any, rates: Rates) -> Column:
    """Returns the time at the power that the board may take: arithmetic takes so many watts for each TFLOP/s."""
    return flops * watts_per_tflop / (1e6 * rates.power_w)


def within_power_us(us: Column, flops: Column, speed: Speed, rates: Rates) -> Column:
    """Returns the longer of the time and of what the board's power leaves."""
    return np.maximum(us, power_us(flops, speed.watts_per_tflop, rates))


def overlapped_us(memory_us: Column, arithmetic_us: Column, unhidden_share: float) -> Column:
    """Returns the longer of both, and of the shorter what few large blocks cannot hide: first loads, last stores."""
    return np.maximum(memory_us, arithmetic_us) + unhidden_share * np.minimum(memory_us, arithmetic_us)
