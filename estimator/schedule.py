"""Two clocks: the host issues ops one after another, the device runs their kernels in order. Or one, on a CPU."""

from __future__ import annotations

from dataclasses import dataclass
from typing import List, Optional, Sequence

import numpy as np

from .cost.columns import Column


@dataclass(frozen=True)
class Timeline:
    """When each op is issued and each kernel launched and run, in microseconds from the start of the forward pass."""

    issue_end_us: Column
    launched_us: Column
    kernel_start_us: Column
    kernel_end_us: Column
    end_us: float


def schedule(
    host_us: Column,
    device_us: Column,
    kernel_op: Column,
    one_clock: bool = False,
    early_us: Optional[Column] = None,
    waits: Optional[Column] = None,
) -> Timeline:
    """Returns the timeline: a kernel starts once the host has launched it and the previous kernel has ended.

    `host_us` per op, `device_us` per kernel, `kernel_op` the op of each kernel. A kernel is launched `early_us` before
    the issue of its op ends, without that at its end. After an op that `waits` (True where one does) the host goes on
    once all kernels have ended. With `one_clock` it does so after each, because it runs the kernels itself.
    """
    if one_clock:
        return _one_clock(host_us, device_us, kernel_op)
    if waits is not None and waits.any():
        return _with_waits(host_us, device_us, kernel_op, early_us, waits)
    return _two_clocks(host_us, device_us, kernel_op, early_us)


def _with_waits(
    host_us: Column, device_us: Column, kernel_op: Column, early_us: Optional[Column], waits: Column
) -> Timeline:
    """The ops up to each that waits, and those after the last: a timeline of their own, behind that before."""
    bounds, start_us, found = [0, *(np.flatnonzero(waits) + 1).tolist(), len(host_us)], 0.0, []
    for first, last in zip(bounds[:-1], bounds[1:]):
        rows = slice(*np.searchsorted(kernel_op, (first, last)).tolist())
        early = None if early_us is None else early_us[rows]
        part = _two_clocks(host_us[first:last], device_us[rows], kernel_op[rows] - first, early)
        columns = part.issue_end_us, part.launched_us, part.kernel_start_us, part.kernel_end_us
        found.append([column + start_us for column in columns])
        start_us += part.end_us
    issue_end, launched, start, end = (np.concatenate(parts) for parts in zip(*found))
    return Timeline(issue_end, launched, start, end, start_us)


def _two_clocks(host_us: Column, device_us: Column, kernel_op: Column, early_us: Optional[Column]) -> Timeline:
    """With D the running sum of device_us, end[k] = D[k] + max over j <= k of (launched[j] - D[j-1]).

    That is the recursion end[k] = max(launched[k], end[k-1]) + d[k], solved without a loop.
    """
    issue_end = np.cumsum(host_us)
    work = np.cumsum(device_us)
    before = work - device_us
    launched = issue_end[kernel_op] if early_us is None else issue_end[kernel_op] - early_us
    end = work + np.maximum.accumulate(launched - before)
    last = float(max(issue_end[-1] if len(issue_end) else 0.0, end[-1] if len(end) else 0.0))
    return Timeline(issue_end, launched, end - device_us, end, last)


def _one_clock(host_us: Column, device_us: Column, kernel_op: Column) -> Timeline:
    kernels_us = np.bincount(kernel_op, device_us, len(host_us))
    before = np.cumsum(kernels_us) - kernels_us
    issue_end = np.cumsum(host_us) + before
    end = np.cumsum(host_us)[kernel_op] + np.cumsum(device_us)
    return Timeline(issue_end, issue_end[kernel_op], end - device_us, end, float(host_us.sum() + device_us.sum()))


class Passes:
    """Many forward passes in one column, each with two clocks of its own; for a fit, which asks only when they end.

    Pass i has the ops from `op_bounds[i]` up to `op_bounds[i + 1]`, and its kernels likewise. `kernel_op` is the op of
    each kernel, counted over all passes; no library launches kernels of its own in what a fit is made from.
    """

    def __init__(self, op_bounds: Column, kernel_bounds: Column, kernel_op: Column) -> None:
        self._ops, self._kernels, self._kernel_op = _slices(op_bounds), _slices(kernel_bounds), kernel_op
        self._last_op = op_bounds[1:] - 1
        self._launches = np.diff(kernel_bounds) > 0
        self._first_kernel = kernel_bounds[:-1][self._launches]
        self._last_kernel = kernel_bounds[1:][self._launches] - 1

    def ends_us(self, host_us: Column, device_us: Column) -> Column:
        """Returns when each pass ends, in us from its start, to the last digit as `schedule` says; no pass is empty."""
        issue_end, work = _running_sums(host_us, self._ops), _running_sums(device_us, self._kernels)
        ends = issue_end[self._last_op]
        waits = np.maximum.reduceat(issue_end[self._kernel_op] - (work - device_us), self._first_kernel)
        ends[self._launches] = np.maximum(ends[self._launches], work[self._last_kernel] + waits)
        return ends


def _slices(bounds: Column) -> List[slice]:
    return [slice(*pair) for pair in zip(bounds[:-1].tolist(), bounds[1:].tolist())]


def _running_sums(values: Column, parts: Sequence[slice]) -> Column:
    """Of each part by itself: what one sum over all has before a part would round it otherwise."""
    sums = np.empty(len(values))
    for part in parts:
        np.add.accumulate(values[part], out=sums[part])
    return sums
