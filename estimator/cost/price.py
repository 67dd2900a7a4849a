"""Prices ops and kernels on a target's processor: a GPU with its host, or a CPU; or as an engine of its runtime."""

from __future__ import annotations

from typing import Callable, Dict, Mapping

from ..runtimes import TENSORRT
from ..target import Target
from . import cpu, gpu, tensorrt
from .columns import Costs, KernelColumns, OpColumns

PROCESSORS: Dict[str, Callable[..., Costs]] = {"cpu": cpu.costs, "gpu": gpu.costs}
"""By kind of processor: the function of its module that prices the columns."""


def price(ops: OpColumns, kernels: KernelColumns, target: Target, constants: Mapping[str, float]) -> Costs:
    """Returns what each op and each kernel costs with these constants."""
    if target.runtime == TENSORRT:
        return tensorrt.costs(ops, kernels, target, constants)
    return PROCESSORS[target.profile.processor](ops, kernels, target, constants)
