"""The estimate end to end: capture, lower, cost, schedule, in that order."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Callable, Dict, Mapping, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from .cost.columns import (
    DEVICE_KINDS,
    HOST_KINDS,
    Column,
    Costs,
    KernelColumns,
    Limits,
    OpColumns,
    kernel_columns,
    op_columns,
)
from .cost.price import price
from .hardware.boards import DEFAULT_HARDWARE
from .interval import MODEL_UNCERTAINTY, interval_pct, without_evidence
from .lower import NO_RULES, Lowered, Rules, lower
from .lower.fusion import Fused, fuse, in_int8
from .lower.rules import checked_rules
from .opstream import Captured
from .runtimes import EAGER
from .schedule import Timeline, schedule
from .target import PRECISIONS, Target, resolve, tensor_dtype

if TYPE_CHECKING:
    import torch


NOTHING_CAPTURED = Captured((), ())
"""Of ops whose model nobody names."""
Prices = Callable[[Target, Mapping[str, float]], Costs]
"""What gives the costs of one pass on a target with these constants."""


class Span(NamedTuple):
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

    `interval_pct` is the half-width of the interval that covers 80 % of models; None where nothing measured tells it,
    and `without_evidence` names why. `transferred_from` names the board whose constants were used, where the estimated
    one was not calibrated itself.
    `host_ms` and `device_ms` are what each would take alone; `bound` names the longer. `flops` counts two per
    multiply-add, `bytes` is the kernels' traffic. `defaulted` names the ops that had no rule and were priced by their
    bytes alone, `defaulted_share_pct` what each of them takes of device_ms in percent. The terms split host_ms and
    device_ms by kind of op and of kernel. `computes_in` names the precision of products and convolutions: the target's,
    or at FP32 that of weights and inputs in half precision. `decided_by` is that of `Captured`: where the values of
    these inputs decided which ops there are, "" where none did. `weight_bytes` are those of all parameters and buffers;
    `memory_note` says that they do not fit the board's memory, "" where they do or nobody says how much it has.
    """

    latency_ms: float
    interval_pct: Optional[float]
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
    defaulted_share_pct: Mapping[str, float]
    transferred_from: str
    without_evidence: Tuple[str, ...]
    computes_in: str
    decided_by: str
    weight_bytes: int
    memory_note: str
    spans: Tuple[Span, ...]


def estimate(
    model: torch.nn.Module,
    example_inputs: Any,
    hardware: str = DEFAULT_HARDWARE,
    thermal_profile: Optional[str] = None,
    precision: str = "fp32",
    rules: Rules = NO_RULES,
    runtime: str = EAGER,
) -> Estimate:
    """Returns the estimated latency of one forward pass of any module, which is left as it was.

    `example_inputs` as in `capture`; weights and inputs may be real or on the meta device. `rules` has a function for
    each op that is to be priced otherwise than here, by name, "library.op": as those below `estimator.lower` it takes
    the op and the op's arguments, and returns a `Lowered`. `runtime` is "eager" or "tensorrt". Raises UsageError for an
    unknown hardware, thermal profile, precision, runtime or op, CaptureError for a model whose ops depend on data,
    LoweringError for one that multiplies in a type whose rate no profile knows (double precision). At "fp32" and "tf32"
    weights and inputs keep their own types: those in half precision compute as at "fp16" or "bf16".
    """
    from .capture import capture_in_modules

    target, own = resolve(hardware, thermal_profile, precision, runtime=runtime), checked_rules(rules)
    captured = capture_in_modules(model, example_inputs, tensor_dtype(precision))
    return estimate_pass(forward_pass(run_by(target, captured, own).lowered, target), target, captured)


def run_by(target: Target, captured: Captured, rules: Rules = NO_RULES) -> Fused:
    """Returns what the target's runtime runs of an op stream: each op, or what an engine fuses of them."""
    lowered = lower(captured.ops, rules)
    if target.runtime == EAGER:
        return Fused(lowered, captured.modules)
    fused = fuse(captured, lowered)
    return fused._replace(lowered=tuple(map(in_int8, fused.lowered))) if target.precision.name == "int8" else fused


