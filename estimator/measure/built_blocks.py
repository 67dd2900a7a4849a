"""Blocks of layers that are built to be timed, and runs of a chain of them.

Each block runs three times with weights of its own, after the blocks before it; its input is fresh. The first time is
not counted: it finds caches and memory as a block of other sizes left them, as few layers of a model do.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, Callable, List, Sequence, Tuple

from ..subjects.chains import Block, make_layers
from .build import SEED, build_seeded

COPIES = 3
BuiltBlock = Tuple[Any, List[List[Any]]]
"""A seeded input, and copies of the layers."""


@dataclass(frozen=True)
class ChainTimes:
    """Typical us by chain, block, way and layer; us of each pass over all chains, and a CPU's reference workload.

    On a GPU a block is timed as if it were one layer.
    """

    layers_us: Sequence[Sequence[Sequence[Sequence[float]]]]
    passes_us: Sequence[float]
    measuring_s: float
    references_ms: Sequence[float] = ()


def build_block(block: Block, device: str) -> BuiltBlock:
    """Returns a seeded input of the block, and copies of its layers, each with weights of its own."""
    import torch

    generator = torch.Generator(device).manual_seed(SEED)
    source = torch.randn(block.input_shape, generator=generator, device=device)
    make = lambda: torch.nn.ModuleList(make_layers(block))  # noqa: E731
    return source, [list(build_seeded(make, device).eval()) for _ in range(COPIES)]  # type: ignore[call-overload]


def run_chain(chain: Sequence[BuiltBlock]) -> List[Tuple[int, int, float]]:
    """Runs each block's copies in a row, as stages do; returns (block, layer, us) of all copies but the first."""
    spans = run_marked(chain, time.perf_counter_ns)
    return [(block, layer, (end_ns - start_ns) / 1e3) for block, layer, start_ns, end_ns in spans]


def run_marked(chain: Sequence[BuiltBlock], mark: Callable[[], Any]) -> List[Tuple[int, int, Any, Any]]:
    """Runs them so and returns (block, layer, before, after), the last two being what `mark` gave."""
    spans = []
    for block, (source, copies) in enumerate(chain):
        for copy, layers in enumerate(copies):
            x = source.clone()
            for index, layer in enumerate(layers):
                start = mark()
                x = layer(x)
                end = mark()
                if copy > 0:
                    spans.append((block, index, start, end))
    return spans
