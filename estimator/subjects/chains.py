"""Chains: the micro-benchmarks of a calibration. Short fixed runs of blocks, each with weights of its own.

A block is a few layers one after another, as models have them: convolution, BatchNorm, activation, addition. Its input
is freshly written before each run. Plain data, so that a chain can be sent to the process that measures it.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, List, Mapping, Tuple

from ..checked import SIZE, Bounds, number, one_of, shown
from ..lower import Lowered, lower
from .layers import Layer, layer_names, make_layer

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
        """Returns the block that `dataclasses.asdict` and JSON made plain, unchecked: between processes."""
        return cls(str(data["group"]), _as_tuple(data["input_shape"]), _as_tuple(data["layers"]))


def _as_tuple(value: Any) -> Any:
    return tuple(map(_as_tuple, value)) if isinstance(value, (list, tuple)) else value


Chain = Tuple[Block, ...]


def checked_layer(data: Any, depth: int = 0) -> Layer:
    """Returns a layer that JSON made plain; ValueError where it has no known name, or arguments no layer takes."""
    if not isinstance(data, (list, tuple)) or not data or not isinstance(data[0], str):
        raise ValueError(f"must be a name and arguments, got {shown(data)}")
    one_of(data[0], layer_names())
    return (data[0], *(_argument(value, depth + 1) for value in data[1:]))


def _argument(value: Any, depth: int) -> Any:
    if depth > _DEEPEST:
        raise ValueError(f"must not be nested more than {_DEEPEST} times")
    if isinstance(value, (list, tuple)):
        is_layer = bool(value) and isinstance(value[0], str)
        return checked_layer(value, depth) if is_layer else tuple(_argument(part, depth + 1) for part in value)
    if value is not None and not isinstance(value, (bool, str)):
        number(value, _ARGUMENT)
    return value


def make_layers(block: Block) -> List[torch.nn.Module]:
    """Returns the block's layers in `eval()`, on the current default device."""
    layers = ((layer[0], True) if layer[0] in _IN_PLACE else layer for layer in block.layers)
    return [make_layer(*layer).eval() for layer in layers]


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


_DEEPEST = 8
_ARGUMENT = Bounds(-SIZE.upper, SIZE.upper, "", SIZE.why)
_IN_PLACE = ("ReLU", "ReLU6", "SiLU", "Hardswish")
