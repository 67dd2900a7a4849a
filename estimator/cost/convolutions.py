"""Convolutions: implicit matrix products on tensor cores or FP32 cores, Winograd's, and depthwise ones."""

from __future__ import annotations

from dataclasses import replace
from typing import Tuple

import numpy as np

from .columns import Column, KernelColumns
from .rates import Rates
from .tiles import (
    FP32_TILES,
    Route,
    Speed,
    filled_depth,
    fp32_cores,
    fp32_speed,
    overlapped_us,
    tensor_core_speed,
    tensor_cores,
    tiled_us,
    within_power_us,
)

_NARROW_TILES, _WIDE_TILES = ((128, 128), (128, 64), (64, 64)), ((128, 128),)
_RESIDENT_BLOCKS = 4  # thread blocks of a tensor-core convolution that fit one SM's registers
_WINOGRAD_SIDE, _WINOGRAD_PRODUCTS = 3, 16
_ALIGNED_CHANNELS = 4  # 16 bytes of TF32: the alignment that cuDNN's tensor-core kernels ask of input channels
_ALIGNED_BYTES, _WHOLE_SECTORS_BYTES = 16, 64
"""Of a channel's image: what a load of 16 bytes asks for, and what wastes no sector of a cache line."""
_NEWER = 8.9
"""The release of cuDNN from which on dilated and deep convolutions run on tensor cores: not in 8.6, in 9."""
_CLOSE = 2
"""Tensor cores of more times the FLOP of FP32 cores take all that fits them; else the faster of both routes wins."""


def convolution(kernels: KernelColumns, memory_us: Column, rates: Rates) -> Route:
    """Returns the route: on tensor cores where they take the shape, unless FP32 cores or Winograd's are as fast."""
    slow_us, slow_arithmetic_us, wins = on_fp32_cores(kernels, memory_us, rates)
    slow, saved = _fp32_speed(rates), np.where(wins, 4 * _WINOGRAD_SIDE**2 / _WINOGRAD_PRODUCTS, 1.0)
    slow = Speed(saved * slow.peak, slow.efficiency, slow.watts_per_tflop / saved)
    if not rates.convolutions_on_tensor_cores:
        return Route(slow_us, slow_arithmetic_us, wins, (slow, slow))
    fast_us, fast_arithmetic_us, layout_us = _on_tensor_cores(kernels, memory_us, rates)
    fast = _fits_tensor_cores(kernels, rates) & ((fast_us <= slow_us) | (not _are_close(rates)))
    return Route(
        np.where(fast, fast_us, slow_us),
        np.where(fast, fast_arithmetic_us, slow_arithmetic_us),
        fast,
        (_tensor_core_speed(kernels, rates), slow),
        np.where(fast, layout_us, 0.0),
    )


def _are_close(rates: Rates) -> bool:
    return rates.convolution_flops_per_us_per_sm <= _CLOSE * rates.fp32_flops_per_us_per_sm


def _fp32_speed(rates: Rates) -> Speed:
    return fp32_speed(rates, rates.constants["fp32_convolution_share"])


def _tensor_core_speed(kernels: KernelColumns, rates: Rates) -> Speed:
    efficiency = rates.constants["tensor_core_convolution_efficiency"]
    return tensor_core_speed(kernels, rates.convolution_flops_per_us_per_sm, efficiency, rates)


def on_fp32_cores(kernels: KernelColumns, memory_us: Column, rates: Rates) -> Tuple[Column, Column, Column]:
    """Returns an implicit product, or Winograd's where it applies and wins: microseconds, of arithmetic, who wins.

    Its threads store one element at a time, and few iterations of a short reduction hide little of that.
    """
    c = rates.constants
    moved_us = np.maximum(memory_us, kernels.elements / rates.elements_per_us)
    tiled_only = not rates.convolutions_on_tensor_cores or _are_close(rates)
    implicit_us = (_fp32_us if tiled_only else _evenly_us)(kernels, kernels.k, kernels.flops, rates)
    direct_us = overlapped_us(moved_us, implicit_us, c["fp32_unhidden_share"])
    fewer_us = _winograd_us(kernels, rates)
    winograd_us = overlapped_us(_winograd_memory_us(kernels, memory_us, rates), fewer_us, c["unhidden_share"])
    wins = _fits_winograd(kernels) & (winograd_us < direct_us)
    return np.where(wins, winograd_us, direct_us), np.where(wins, fewer_us, implicit_us), wins


