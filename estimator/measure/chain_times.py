"""Times every layer of a set of chains: within its chain on a CPU, alone and in a queue on a GPU.

On a CPU the time from a layer's call to its return is all it costs, if caches are as a model leaves them. Each block
runs three times with weights of its own, after the blocks before it; its input is fresh. The first time is not counted:
it finds caches and memory as a block of other sizes left them, as few layers of a model do. On a GPU a layer runs once
after a synchronise (host plus device) and many times in a row (the slower of the two). Where only its host is asked
for, blocks run in chains as on a CPU, each timed as a whole: a call returns when its kernels are issued.
"""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Callable, Dict, Iterator, List, Sequence, Tuple

from ..subjects.chains import Block, Chain, make_layers
from .build import SEED, build_seeded
from .protocol import Report, cuda_once, typical

if TYPE_CHECKING:
    import torch

WAYS = {"cpu": ("in chain",), "cuda": ("alone", "queued")}
"""How each layer is timed, by device."""
QUEUE = 16
"""Calls in a row of a queued layer."""
COPIES = 3
REFERENCE: Chain = (
    Block("reference", (1, 64, 40, 40), (("Conv2d", 64, 96, 3, 1, 1, 1, 1, False), ("BatchNorm2d", 96), ("ReLU",))),
    Block("reference", (1, 96, 40, 40), (("Conv2d", 96, 192, 1), ("BatchNorm2d", 192), ("SiLU",))),
    Block("reference", (1, 192, 24, 24), (("Conv2d", 192, 192, 3, 1, 1, 1, 192, False), ("Add", 1, 192, 24, 24))),
    Block("reference", (1, 120, 320), (("LayerNorm", 320), ("Linear", 320, 960), ("GELU",), ("Linear", 960, 320))),
    Block("reference", (1, 64), (("ReLU",), ("Add", 1, 64), ("Sigmoid",), ("Views", 4))),
)
"""A little of what networks are made of; a pass takes some milliseconds."""
REFERENCE_S = 0.1
_CHAINS_A_REFERENCE = 8
_LEAST_PASSES = 2
_WARMUP, _ROUNDS = 2, 7


@dataclass(frozen=True)
class ChainTimes:
    """Typical us by chain, block, way and layer; us of each pass over all chains, and a CPU's reference workload."""

    layers_us: Sequence[Sequence[Sequence[Sequence[float]]]]
    passes_us: Sequence[float]
    measuring_s: float
    references_ms: Sequence[float] = ()


def measure_chains(
    chains: Sequence[Chain], device: str, budget_s: float, report: Report, host_alone: bool = False
) -> ChainTimes:
    """Returns the times of all layers, or of the host's calls of each block; `report` gets (phase, done, of)."""
    import torch

    with torch.no_grad():
        if device == "cuda" and not host_alone:
            return _on_cuda(chains, budget_s, report)
        built = [[build_block(block, device) for block in chain] for chain in chains]
        if host_alone:  # each copy of a block in one module, as a model has them
            built = [[(x, [[torch.nn.Sequential(*c)] for c in copies]) for x, copies in chain] for chain in built]
        return _in_chains(built, device, budget_s, report)


BuiltBlock = Tuple[Any, List[List[Any]]]


def _in_chains(built: Sequence[Sequence[BuiltBlock]], device: str, budget_s: float, report: Report) -> ChainTimes:
    """Passes over all chains until the budget is used: once to warm up and once to be timed, each on an idle GPU."""
    import torch

    wait: Callable[[], Any] = torch.cuda.synchronize if device == "cuda" else lambda: None
    samples_us: Dict[Tuple[int, int, int], List[float]] = {}
    passes_us: List[float] = []
    reference = ReferenceWorkload() if device == "cpu" else None
    references_ms: List[float] = []
    start_s = time.perf_counter()
    while len(passes_us) < _LEAST_PASSES or time.perf_counter() - start_s < budget_s:
        passes_us.append(0.0)
        for index, chain in enumerate(built):
            if reference is not None and index % _CHAINS_A_REFERENCE == 0:
                references_ms.append(reference.measure_ms())
            run_chain(chain)
            wait()
            for block, layer, us in run_chain(chain):
                samples_us.setdefault((index, block, layer), []).append(us)
                passes_us[-1] += us
            wait()
            report("calibration", *_done(passes_us, index + 1, len(built), time.perf_counter() - start_s, budget_s))
    measuring_s = time.perf_counter() - start_s
    layers_us: List[List[Any]] = [[([],) for _ in chain] for chain in built]
    for (index, block, _), block_us in samples_us.items():
        layers_us[index][block][0].append(typical(block_us))
    return ChainTimes(layers_us, passes_us, measuring_s, references_ms)


