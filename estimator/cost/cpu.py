"""A CPU, which issues ops and runs their kernels itself: oneDNN's convolutions, a BLAS, and PyTorch's own loops.

Constants are rates of all threads together, so that no clock and no width of a vector unit has to be known.
"""

from __future__ import annotations

import functools
from typing import Mapping

import numpy as np

from ..target import Target
from .columns import DEVICE_KINDS, HOST_KINDS, Column, Costs, KernelColumns, Limits, OpColumns
from .corrections import factors

Constants = Mapping[str, float]
_TINY = 2048  # elements: 8 KiB, a part of any first-level cache
_OWN_ELEMENTS = 20480  # of the input: up to here PyTorch runs its own convolution (ATen/native/Convolution.cpp)
_OWN_SIDE = 3  # of the window: the longest that PyTorch's own convolution takes
_ELEMENT_WORK = {
    "gelu": 1.1,
    "silu": 1.0,
    "sigmoid": 1.0,
    "exp": 1.0,
    "tanh": 1.0,
    "elu": 1.0,
    "mish": 2.0,
    "softplus": 2.0,
    "_softmax": 1.0,
    "_log_softmax": 1.0,
    "upsample_bilinear2d": 3.0,
    "upsample_bicubic2d": 12.0,
}
"""What an element costs the vector units, in exponentials; rough, corrections know better."""
_TAP_WORK = {"max_pool2d_with_indices": 1.0, "avg_pool2d": 0.6}  # of a pooling window, in taps that are compared
_WINDOW_TAPS = 4  # that would take as long as setting a window up
_GATHER_WORK = {"clone": 0.5, "copy": 0.5}  # of each element that is moved against the order of memory, in taps
_GFLOP_S = {kind: f"{kind}_gflop_s" for kind in ("convolution", "depthwise", "product")}
_KFLOP_PER_US = 1e3  # in a GFLOP/s
_KB_PER_US = 1e3  # in a GB/s


def costs(ops: OpColumns, kernels: KernelColumns, target: Target, constants: Constants) -> Costs:
    """Returns what each op and kernel costs: the constants alone describe a CPU, and a profile may correct them."""
    host, device = host_us(ops, constants), device_us(kernels, constants)
    limits = functools.partial(_limits, kernels, device, constants)
    if target.profile.corrections:
        factor = factors(ops, kernels, target.profile.corrections)
        host, device = host * factor, device * factor[kernels.op]
    return Costs(host, device, overhead_us=0.0, one_clock=True, limits=limits)


def _limits(kernels: KernelColumns, total_us: Column, c: Constants) -> Limits:
    """What takes most of each kernel: arithmetic at its rate, traffic, or calls, layouts and short sides.

    Those last three together go by "latency". A bias is free, whatever it reads.
    """
    memory_us = _warm_us(kernels, c) + kernels.cold_bytes / (c["cold_gb_s"] * _KB_PER_US)
    computing = [kernels.kind == DEVICE_KINDS.index(kind) for kind in _GFLOP_S]
    at_rate = [_arithmetic_us(kernels, c[rate]) for rate in _GFLOP_S.values()]
    arithmetic_us = np.select(computing, at_rate, _scalar_work(kernels) / c["scalar_melements_s"])
    rest_us = np.maximum(total_us - memory_us - arithmetic_us, 0.0)
    parts_us = np.minimum([arithmetic_us, memory_us, 0.0 * total_us, rest_us], total_us)
    return Limits(np.argmax(parts_us, axis=0), np.max(parts_us, axis=0))


def host_us(ops: OpColumns, constants: Constants) -> Column:
    """Returns what each op costs before and after its kernels, in microseconds; a convolution adds its bias itself.

    Between tiny tensors code and data stay in the first-level caches; an op on larger ones has to fetch them again.
    """
    c = constants
    special = {"view": c["view_us"], "norm": c["dispatch_us"] + c["norm_extra_us"]}
    each = np.array([special.get(kind, c["dispatch_us"]) for kind in HOST_KINDS])
    nested = np.where(ops.kind == HOST_KINDS.index("convolution"), 0.0, ops.calls)
    refill = np.where((ops.elements > _TINY) & (ops.kind != HOST_KINDS.index("view")), c["refill_us"], 0.0)
    return each[ops.kind] + refill + nested * c["nested_dispatch_us"]


def device_us(kernels: KernelColumns, constants: Constants) -> Column:
    """Returns how long each kernel runs, in microseconds: arithmetic, memory and calls of a library, one after another.

    Unlike a GPU, which has other warps to run while one waits for memory, a core adds them up.
    """
    times = _stream_us(kernels, constants)
    for kind, formula in (("convolution", _convolution_us), ("depthwise", _depthwise_us), ("product", _product_us)):
        rows = kernels.kind == DEVICE_KINDS.index(kind)
        if rows.any():
            times[rows] = formula(kernels.select(rows), constants)
    return np.where(kernels.computes("bias"), 0.0, times)  # oneDNN adds it to the convolution before it


