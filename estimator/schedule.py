"""Two clocks: the host issues ops one after another, the device runs their kernels in order. Or one, on a CPU."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .cost.columns import Column


@dataclass(frozen=True)
class Timeline:
    """When each op is issued and each kernel runs, in microseconds from the start of the forward pass."""

    issue_end_us: Column
    kernel_start_us: Column
    kernel_end_us: Column
    end_us: float


def schedule(host_us: Column, device_us: Column, kernel_op: Column, one_clock: bool = False) -> Timeline:
    """Returns the timeline: a kernel starts once the host has issued its op and the previous kernel has ended.

    `host_us` per op, `device_us` per kernel, `kernel_op` the op of each kernel. With `one_clock` the host also waits
    until an op's kernels have ended, because it runs them itself.
    """
    return _one_clock(host_us, device_us, kernel_op) if one_clock else _two_clocks(host_us, device_us, kernel_op)


def _two_clocks(host_us: Column, device_us: Column, kernel_op: Column) -> Timeline:
    """With D the running sum of device_us, end[k] = D[k] + max over j <= k of (issued[j] - D[j-1]).

    That is the recursion end[k] = max(issued[k], end[k-1]) + d[k], solved without a loop.
    """
    issue_end = np.cumsum(host_us)
    work = np.cumsum(device_us)
    before = work - device_us
    end = work + np.maximum.accumulate(issue_end[kernel_op] - before) if len(work) else work
    last = float(max(issue_end[-1] if len(issue_end) else 0.0, end[-1] if len(end) else 0.0))
    return Timeline(issue_end, end - device_us, end, last)


def _one_clock(host_us: Column, device_us: Column, kernel_op: Column) -> Timeline:
    kernels_us = np.bincount(kernel_op, device_us, len(host_us)) if len(device_us) else np.zeros(len(host_us))
    before = np.cumsum(kernels_us) - kernels_us
    issue_end = np.cumsum(host_us) + before
    end = np.cumsum(host_us)[kernel_op] + np.cumsum(device_us)
    return Timeline(issue_end, end - device_us, end, float(host_us.sum() + device_us.sum()))
