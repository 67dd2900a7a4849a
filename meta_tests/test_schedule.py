from __future__ import annotations

import numpy as np
import pytest

from estimator.schedule import Passes, schedule


def by_hand(host_us, device_us, kernel_op):
    issued, clock = [], 0.0
    for cost in host_us:
        clock += cost
        issued.append(clock)
    starts, ends, free = [], [], 0.0
    for cost, op in zip(device_us, kernel_op):
        starts.append(max(issued[op], free))
        free = starts[-1] + cost
        ends.append(free)
    return issued, starts, ends, max([0.0, *issued[-1:], *ends[-1:]])


@pytest.mark.parametrize("seed", range(20))
def test_the_timeline_is_that_of_a_loop_over_both_clocks(seed):
    random = np.random.default_rng(seed)
    ops = int(random.integers(1, 50))
    kernel_op = np.repeat(np.arange(ops), random.integers(0, 4, ops))
    host_us, device_us = random.exponential(10, ops), random.exponential(random.choice([1, 10, 100]), len(kernel_op))
    timeline = schedule(host_us, device_us, kernel_op)
    issued, starts, ends, end = by_hand(host_us, device_us, kernel_op)
    np.testing.assert_allclose(timeline.issue_end_us, issued)
    np.testing.assert_allclose(timeline.kernel_start_us, starts)
    np.testing.assert_allclose(timeline.kernel_end_us, ends)
    assert timeline.end_us == pytest.approx(end)


def test_many_passes_end_as_each_does_by_itself_to_the_last_digit():
    random = np.random.default_rng(22)
    ops = random.integers(1, 60, 40)
    kernels_of = [
        random.integers(0, 3, count) if index % 5 else np.zeros(count, int) for index, count in enumerate(ops)
    ]
    alone = [
        (
            random.exponential(10, len(counts)),
            random.exponential(10, counts.sum()),
            np.repeat(range(len(counts)), counts),
        )
        for counts in kernels_of
    ]
    op_bounds = np.cumsum([0, *ops])
    kernel_bounds = np.cumsum([0, *(counts.sum() for counts in kernels_of)])
    kernel_op = np.concatenate([kernel_op + first for (_, _, kernel_op), first in zip(alone, op_bounds)])
    host_us, device_us = (np.concatenate(column) for column in list(zip(*alone))[:2])
    ends_us = Passes(op_bounds, kernel_bounds, kernel_op).ends_us(host_us, device_us)
    assert ends_us.tolist() == [schedule(*columns).end_us for columns in alone]


def columns(*values):
    return [np.array(column, dtype=float) for column in values]


@pytest.mark.parametrize(
    ("host", "device", "op", "end_us"),
    [
        ([10, 10, 10], [1, 1, 1], [0, 1, 2], 31),
        ([10, 10, 10], [100, 100, 100], [0, 1, 2], 310),
        ([10, 10], [5], [0], 20),
        ([1, 20], [3], [0], 21),
        ([1, 20], [], [], 21),
        ([], [], [], 0),
    ],
    ids=["a fast device waits", "a slow one has no gap", "a view", "the host ends last", "no kernel", "nothing"],
)
def test_by_hand(host, device, op, end_us):
    assert schedule(*columns(host, device), np.array(op, dtype=int)).end_us == end_us


def test_a_kernel_that_is_launched_early_starts_early():
    host, device, op = np.array([10.0, 100.0]), np.array([5.0, 20.0, 20.0]), np.array([0, 1, 1])
    late, early = (schedule(host, device, op, early_us=np.array([0.0, us, 0.0])) for us in (0.0, 60.0))
    assert late.kernel_start_us.tolist() == [10, 110, 130]
    assert early.kernel_start_us.tolist() == [10, 50, 110]
    assert (late.end_us, early.end_us) == (150, 130)


def test_a_pass_may_have_one_kernel_or_none():
    host_us, device_us = columns([10, 10, 5], [100, 7])
    passes = Passes(np.array([0, 1, 2, 3]), np.array([0, 1, 1, 2]), np.array([0, 2]))
    assert passes.ends_us(host_us, device_us).tolist() == [110, 10, 12]
    none = np.array([], dtype=int)
    passes = Passes(np.array([0, 2, 3]), np.array([0, 0, 0]), none)
    assert passes.ends_us(*columns([10, 10, 5], [])).tolist() == [20, 5]


@pytest.mark.parametrize(
    ("device", "op", "issued", "started", "ended"),
    [
        ([10, 20, 30], [0, 0, 2], [1, 33, 36], [1, 11, 36], [11, 31, 66]),
        ([10], [1], [1, 3, 16], [3], [13]),
        ([], [], [1, 3, 6], [], []),
    ],
    ids=["kernels", "one", "none"],
)
def test_on_one_clock_an_op_is_issued_once_the_kernels_before_it_have_ended(device, op, issued, started, ended):
    host_us, device_us = columns([1, 2, 3], device)
    found = schedule(host_us, device_us, np.array(op, dtype=int), one_clock=True)
    assert found.issue_end_us.tolist() == issued
    assert found.launched_us.tolist() == [issued[place] for place in op]
    assert (found.kernel_start_us.tolist(), found.kernel_end_us.tolist()) == (started, ended)
    assert found.end_us == 6 + sum(device)


def test_on_two_clocks_an_op_is_issued_without_waiting_for_kernels():
    host_us, device_us = columns([1, 2, 3], [10, 1, 1])
    early_us = np.array([0.5, 0.0, 2.0])
    for early, launched, started in ((None, [1, 1, 6], [1, 11, 12]), (early_us, [0.5, 1, 4], [0.5, 10.5, 11.5])):
        found = schedule(host_us, device_us, np.array([0, 0, 2]), early_us=early)
        assert found.issue_end_us.tolist() == [1, 3, 6]
        assert found.launched_us.tolist() == launched
        assert found.kernel_start_us.tolist() == started
        assert found.kernel_end_us.tolist() == [start + us for start, us in zip(started, (10, 1, 1))]
        assert found.end_us == started[-1] + 1


@pytest.mark.parametrize("one_clock", [True, False])
def test_without_an_op_there_is_nothing_to_wait_for(one_clock):
    found = schedule(*columns([], []), np.array([], dtype=int), one_clock)
    assert (found.end_us, found.issue_end_us.size, found.kernel_end_us.size) == (0.0, 0, 0)
