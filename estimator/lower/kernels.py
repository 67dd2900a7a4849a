"""What lowering finds out about an op: its kernels, described by facts that hold on every kind of processor."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Optional, Tuple

from ..opstream import Op, TensorSpec

HOST_KINDS = ("view", "convolution", "product", "norm", "reduction", "copy", "pointwise", "other", "recurrent")
"""Of an op: which dispatch it takes."""
MULTIPLIED = ("float32", "float16", "bfloat16")
"""The types whose products and convolutions have a rate."""
DEVICE_KINDS = ("convolution", "depthwise", "product", "stream")
"""Of a kernel: which formula prices it."""


@dataclass(frozen=True)
class Product:
    """A (batched) matrix product, or a convolution as an implicit one: batch x (m, k) x (k, n)."""

    batch: int
    m: int
    n: int
    k: int

    @property
    def flops(self) -> int:
        """Two per multiply-add."""
        return 2 * self.batch * self.m * self.n * self.k


@dataclass(frozen=True)
class Window:
    """The window of a convolution or a pooling, and the images it moves over.

    `sides` and `stride` in pixels and `dilation` in pixels from tap to tap, each along every dimension of an image.
    `channels` are the input channels of one group, `input_elements` the elements of all images. `rows_inside` is the
    share of the window's rows that lie inside the image, on average over its positions; the others see padding alone.
    """

    sides: Tuple[int, ...]
    stride: Tuple[int, ...]
    dilation: Tuple[int, ...]
    channels: int
    groups: int
    images: int
    input_elements: int
    rows_inside: float = 1.0

    @property
    def taps(self) -> int:
        """Pixels that the window takes at each of its positions."""
        return math.prod(self.sides)


def share_inside(length: int, side: int, stride: int, padding: int, dilation: int) -> float:
    """Returns the share of (position, tap) pairs along a dimension of `length` pixels whose tap is inside the image."""
    positions = (length + 2 * padding - dilation * (side - 1) - 1) // stride + 1
    if padding == 0 or positions <= 0:
        return 1.0
    first = (tap * dilation - padding for tap in range(side))  # where each tap is at the first position
    inside = sum(
        min(positions, _steps_below(length - at, stride)) - min(positions, _steps_below(-at, stride)) for at in first
    )
    return inside / (positions * side)


def _steps_below(distance: int, stride: int) -> int:
    """Positions 0, stride, 2 stride, ... below `distance`."""
    return max(0, -(-distance // stride))


@dataclass(frozen=True)
class Kernel:
    """One launch: its kind (which rate prices it), what it computes, its work in FLOP and its traffic in bytes.

    `function` is ATen's name of what it computes, without "aten." and the "_" of an in-place op ("gelu"), or a
    plain word where it is a part of an op ("bias"). `elements` are those of its output. `cold_bytes` are weights,
    which no earlier kernel has left in a cache. `contiguous` says whether all that it reads lies in the order of
    its elements, `channels_last` whether a convolution's input and weights lie as NHWC. `rows` are those of a norm
    or softmax, each of which one thread block reduces; 0 for all other kernels.
    """

    kind: str
    function: str
    dtype: str
    elements: int
    flops: int
    read_bytes: int
    write_bytes: int
    cold_bytes: int = 0
    contiguous: bool = True
    product: Optional[Product] = None
    window: Optional[Window] = None
    channels_last: bool = False
    rows: int = 0

    @property
    def bytes(self) -> int:
        """All traffic, in bytes."""
        return self.read_bytes + self.cold_bytes + self.write_bytes


FUSED_ATTENTION = "attention"
"""The function of a kernel that is all of an attention, its softmax between its products."""


@dataclass(frozen=True)
class Lowered:
    """One op: its kind on the host, the ATen calls below it, its kernels, and whether a rule was found for it.

    `waits` says whether the host goes on only once the kernels have ended, because it asks for a value. Of what is
    fused the first has one call, that of the whole, and the others none.
    """

    op: Op
    host_kind: str
    calls: int
    kernels: Tuple[Kernel, ...]
    has_rule: bool = True
    waits: bool = False

    @property
    def is_unknown(self) -> bool:
        """Whether nobody says how much it computes: an op of a library that has neither a rule nor a FLOP formula."""
        return not self.has_rule and not self.op.flops and not self.op.name.startswith("aten.")

    @property
    def unseen(self) -> str:
        """Returns what of it no calibration has seen: "no rule", "recurrent", "fused attention", or "" for nothing."""
        if not self.has_rule:
            return "no rule"
        fused = any(kernel.function == FUSED_ATTENTION for kernel in self.kernels)
        return "recurrent" if self.host_kind == "recurrent" else "fused attention" if fused else ""


def pass_kernel(function: str, t: TensorSpec, flops_per_element: int = 0, rows: int = 0) -> Kernel:
    """Returns the kernel that reads a tensor once and writes one of its size; of a norm or softmax, with its rows."""
    return Kernel("stream", function, t.dtype, t.numel, flops_per_element * t.numel, t.nbytes, t.nbytes, rows=rows)


def shaped(t: TensorSpec, *shape: int) -> TensorSpec:
    """Returns a tensor of another shape."""
    return TensorSpec(shape, t.dtype, t.item_bytes)


def transposed(t: TensorSpec) -> TensorSpec:
    """Returns a matrix as its transpose, which does not lie in the order of its elements."""
    return replace(shaped(t, t.shape[1], t.shape[0]), contiguous=False)


def stream_kernel(op: Op, window: Optional[Window] = None) -> Kernel:
    """Returns the kernel that reads each input of the op once, writes each output once, and does a FLOP an element.

    Of an op without a result, it is of the type of its first input.
    """
    return Kernel(
        kind="stream",
        function=function_name(op),
        dtype=next((t.dtype for t in op.outputs + op.inputs), "uint8"),
        elements=next((t.numel for t in op.outputs), 0),
        flops=max((t.numel for t in op.outputs + op.inputs), default=0),
        read_bytes=sum(t.nbytes for t in op.inputs),
        write_bytes=sum(t.nbytes for t in op.outputs),
        contiguous=reads_contiguous(op),
        window=window,
    )


def counted_kernel(op: Op) -> Kernel:
    """Returns the kernel of an op of which the FLOP alone are known: a product that is as deep as it is wide."""
    moved = stream_kernel(op)
    side = max(1, round((op.flops / 2) ** (1 / 3)))
    product = Product(1, side, side, side)
    dtype = moved.dtype if moved.dtype in MULTIPLIED else "float32"
    return replace(moved, kind="product", dtype=dtype, flops=op.flops, product=product)


def function_name(op: Op) -> str:
    """Returns ATen's name of what the op computes: "relu" for "aten.relu" and for "aten.relu_"."""
    name = op.name.rpartition(".")[2]
    return name[:-1] if name.endswith("_") and not name.endswith("__") else name


def reads_contiguous(op: Op) -> bool:
    """Returns whether every tensor among the op's arguments lies in the order of its elements."""
    return all(t.contiguous for t in op.inputs)
