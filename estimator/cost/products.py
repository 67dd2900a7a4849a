"""Matrix products: on tensor cores or on FP32 cores, whichever a library's kernels are faster on."""

from __future__ import annotations

import numpy as np

from .columns import Column, KernelColumns
from .rates import Rates
from .recurrence import is_persistent, persistent_us
from .tiles import (
    FP32_TILES,
    TENSOR_CORE_TILES,
    Route,
    Speed,
    filled_depth,
    fp32_cores,
    fp32_speed,
    may_split,
    overlapped_us,
    split_us,
    tensor_core_speed,
    tensor_cores,
    tiled_us,
    within_power_us,
)

_SKINNY = 16  # rows or columns up to which cuBLAS takes matrix-vector-like kernels
_BATCHED_TILES = ((128, 128),)  # cuBLAS's of Ampere and later in FP32 for batches (kernel names in sitar-lab/NeuSight)


def product(kernels: KernelColumns, memory_us: Column, rates: Rates) -> Route:
    """Returns the route: a skinny product (a matrix times few vectors) has kernels of its own, which waste no tile.

    Where tensor cores are allowed, the library still takes the other cores for what would not fill a tensor core.
    """
    c, fp32 = rates.constants, fp32_speed(rates)
    fast = tensor_core_speed(kernels, rates.product_flops_per_us_per_sm, c["tensor_core_product_efficiency"], rates)
    in_tiles_us = within_power_us(_on_fp32_cores_us(kernels, fp32, rates), kernels.flops, fp32, rates)
    skinny = np.minimum(kernels.m, kernels.n) <= _SKINNY
    slow_us = np.where(skinny, kernels.flops / (rates.sms * fp32.peak * fp32.efficiency), in_tiles_us)
    faster_us = _on_tensor_cores_us(kernels, fast, rates) if rates.products_on_tensor_cores else slow_us
    arithmetic_us, persistent = np.minimum(slow_us, faster_us), is_persistent(kernels)
    if persistent.any():  # a fit prices thousands of products, and none of these
        arithmetic_us[persistent] = persistent_us(kernels.select(persistent), rates)
    us = overlapped_us(memory_us, arithmetic_us, c["unhidden_share"])
    return Route(us, arithmetic_us, faster_us < slow_us, (fast, fp32))


def _on_fp32_cores_us(kernels: KernelColumns, speed: Speed, rates: Rates) -> Column:
    cores, alone = fp32_cores(rates, speed), kernels.batch <= 1
    us = split_us(kernels, kernels.k, cores, FP32_TILES, rates, may_split(kernels))
    if rates.generation.tf32 <= rates.generation.fp32 or alone.all():
        return us
    return np.where(alone, us, tiled_us(kernels, kernels.k, cores, _BATCHED_TILES, rates))


def _on_tensor_cores_us(kernels: KernelColumns, speed: Speed, rates: Rates) -> Column:
    depth = filled_depth(kernels.k, rates)
    us = split_us(kernels, depth, tensor_cores(rates, speed), TENSOR_CORE_TILES, rates, may_split(kernels))
    return within_power_us(us, kernels.flops, speed, rates)
