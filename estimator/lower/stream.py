"""Ops that read and write and compute little: pointwise, reductions, copies, fills, gathers and norms."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, Tuple

from ..opstream import Op, TensorSpec
from .host_reads import masks_found
from .kernels import Kernel, Lowered, function_name, pass_kernel, reads_contiguous, stream_kernel
from .rules import rule

_POINTWISE = """
_conj_physical _prelu_kernel abs acos acosh add addcdiv addcmul asin asinh atan atan2 atanh bitwise_and
bitwise_left_shift bitwise_not bitwise_or bitwise_right_shift bitwise_xor ceil celu clamp clamp_max clamp_min complex
copysign cos cosh digamma div elu eq erf erfc erfinv exp exp2 expm1 floor floor_divide fmax fmin fmod frac ge gelu glu
gt hardshrink hardsigmoid hardswish hardtanh heaviside hypot isinf isnan le leaky_relu lerp lgamma linalg_cross log
log10 log1p log2 log_sigmoid_forward logaddexp logaddexp2 logical_and logical_not logical_or logical_xor logit lt
masked_fill maximum minimum mish mul nan_to_num native_dropout ne neg polar pow prelu reciprocal relu remainder round
rrelu_with_noise rsqrt rsub selu sgn sigmoid sign signbit silu sin sinc sinh softplus softshrink special_entr
special_erfcx special_i0e special_xlog1py sqrt square sub tan tanh threshold trunc where xlogy
""".split()
_REDUCTIONS = """
_adaptive_avg_pool2d _adaptive_avg_pool3d _weight_norm_interface adaptive_max_pool2d adaptive_max_pool3d all amax amin
aminmax any argmax argmin bucketize count_nonzero cummax cummin cumsum dot fractional_max_pool2d histc isin kthvalue
linalg_vector_norm logcumsumexp logsumexp max mean median min mode mse_loss multinomial nanmedian nansum
nll_loss_forward norm prod searchsorted sort std std_mean sum topk trace var var_mean vdot
""".split()
_COPIES = """
_to_copy _upsample_bicubic2d_aa _upsample_bilinear2d_aa _upsample_nearest_exact1d _upsample_nearest_exact2d
_upsample_nearest_exact3d affine_grid_generator cat channel_shuffle clone col2im constant_pad_nd copy diag_embed flip
grid_sampler_2d grid_sampler_3d im2col lift_fresh masked_scatter max_unpool2d native_channel_shuffle pixel_shuffle
pixel_unshuffle reflection_pad1d reflection_pad2d reflection_pad3d repeat replication_pad1d replication_pad2d
replication_pad3d roll rot90 select_scatter slice_scatter stack tril triu upsample_bicubic2d upsample_bilinear2d
upsample_linear1d upsample_nearest1d upsample_nearest2d upsample_nearest3d upsample_trilinear3d
""".split()
_FILLS = """
arange bernoulli exponential eye fill full full_like hamming_window hann_window linspace logspace new_full new_ones
new_zeros normal ones ones_like rand rand_like randint randint_like randn randn_like random randperm scalar_tensor
tril_indices triu_indices uniform zero zeros zeros_like
""".split()
_BATCH_NORMS = "_native_batch_norm_legit_no_training cudnn_batch_norm native_batch_norm".split()
_SOFTMAXES = "_log_softmax _safe_softmax _softmax".split()
_GATHERS = "embedding gather index index_select take".split()
_SCATTERS = "index_add index_copy index_put scatter scatter_add scatter_reduce".split()
_FFT_FLOPS = 5  # an element and power of two: half a butterfly, a complex product and two sums (Cooley, Tukey, 1965)
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


@rule(*_SOFTMAXES)
def softmax(op: Op, self: TensorSpec, dim: int, *_: Any, **__: Any) -> Lowered:
    """Returns one kernel, of which a block of threads reduces each row."""
    rows = self.numel // max(1, self.shape[dim]) if self.shape else 1
    return Lowered(op, "reduction", 0, (replace(stream_kernel(op), rows=rows),))


@rule(*_BATCH_NORMS)
def batch_norm(op: Op, *_: Any, **__: Any) -> Lowered:
    """Returns one kernel; the outputs after the first are statistics that nobody computes in inference."""
    return _norm(op, 0)


@rule("native_layer_norm", "_fused_rms_norm")
def layer_norm(op: Op, input: TensorSpec, normalized_shape: Tuple[int, ...], *_: Any, **__: Any) -> Lowered:
    """Returns one kernel, of which a block of threads reduces each row."""
    return _norm(op, input.numel // max(1, math.prod(normalized_shape)))


@rule("native_group_norm")
def group_norm(
    op: Op, input: TensorSpec, weight: Any, bias: Any, N: int, C: int, HxW: int, group: int, *_: Any, **__: Any
) -> Lowered:
    """Returns one kernel, of which a block of threads reduces each group of each image."""
    return _norm(op, N * group)


def _norm(op: Op, rows: int) -> Lowered:
    read_bytes = sum(t.nbytes for t in op.inputs)
    return Lowered(op, "norm", 0, (replace(_first_output_kernel(op, _NORM_FLOPS, read_bytes), rows=rows),))


@rule(*_GATHERS)
def gather(op: Op, *_: Any, **__: Any) -> Lowered:
    """Returns one kernel, which reads of its source only what it writes."""
    indices_bytes = sum(t.nbytes for t in op.inputs[1:])
    kernel = _first_output_kernel(op, 0, op.outputs[0].nbytes + indices_bytes)
    found = masks_found(op.inputs[1:])
    return Lowered(op, "copy", len(found), (*found, kernel), waits=bool(found))


@rule("_embedding_bag", "_embedding_bag_forward_only")
def embedding_bag(op: Op, weight: TensorSpec, indices: TensorSpec, *_: Any, **__: Any) -> Lowered:
    """Returns one kernel, which reads a row of its table for each index, and writes a row for each bag."""
    rows_bytes = indices.numel * weight.shape[1] * weight.item_bytes
    return Lowered(op, "copy", 0, (_first_output_kernel(op, 0, rows_bytes + sum(t.nbytes for t in op.inputs[1:])),))


@rule(*_SCATTERS)
def scatter(op: Op, self: TensorSpec, *_: Any, **__: Any) -> Lowered:
    """Returns the kernel that writes as many elements as it is given; not in place, a copy of all others before it."""
    given = op.inputs[1:]
    moved = max((t.numel for t in given), default=0)
    written_bytes, read_bytes = moved * self.item_bytes, sum(t.nbytes for t in given)
    kernel = Kernel("stream", function_name(op), self.dtype, moved, 0, read_bytes, written_bytes)
    copies = () if op.in_place else (pass_kernel("clone", self),)
    return Lowered(op, "copy", len(copies), (*copies, kernel))


@rule("_fft_r2c", "_fft_c2r", "_fft_c2c")
def fourier_transform(op: Op, self: TensorSpec, dim: Tuple[int, ...], *_: Any, **__: Any) -> Lowered:
    """Returns a kernel for each dimension that is transformed, which passes over inputs and outputs."""
    larger = max((self, op.outputs[0]), key=lambda t: t.numel)
    steps = (int(_FFT_FLOPS * larger.numel * math.log2(max(2, larger.shape[d]))) for d in dim)
    return Lowered(op, "reduction", 0, tuple(replace(stream_kernel(op), flops=flops) for flops in steps))


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
