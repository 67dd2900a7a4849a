"""An op stream with the size of its model's weights, which no op stream has: a pass need not read all of them."""

from __future__ import annotations

from dataclasses import replace
from itertools import chain
from typing import TYPE_CHECKING, Any, Optional

from ..opstream import Captured

if TYPE_CHECKING:
    import torch


def captured_with_weights(model: torch.nn.Module, inputs: Any, dtype: Optional[torch.dtype]) -> Captured:
    """Returns the op stream with the size of the weights in bytes; CaptureError where it cannot be captured."""
    from ..capture import capture_in_modules

    return replace(capture_in_modules(model, inputs, dtype), weight_bytes=weight_bytes(model, dtype))


def weight_bytes(model: torch.nn.Module, dtype: Optional[torch.dtype]) -> int:
    """Returns the bytes of all parameters and buffers, shared ones once, those of floating point as `dtype`."""
    from torch.nn.parameter import is_lazy

    made = (tensor for tensor in chain(model.parameters(), model.buffers()) if not is_lazy(tensor))
    return sum(tensor.numel() * _item_bytes(tensor, dtype) for tensor in made)


def _item_bytes(tensor: torch.Tensor, dtype: Optional[torch.dtype]) -> int:
    import torch

    if dtype is None or not tensor.is_floating_point():
        return tensor.element_size()
    return torch.empty((), dtype=dtype, device="meta").element_size()
