"""The critical path in parts that add up to 100 %: by stage, by kind of op, by side; and its most expensive ops."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import List, Optional, Sequence, Set, Tuple

import numpy as np

from ..cost.columns import HOST_KINDS, LIMITS, Column, Limits
from ..pipeline import ForwardPass

MODEL_ITSELF = "(the model itself)"
"""The stage of ops that no module below the model issues."""
MEASURING = "(pair of events)"
"""The part that is neither an op's nor a kernel's: what measuring a pass adds to it."""
IDLE = "share of the latency in which no kernel runs: 1 - sum of all kernels' times / latency"
MOST_STAGES = 40
EXPENSIVE_OPS = 10


@dataclass(frozen=True)
class Part:
    """A part of the critical path: what host and device spend of it in microseconds, and its share of the latency."""

    name: str
    host_us: float
    device_us: float
    share_pct: float


@dataclass(frozen=True)
class ExpensiveOp:
    """An op by its share of the critical path.

    `host_us` and `device_us` are what it costs, on the path or beside it. `limit` says what bounds its longest kernel
    ("-" without one), `times_limit` how many times as long its kernels take as that would at the peak.
    """

    module: str
    op: str
    shape: Tuple[int, ...]
    host_us: float
    device_us: float
    share_pct: float
    limit: str
    times_limit: float


@dataclass(frozen=True)
class Breakdown:
    """Where the latency of a forward pass goes; each of the three tuples of parts adds up to it."""

    stages: Tuple[Part, ...]
    kinds: Tuple[Part, ...]
    sides: Tuple[Part, ...]
    idle_pct: float
    expensive: Tuple[ExpensiveOp, ...]


@dataclass(frozen=True, eq=False)
class CriticalPath:
    """Microseconds on the path, per op on the host and per kernel on the device: its whole time, or 0 beside the path.

    `overhead_us` is what the measuring adds at the end. All of them add up to the latency.
    """

    host_us: Column
    device_us: Column
    overhead_us: float

    @property
    def total_us(self) -> float:
        """Returns the sum over the path."""
        return float(self.host_us.sum() + self.device_us.sum()) + self.overhead_us

    def kernels_of_ops_us(self, kernel_op: Column) -> Column:
        """Returns the device's part of the path per op, `kernel_op` being the op of each kernel."""
        return np.bincount(kernel_op, self.device_us, len(self.host_us)) if len(kernel_op) else 0.0 * self.host_us


def critical_path(found: ForwardPass) -> CriticalPath:
    """Returns the path of a forward pass, walked back from its end.

    A kernel that started when the one before it ended leads to that one; a kernel that waited for its op leads to the
    host, which never waits. Where host and device are one processor, everything is on the path.
    """
    costs = found.costs
    if costs.one_clock:
        return CriticalPath(costs.host_us, costs.device_us, costs.overhead_us)
    first = _first_kernel_on_path(found)
    on_device = np.arange(len(costs.device_us)) >= first
    last_op = found.kernels.op[first] if on_device.any() else len(costs.host_us) - 1
    host_us = costs.host_us * (np.arange(len(costs.host_us)) <= last_op)
    if on_device.any():
        later_us = found.timeline.issue_end_us[last_op] - found.timeline.launched_us[first]
        host_us[last_op] -= later_us  # what that op launches later is beside the path
    return CriticalPath(host_us, costs.device_us * on_device, costs.overhead_us)


def _first_kernel_on_path(found: ForwardPass) -> int:
    """The kernel that the device last waited for; the number of kernels where the host ends last."""
    timeline = found.timeline
    kernels = len(timeline.launched_us)
    if not kernels or timeline.issue_end_us[-1] > timeline.kernel_end_us[-1]:
        return kernels
    waited = np.flatnonzero(timeline.launched_us[1:] >= timeline.kernel_end_us[:-1])
    return int(waited[-1]) + 1 if len(waited) else 0


def break_down(found: ForwardPass, modules: Sequence[str]) -> Breakdown:
    """Returns the parts of a forward pass, `modules` being the path of each op's module."""
    path = critical_path(found)
    kinds = [HOST_KINDS[kind] for kind in found.ops.kind]
    return Breakdown(
        stages=_parts(path, found, _stages(modules, path, found)),
        kinds=tuple(sorted(_parts(path, found, kinds), key=lambda part: -part.share_pct)),
        sides=_sides(path),
        idle_pct=100 * (1 - found.device_ms / found.latency_ms),
        expensive=_expensive(path, found, modules),
    )


