"""Chains: the micro-benchmarks of a calibration. Short fixed runs of blocks, each with weights of its own.

A block is a few layers one after another, as models have them: convolution, BatchNorm, activation, addition. Its input
is freshly written before each run. Plain data, so that a chain can be sent to the process that measures it.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, List, Mapping, Tuple

from ..lower import Lowered, lower
from .layers import Layer, make_layer

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Block:
    """Layers that run one after another, the shape of their input, and the group they are counted in."""

    group: str
    input_shape: Tuple[int, ...]
    layers: Tuple[Layer, ...]

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Block:
        """Returns the block that `dataclasses.asdict` and JSON made plain; KeyError or TypeError if it is none."""
        return cls(str(data["group"]), _as_tuple(data["input_shape"]), _as_tuple(data["layers"]))


def _as_tuple(value: Any) -> Any:
    return tuple(map(_as_tuple, value)) if isinstance(value, (list, tuple)) else value


Chain = Tuple[Block, ...]


def make_layers(block: Block) -> List[torch.nn.Module]:
    """Returns the block's layers in `eval()`, on the current default device."""
    return [_make_layer(*layer).eval() for layer in block.layers]


def _make_layer(name: str, *arguments: Any) -> torch.nn.Module:
    return make_layer(name, True) if name in _IN_PLACE else make_layer(name, *arguments)


@functools.lru_cache(maxsize=None)
def lower_layers(block: Block) -> Tuple[Tuple[Lowered, ...], ...]:
    """Returns the lowered ops of each layer, captured on the meta device."""
    import torch

    from ..capture import capture

    with torch.device("meta"):
        x, layers, found = torch.empty(block.input_shape), make_layers(block), []
    for layer in layers:  # outside of that context, which would keep attention from its fast path
        found.append(lower(capture(layer, x)))
        with torch.no_grad():
            x = layer(x)
    return tuple(found)


_IN_PLACE = ("ReLU", "ReLU6", "SiLU", "Hardswish")
