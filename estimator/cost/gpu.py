"""A GPU and its host: what an op costs the host and a kernel the device, on one board in one power mode.

Host costs are in CPU cycles, device latencies in GPU cycles: they scale with the clocks of a power mode by themselves.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace
from typing import Any, Iterator, Mapping, Sequence, Tuple

import numpy as np

from ..target import PRECISIONS, Target
from .columns import DEVICE_KINDS, HOST_KINDS, Column, Costs, KernelColumns, Limits, OpColumns
from .cudnn import early_dispatches, host_dispatches, in_library, is_persistent, is_recurrent, persistent_us
from .rates import Rates, rates_of

_SQUARE_AND_SLIM = ((128, 128), (128, 64), (64, 64), (128, 32), (64, 32), (32, 32))
_TENSOR_CORE_TILES = ((128, 128), (128, 64), (64, 64))  # smaller ones do not feed a tensor core
_WIDEST_TILE = ((128, 128),)
_SKINNY = 16  # rows or columns up to which cuBLAS takes matrix-vector-like kernels
_RESIDENT_BLOCKS = 4  # thread blocks of a tensor-core convolution that fit one SM's registers
_BATCH_NORMS = ("native_batch_norm", "_native_batch_norm_legit_no_training", "cudnn_batch_norm")
_WINOGRAD_SIDE, _WINOGRAD_PRODUCTS = 3, 16
_ALIGNED_CHANNELS = 4  # 16 bytes of TF32: the alignment that cuDNN's tensor-core kernels ask of input channels


Speed = Tuple[float, float]
"""FLOP per microsecond and SM of cores at their peak, and the share of it that a large kernel reaches."""


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


@dataclass(frozen=True, eq=False)
class Priced:
    """Kernels with what each takes in microseconds, its traffic alone, and the routes by kind."""

    kernels: KernelColumns
    rates: Rates
    us: Column
    memory_us: Column
    routes: Mapping[str, Route]


def costs(ops: OpColumns, kernels: KernelColumns, target: Target, constants: Mapping[str, float]) -> Costs:
    """Returns what each op costs the host and each kernel the device, which work side by side.

    Each kernel computes at the arithmetic of its own tensors, which may be of another type than the target's: what is
    in half precision multiplies in FP16, and in FP32 as PyTorch does by default.
    """
    rates = rates_of(target, constants)
    parts = [(rows, priced(of_type, rates_of(own, constants))) for own, rows, of_type in _types(kernels, target)]
    us = np.zeros(len(kernels.op))
    for rows, part in parts:
        us[rows] = part.us
    early_us = _early_us(ops, kernels, rates)
    return Costs(host_us(ops, rates), us, rates.event_pair_us, False, early_us, functools.partial(_limits, parts))


def _limits(parts: Sequence[Tuple[Column, Priced]]) -> Limits:
    found = np.zeros((2, len(parts[0][0])))
    for rows, part in parts:
        found[:, rows] = _limits_of(part)
    return Limits(found[0].astype(int), found[1])


def _types(kernels: KernelColumns, target: Target) -> Iterator[Tuple[Target, Column, KernelColumns]]:
    targets_half = target.precision.tensors != "float32"
    other = (kernels.kind != DEVICE_KINDS.index("stream")) & ((kernels.item_bytes == 2) != targets_half)
    library = in_library(kernels)
    if not (other | library).any():
        yield target, ~other, kernels  # themselves, which keep what they were split into
        return
    others = replace(target, precision=PRECISIONS["fp32" if targets_half else "fp16"])
    for own, of_type in ((target, ~other), (others, other)):
        for at, rows in ((own, of_type & ~library), (_in_library(own), of_type & library)):
            if rows.any():
                yield at, rows, kernels.select(rows)


def _in_library(target: Target) -> Target:
    """cuDNN's products take TF32 where its convolutions do: one switch of PyTorch's is for both."""
    return replace(target, precision=replace(target.precision, products=target.precision.convolutions))


def _early_us(ops: OpColumns, kernels: KernelColumns, rates: Rates) -> Column:
    """A library launches one kernel after another while the device runs those before."""
    if not is_recurrent(ops).any():
        return np.zeros(len(kernels.op))
    return early_dispatches(ops, kernels) * rates.constants["dispatch_kcycles"] / rates.cpu_kcycles_per_us


def host_us(ops: OpColumns, rates: Rates) -> Column:
    """Returns what each op costs the host, in microseconds: its dispatch, and that of the ATen calls inside it.

    A recurrent layer takes as long as its library launches kernels.
    """
    c = rates.constants
    extra = {"product": c["product_extra_kcycles"], "norm": c["norm_extra_kcycles"]}
    special = {"view": c["view_kcycles"], "recurrent": 0.0}
    kcycles = np.array([special.get(kind, c["dispatch_kcycles"] + extra.get(kind, 0.0)) for kind in HOST_KINDS])
    recurrent = host_dispatches(ops) * c["dispatch_kcycles"]
    return (kcycles[ops.kind] + ops.calls * c["nested_dispatch_kcycles"] + recurrent) / rates.cpu_kcycles_per_us


def device_us(kernels: KernelColumns, rates: Rates) -> Column:
    """Returns how long each kernel runs, in microseconds: the slower of arithmetic and memory, plus a latency."""
    return priced(kernels, rates).us


def priced(kernels: KernelColumns, rates: Rates) -> Priced:
    """Returns what kernels whose tensors are all of the type of `rates` take, and the routes they take."""
    memory_us = _memory_us(kernels, rates)
    us, routes = memory_us.copy(), {}
    for kind, places, of_kind in kernels.by_kind:
        if kind in _ROUTES:
            routes[kind] = _ROUTES[kind](of_kind, memory_us[places], rates)
            us[places] = routes[kind].us
    return Priced(kernels, rates, us + _latency_us(rates), memory_us, routes)


def _latency_us(rates: Rates) -> float:
    return rates.constants["kernel_kcycles"] / rates.gpu_kcycles_per_us


def _limits_of(part: Priced) -> Tuple[Column, Column]:
    """What bounds each kernel, as an index into LIMITS, and the least that this takes at its peak.

    Arithmetic that takes more than twice what its rate alone would is bound by waves: blocks that do not fill all SMs.
    """
    kernels, rates, latency_us = part.kernels, part.rates, _latency_us(part.rates)
    memory_us, (arithmetic_us, least_us, in_waves) = part.memory_us.copy(), np.zeros((3, len(kernels.op)))
    for kind, places, of_kind in kernels.by_kind:
        if kind in part.routes:
            route = part.routes[kind]
            peak, efficiency = (np.where(route.fast, fast, slow) for fast, slow in zip(*route.speeds))
            arithmetic_us[places] = route.arithmetic_us
            memory_us[places] += route.layout_us
            least_us[places] = of_kind.flops / (rates.sms * peak)
            in_waves[places] = route.arithmetic_us > 2 * least_us[places] / efficiency
    is_latency = (latency_us >= np.maximum(memory_us, arithmetic_us)) | is_persistent(kernels)
    is_memory = memory_us >= arithmetic_us
    limit = np.where(is_latency, 3, np.where(is_memory, 1, 2 * in_waves))
    least_memory_us = (kernels.warm_bytes + kernels.cold_bytes) / rates.bytes_per_us
    return limit, np.where(is_latency, latency_us, np.where(is_memory, least_memory_us, least_us))


def _memory_us(kernels: KernelColumns, rates: Rates) -> Column:
    """Traffic over bandwidth; weights are read once per pass and come from DRAM, cold."""
    c, bandwidth = rates.constants, rates.bytes_per_us
    warm = kernels.warm_bytes / (bandwidth * c["stream_efficiency"])
    warm = np.maximum(warm, _batch_norm_us(kernels, rates))
    return warm + kernels.cold_bytes / (bandwidth * c["weight_stream_efficiency"])


def _batch_norm_us(kernels: KernelColumns, rates: Rates) -> Column:
    """A batch norm's threads load one element at a time, other streams 16 bytes; 0 for all but batch norms.

    Few SMs then have too little in flight to draw what the memory could give (Little's law), and it is the SMs' clock
    that decides.
    """
    return kernels.by_function(dict.fromkeys(_BATCH_NORMS, 1.0)) * kernels.elements / _elements_per_us(rates)


def _elements_per_us(rates: Rates) -> float:
    return 1e3 * rates.sms * rates.gpu_kcycles_per_us * rates.constants["norm_elements_per_clock_per_sm"]


def _product(kernels: KernelColumns, memory_us: Column, rates: Rates) -> Route:
    """A skinny product (a matrix times few vectors) has kernels of its own, which waste no tile.

    Where tensor cores are allowed, the library still takes the other cores for what would not fill a tensor core.
    """
    c, tensor_cores = rates.constants, rates.products_on_tensor_cores
    fp32 = rates.fp32_flops_per_us_per_sm, c["fp32_core_efficiency"]
    fast = rates.product_flops_per_us_per_sm, c["tensor_core_product_efficiency"]
    tiled_us = _tiled_on_fp32_cores(kernels, kernels.k, rates)
    faster_us = _tiled_on_tensor_cores(kernels, fast[0] * fast[1], rates) if tensor_cores else tiled_us
    skinny = np.minimum(kernels.m, kernels.n) <= _SKINNY
    untiled_us = kernels.flops / (rates.sms * fp32[0] * fp32[1])
    arithmetic_us, persistent = np.where(skinny, untiled_us, np.minimum(tiled_us, faster_us)), is_persistent(kernels)
    if persistent.any():  # a fit prices thousands of products, and none of these
        arithmetic_us[persistent] = persistent_us(kernels.select(persistent), rates)
    on_tensor_cores = ~skinny & (faster_us < tiled_us)
    return Route(np.maximum(memory_us, arithmetic_us), arithmetic_us, on_tensor_cores, (fast, fp32))


def _convolution(kernels: KernelColumns, memory_us: Column, rates: Rates) -> Route:
    """Tensor-core kernels work on NHWC: PyTorch's NCHW is converted before and after, but for 1x1 convolutions.

    Where a weight panel outgrows the L2, too few blocks cannot hide the misses: those run as slowly as without tensor
    cores, and further blocks are free until tensor cores would take as long.
    """
    if not rates.convolutions_on_tensor_cores:
        return _convolution_on_fp32_cores(kernels, memory_us, rates)
    c, fits = rates.constants, _fits_tensor_cores(kernels)
    fast = rates.convolution_flops_per_us_per_sm, c["tensor_core_convolution_efficiency"]
    fast_us = _convolution_on_tensor_cores(kernels, fast[0] * fast[1], rates)
    slow_us = _without_tensor_cores_us(kernels, kernels.m, rates)
    starved_us = _without_tensor_cores_us(kernels, np.minimum(kernels.m, _starved_rows(kernels, rates)), rates)
    layout_us = np.where(fits, _layout_us(kernels, rates), 0.0)
    converted_us = np.maximum(_overlapped_us(memory_us, fast_us, rates) + layout_us, starved_us)
    us = np.where(fits, converted_us, np.maximum(memory_us, slow_us))
    arithmetic_us = np.where(fits, np.maximum(fast_us, starved_us - layout_us), slow_us)
    slow = rates.fp32_flops_per_us_per_sm, c["fp32_convolution_efficiency"]
    return Route(us, arithmetic_us, fits, (fast, slow), layout_us)


def _convolution_on_fp32_cores(kernels: KernelColumns, memory_us: Column, rates: Rates) -> Route:
    """A board without TF32: an implicit product on the FP32 cores, or Winograd's where it applies and wins."""
    implicit_us = _tiled_on_fp32_cores(kernels, _filled_depth(kernels.k, rates), rates)
    direct_us = _overlapped_us(memory_us, implicit_us, rates)
    fewer_us = _winograd_us(kernels, rates)
    winograd_us = _overlapped_us(_winograd_memory_us(kernels, memory_us, rates), fewer_us, rates)
    wins = _fits_winograd(kernels) & (winograd_us < direct_us)
    us, arithmetic_us = np.where(wins, winograd_us, direct_us), np.where(wins, fewer_us, implicit_us)
    peak, efficiency = rates.fp32_flops_per_us_per_sm, rates.constants["fp32_core_efficiency"]
    saved = 4 * _WINOGRAD_SIDE**2 / _WINOGRAD_PRODUCTS
    return Route(us, arithmetic_us, wins, ((saved * peak, efficiency), (peak, efficiency)))


def _fits_winograd(kernels: KernelColumns) -> Column:
    """3x3 windows that move by one pixel, one group."""
    side = (kernels.window_side == _WINOGRAD_SIDE) & (kernels.taps == _WINOGRAD_SIDE**2)
    return side & (kernels.stride == 1) & (kernels.dilation == 1) & (kernels.groups == 1)


def _winograd_us(kernels: KernelColumns, rates: Rates) -> Column:
    """F(2x2, 3x3): each 2x2 outputs take 16 products of the channels instead of 36 (Lavin, Gray: arXiv 1509.09308).

    That is 2.25 times fewer; the shorter reduction, whose pipeline must fill all the same, takes a part of it back.
    """
    products = replace(kernels, batch=kernels.batch * _WINOGRAD_PRODUCTS, m=np.ceil(kernels.m / 4))
    return _tiled_on_fp32_cores(products, _filled_depth(kernels.channels, rates), rates)


def _winograd_memory_us(kernels: KernelColumns, memory_us: Column, rates: Rates) -> Column:
    """Each call transforms the weights: 16 values for 9, written and read once more than the untransformed ones."""
    transformed = kernels.cold_bytes * 2 * _WINOGRAD_PRODUCTS / _WINOGRAD_SIDE**2
    return memory_us + transformed / (rates.bytes_per_us * rates.constants["weight_stream_efficiency"])


def _convolution_on_tensor_cores(kernels: KernelColumns, rate: float, rates: Rates) -> Column:
    """cuDNN's heuristics take the widest tile that the output channels fill, also where few SMs get a block each."""
    narrow = _tiled_on_tensor_cores(kernels, rate, rates)
    return np.where(kernels.n > _WIDEST_TILE[0][1], _tiled_on_tensor_cores(kernels, rate, rates, _WIDEST_TILE), narrow)


def _layout_us(kernels: KernelColumns, rates: Rates) -> Column:
    """What conversion to NHWC and back takes of a tensor-core convolution, none where it is 1x1 or in NHWC already.

    A conversion reads and writes each element once, one at a time as a batch norm does: few SMs limit it alike.
    """
    passes, moves = rates.constants["layout_passes"], kernels.warm_bytes / (2 * kernels.item_bytes)
    memory_us = passes * kernels.warm_bytes / (rates.bytes_per_us * rates.constants["stream_efficiency"])
    needs_none = _is_pointwise(kernels) | kernels.channels_last
    return np.where(needs_none, 0.0, np.maximum(memory_us, passes * moves / _elements_per_us(rates)))


def _overlapped_us(memory_us: Column, arithmetic_us: Column, rates: Rates) -> Column:
    """The longer of both, and of the shorter what few large blocks cannot hide: first loads, last stores."""
    shorter = np.minimum(memory_us, arithmetic_us)
    return np.maximum(memory_us, arithmetic_us) + rates.constants["unhidden_share"] * shorter


def _fits_tensor_cores(kernels: KernelColumns) -> Column:
    """Whether cuDNN has a tensor-core kernel for a convolution's shape."""
    return (kernels.dilation <= 1) & (kernels.channels % _ALIGNED_CHANNELS == 0)


def _is_pointwise(kernels: KernelColumns) -> Column:
    """Whether a convolution is a plain product, for which NCHW will do."""
    return (kernels.taps == 1) & (kernels.stride == 1)


def _without_tensor_cores_us(kernels: KernelColumns, rows: Column, rates: Rates) -> Column:
    c = rates.constants
    flops = 2.0 * kernels.batch * rows * kernels.n * _filled_depth(kernels.k, rates)
    return flops / (rates.sms * rates.fp32_flops_per_us_per_sm * c["fp32_convolution_efficiency"])


def _starved_rows(kernels: KernelColumns, rates: Rates) -> Column:
    """Rows below which a convolution has fewer blocks than the SMs can hold; none if its weight panels fit the L2."""
    row_blocks = np.ceil(_RESIDENT_BLOCKS * rates.sms / np.ceil(kernels.n / 128)) - 1
    return np.where(128 * kernels.k * kernels.item_bytes > rates.l2_bytes, 128 * row_blocks, 0)


def _depthwise(kernels: KernelColumns, memory_us: Column, rates: Rates) -> Route:
    """FP32: PyTorch's own kernel, one thread an output, no reuse of operands. Half precision: cuDNN's, tensor cores.

    A thread finds out which output it computes before it reads: that takes as long as some taps of the window.
    """
    c, half = rates.constants, kernels.item_bytes == 2
    peaks = rates.convolution_flops_per_us_per_sm, rates.fp32_flops_per_us_per_sm
    flops = kernels.flops + 2 * kernels.elements * c["depthwise_index_taps"]
    arithmetic_us = flops / (rates.sms * np.where(half, *peaks) * c["depthwise_efficiency"])
    fast, slow = ((peak, c["depthwise_efficiency"]) for peak in peaks)
    return Route(np.maximum(memory_us, arithmetic_us), arithmetic_us, half, (fast, slow))


def _tiled_on_fp32_cores(kernels: KernelColumns, depth: Column, rates: Rates) -> Column:
    c = rates.constants
    rate = rates.fp32_flops_per_us_per_sm * c["fp32_core_efficiency"]
    return _tiled_us(kernels, depth, rate, c["fp32_core_fill_waves"], _SQUARE_AND_SLIM, rates)


def _tiled_on_tensor_cores(
    kernels: KernelColumns, rate: float, rates: Rates, tiles: Sequence[Tuple[int, int]] = _TENSOR_CORE_TILES
) -> Column:
    """A deep pipeline: it must fill along the reduction, too."""
    depth, fill = _filled_depth(kernels.k, rates), rates.constants["tensor_core_fill_waves"]
    return _tiled_us(kernels, depth, rate, fill, tiles, rates)


def _filled_depth(depth: Column, rates: Rates) -> Column:
    return depth + rates.constants["reduction_fill_elements"]


def _tiled_us(
    kernels: KernelColumns, depth: Column, rate: float, fill: float, tiles: Sequence[Tuple[int, int]], rates: Rates
) -> Column:
    """The best of a library's tiles: whole waves of blocks over the SMs, each as slow as its tile's operand reuse.

    A tile of a x b reads a + b operands for a b multiply-adds; below `tile_half_elements` of ab/(a+b) that limits it.
    """
    half = rates.constants["tile_half_elements"]
    a, b = _sides(tuple(tiles))
    reuse = a * b / (a + b)
    blocks = kernels.batch * np.ceil(kernels.m / a) * np.ceil(kernels.n / b)
    waves = np.ceil(blocks / rates.sms) + fill
    return np.minimum.reduce(waves * 2.0 * a * b * depth / (rate * reuse / (reuse + half)))


@functools.lru_cache(maxsize=None)
def _sides(tiles: Tuple[Tuple[int, int], ...]) -> Tuple[Column, Column]:
    """Both sides of each tile, which may lie either way: a row each, beside the columns of kernels."""
    pairs = np.array(sorted({pair for tile in tiles for pair in (tile, tile[::-1])}))
    return pairs[:, :1], pairs[:, 1:]


_ROUTES = {"product": _product, "convolution": _convolution, "depthwise": _depthwise}
