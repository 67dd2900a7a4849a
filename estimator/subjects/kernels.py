"""Single kernels that somebody published the latency of: a convolution, a batched matrix product; their op streams."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Tuple

from .op_cache import Entry, kept_or_captured

if TYPE_CHECKING:
    from ..opstream import Op


def convolution_stream(
    inputs: int, outputs: int, px: int, kernel: int, stride: int, groups: int, batch: int, tensors: str
) -> Tuple[Op, ...]:
    """Returns the ops of one convolution without bias, padded so that stride 1 keeps the pixels."""

    def captured() -> Tuple[Op, ...]:
        import torch

        layer = torch.nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False, device="meta")
        return _captured(layer, tensors, (batch, inputs, px, px))

    name = f"convolution-{inputs}-{outputs}-{px}px-k{kernel}-s{stride}-g{groups}"
    return kept_or_captured(Entry(name, batch, tensors), captured)


def product_stream(batch: int, m: int, n: int, k: int, tensors: str) -> Tuple[Op, ...]:
    """Returns the ops of one batched matrix product."""

    def captured() -> Tuple[Op, ...]:
        import torch

        class BatchedProduct(torch.nn.Module):
            def forward(self, left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
                return torch.bmm(left, right)

        return _captured(BatchedProduct(), tensors, (batch, m, k), (batch, k, n))

    return kept_or_captured(Entry(f"product-{m}x{n}x{k}", batch, tensors), captured)


def _captured(module: Any, tensors: str, *shapes: Tuple[int, ...]) -> Tuple[Op, ...]:
    import torch

    from ..capture import capture

    dtype = getattr(torch, tensors)
    return capture(module.to(dtype), tuple(torch.empty(shape, dtype=dtype, device="meta") for shape in shapes))
