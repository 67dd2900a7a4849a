"""What a recurrent layer costs a GPU and its host: cuDNN's own launches, and the kernels that keep their weights.

The figures are fitted to 60 layers (LSTM, GRU, RNN) that were drawn at random and timed on an NVIDIA H200, torch 2.11:
the root mean square of their errors is 15 % of the host step by step, 11 % in one kernel, and there 29 % of the device.
Of 59 others that no fit saw it is 15 %, 15 % and 41 %. Host costs are in dispatches of PyTorch's, which every
calibration measures: a slower host launches more slowly, too.
"""

from __future__ import annotations

from pathlib import Path
from typing import Mapping

import numpy as np

from ..hardware.toml_quantities import fixed_constants
from ..lower.recurrent import LIBRARY_PRODUCTS, PERSISTENT
from .columns import HOST_KINDS, Column, KernelColumns, OpColumns
from .rates import Rates

_REGISTER_BYTES = 2**18
"""Of an SM, since compute capability 3.5 (CUDA C++ Programming Guide, technical specifications)."""
_WEIGHT_BYTES = 4  # also of FP16: PyTorch asks cuDNN to compute in FP32, and both take the same time
CONSTANTS = fixed_constants(Path(__file__).with_suffix(".toml"))
"""What no calibration of a board fits."""
CALL, LAUNCH, STEP, EFFICIENCY, SPILLED, LOAD = CONSTANTS
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
