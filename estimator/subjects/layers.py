"""Layers by name and arguments: what patterns and chains are written in. Built on the current default device."""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any, Callable, Dict, Sequence, Tuple

from ..checked import Bounds, whole

if TYPE_CHECKING:
    import torch

_VIEWS = Bounds(1, 100, "views", "each is captured")
_TORCH = (
    "AdaptiveAvgPool2d AvgPool2d BatchNorm2d Conv2d GELU Hardsigmoid Hardswish LayerNorm Linear MaxPool2d ReLU ReLU6 "
    "SiLU Sigmoid Softmax Upsample"
).split()
"""The layers of torch.nn that chains are made of."""
Layer = Tuple[Any, ...]
"""A layer of torch.nn, or one of this module's, by name with its arguments: ("Conv2d", 64, 64, 3).

A pattern may give a function that makes the layer in place of a name.
"""


def example_tensor(shape: Tuple[int, ...], device: str) -> torch.Tensor:
    """Returns a random tensor on `device`, or one without data on "meta"."""
    import torch

    make = torch.empty if device == "meta" else torch.rand
    return make(shape, device=device)


def make_layer(name: Any, *arguments: Any) -> torch.nn.Module:
    """Returns the layer; AttributeError where neither torch.nn nor this module has one of that name."""
    import torch

    if name in _COMBINING:
        return _combining(_COMBINING[name], arguments)
    make: Any = name if callable(name) else _OWN[name] if name in _OWN else getattr(torch.nn, name)
    return make(*arguments)  # type: ignore[no-any-return]


def function(forward: Callable[[Any], Any]) -> torch.nn.Module:
    """Returns a module without weights that computes `forward`."""
    import torch

    class Function(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return forward(x)  # type: ignore[no-any-return]

    return Function()


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


def _views(count: int) -> torch.nn.Module:
    whole(count, _VIEWS)

    def forward(x: Any) -> Any:
        for _ in range(count):
            x = x.unsqueeze(0).transpose(0, 1).transpose(0, 1).squeeze(0)
        return x

    return function(forward)


def _self_attention(width: int, heads: int) -> torch.nn.Module:
    import torch

    class SelfAttention(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attention = torch.nn.MultiheadAttention(width, heads, batch_first=True)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.attention(x, x, x, need_weights=False)[0]  # type: ignore[no-any-return]

    return SelfAttention()


def _nested(*layers: Layer) -> torch.nn.Module:
    import torch

    return torch.nn.Sequential(*(make_layer(*layer) for layer in layers))


def beside(combine: Callable[[Any, Any], Any], *layers: Layer) -> torch.nn.Module:
    """Returns a module that combines its input with what the layers make of it."""
    import torch

    class Beside(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = _nested(*layers)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return combine(x, self.inner(x))  # type: ignore[no-any-return]

    return Beside()


_OWN: Dict[str, Callable[..., Any]] = {
    "Permute": lambda *order: function(lambda x: x.permute(*order).contiguous()),
    "View": lambda: function(lambda x: x.view(x.shape)),
    "Views": _views,
    "SelfAttention": _self_attention,
    "Nested": _nested,
    "Residual": lambda *layers: beside(operator.add, *layers),
}


def layer_names() -> Tuple[str, ...]:
    """Returns the names that a layer of a chain can have, sorted."""
    return tuple(sorted((*_TORCH, *_OWN, *_COMBINING)))
