"""Shadows: tensors that have a shape but no data.

A shadow reports itself as a CPU tensor (PyTorch takes its inference fast paths only for real devices) and owns no
memory.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import Any, Callable, List, Mapping, Optional, Tuple

import torch

from ..errors import CaptureError
from ..opstream import TensorSpec

CHANNELS_LAST = {4: torch.channels_last, 5: torch.channels_last_3d}


class Shadow(torch.Tensor):
    """A tensor of the CPU by all it says, without memory."""

    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        raise CaptureError(f"{func} reached a captured tensor after its capture had ended")

    def __repr__(self, *, tensor_contents: Any = None) -> str:  # type: ignore[override]
        """As a tensor of the meta device is printed: without values."""
        return f"tensor(..., size={tuple(self.shape)}, dtype={self.dtype})"


@dataclass(frozen=True)
class Layout:
    """All that a meta kernel looks at in a tensor."""

    shape: Tuple[int, ...]
    stride: Tuple[int, ...]
    dtype: torch.dtype

    @property
    def numel(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    def meta(self) -> torch.Tensor:
        """Returns a tensor of this layout on the meta device."""
        return torch.empty_strided(self.shape, self.stride, dtype=self.dtype, device="meta")

    @functools.cached_property
    def spec(self) -> TensorSpec:
        """What the op stream says of such a tensor."""
        meta = self.meta()
        dtype = str(self.dtype).replace("torch.", "")
        return TensorSpec(self.shape, dtype, meta.element_size(), meta.is_contiguous(), is_channels_last(meta))


def is_channels_last(t: torch.Tensor) -> bool:
    """Returns whether the tensor lies as NHWC (NDHWC), and not also in the order of its elements."""
    layout = CHANNELS_LAST.get(t.dim())
    return layout is not None and not t.is_contiguous() and t.is_contiguous(memory_format=layout)


def map_tensors(function: Callable[[torch.Tensor], Any], value: Any) -> Any:
    """Applies `function` to each tensor in the nested lists, tuples and dicts that an op takes."""
    if isinstance(value, torch.Tensor):
        return function(value)
    if isinstance(value, dict):
        return {k: map_tensors(function, v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)([map_tensors(function, v) for v in value])
    return value


def freeze(value: Any, tensors: Optional[List[torch.Tensor]] = None) -> Any:
    """Returns a hashable copy: a Layout for each tensor, a tuple for each list; `tensors` is given the tensors."""
    if isinstance(value, torch.Tensor):
        if tensors is not None:
            tensors.append(value)
        return layout_of(value)
    if isinstance(value, (list, tuple)):
        return tuple([freeze(part, tensors) for part in value])
    return (type(value), value) if isinstance(value, (bool, int, float)) else value


def tensors_of(args: Any, kwargs: Mapping[str, Any]) -> List[torch.Tensor]:
    """Returns the tensors among the arguments of an op, in order."""
    found: List[torch.Tensor] = []
    map_tensors(found.append, [args, list(kwargs.values())])
    return found


def layout_of(t: torch.Tensor) -> Layout:
    """Returns the tensor's layout; CaptureError for a sparse one, whose work its shape does not tell."""
    if t.layout != torch.strided:
        kind = str(t.layout).replace("torch.", "")
        raise CaptureError(f"a tensor of layout {kind}: estimates are of dense tensors; .to_dense() makes one")
    return Layout(tuple(t.shape), tuple(t.stride()), t.dtype)


def shadow(layout: Layout) -> torch.Tensor:
    """Returns a shadow of that layout."""
    cpu = torch.device("cpu")
    return torch.Tensor._make_wrapper_subclass(
        Shadow, layout.shape, strides=layout.stride, dtype=layout.dtype, device=cpu, requires_grad=False
    )


def shadow_like(t: torch.Tensor, dtype: Optional[torch.dtype] = None) -> torch.Tensor:
    """Returns a shadow of the tensor's shape and layout, and of its type where no other is given."""
    layout = layout_of(t)
    return shadow(Layout(layout.shape, layout.stride, dtype or t.dtype))


def has_values(t: torch.Tensor) -> bool:
    """Returns whether the tensor has data that can be read here: it is no shadow, no fake one and none on "meta"."""
    return t.device.type != "meta" and type(t).__torch_dispatch__ is torch.Tensor.__torch_dispatch__
