"""A GPU and its host: what an op costs the host and a kernel the device, on one board in one power mode.

Host costs are in CPU cycles, device latencies in GPU cycles: they scale with the clocks of a power mode by themselves.
"""

from __future__ import annotations

import functools
from dataclasses import replace
from typing import Callable, Iterator, Mapping, Sequence, Tuple

import numpy as np

from ..target import PRECISIONS, Target
from .columns import DEVICE_KINDS, HOST_KINDS, Column, Costs, KernelColumns, Limits, OpColumns
from .rates import Rates, rates_of
from .recurrent import early_dispatches, host_dispatches, in_library, is_persistent, is_recurrent, persistent_us

_SQUARE_AND_SLIM = ((128, 128), (128, 64), (64, 64), (128, 32), (64, 32), (32, 32))
_TENSOR_CORE_TILES = ((128, 128), (128, 64), (64, 64))  # smaller ones do not feed a tensor core
_WIDEST_TILE = ((128, 128),)
_TENSOR_CORE_PRODUCT = "tensor_core_product_efficiency"
_SKINNY = 16  # rows or columns up to which cuBLAS takes matrix-vector-like kernels
_RESIDENT_BLOCKS = 4  # thread blocks of a tensor-core convolution that fit one SM's registers
_BATCH_NORMS = ("native_batch_norm", "_native_batch_norm_legit_no_training", "cudnn_batch_norm")
_WINOGRAD_SIDE, _WINOGRAD_PRODUCTS = 3, 16
_ALIGNED_CHANNELS = 4  # 16 bytes of TF32: the alignment that cuDNN's tensor-core kernels ask of input channels


def costs(
    ops: OpColumns,
    kernels: KernelColumns,
    target: Target,
    constants: Mapping[str, float],
) -> Costs:
    """Returns what each op costs the host and each kernel the device, which work side by side."""
    rates = rates_of(target, constants)
    device = _by_type(kernels, target, lambda own, at: device_us(own, rates_of(at, constants)))
    early = _early_us(ops, kernels, rates)
    return Costs(host_us(ops, rates), device, rates.event_pair_us, one_clock=False, early_us=early)


def _by_type(kernels: KernelColumns, target: Target, formula: Callable[[KernelColumns, Target], Column]) -> Column:
    """The formula's times, each kernel at the arithmetic of its own tensors, which may be of another type.

    What is in half precision multiplies in FP16, and in FP32 as PyTorch does by default.
    """
    times = np.zeros(len(kernels.op))
    for own, rows, of_type in _types(kernels, target):
        times[rows] = formula(of_type, own)
    return times


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
    times = _memory_us(kernels, rates)
    for kind, places, of_kind in kernels.by_kind:
        if kind in _ARITHMETIC:
            times[places] = _ARITHMETIC[kind](of_kind, times[places], rates)
    return times + rates.constants["kernel_kcycles"] / rates.gpu_kcycles_per_us


def limits(kernels: KernelColumns, target: Target, constants: Mapping[str, float]) -> Limits:
    """Returns what bounds each kernel: its latency, its traffic, or its arithmetic, which waves of tiles may stretch.

    Arithmetic that takes more than twice what its rate alone would is bound by waves: blocks that do not fill all SMs.
    """
    limit, least_us = np.zeros(len(kernels.op), dtype=int), np.zeros(len(kernels.op))
    for own, rows, of_type in _types(kernels, target):
        found = _limits(of_type, rates_of(own, constants))
        limit[rows], least_us[rows] = found.limit, found.least_us
    return Limits(limit, least_us)