def _stream_us(kernels: KernelColumns, c: Constants) -> Column:
    functions_us = kernels.by_function(_ELEMENT_WORK) * kernels.elements / c["vector_melements_s"]
    functions_us += _scalar_work(kernels) / c["scalar_melements_s"]
    cold_us = kernels.cold_bytes / (c["cold_gb_s"] * _KB_PER_US)
    calls_us = np.where(kernels.computes("gelu"), c["library_call_us"], 0.0)
    return _warm_us(kernels, c) + cold_us + functions_us + calls_us


def _scalar_work(kernels: KernelColumns) -> Column:
    """Work that no wide instruction does, in taps of a window that are compared."""
    windows = kernels.by_function(_TAP_WORK) * kernels.elements * (kernels.taps + _WINDOW_TAPS)
    gathers = kernels.by_function(_GATHER_WORK) * kernels.elements
    return windows + np.where(kernels.contiguous, 0.0, gathers)


def _warm_us(kernels: KernelColumns, c: Constants) -> Column:
    """Activations, which the op before has left in a cache."""
    return kernels.warm_bytes / (c["warm_gb_s"] * _KB_PER_US)


def _convolution_us(kernels: KernelColumns, c: Constants) -> Column:
    """Blocks of channels (of a group, if there are groups) and pixels: short sides leave a block's registers idle."""
    waste = _waste(kernels.n, c["block_half_channels"]) * _waste(kernels.m, c["block_half_rows"])
    reordered = np.where(_is_pointwise(kernels), c["pointwise_reorder_share"], 1.0)
    return _arithmetic_us(kernels, c["convolution_gflop_s"]) * waste + _layouts_us(kernels, c, reordered)


def _is_pointwise(kernels: KernelColumns) -> Column:
    """Whether a convolution is a plain product, for which PyTorch's layout may do as it is."""
    return (kernels.taps == 1) & (kernels.stride == 1) & (kernels.groups == 1)


def _arithmetic_us(kernels: KernelColumns, gflop_s: float) -> Column:
    """Rows of a window that see padding alone are left out."""
    return kernels.flops * kernels.rows_inside / (gflop_s * _KFLOP_PER_US)


def _depthwise_us(kernels: KernelColumns, c: Constants) -> Column:
    return _arithmetic_us(kernels, c["depthwise_gflop_s"]) + _layouts_us(kernels, c, 1.0)


def _layouts_us(kernels: KernelColumns, c: Constants, reordered: Column) -> Column:
    """oneDNN works on blocked layouts: input, weights and output of each call are reordered from PyTorch's and back.

    `reordered` is the share of that which a kernel needs; the pass that reads and writes is none of it.
    """
    calls_us = c["library_call_us"] + np.where(_by_library(kernels), reordered * c["reorder_us"], 0.0)
    packed_us = kernels.cold_bytes / (c["packing_gb_s"] * _KB_PER_US)
    return calls_us + packed_us + (1 + reordered * c["layout_passes"]) * _warm_us(kernels, c)


def _by_library(kernels: KernelColumns) -> Column:
    """Whether oneDNN runs a convolution; PyTorch has a loop of its own for one small image without groups."""
    large = (kernels.window_side > _OWN_SIDE) | (kernels.input_elements > _OWN_ELEMENTS)
    return large | (kernels.groups > 1) | (kernels.images > 1)


def _product_us(kernels: KernelColumns, c: Constants) -> Column:
    """A BLAS packs the weights before it multiplies; with one row it streams them instead.

    The wider its output, the further apart are the tiles it works on, and the longer the same work takes.
    """
    half = c["product_half_elements"]
    waste = _waste(kernels.m, half) * _waste(kernels.n, half) * _waste(kernels.k, half)
    waste *= 1 + kernels.n / c["product_double_columns"]
    packed_us = kernels.cold_bytes / (c["packing_gb_s"] * _KB_PER_US)
    blocked_us = kernels.flops / (c["product_gflop_s"] * _KFLOP_PER_US) * waste + packed_us
    streamed_us = kernels.cold_bytes / (c["cold_gb_s"] * _KB_PER_US)
    return _warm_us(kernels, c) + np.where(kernels.m == 1, streamed_us, blocked_us)


def _waste(length: Column, half: float) -> Column:
    """The factor by which a loop over `length` is slower than an endless one; two at `half`."""
    return 1 + half / np.maximum(length, 1)