@dataclass(frozen=True, eq=False)
class ForwardPass:
    """One forward pass, priced and scheduled: a row per op and per kernel, as the columns of `cost` have them.

    `prices` gives what `price` does, without the limits, where passes share their prices (`cost.shared`).
    """

    lowered: Tuple[Lowered, ...]
    ops: OpColumns
    kernels: KernelColumns
    costs: Costs
    timeline: Timeline
    prices: Optional[Prices] = None

    @property
    def latency_ms(self) -> float:
        """Returns when the pass ends, with what measuring it adds."""
        return (self.timeline.end_us + self.costs.overhead_us) / 1e3

    @property
    def host_ms(self) -> float:
        """Returns what the host would take alone."""
        return float(self.costs.host_us.sum()) / 1e3

    @property
    def device_ms(self) -> float:
        """Returns what the device would take alone."""
        return float(self.costs.device_us.sum()) / 1e3

    def with_factors(self, ops: Column, host: float, device: float) -> float:
        """Returns the latency in ms if these ops (True where one is meant) took so many times as long."""
        costs, kernel_op = self.costs, self.kernels.op
        host_us = np.where(ops, host, 1.0) * costs.host_us
        device_us = np.where(ops[kernel_op], device, 1.0) * costs.device_us
        early_us = None if costs.early_us is None else np.where(ops[kernel_op], host, 1.0) * costs.early_us
        timeline = schedule(host_us, device_us, kernel_op, costs.one_clock, early_us, self.ops.waits)
        return (timeline.end_us + costs.overhead_us) / 1e3

    def with_kernels(self, kind: str, factor: float) -> float:
        """Returns the latency in ms if the kernels of this kind took so many times as long."""
        costs, of_kind = self.costs, self.kernels.kind == DEVICE_KINDS.index(kind)
        device_us = np.where(of_kind, factor, 1.0) * costs.device_us
        timeline = schedule(costs.host_us, device_us, self.kernels.op, costs.one_clock, costs.early_us, self.ops.waits)
        return (timeline.end_us + costs.overhead_us) / 1e3

    def with_constants(self, target: Target, constants: Mapping[str, float]) -> ForwardPass:
        """Returns the same ops on the target with other constants."""
        costs = self._costs(target, constants)
        if self.prices is not None:
            costs = replace(costs, limits=lambda: _limits(price(self.ops, self.kernels, target, constants)))
        return replace(self, costs=costs, timeline=_timeline(self.ops, self.kernels, costs))

    def latency_with(self, target: Target, constants: Mapping[str, float]) -> float:
        """Returns the latency in ms of the same ops on the target with other constants."""
        costs = self._costs(target, constants)
        return (_timeline(self.ops, self.kernels, costs).end_us + costs.overhead_us) / 1e3

    def _costs(self, target: Target, constants: Mapping[str, float]) -> Costs:
        if self.prices is None:
            return price(self.ops, self.kernels, target, constants)
        return self.prices(target, constants)


def forward_pass(lowered: Sequence[Lowered], target: Target, prices: Optional[Prices] = None) -> ForwardPass:
    """Returns the forward pass of lowered ops on the target."""
    ops, kernels = op_columns(lowered), kernel_columns(lowered)
    costs = price(ops, kernels, target, target.profile.values())
    return ForwardPass(tuple(lowered), ops, kernels, costs, _timeline(ops, kernels, costs), prices)


def _limits(costs: Costs) -> Limits:
    assert costs.limits is not None, "only passes on a GPU are priced together"
    return costs.limits()


def _timeline(ops: OpColumns, kernels: KernelColumns, costs: Costs) -> Timeline:
    return schedule(costs.host_us, costs.device_us, kernels.op, costs.one_clock, costs.early_us, ops.waits)


def interval_of(found: ForwardPass, target: Target) -> Optional[float]:
    """Returns the half-width of the prediction interval of a forward pass in percent, as `interval_pct` does.

    None where an op computes nobody says how much.
    """
    own = _computed_as(found, target)
    if unknown_ops(found.lowered):
        return None
    return interval_pct(
        lambda constants: found.latency_with(target, constants),
        own,
        _model_variance(found) + _spread_variance(found, target),
    )


def unknown_ops(lowered: Sequence[Lowered]) -> Tuple[str, ...]:
    """Returns the names of the ops of which nobody says how much they compute."""
    return tuple(sorted({op.op.name for op in lowered if op.is_unknown}))


def _computed_as(found: ForwardPass, target: Target) -> Target:
    """The target at the precision that a model's own weights compute in, where they are halves and it says FP32."""
    halves = {k.dtype for op in found.lowered for k in op.kernels if k.kind != "stream"} & {"float16", "bfloat16"}
    if not halves or target.precision.tensors != "float32":
        return target
    return replace(target, precision=PRECISIONS["bf16" if "bfloat16" in halves else "fp16"])


