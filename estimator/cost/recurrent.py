"""What a recurrent layer costs a GPU and its host: cuDNN's own launches, and the kernels that keep their weights.

The figures are fitted to 60 layers (LSTM, GRU, RNN) that were drawn at random and timed on an NVIDIA H200, torch 2.11:
the root mean square of their errors is 15 % of the host step by step, 11 % in one kernel, and there 29 % of the device.
Of 59 others that no fit saw it is 15 %, 15 % and 41 %. Host costs are in dispatches of PyTorch's, which every
calibration measures: a slower host launches more slowly, too.
"""

from __future__ import annotations

import math
from typing import Mapping, Tuple

import numpy as np

from ..hardware.profile import Constant
from ..lower.recurrent import LIBRARY_PRODUCTS, PERSISTENT
from .columns import HOST_KINDS, Column, KernelColumns, OpColumns
from .rates import Rates

_DRAWN = "60 layers drawn at random, H200, torch 2.11"
_REGISTER_BYTES = 2**18
"""Of an SM, since compute capability 3.5 (CUDA C++ Programming Guide, technical specifications)."""
_WEIGHT_BYTES = 4  # also of FP16: PyTorch asks cuDNN to compute in FP32, and both take the same time


def _fitted(
    name: str, value: float, unit: str, source: str, bounds: Tuple[float, float], uncertainty_pct: float
) -> Constant:
    """No board's calibration moves it: where it starts is where it is, known as well as the fit knows it."""
    sigma = math.log1p(uncertainty_pct / 100)
    return Constant(name, value, unit, f"{source} ({_DRAWN})", *bounds, value, sigma, uncertainty_pct)


CALL = _fitted(
    "recurrent_call_dispatches",
    7.2,
    "dispatch of the host per call of a recurrent layer",
    "descriptors, workspace and the choice of kernels: its time without launches over that of an op of a model",
    (1, 40),
    15,
)
LAUNCH = _fitted(
    "library_launch_dispatches",
    0.54,
    "dispatch of the host per kernel",
    "5 to 12 us a kernel, the choice of each product's kernel included, where an op of a model takes 13 us; a plain "
    "launch takes 4 to 5 us (NVIDIA, Getting Started with CUDA Graphs, 2019; JuliaGPU/CUDAdrv.jl#15)",
    (0.1, 3),
    15,
)
STEP = _fitted(
    "persistent_step_kcycles",
    0.53,
    "kcycle of the GPU per step",
    "what a step takes beside its arithmetic, its threads waiting for each other",
    (0.05, 5),
    30,
)
EFFICIENCY = _fitted(
    "persistent_efficiency",
    0.29,
    "fraction of an SM's FP32 peak",
    "arithmetic of one block, alone on its SM",
    (0.02, 1),
    20,
)
SPILLED = _fitted(
    "spilled_weight_bytes_per_clock",
    23,
    "byte per clock of the GPU and block",
    "weights beyond the registers of an SM are read again in each step; a cache gives at most 128",
    (2, 128),
    30,
)
LOAD = _fitted(
    "persistent_load_kcycles",
    0.28,
    "kcycle of the GPU per KiB of weights",
    "a block takes its weights into registers before its first step",
    (0.01, 2),
    30,
)
CONSTANTS = (CALL, LAUNCH, STEP, EFFICIENCY, SPILLED, LOAD)
"""What no calibration of a board fits."""
VALUES: Mapping[str, float] = {constant.name: constant.value for constant in CONSTANTS}


def is_recurrent(ops: OpColumns) -> Column:
    """Returns a column that is True where cuDNN launches the kernels of an op."""
    return ops.kind == HOST_KINDS.index("recurrent")


def host_dispatches(ops: OpColumns, c: Mapping[str, float] = VALUES) -> Column:
    """Returns how many dispatches' time each recurrent layer takes of the host, its launches included; 0 for others."""
    return np.where(is_recurrent(ops), c[CALL.name] + ops.kernels * c[LAUNCH.name], 0.0)


def early_dispatches(ops: OpColumns, kernels: KernelColumns) -> Column:
    """Returns how long before the end of its op's issue each kernel is launched: so many launches follow it."""
    last = np.cumsum(ops.kernels) - 1
    after = last[kernels.op] - np.arange(len(kernels.op))
    return np.where(is_recurrent(ops)[kernels.op], after * LAUNCH.value, 0.0)


def in_library(kernels: KernelColumns) -> Column:
    """Returns a column that is True for products in cuDNN, which may take TF32 as its convolutions do."""
    inputs, step, projection = map(kernels.computes, LIBRARY_PRODUCTS)
    return inputs | step | projection


def persistent_us(kernels: KernelColumns, rates: Rates, c: Mapping[str, float] = VALUES) -> Column:
    """Returns how long kernels run that keep recurrent weights in the registers of an SM, all steps in one launch.

    Each sequence has a block to itself: small layers share an SM, and as many blocks as fit all SMs make a wave. A step
    is a matrix times a vector. Weights that no registers are left for are read again each time.
    """
    weight_bytes = _WEIGHT_BYTES * kernels.n * kernels.k
    resident = np.maximum(1, _REGISTER_BYTES // np.maximum(weight_bytes, 1.0))
    waves = np.ceil(kernels.m / (rates.sms * resident))
    per_us = rates.gpu_kcycles_per_us
    spilled = np.maximum(weight_bytes - _REGISTER_BYTES, 0.0) / (1e3 * c[SPILLED.name])
    arithmetic_us = 2 * kernels.n * kernels.k / (rates.fp32_flops_per_us_per_sm * c[EFFICIENCY.name])
    step_us = (c[STEP.name] + spilled) / per_us + arithmetic_us
    return waves * (c[LOAD.name] * weight_bytes / 2**10 / per_us + kernels.batch * step_us)


def is_persistent(kernels: KernelColumns) -> Column:
    """Returns a column that is True for the kernels that `persistent_us` is for."""
    return kernels.computes(PERSISTENT)
