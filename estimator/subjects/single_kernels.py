"""Single kernels that somebody published the latency of: a convolution, a batched matrix product."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Tuple

from .layers import example_tensor

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Convolution:
    """A convolution without bias of a square image, padded so that stride 1 keeps the pixels."""

    inputs: int
    outputs: int
    px: int
    kernel: int
    stride: int
    groups: int

    family = "kernels"

    @property
    def name(self) -> str:
        """Returns its sizes in one word."""
        return f"convolution-{self.inputs}-{self.outputs}-{self.px}px-k{self.kernel}-s{self.stride}-g{self.groups}"

    def build(self, device: str = "meta") -> torch.nn.Module:
        """Returns the module on `device`."""
        import torch

        padding = self.kernel // 2
        sizes = self.inputs, self.outputs, self.kernel, self.stride, padding
        return torch.nn.Conv2d(*sizes, groups=self.groups, bias=False, device=device)

    def example_input(self, batch_size: int = 1, device: str = "meta") -> torch.Tensor:
        """Returns the images."""
        return example_tensor((batch_size, self.inputs, self.px, self.px), device)


@dataclass(frozen=True)
class Product:
    """A batched product of an m x k and a k x n matrix."""

    m: int
    n: int
    k: int

    family = "kernels"

    @property
    def name(self) -> str:
        """Returns its sizes in one word."""
        return f"product-{self.m}x{self.n}x{self.k}"

    def build(self, device: str = "meta") -> torch.nn.Module:
        """Returns the module."""
        import torch

        class BatchedProduct(torch.nn.Module):
            def forward(self, left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
                return torch.bmm(left, right)

        return BatchedProduct()

    def example_input(self, batch_size: int = 1, device: str = "meta") -> Tuple[torch.Tensor, torch.Tensor]:
        """Returns both factors."""
        left, right = (batch_size, self.m, self.k), (batch_size, self.k, self.n)
        return example_tensor(left, device), example_tensor(right, device)
