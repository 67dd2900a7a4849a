"""Chains: the micro-benchmarks of a calibration. Short fixed runs of blocks, each with weights of its own.

A block is a few layers one after another, as models have them: convolution, BatchNorm, activation, addition. Its input
is freshly written before each run. Plain data, so that a chain can be sent to the process that measures it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Callable, Dict, List, Mapping, Sequence, Tuple

from ..lower import Lowered, lower

if TYPE_CHECKING:
    import torch

Layer = Tuple[Any, ...]
"""A layer of torch.nn, or one of this module's, by name with its arguments: ("Conv2d", 64, 64, 3)."""


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
    import torch

    if name in _COMBINING:
        return _combining(_COMBINING[name], arguments)
    if name in _OWN:
        return _OWN[name](*arguments)  # type: ignore[no-any-return]
    if name in _IN_PLACE:
        return getattr(torch.nn, name)(inplace=True)  # type: ignore[no-any-return]
    return getattr(torch.nn, name)(*arguments)  # type: ignore[no-any-return]


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


def _combining(combine: Callable[[Any, Any], Any], shape: Sequence[int]) -> torch.nn.Module:
    """A layer that combines its input with a tensor of its own."""
    import torch

    class Combining(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.other = torch.nn.Parameter(torch.empty(*shape), requires_grad=False)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return combine(x, self.other)  # type: ignore[no-any-return]

    return Combining()


def _concatenate(x: Any, other: Any) -> Any:
    import torch

    return torch.cat([x, other], 1)


_COMBINING: Dict[str, Callable[[Any, Any], Any]] = {
    "Add": lambda x, other: x + other,
    "Scale": lambda x, other: other * x,
    "Product": lambda x, other: x @ other,
    "Concatenate": _concatenate,
}


def _function(forward: Callable[[Any], Any]) -> torch.nn.Module:
    import torch

    class Function(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return forward(x)  # type: ignore[no-any-return]

    return Function()


def _permute(*order: int) -> torch.nn.Module:
    return _function(lambda x: x.permute(*order).contiguous())


def _views(count: int) -> torch.nn.Module:
    def forward(x: Any) -> Any:
        for _ in range(count):
            x = x.unsqueeze(0).transpose(0, 1).transpose(0, 1).squeeze(0)
        return x

    return _function(forward)


def _self_attention(width: int, heads: int) -> torch.nn.Module:
    import torch

    class SelfAttention(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attention = torch.nn.MultiheadAttention(width, heads, batch_first=True)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.attention(x, x, x, need_weights=False)[0]  # type: ignore[no-any-return]

    return SelfAttention()


_OWN: Dict[str, Callable[..., Any]] = {"Permute": _permute, "Views": _views, "SelfAttention": _self_attention}
