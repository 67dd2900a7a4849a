"""The critical path: the ops and kernels whose times, one after another, are the latency."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..cost.columns import Column
from ..pipeline import ForwardPass


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