def _limits(kernels: KernelColumns, rates: Rates) -> Limits:
    constants = rates.constants
    latency_us = np.full(len(kernels.op), constants["kernel_kcycles"] / rates.gpu_kcycles_per_us)
    layout_us = np.where(_is_converted(kernels, rates), _layout_us(kernels, rates), 0.0)
    memory_us, arithmetic_us = _memory_us(kernels, rates) + layout_us, _arithmetic_us(kernels, rates) - layout_us
    peak, efficiency = _peak_and_efficiency(kernels, rates)
    least_arithmetic_us = kernels.flops / (rates.sms * peak * _fewer_products(kernels, rates))
    in_waves = arithmetic_us > 2 * least_arithmetic_us / efficiency
    least_memory_us = (kernels.warm_bytes + kernels.cold_bytes) / rates.bytes_per_us
    is_latency = (latency_us >= np.maximum(memory_us, arithmetic_us)) | is_persistent(kernels)
    is_memory = memory_us >= arithmetic_us
    limit = np.where(is_latency, 3, np.where(is_memory, 1, np.where(in_waves, 2, 0)))
    least_us = np.where(is_latency, latency_us, np.where(is_memory, least_memory_us, least_arithmetic_us))
    return Limits(limit, least_us)


def _arithmetic_us(kernels: KernelColumns, rates: Rates) -> Column:
    """What each kernel would take if its traffic were free, conversions of layout still in it."""
    times = np.zeros(len(kernels.op))
    for kind, formula in _ARITHMETIC.items():
        rows = kernels.kind == DEVICE_KINDS.index(kind)
        if rows.any():
            times[rows] = formula(kernels.select(rows), np.zeros(int(rows.sum())), rates)
    return times


def _is_converted(kernels: KernelColumns, rates: Rates) -> Column:
    is_convolution = kernels.kind == DEVICE_KINDS.index("convolution")
    return is_convolution & _fits_tensor_cores(kernels) & rates.convolutions_on_tensor_cores


def _peak_and_efficiency(kernels: KernelColumns, rates: Rates) -> Tuple[Column, Column]:
    """FLOP per microsecond and SM of the cores that a kernel runs on, and the share of it that a large one reaches."""
    c = rates.constants
    is_product = kernels.kind == DEVICE_KINDS.index("product")
    is_depthwise = kernels.kind == DEVICE_KINDS.index("depthwise")
    choices = (
        (_is_converted(kernels, rates), rates.convolution_flops_per_us_per_sm, "tensor_core_convolution_efficiency"),
        (is_depthwise & (kernels.item_bytes == 2), rates.convolution_flops_per_us_per_sm, "depthwise_efficiency"),
        (is_depthwise, rates.fp32_flops_per_us_per_sm, "depthwise_efficiency"),
        (is_product & _takes_tensor_cores(kernels, rates), rates.product_flops_per_us_per_sm, _TENSOR_CORE_PRODUCT),
        (is_product, rates.fp32_flops_per_us_per_sm, "fp32_core_efficiency"),
    )
    rows = [row for row, _, _ in choices]
    peaks = np.select(rows, [peak for _, peak, _ in choices], rates.fp32_flops_per_us_per_sm)
    others = "fp32_convolution_efficiency" if rates.convolutions_on_tensor_cores else "fp32_core_efficiency"
    return peaks, np.select(rows, [c[name] for _, _, name in choices], c[others])


def _fewer_products(kernels: KernelColumns, rates: Rates) -> Column:
    """By how much Winograd's convolution needs fewer products, where it may be taken."""
    is_convolution = kernels.kind == DEVICE_KINDS.index("convolution")
    may = is_convolution & _fits_winograd(kernels) & (not rates.convolutions_on_tensor_cores)
    return np.where(may, 4 * _WINOGRAD_SIDE**2 / _WINOGRAD_PRODUCTS, 1.0)


def _takes_tensor_cores(kernels: KernelColumns, rates: Rates) -> Column:
    """Whether the library takes them for a product that is not skinny."""
    if not rates.products_on_tensor_cores:
        return np.zeros(len(kernels.op), dtype=bool)
    fp32 = _tiled_on_fp32_cores(kernels, kernels.k, rates)
    peak = rates.product_flops_per_us_per_sm * rates.constants[_TENSOR_CORE_PRODUCT]
    return (np.minimum(kernels.m, kernels.n) > _SKINNY) & (_tiled_on_tensor_cores(kernels, peak, rates) < fp32)


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