def _sides(path: CriticalPath) -> Tuple[Part, ...]:
    host_us, device_us = float(path.host_us.sum()), float(path.device_us.sum())
    parts = (("host", host_us, 0.0), ("device", 0.0, device_us), (MEASURING, path.overhead_us, 0.0))
    return tuple(_part(path, *part) for part in parts if part[1] or part[2])


def _part(path: CriticalPath, name: str, host_us: float, device_us: float) -> Part:
    return Part(name, host_us, device_us, 100 * (host_us + device_us) / path.total_us)


def _parts(path: CriticalPath, found: ForwardPass, names: Sequence[str]) -> Tuple[Part, ...]:
    """A part for each name, one name an op, in order of first appearance; last what the measuring adds."""
    order = {name: i for i, name in enumerate(dict.fromkeys(names))}
    index = np.array([order[name] for name in names], dtype=int)
    host_us = np.bincount(index, path.host_us, len(order))
    device_us = np.bincount(index, path.kernels_of_ops_us(found.kernels.op), len(order))
    parts = [_part(path, name, float(host_us[i]), float(device_us[i])) for name, i in order.items()]
    return (*parts, *([_part(path, MEASURING, path.overhead_us, 0.0)] if path.overhead_us else []))


def _stages(modules: Sequence[str], path: CriticalPath, found: ForwardPass) -> List[str]:
    """The stage of each op: its module's path, cut as short as leaves no part of more than a half, if that goes."""
    on_path_us = path.host_us + path.kernels_of_ops_us(found.kernels.op)
    divided: Set[str] = set()
    names = [_cut(module, divided) for module in modules]
    while True:
        too_long = _too_long(names, modules, on_path_us)
        divided.add(too_long)
        finer = [_cut(module, divided) for module in modules]
        if not too_long or len(set(finer)) > MOST_STAGES:
            return names
        names = finer


def _cut(module: str, divided: Set[str]) -> str:
    """The shortest beginning of a module's path that is not among those to be divided."""
    words = module.split(".")
    paths = (".".join(words[:depth]) for depth in range(1, len(words)))
    return next((path for path in paths if path not in divided), module) or MODEL_ITSELF


def _too_long(names: Sequence[str], modules: Sequence[str], on_path_us: Column) -> str:
    """The stage that takes more than half of the path and has modules to cut it by; "" where there is none."""
    shares: Counter[str] = Counter()
    for name, us in zip(names, on_path_us):
        shares[name] += us
    name, longest_us = max(shares.items(), key=lambda item: item[1], default=("", 0.0))
    has_parts = any(module.startswith(f"{name}.") for module, own in zip(modules, names) if own == name)
    return name if has_parts and longest_us > float(on_path_us.sum()) / 2 else ""


def _expensive(path: CriticalPath, found: ForwardPass, modules: Sequence[str]) -> Tuple[ExpensiveOp, ...]:
    on_path_us = path.host_us + path.kernels_of_ops_us(found.kernels.op)
    order = np.argsort(-on_path_us, kind="stable")[:EXPENSIVE_OPS]
    bounds = found.costs.limits() if found.costs.limits is not None else None
    limits = {i: _limit(found, found.kernels.op == i, bounds) for i in order.tolist()}
    return tuple(
        ExpensiveOp(
            module=modules[i] or MODEL_ITSELF,
            op=found.lowered[i].op.name.replace("aten.", "", 1),
            shape=found.lowered[i].op.outputs[0].shape if found.lowered[i].op.outputs else (),
            host_us=float(found.costs.host_us[i]),
            device_us=float(found.costs.device_us[found.kernels.op == i].sum()),
            share_pct=100 * float(on_path_us[i]) / path.total_us,
            limit=limits[i][0],
            times_limit=limits[i][1],
        )
        for i in order.tolist()
    )


def _limit(found: ForwardPass, rows: Column, bounds: Optional[Limits]) -> Tuple[str, float]:
    if bounds is None or not rows.any():
        return "-", 0.0
    device_us, least_us = found.costs.device_us[rows], float(bounds.least_us[rows].sum())
    longest = int(np.argmax(device_us))
    return LIMITS[int(bounds.limit[rows][longest])], float(device_us.sum()) / max(least_us, 1e-9)