def _fp32_us(kernels: KernelColumns, depth: Column, flops: Column, rates: Rates) -> Column:
    speed = _fp32_speed(rates)
    us = tiled_us(kernels, filled_depth(depth, rates), fp32_cores(rates, speed), FP32_TILES, rates)
    return within_power_us(us, flops, speed, rates)


def _evenly_us(kernels: KernelColumns, depth: Column, flops: Column, rates: Rates) -> Column:
    """Beside tensor cores the FP32 cores get what is too deep or too wide for them: enough blocks for all SMs alike."""
    speed = _fp32_speed(rates)
    rate = fp32_cores(rates, speed).rate(*_WIDE_TILES[0])
    us = 2.0 * kernels.batch * kernels.m * kernels.n * filled_depth(depth, rates) / (rates.sms * rate)
    return within_power_us(us, flops, speed, rates)


def _fits_winograd(kernels: KernelColumns) -> Column:
    """3x3 windows that move by one pixel, one group."""
    side = (kernels.window_side == _WINOGRAD_SIDE) & (kernels.taps == _WINOGRAD_SIDE**2)
    return side & (kernels.stride == 1) & (kernels.dilation <= 1) & (kernels.groups == 1)


def _winograd_us(kernels: KernelColumns, rates: Rates) -> Column:
    """F(2x2, 3x3): each 2x2 outputs take 16 products of the channels instead of 36 (Lavin, Gray: arXiv 1509.09308).

    That is 2.25 times fewer; the shorter reduction, whose pipeline must fill all the same, takes a part of it back.
    """
    products = replace(kernels, batch=kernels.batch * _WINOGRAD_PRODUCTS, m=np.ceil(kernels.m / 4))
    fewer = kernels.flops * _WINOGRAD_PRODUCTS / (4 * _WINOGRAD_SIDE**2)
    return _fp32_us(products, kernels.channels, fewer, rates)


def _winograd_memory_us(kernels: KernelColumns, memory_us: Column, rates: Rates) -> Column:
    """Each call transforms the weights: 16 values for 9, written and read once more than the untransformed ones."""
    transformed = kernels.cold_bytes * 2 * _WINOGRAD_PRODUCTS / _WINOGRAD_SIDE**2
    return memory_us + transformed / (rates.bytes_per_us * rates.constants["weight_stream_efficiency"])


def _on_tensor_cores(kernels: KernelColumns, memory_us: Column, rates: Rates) -> Tuple[Column, Column, Column]:
    """Tensor-core kernels work on NHWC: PyTorch's NCHW is converted before and after: all, arithmetic, conversions.

    Where a weight panel outgrows the L2, too few blocks cannot hide the misses: those run as slowly as without tensor
    cores, and further blocks are free until tensor cores would take as long.
    """
    c = rates.constants
    tiles_us = _tensor_core_us(kernels, rates)
    starved_us = _starved_us(kernels, rates)
    layout_us = _layout_us(kernels, rates)
    us = np.maximum(overlapped_us(memory_us, tiles_us, c["unhidden_share"]) + layout_us, starved_us)
    return us, np.maximum(tiles_us, starved_us - layout_us), layout_us