def _product_us(kernels: KernelColumns, memory_us: Column, rates: Rates) -> Column:
    """A skinny product (a matrix times few vectors) has kernels of its own, which waste no tile.

    Where tensor cores are allowed, the library still takes the other cores for what would not fill a tensor core.
    """
    tiled = _tiled_on_fp32_cores(kernels, kernels.k, rates)
    if rates.products_on_tensor_cores:
        peak = rates.product_flops_per_us_per_sm * rates.constants[_TENSOR_CORE_PRODUCT]
        tiled = np.minimum(tiled, _tiled_on_tensor_cores(kernels, peak, rates))
    skinny = np.minimum(kernels.m, kernels.n) <= _SKINNY
    untiled = kernels.flops / (rates.sms * rates.fp32_flops_per_us_per_sm * rates.constants["fp32_core_efficiency"])
    arithmetic_us, persistent = np.where(skinny, untiled, tiled), is_persistent(kernels)
    if persistent.any():  # a fit prices thousands of products, and none of these
        arithmetic_us[persistent] = persistent_us(kernels.select(persistent), rates)
    return np.maximum(memory_us, arithmetic_us)


def _convolution_us(kernels: KernelColumns, memory_us: Column, rates: Rates) -> Column:
    """Tensor-core kernels work on NHWC: PyTorch's NCHW is converted before and after, but for 1x1 convolutions.

    Where a weight panel outgrows the L2, too few blocks cannot hide the misses: those run as slowly as without tensor
    cores, and further blocks are free until tensor cores would take as long.
    """
    if not rates.convolutions_on_tensor_cores:
        return _convolution_on_fp32_cores_us(kernels, memory_us, rates)
    peak = rates.convolution_flops_per_us_per_sm * rates.constants["tensor_core_convolution_efficiency"]
    arithmetic = _convolution_on_tensor_cores(kernels, peak, rates)
    fast = _overlapped_us(memory_us, arithmetic, rates) + _layout_us(kernels, rates)
    starved = np.minimum(kernels.m, _starved_rows(kernels, rates))
    fast = np.maximum(fast, _without_tensor_cores_us(kernels, starved, rates))
    slow = np.maximum(memory_us, _without_tensor_cores_us(kernels, kernels.m, rates))
    return np.where(_fits_tensor_cores(kernels), fast, slow)


def _convolution_on_fp32_cores_us(kernels: KernelColumns, memory_us: Column, rates: Rates) -> Column:
    """A board without TF32: an implicit product on the FP32 cores, or Winograd's where it applies and wins."""
    implicit = _tiled_on_fp32_cores(kernels, _filled_depth(kernels.k, rates), rates)
    direct = _overlapped_us(memory_us, implicit, rates)
    winograd = _overlapped_us(_winograd_memory_us(kernels, memory_us, rates), _winograd_us(kernels, rates), rates)
    return np.where(_fits_winograd(kernels), np.minimum(direct, winograd), direct)


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


def _depthwise_us(kernels: KernelColumns, memory_us: Column, rates: Rates) -> Column:
    """FP32: PyTorch's own kernel, one thread an output, no reuse of operands. Half precision: cuDNN's, tensor cores.

    A thread finds out which output it computes before it reads: that takes as long as some taps of the window.
    """
    c, half = rates.constants, kernels.item_bytes == 2
    peak = rates.sms * np.where(half, rates.convolution_flops_per_us_per_sm, rates.fp32_flops_per_us_per_sm)
    flops = kernels.flops + 2 * kernels.elements * c["depthwise_index_taps"]
    return np.maximum(memory_us, flops / (peak * c["depthwise_efficiency"]))


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


_ARITHMETIC = {"product": _product_us, "convolution": _convolution_us, "depthwise": _depthwise_us}