def _model_variance(found: ForwardPass) -> float:
    """The relative variance from ops whose like no calibration has seen: those of a name are off alike."""
    groups = sorted({(op.unseen, op.op.name) for op in found.lowered if op.unseen})
    return sum(
        math.log(found.with_factors(names, host, device) / found.latency_ms) ** 2
        for unseen, name in groups
        for names in (np.array([op.op.name == name for op in found.lowered]),)
        for known in (MODEL_UNCERTAINTY[unseen],)
        for host, device in ((math.exp(known.host), 1.0), (1.0, math.exp(known.device)))
    )


def _spread_variance(found: ForwardPass, target: Target) -> float:
    """The relative variance from GPUs that no fit has seen: all kernels of a kind are off alike."""
    return sum(
        math.log(found.with_kernels(kind, math.exp(pct / 100)) / found.latency_ms) ** 2
        for kind, pct in target.profile.spreads_pct.items()
    )


def _defaulted_share_pct(found: ForwardPass) -> Dict[str, float]:
    spent_us: Dict[str, float] = {}
    for op, us in zip(found.kernels.op.tolist(), found.costs.device_us.tolist()):
        if not found.lowered[op].has_rule:
            name = found.lowered[op].op.name
            spent_us[name] = spent_us.get(name, 0.0) + us
    return {name: us / (10 * found.device_ms) for name, us in sorted(spent_us.items())}


def estimate_lowered(lowered: Sequence[Lowered], target: Target) -> Estimate:
    """Returns the estimate of lowered ops on the target."""
    return estimate_pass(forward_pass(lowered, target), target)


def estimate_pass(found: ForwardPass, target: Target, captured: Captured = NOTHING_CAPTURED) -> Estimate:
    """Returns the estimate that a forward pass on the target is; of `captured` it takes all but the ops."""
    costs, lowered, own = found.costs, found.lowered, _computed_as(found, target)
    return Estimate(
        latency_ms=found.latency_ms,
        interval_pct=interval_of(found, target),
        host_ms=found.host_ms,
        device_ms=found.device_ms,
        bound="host" if found.host_ms >= found.device_ms else "device",
        ops=len(lowered),
        kernels=len(costs.device_us),
        flops=sum(k.flops for op in lowered for k in op.kernels),
        bytes=sum(k.bytes for op in lowered for k in op.kernels),
        host_terms_ms=_terms(costs.host_us, found.ops.kind, HOST_KINDS),
        device_terms_ms=_terms(costs.device_us, found.kernels.kind, DEVICE_KINDS),
        defaulted=tuple(sorted({op.op.name for op in lowered if not op.has_rule})),
        defaulted_share_pct=_defaulted_share_pct(found),
        transferred_from=target.profile.transferred_from,
        without_evidence=(*without_evidence(own), *unknown_ops(lowered)),
        computes_in=own.precision.name,
        decided_by=captured.decided_by,
        weight_bytes=captured.weight_bytes,
        memory_note=_memory_note(captured.weight_bytes, target),
        spans=_spans(lowered, costs.host_us, found.timeline),
    )


def _memory_note(weight_bytes: int, target: Target) -> str:
    weights_gb, memory_gb = weight_bytes / 1e9, target.profile.fact("memory_gb")
    if weights_gb <= memory_gb:
        return ""
    return f"weights of {weights_gb:.3g} GB do not fit the board's memory of {memory_gb:g} GB"


def _terms(times_us: Column, kinds: Column, names: Sequence[str]) -> Dict[str, float]:
    sums = ((name, kinds == index) for index, name in enumerate(names))
    return {name: float(times_us[rows].sum()) / 1e3 for name, rows in sums if np.any(rows)}


def _spans(lowered: Sequence[Lowered], host: Column, timeline: Timeline) -> Tuple[Span, ...]:
    issue_us, starts_us, ends_us = timeline.issue_end_us, timeline.kernel_start_us.tolist(), timeline.kernel_end_us
    host_starts_us, host_ends_us, kernel_ends_us = (issue_us - host).tolist(), issue_us.tolist(), ends_us.tolist()
    spans, first = [], 0
    for op, host_start, host_end in zip(lowered, host_starts_us, host_ends_us):
        count = len(op.kernels)
        start = starts_us[first] if count else host_end
        end = kernel_ends_us[first + count - 1] if count else host_end
        spans.append(Span(op.op.name, count, host_start, host_end, start, end))
        first += count
    return tuple(spans)