def _tensor_core_us(kernels: KernelColumns, rates: Rates) -> Column:
    """cuDNN's heuristics take the widest tile that the output channels fill, also where few SMs get a block each.

    Half precision pads its channels to eight.
    """
    padded = np.ceil(kernels.channels / 8) * 8 / np.maximum(kernels.channels, 1)
    depth = filled_depth(kernels.k * np.where(kernels.item_bytes == 2, padded, 1.0), rates)
    speed = _tensor_core_speed(kernels, rates)
    cores = tensor_cores(rates, speed)
    narrow_us, wide_us = (tiled_us(kernels, depth, cores, tiles, rates) for tiles in (_NARROW_TILES, _WIDE_TILES))
    us = np.where(kernels.n > _WIDE_TILES[0][1], wide_us, narrow_us)
    return within_power_us(us, kernels.flops, speed, rates)


def _layout_us(kernels: KernelColumns, rates: Rates) -> Column:
    """What conversion to NHWC and back takes of a tensor-core convolution: none in NHWC already, or of aligned 1x1.

    A conversion reads and writes each element once, one at a time as a batch norm does: few SMs limit it alike.
    """
    passes, moves = _passes(kernels, rates), kernels.warm_bytes / (2 * kernels.item_bytes)
    memory_us = passes * kernels.warm_bytes / (rates.bytes_per_us * rates.constants["stream_efficiency"])
    return np.maximum(memory_us, passes * moves / rates.elements_per_us)


def _passes(kernels: KernelColumns, rates: Rates) -> Column:
    """Over inputs and outputs. A convolution of single pixels is a plain product, for which NCHW will do if aligned."""
    c, pixels = rates.constants, kernels.m / np.maximum(kernels.images, 1)
    image_bytes = pixels * kernels.item_bytes
    some = np.where(image_bytes % _WHOLE_SECTORS_BYTES != 0, c["unaligned_passes"], 0.0)
    as_product = (kernels.taps == 1) & (kernels.stride == 1) & (image_bytes % _ALIGNED_BYTES == 0)
    return np.where(kernels.channels_last, 0.0, np.where(as_product, some, c["layout_passes"]))


def _fits_tensor_cores(kernels: KernelColumns, rates: Rates) -> Column:
    """Whether cuDNN has a tensor-core kernel for a convolution's shape."""
    aligned = (kernels.channels % _ALIGNED_CHANNELS == 0) | (kernels.item_bytes == 2)
    return aligned & ((kernels.dilation <= 1) | (rates.cudnn >= _NEWER))


def _starved_us(kernels: KernelColumns, rates: Rates) -> Column:
    """Below so many rows a convolution has fewer blocks than the SMs can hold; none if its weight panels fit the L2.

    Older releases of cuDNN alone: newer ones keep tensor cores busy there.
    """
    if rates.cudnn >= _NEWER:
        return np.zeros(len(kernels.op))
    row_blocks = np.ceil(_RESIDENT_BLOCKS * rates.sms / np.ceil(kernels.n / 128)) - 1
    starved = np.where(128 * kernels.k * kernels.item_bytes > rates.l2_bytes, 128 * row_blocks, 0)
    rows = np.minimum(kernels.m, starved)
    return _evenly_us(replace(kernels, m=rows), kernels.k, kernels.flops * rows / kernels.m, rates)


def depthwise(kernels: KernelColumns, memory_us: Column, rates: Rates) -> Route:
    """Returns the route. FP32: PyTorch's own kernel, one thread an output, no reuse. Half precision: cuDNN's.

    A thread finds out which output it computes before it reads: that takes as long as some taps of the window.
    """
    c, half = rates.constants, kernels.item_bytes == 2
    peaks = rates.convolution_flops_per_us_per_sm, rates.fp32_flops_per_us_per_sm
    flops = kernels.flops + 2 * kernels.elements * c["depthwise_index_taps"]
    arithmetic_us = flops / (rates.sms * np.where(half, *peaks) * c["depthwise_efficiency"])
    fast, slow = (Speed(peak, c["depthwise_efficiency"]) for peak in peaks)
    return Route(np.maximum(memory_us, arithmetic_us), arithmetic_us, half, (fast, slow))