def _done(passes_us: Sequence[float], chains: int, of: int, used_s: float, budget_s: float) -> Tuple[int, int]:
    """How many hundredths are over: of the budget, or of the passes that are made whatever they take."""
    passes = (len(passes_us) - 1 + chains / of) / _LEAST_PASSES
    return int(100 * min(1.0, passes, used_s / budget_s if budget_s else 1.0)), 100


class ReferenceWorkload:
    """A short chain, always the same, that tells how fast a CPU is now."""

    def __init__(self) -> None:
        self._built = [build_block(block, "cpu") for block in REFERENCE]

    def measure_ms(self, budget_s: float = REFERENCE_S) -> float:
        """Returns the typical ms of a pass, of as many as the budget allows, after one to warm up."""
        run_chain(self._built)
        passes_ms: List[float] = []
        start_s = time.perf_counter()
        while len(passes_ms) < _LEAST_PASSES or time.perf_counter() - start_s < budget_s:
            passes_ms.append(sum(us for _, _, us in run_chain(self._built)) / 1e3)
        return typical(passes_ms)


def build_block(block: Block, device: str, copies: int = COPIES) -> BuiltBlock:
    """Returns a seeded input of the block, and so many copies of its layers, each with weights of its own."""
    import torch

    generator = torch.Generator().manual_seed(SEED)
    source = torch.randn(block.input_shape, generator=generator).to(device)
    make = lambda: torch.nn.ModuleList(make_layers(block))  # noqa: E731
    return source, [list(build_seeded(make, device).eval()) for _ in range(copies)]  # type: ignore[call-overload]


def run_chain(chain: Sequence[BuiltBlock]) -> List[Tuple[int, int, float]]:
    """Runs each block's copies in a row, as stages do; returns (block, layer, us) of all copies but the first."""
    clock_ns, times = time.perf_counter_ns, []
    for block, (source, copies) in enumerate(chain):
        for copy, layers in enumerate(copies):
            x = source.clone()
            for index, layer in enumerate(layers):
                start_ns = clock_ns()
                x = layer(x)
                us = (clock_ns() - start_ns) / 1e3
                if copy > 0:
                    times.append((block, index, us))
    return times


def _on_cuda(chains: Sequence[Chain], budget_s: float, report: Report) -> ChainTimes:
    """Block after block, each alone in memory; the budget is not needed: rounds are few and counted."""
    start_s, done, total = time.perf_counter(), 0, sum(map(len, chains))
    layers_us: List[List[Any]] = []
    rounds_us = [0.0] * _ROUNDS
    for chain in chains:
        layers_us.append([])
        for block in chain:
            layers = list(_cuda_layers(block))
            layers_us[-1].append([list(map(statistics.median, way)) for way in zip(*layers)])
            rounds_us = [sum(parts) for parts in zip(rounds_us, *(way for layer in layers for way in layer))]
            done += 1
            report("calibration", done, total)
    return ChainTimes(layers_us, rounds_us, time.perf_counter() - start_s)


def _cuda_layers(block: Block) -> Iterator[Tuple[List[float], List[float]]]:
    """Yields the rounds of each layer in us: alone, and queued."""
    x, (layers,) = build_block(block, "cuda", 1)
    for layer in layers:
        yield _cuda_rounds_us(layer, x, 1), _cuda_rounds_us(layer, x, QUEUE)
        x = layer(x.clone())


def _cuda_rounds_us(layer: Any, x: torch.Tensor, calls: int) -> List[float]:
    """The us of so many calls between two events, after a synchronise, in each round."""
    import torch

    def forward() -> None:
        for fresh in inputs:
            layer(fresh)

    rounds_us, once_ms = [], cuda_once(forward)
    for _ in range(_WARMUP + _ROUNDS):
        inputs = [x.clone() for _ in range(calls)]  # in-place layers must not work on what they have made
        torch.cuda.synchronize()
        rounds_us.append(1e3 * once_ms())
    return rounds_us[_WARMUP:]
