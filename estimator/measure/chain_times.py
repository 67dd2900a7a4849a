"""Times every layer of a set of chains on a CPU, within its chain; a GPU's chains are timed behind a sleeping kernel.

On a CPU the time from a layer's call to its return is all it costs, if caches are as a model leaves them.
"""

from __future__ import annotations

import time
from typing import Any, Dict, List, Sequence, Tuple

from ..subjects.chains import Block, Chain
from .behind_sleep import measure_behind_sleep
from .built_blocks import BuiltBlock, ChainTimes, build_block, run_chain
from .protocol import Report, typical

WAYS = {"cpu": ("in chain",), "cuda": ("host", "device")}
"""What is timed, by device: each layer on a CPU, what a whole block takes host and device of a GPU."""
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


def measure_chains(
    chains: Sequence[Chain], device: str, budget_s: float, report: Report, host_alone: bool = False
) -> ChainTimes:
    """Returns the times of all layers of a CPU, of a GPU's blocks or its host's part of them.

    `report` gets (phase, done, of). MeasurementError where a GPU's host is never ahead of the device.
    """
    import torch

    with torch.no_grad():
        if device == "cuda":
            return measure_behind_sleep(chains, budget_s, report, host_alone)
        return _in_chains([[build_block(block, device) for block in chain] for chain in chains], budget_s, report)


def _in_chains(built: Sequence[Sequence[BuiltBlock]], budget_s: float, report: Report) -> ChainTimes:
    """Passes over all chains until the budget is used: once to warm up and once to be timed."""
    samples_us: Dict[Tuple[int, int, int], List[float]] = {}
    passes_us: List[float] = []
    reference = ReferenceWorkload()
    references_ms: List[float] = []
    start_s = time.perf_counter()
    while len(passes_us) < _LEAST_PASSES or time.perf_counter() - start_s < budget_s:
        passes_us.append(0.0)
        for index, chain in enumerate(built):
            if index % _CHAINS_A_REFERENCE == 0:
                references_ms.append(reference.measure_ms())
            run_chain(chain)
            for block, layer, us in run_chain(chain):
                samples_us.setdefault((index, block, layer), []).append(us)
                passes_us[-1] += us
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
