"""A GPU and its host: what an op costs the host and a kernel the device, on one board in one power mode.

Host costs are in CPU cycles, device latencies in GPU cycles: they scale with the clocks of a power mode by themselves.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace
from typing import Callable, Iterator, Mapping, Sequence, Tuple

import numpy as np

from ..target import PRECISIONS, Target
from .columns import DEVICE_KINDS, HOST_KINDS, Column, Costs, KernelColumns, Limits, OpColumns
from .convolutions import convolution, depthwise
from .products import product
from .rates import Rates, rates_of
from .recurrence import early_dispatches, host_dispatches, in_library, is_persistent, is_recurrent
from .tiles import Route, power_us
from .traffic import least_memory_us, memory_us

Way = Callable[[KernelColumns, Column, Rates], Route]
EAGER: Mapping[str, Way] = {"product": product, "convolution": convolution, "depthwise": depthwise}
"""By kind of kernel: what gives the route that PyTorch's libraries take."""


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
    return Costs(host_us(ops, rates), us, rates.event_pair_us, False, early_us, functools.partial(limits_of, parts))


def limits_of(parts: Sequence[Tuple[Column, Priced]]) -> Limits:
    """Returns what bounds the kernels of all parts, each with its rows."""
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
    extra = {kind: c[f"{kind}_extra_kcycles"] for kind in ("product", "norm", "convolution")}
    special = {"view": c["view_kcycles"], "recurrent": 0.0}
    kcycles = np.array([special.get(kind, c["dispatch_kcycles"] + extra.get(kind, 0.0)) for kind in HOST_KINDS])
    recurrent = host_dispatches(ops) * c["dispatch_kcycles"]
    return (kcycles[ops.kind] + ops.calls * c["nested_dispatch_kcycles"] + recurrent) / rates.cpu_kcycles_per_us


def device_us(kernels: KernelColumns, rates: Rates) -> Column:
    """Returns how long each kernel runs, in microseconds: the slower of arithmetic and memory, plus a latency."""
    return priced(kernels, rates).us


def priced(kernels: KernelColumns, rates: Rates, ways: Mapping[str, Way] = EAGER) -> Priced:
    """Returns what kernels whose tensors are all of the type of `rates` take, and the routes they take."""
    traffic_us = memory_us(kernels, rates)
    us, routes = traffic_us.copy(), {}
    for kind, places, of_kind in kernels.by_kind:
        if kind in ways:
            routes[kind] = ways[kind](of_kind, traffic_us[places], rates)
            us[places] = routes[kind].us
    return Priced(kernels, rates, us + _latency_us(rates), traffic_us, routes)


def _latency_us(rates: Rates) -> float:
    return rates.constants["kernel_kcycles"] / rates.gpu_kcycles_per_us


def _limits_of(part: Priced) -> Tuple[Column, Column]:
    """What bounds each kernel, as an index into LIMITS, and the least that this takes at its peak.

    Arithmetic that takes more than twice what its rate and the board's power would is bound by waves: blocks that do
    not fill all SMs.
    """
    kernels, rates, latency_us = part.kernels, part.rates, _latency_us(part.rates)
    memory, (arithmetic_us, least_us, limit) = part.memory_us.copy(), np.zeros((3, len(kernels.op)))
    for kind, places, of_kind in kernels.by_kind:
        if kind in part.routes:
            route = part.routes[kind]
            peak, efficiency, watts = (np.where(route.fast, fast, slow) for fast, slow in zip(*route.speeds))
            arithmetic_us[places] = route.arithmetic_us
            memory[places] += route.layout_us
            least_us[places] = of_kind.flops / (rates.sms * peak)
            at_rate_us, at_power_us = least_us[places] / efficiency, power_us(of_kind.flops, watts, rates)
            in_waves = route.arithmetic_us > 2 * np.maximum(at_rate_us, at_power_us)
            limit[places] = np.where(in_waves, 2, np.where(at_power_us > at_rate_us, 4, 0))
    is_latency = (latency_us >= np.maximum(memory, arithmetic_us)) | is_persistent(kernels)
    is_memory = memory >= arithmetic_us
    limit = np.where(is_latency, 3, np.where(is_memory, 1, limit))
    return limit, np.where(is_latency, latency_us, np.where(is_memory, least_memory_us(kernels, rates), least_us))
