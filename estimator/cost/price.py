"""Prices ops and kernels on a target's processor: a GPU with its host, or a CPU."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Mapping

from ..target import Target
from . import cpu, gpu
from .columns import Column, KernelColumns, OpColumns


@dataclass(frozen=True)
class Costs:
    """Microseconds per op on the host and per kernel on the device, and what the measuring itself adds.

    `one_clock` is True where host and device are the same processor, so that no kernel runs while an op is issued.
    """

    host_us: Column
    device_us: Column
    overhead_us: float
    one_clock: bool


def price(
    ops: OpColumns,
    kernels: KernelColumns,
    target: Target,
    constants: Mapping[str, float],
) -> Costs:
    """Returns what each op and each kernel costs with these constants."""
    if target.profile.processor == "cpu":
        return Costs(cpu.host_us(ops, constants), cpu.device_us(kernels, constants), 0.0, one_clock=True)
    rates = gpu.rates_of(target, constants)
    return Costs(gpu.host_us(ops, rates), gpu.device_us(kernels, rates), rates.event_pair_us, one_clock=False)
