"""What each precision of the suite means: the tensors' type, and the arithmetic of products and convolutions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Mapping, Optional

from .errors import UsageError

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Precision:
    """Type of weights and activations, and the arithmetic ("fp32", "tf32", "fp16", "bf16") of the two heavy kinds."""

    name: str
    tensors: str
    products: str
    convolutions: str


PRECISIONS: Mapping[str, Precision] = {
    p.name: p
    for p in (
        # PyTorch's defaults: torch.backends.cudnn.allow_tf32 is on, torch.backends.cuda.matmul.allow_tf32 is off
        Precision("fp32", "float32", products="fp32", convolutions="tf32"),
        Precision("tf32", "float32", products="tf32", convolutions="tf32"),
        Precision("fp16", "float16", products="fp16", convolutions="fp16"),
        Precision("bf16", "bfloat16", products="bf16", convolutions="bf16"),
    )
}


def find_precision(name: str) -> Precision:
    """Returns the precision of that name; UsageError names the known ones."""
    if name not in PRECISIONS:
        raise UsageError(f"unknown precision {name!r}; known precisions: {', '.join(PRECISIONS)}")
    return PRECISIONS[name]


def tensor_dtype(name: str) -> Optional[torch.dtype]:
    """Returns the dtype that `model.half()` or `.bfloat16()` would give, None where the model stays as it is."""
    import torch

    tensors = find_precision(name).tensors
    return None if tensors == "float32" else getattr(torch, tensors)
