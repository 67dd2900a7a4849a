"""torchvision's own operators, as its kernels for CUDA run them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ..opstream import Op, TensorSpec
from .kernels import Lowered, pass_kernel, shaped, stream_kernel
from .product import weights_kernel
from .rules import rule

_PAIR_FLOPS = 16  # corners, sides and area of what two boxes share, their union, and a quotient
_SAMPLE_FLOPS = 8  # four weights and four multiply-adds of a bilinear sample
_MASK_BITS = 64  # boxes whose overlap with another is one word of nms' mask


@rule("torchvision.nms")
def nms(op: Op, dets: TensorSpec, scores: TensorSpec, *_: Any, **__: Any) -> Lowered:
    """Returns the sort of the scores, the overlap of all pairs, and the choice, for which the host waits."""
    boxes = dets.shape[0]
    mask = TensorSpec((boxes, -(-boxes // _MASK_BITS)), "int64", 8)
    overlap = replace(pass_kernel("nms", mask, 0), flops=_PAIR_FLOPS * boxes * boxes // 2, read_bytes=dets.nbytes)
    kernels = (pass_kernel("sort", scores), pass_kernel("index_select", dets), overlap, pass_kernel("gather", mask))
    return Lowered(op, "other", len(kernels), kernels, waits=True)


@rule("torchvision.roi_align", "torchvision.ps_roi_align")
def roi_align(
    op: Op,
    input: TensorSpec,
    rois: TensorSpec,
    spatial_scale: float,
    height: int,
    width: int,
    sampling_ratio: int,
    *_: Any,
) -> Lowered:
    """Returns one kernel; without a ratio it takes as many samples a bin as there are pixels, here four."""
    samples = sampling_ratio**2 if sampling_ratio > 0 else 4
    out = op.outputs[0]
    return Lowered(op, "copy", 0, (replace(stream_kernel(op), flops=_SAMPLE_FLOPS * samples * out.numel),))


@rule("torchvision.roi_pool", "torchvision.ps_roi_pool")
def roi_pool(op: Op, *_: Any, **__: Any) -> Lowered:
    """Returns one kernel that passes over inputs and outputs."""
    return Lowered(op, "reduction", 0, (stream_kernel(op),))


@rule("torchvision.deform_conv2d")
def deformable_convolution(op: Op, input: TensorSpec, weight: TensorSpec, offset: TensorSpec, *_: Any) -> Lowered:
    """Returns the kernel that samples the input under each window, the product with the weights, and the bias."""
    out = op.outputs[0]
    pixels, depth = out.numel // out.shape[1], weight.numel // weight.shape[0]
    columns = shaped(input, pixels, depth)
    sample = replace(pass_kernel("im2col", columns, _SAMPLE_FLOPS), read_bytes=input.nbytes + offset.nbytes)
    product = weights_kernel("addmm", columns, shaped(weight, depth, weight.shape[0]))
    return Lowered(op, "convolution", 3, (sample, product, pass_kernel("bias", out, 1)))
