"""What ops and kernels cost on a profile's processor, whichever kind it is."""

from __future__ import annotations

from typing import Callable, Dict, Mapping

from ..hardware.profile import PowerMode, Profile
from ..precision import Precision
from . import cpu, gpu
from .columns import Costs, KernelColumns, OpColumns

PROCESSORS: Dict[str, Callable[..., Costs]] = {"cpu": cpu.costs, "gpu": gpu.costs}
"""By kind of processor: the function of its module that prices the columns."""


def price(
    ops: OpColumns,
    kernels: KernelColumns,
    profile: Profile,
    mode: PowerMode,
    precision: Precision,
    constants: Mapping[str, float],
) -> Costs:
    """Returns what each op and each kernel costs with these constants."""
    return PROCESSORS[profile.processor](ops, kernels, profile, mode, precision, constants)
