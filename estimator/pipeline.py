"""The estimate end to end: capture, lower, cost, schedule, in that order."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Dict, List, Mapping, Optional, Sequence, Tuple

import numpy as np

from .cost.columns import (
    DEVICE_KINDS,
    HOST_KINDS,
    Column,
    KernelColumns,
    OpColumns,
    kernel_columns,
    op_columns,
)
from .cost.price import price
from .hardware.boards import DEFAULT_HARDWARE
from .interval import interval_pct
from .lower import Lowered, lower
from .schedule import Timeline, schedule
from .target import Target, resolve, tensor_dtype

if TYPE_CHECKING:
    import torch

    from .opstream import Op


@dataclass(frozen=True)
class Span:
    """One op on both timelines, in microseconds; without a kernel, device start and end are its issue."""

    op: str
    kernels: int
    host_start_us: float
    host_end_us: float
    device_start_us: float
    device_end_us: float


@dataclass(frozen=True)
class Estimate:
    """The latency of one forward pass and the terms it is made of.

    `interval_pct` is the half-width of the interval that covers 80 % of models; `transferred_from` names the board
    whose constants were used, where the estimated one was not calibrated itself.
    `host_ms` and `device_ms` are what each would take alone; `bound` names the longer. `flops` counts two per
    multiply-add, `bytes` is the kernels' traffic. `defaulted` names the ops that had no rule and were priced by their
    bytes alone. The terms split host_ms and device_ms by kind of op and of kernel.
    """

    latency_ms: float
    interval_pct: float
    host_ms: float
    device_ms: float
    bound: str
    ops: int
    kernels: int
    flops: int
    bytes: int
    host_terms_ms: Mapping[str, float]
    device_terms_ms: Mapping[str, float]
    defaulted: Tuple[str, ...]
    transferred_from: str
    spans: Tuple[Span, ...]


def estimate(
    model: torch.nn.Module,
    example_inputs: Any,
    hardware: str = DEFAULT_HARDWARE,
    thermal_profile: Optional[str] = None,
    precision: str = "fp32",
) -> Estimate:
    """Returns the estimated latency of one eager forward pass of any module, which is left as it was.

    `example_inputs` as in `capture`; weights and inputs may be real or on the meta device. Raises UsageError for an
    unknown hardware, thermal profile or precision, CaptureError for a model whose ops depend on data.
    """
    from .capture import capture

    target = resolve(hardware, thermal_profile, precision)
    return estimate_stream(capture(model, example_inputs, dtype=tensor_dtype(precision)), target)


def estimate_stream(ops: Sequence[Op], target: Target) -> Estimate:
    """Returns the estimate of an op stream that was captured at the target's precision and batch."""
    return estimate_lowered(lower(ops), target)


def estimate_lowered(lowered: Sequence[Lowered], target: Target) -> Estimate:
    """Returns the estimate of lowered ops on the target."""
    ops = op_columns(lowered)
    kernels = kernel_columns(lowered)
    timeline_of = functools.partial(_timeline, ops, kernels, target)
    host, device, timeline, latency_ms = timeline_of(target.profile.values())
    host_ms = float(host.sum()) / 1e3
    device_ms = float(device.sum()) / 1e3
    return Estimate(
        latency_ms=latency_ms,
        interval_pct=interval_pct(lambda constants: timeline_of(constants)[-1], target),
        host_ms=host_ms,
        device_ms=device_ms,
        bound="host" if host_ms >= device_ms else "device",
        ops=len(lowered),
        kernels=len(device),
        flops=sum(k.flops for op in lowered for k in op.kernels),
        bytes=sum(k.bytes for op in lowered for k in op.kernels),
        host_terms_ms=_terms(host, ops.kind, HOST_KINDS),
        device_terms_ms=_terms(device, kernels.kind, DEVICE_KINDS),
        defaulted=tuple(sorted({op.op.name for op in lowered if not op.has_rule})),
        transferred_from=target.profile.transferred_from,
        spans=_spans(lowered, host, timeline),
    )


def times_ms(lowered: Sequence[Lowered], targets: Sequence[Target]) -> List[Tuple[float, float, float]]:
    """Returns what `estimate_lowered` gives as latency_ms, host_ms and device_ms for each target, and nothing else."""
    ops, kernels = op_columns(lowered), kernel_columns(lowered)
    found = (_timeline(ops, kernels, target, target.profile.values()) for target in targets)
    return [(latency_ms, float(host.sum()) / 1e3, float(device.sum()) / 1e3) for host, device, _, latency_ms in found]


def _timeline(
    ops: OpColumns, kernels: KernelColumns, target: Target, constants: Mapping[str, float]
) -> Tuple[Column, Column, Timeline, float]:
    """Host and device times in us, the timeline, and the latency in ms."""
    costs = price(ops, kernels, target, constants)
    timeline = schedule(costs.host_us, costs.device_us, kernels.op, costs.one_clock)
    return costs.host_us, costs.device_us, timeline, (timeline.end_us + costs.overhead_us) / 1e3


def _terms(times_us: Column, kinds: Column, names: Sequence[str]) -> Dict[str, float]:
    sums = ((name, kinds == index) for index, name in enumerate(names))
    return {name: float(times_us[rows].sum()) / 1e3 for name, rows in sums if np.any(rows)}


def _spans(lowered: Sequence[Lowered], host: Column, timeline: Timeline) -> Tuple[Span, ...]:
    counts = np.array([len(op.kernels) for op in lowered], dtype=int)
    last = np.cumsum(counts)
    spans = []
    for i, op in enumerate(lowered):
        issued, count = float(timeline.issue_end_us[i]), int(counts[i])
        start = float(timeline.kernel_start_us[last[i] - count]) if count else issued
        end = float(timeline.kernel_end_us[last[i] - 1]) if count else issued
        spans.append(Span(op.op.name, count, issued - float(host[i]), issued, start, end))
    return tuple(spans)
