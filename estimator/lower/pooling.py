"""Pooling with a window that has a size; adaptive pooling is a plain reduction."""

from __future__ import annotations

import math
from typing import Any, Tuple, Union

from ..opstream import Op, TensorSpec
from .kernels import Lowered, Window, stream_kernel
from .rules import rule

Sides = Union[int, Tuple[int, ...]]
"""As ATen takes them: one figure for all dimensions of an image, or one for each."""


@rule("max_pool2d_with_indices", "max_pool3d_with_indices")
def max_pool(
    op: Op,
    self: TensorSpec,
    kernel_size: Sides,
    stride: Sides = (),
    padding: Sides = 0,
    dilation: Sides = 1,
    *_: Any,
    **__: Any,
) -> Lowered:
    """Returns one kernel: the largest element under the window at each of its positions, and where it is."""
    return _pooled(op, self, kernel_size, stride, dilation)


@rule("avg_pool2d", "avg_pool3d")
def avg_pool(op: Op, self: TensorSpec, kernel_size: Sides, stride: Sides = (), *_: Any, **__: Any) -> Lowered:
    """Returns one kernel: the mean of the elements under the window at each of its positions."""
    return _pooled(op, self, kernel_size, stride, 1)


def _pooled(op: Op, source: TensorSpec, sides: Sides, stride: Sides, dilation: Sides) -> Lowered:
    """Each channel is a group of its own; without a stride the windows lie side by side."""
    dimensions = 3 if "pool3d" in op.name else 2
    window = Window(
        sides=_each(sides, dimensions),
        stride=_each(stride or sides, dimensions),
        dilation=_each(dilation, dimensions),
        channels=1,
        groups=source.shape[-dimensions - 1],
        images=math.prod(source.shape[: -dimensions - 1]),
        input_elements=source.numel,
    )
    return Lowered(op, "reduction", 0, (stream_kernel(op, window),))


def _each(sides: Sides, dimensions: int) -> Tuple[int, ...]:
    figures = sides if isinstance(sides, tuple) else (sides,)
    return figures * dimensions if len(figures) == 1 else figures
