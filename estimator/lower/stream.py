"""Ops that read and write and compute little: pointwise, reductions, copies, fills, gathers and norms."""

from __future__ import annotations

from typing import Any

from ..opstream import Op
from .kernels import Kernel, Lowered, function_name, reads_contiguous, stream_kernel
from .registry import rule

_POINTWISE = """
abs add bitwise_and bitwise_or bitwise_not ceil clamp clamp_max clamp_min cos div elu eq erf exp floor floor_divide ge
gelu glu gt hardsigmoid hardswish hardtanh le leaky_relu log logical_and logical_not logical_or lt masked_fill maximum
minimum mish mul ne neg pow prelu reciprocal relu remainder rsqrt rsub sigmoid sign silu sin softplus sqrt sub tanh
threshold where
""".split()
_REDUCTIONS = """
_adaptive_avg_pool2d _adaptive_avg_pool3d _softmax _log_softmax all amax amin any argmax argmin cumsum
linalg_vector_norm max mean min prod sort sum topk var var_mean
""".split()
_COPIES = """
_to_copy cat clone constant_pad_nd copy flip grid_sampler_2d lift_fresh pixel_shuffle pixel_unshuffle reflection_pad2d
repeat replication_pad2d roll stack tril triu upsample_bicubic2d upsample_bilinear2d upsample_nearest2d
""".split()
_FILLS = """
arange fill full full_like linspace new_full new_ones new_zeros ones ones_like scalar_tensor zero zeros zeros_like
""".split()
_NORMS = """
_native_batch_norm_legit_no_training cudnn_batch_norm native_batch_norm native_group_norm native_layer_norm
""".split()
_NORM_FLOPS = 4  # an element: difference, scale, weight, bias


@rule(*_POINTWISE)
def pointwise(op: Op, *_: Any, **__: Any) -> Lowered:
    """Returns one kernel that passes over inputs and outputs."""
    return Lowered(op, "pointwise", 0, (stream_kernel(op),))


@rule(*_REDUCTIONS)
def reduction(op: Op, *_: Any, **__: Any) -> Lowered:
    """Returns one kernel that passes over inputs and outputs."""
    return Lowered(op, "reduction", 0, (stream_kernel(op),))


@rule(*_COPIES)
def copy(op: Op, *_: Any, **__: Any) -> Lowered:
    """Returns one kernel that passes over inputs and outputs."""
    return Lowered(op, "copy", 0, (stream_kernel(op),))


@rule(*_FILLS)
def fill(op: Op, *_: Any, **__: Any) -> Lowered:
    """Returns one kernel that writes the output and reads nothing."""
    return Lowered(op, "pointwise", 0, (_first_output_kernel(op, flops_per_element=0, read_bytes=0),))


@rule(*_NORMS)
def norm(op: Op, *_: Any, **__: Any) -> Lowered:
    """Returns one kernel; the outputs after the first are statistics that nobody computes in inference."""
    read_bytes = sum(t.nbytes for t in op.inputs)
    return Lowered(op, "norm", 0, (_first_output_kernel(op, _NORM_FLOPS, read_bytes),))


@rule("embedding", "gather", "index", "index_select")
def gather(op: Op, *_: Any, **__: Any) -> Lowered:
    """Returns one kernel, which reads of its source only what it writes."""
    indices_bytes = sum(t.nbytes for t in op.inputs[1:])
    return Lowered(op, "copy", 0, (_first_output_kernel(op, 0, op.outputs[0].nbytes + indices_bytes),))


def _first_output_kernel(op: Op, flops_per_element: int, read_bytes: int) -> Kernel:
    out = op.outputs[0]
    return Kernel(
        kind="stream",
        function=function_name(op),
        dtype=out.dtype,
        elements=out.numel,
        flops=flops_per_element * out.numel,
        read_bytes=read_bytes,
        write_bytes=out.nbytes,
        contiguous=reads_contiguous(op),
    )
