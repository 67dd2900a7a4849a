"""Convolutions: implicit matrix products, by group."""

from __future__ import annotations

from typing import Any, Optional, Tuple

from ..opstream import Op, TensorSpec
from .kernels import Kernel, Lowered, Product, Window, function_name, reads_contiguous, share_inside
from .rules import rule


@rule("convolution", "_convolution")
def convolution(
    op: Op,
    input: TensorSpec,
    weight: TensorSpec,
    bias: Optional[TensorSpec],
    stride: Tuple[int, ...],
    padding: Tuple[int, ...],
    dilation: Tuple[int, ...],
    transposed: bool,
    output_padding: Tuple[int, ...],
    groups: int,
    *_: Any,
    **__: Any,
) -> Lowered:
    """Returns the kernel of the product and, with a call of its own, that of the bias."""
    channels = input.shape[1] // groups
    sides, rows = weight.shape[2:], input.shape[2]
    inside = 1.0 if transposed else share_inside(rows, sides[0], stride[0], padding[0], dilation[0])
    window = Window(sides, stride, dilation, channels, groups, input.shape[0], input.numel, inside)
    kernels = [_product_kernel(op, input, weight, window, transposed)]
    if bias is not None:
        kernels.append(_bias_kernel(op.outputs[0], bias))
    return Lowered(op, "convolution", len(kernels) - 1, tuple(kernels))


def _product_kernel(op: Op, source: TensorSpec, weight: TensorSpec, window: Window, transposed: bool) -> Kernel:
    out = op.outputs[0]
    product = _as_product(source, out, window, transposed)
    depthwise = window.groups > 1 and window.channels == 1 and not transposed
    return Kernel(
        kind="depthwise" if depthwise else "convolution",
        function=function_name(op),
        dtype=out.dtype,
        elements=out.numel,
        flops=product.flops,
        read_bytes=source.nbytes,
        write_bytes=out.nbytes,
        cold_bytes=weight.nbytes,
        contiguous=reads_contiguous(op),
        product=product,
        window=window,
        channels_last=source.channels_last and (weight.channels_last or window.taps == 1),
    )


def _as_product(source: TensorSpec, out: TensorSpec, window: Window, transposed: bool) -> Product:
    """A row for each pixel that the window stops at: of the output, of a transposed convolution's input."""
    pixels = source if transposed else out
    m = pixels.numel // pixels.shape[1]
    channels_out = out.shape[1] // window.groups
    if transposed:
        return Product(window.groups, m, channels_out * window.taps, window.channels)
    return Product(window.groups, m, channels_out, window.channels * window.taps)


def _bias_kernel(out: TensorSpec, bias: TensorSpec) -> Kernel:
    return Kernel("stream", "bias", out.dtype, out.numel, out.numel, out.nbytes + bias.nbytes, out.nbytes)
