"""What each block of a chain takes a GPU's host and what it takes the device: of one chain, neither with the other.

A kernel that sleeps keeps the stream busy while a whole chain is issued behind it. What the issue takes is the host's
alone; events between the blocks, in a run of their own since recording them takes the host time, have the device's. An
event right behind the sleep tells whether it lasted. Blocks run as on a CPU: copies with weights of their own in a row,
other blocks in between, the first copy of each not counted.
"""

from __future__ import annotations

import statistics
import time
from typing import Any, Callable, Dict, Iterable, List, Sequence, Tuple, TypeVar

from ..errors import MeasurementError
from ..subjects.chains import Block, Chain, lower_layers
from .built_blocks import COPIES, BuiltBlock, ChainTimes, build_block, run_chain, run_marked
from .protocol import Report, typical

LAUNCHES = 1000
"""What waits in a stream at most: another launch blocks the host. It "can launch 1000 kernels" asynchronously
(forums.developer.nvidia.com/t/68937)."""
_LAUNCHES_A_KERNEL = 4
"""At most, of a kernel of the estimator: cuDNN converts input, weights and output of a convolution."""
_FIRST_CYCLES, _MOST_CYCLES = 2**20, 2**33
"""Of the sleep: from half a millisecond to some seconds."""
_WARMUP, _LEAST_ROUNDS = 2, 7
_T = TypeVar("_T")


class Sleep:
    """A sleep of the device that lasts until what is behind it is issued: twice as long from where it did not."""

    def __init__(self) -> None:
        self.cycles = _FIRST_CYCLES

    def issue(self, work: Callable[[], _T]) -> _T:
        """Returns what `work` returns that issued all its kernels before the device began with them, and waits for it.

        MeasurementError where the longest sleep is too short.
        """
        while True:
            done, lasted = self._issued(work)
            if lasted:
                return done
            if self.cycles >= _MOST_CYCLES:
                raise MeasurementError(f"a chain is not issued while the device sleeps {self.cycles} cycles")
            self.cycles *= 2

    def _issued(self, work: Callable[[], _T]) -> Tuple[_T, bool]:
        import torch

        begun = torch.cuda.Event()
        torch.cuda.synchronize()
        torch.cuda._sleep(self.cycles)
        begun.record()
        done = work()
        lasted = not begun.query()
        torch.cuda.synchronize()
        return done, lasted


def parts_of(chain: Chain) -> List[Chain]:
    """Returns the chain in as few parts as the launch queue allows."""
    parts: List[List[Block]] = []
    room = 0
    for block in chain:
        if launches(block) > room:
            parts.append([])
            room = LAUNCHES - 2  # the sleep and the event behind it
        parts[-1].append(block)
        room -= launches(block)
    return list(map(tuple, parts))


def launches(block: Block) -> int:
    """Returns how many launches a block is at most: of each copy its input, two events, and its kernels."""
    kernels = sum(len(op.kernels) for ops in lower_layers(block) for op in ops)
    return COPIES * (3 + _LAUNCHES_A_KERNEL * kernels)


def measure_behind_sleep(chains: Sequence[Chain], budget_s: float, report: Report, host_alone: bool) -> ChainTimes:
    """Returns what each block takes the host, and without `host_alone` the device; a chain at a time is in memory."""
    clocks = (_host_us,) if host_alone else (_host_us, _device_us)
    start_s, layers_us, passes_us = time.perf_counter(), [], []
    for done, chain in enumerate(chains, 1):
        rounds = _rounds(chain, clocks, budget_s / len(chains))
        blocks = zip(*(zip(*us) for us in rounds))
        layers_us.append([tuple((typical(us),) for us in zip(*block)) for block in blocks])
        passes_us.append([sum(map(sum, us)) for us in rounds])
        report("calibration", done, len(chains))
    return ChainTimes(layers_us, list(map(sum, zip(*passes_us))), time.perf_counter() - start_s)


Clock = Callable[[Sequence[BuiltBlock], Sleep], List[float]]


def _rounds(chain: Chain, clocks: Sequence[Clock], budget_s: float) -> List[List[List[float]]]:
    """The us by round, clock and block."""
    parts = [list(map(_built, part)) for part in parts_of(chain)]
    for part in parts * _WARMUP:  # loads code and fills the allocator, which waits for the device
        run_chain(part)
    rounds: List[List[List[float]]] = []
    sleep, start_s = Sleep(), time.perf_counter()
    while len(rounds) < _LEAST_ROUNDS or time.perf_counter() - start_s < budget_s:
        rounds.append([[us for part in parts for us in clock(part, sleep)] for clock in clocks])
    return rounds


def _built(block: Block) -> BuiltBlock:
    """The block with each copy in one module, as a model has it."""
    import torch

    source, copies = build_block(block, "cuda")
    return source, [[torch.nn.Sequential(*layers)] for layers in copies]


def _host_us(part: Sequence[BuiltBlock], sleep: Sleep) -> List[float]:
    return _by_block((block, us) for block, _, us in sleep.issue(lambda: run_chain(part)))


def _device_us(part: Sequence[BuiltBlock], sleep: Sleep) -> List[float]:
    spans = sleep.issue(lambda: run_marked(part, _recorded))
    return _by_block((block, 1e3 * start.elapsed_time(end)) for block, _, start, end in spans)


def _recorded() -> Any:
    import torch

    event = torch.cuda.Event(enable_timing=True)
    event.record()
    return event


def _by_block(times_us: Iterable[Tuple[int, float]]) -> List[float]:
    """The mean us of each block's copies."""
    found: Dict[int, List[float]] = {}
    for block, us in times_us:
        found.setdefault(block, []).append(us)
    return list(map(statistics.fmean, found.values()))
