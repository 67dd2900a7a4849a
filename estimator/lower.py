"""Op stream to kernels: what one ATen op makes the host do and the device run.

An op dispatches once itself and once more for each ATen op that its C++ implementation calls (`calls`): a convolution's
bias is such a call, and so are the products and the softmax inside the multi-head-attention fast path. Each launches
kernels; a view launches none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable, Dict, Iterable, Tuple

from .opstream import Op, TensorSpec

_TENSOR_CORE_CHANNELS = 4  # 16 bytes of TF32: the alignment that cuDNN's tensor-core kernels ask of input channels
_LIBRARY_ELEMENTS = 20480  # of a CPU's input: up to here PyTorch runs its own convolution (ATen/native/Convolution.cpp)
_SCALAR_WORK = {
    "gelu": 1.1,
    "silu": 1.0,
    "sigmoid": 1.0,
    "exp": 1.0,
    "tanh": 1.0,
    "elu": 1.0,
    "mish": 2.0,
    "softplus": 2.0,
    "_softmax": 1.0,
    "_log_softmax": 1.0,
    "upsample_bilinear2d": 3.0,
    "upsample_bicubic2d": 12.0,
}
"""What an element costs a CPU's vector units, in exponentials; measured ratios, rough."""
_MAX_TAP, _MEAN_TAP, _WINDOW = 2.2, 1.3, 4  # exponentials for each tap of a pooling window, and taps to set a window up
_GATHER = 1.0  # exponentials for each element that a copy moves against the order of memory


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
class Kernel:
    """One launch: its kind (which rate prices it), work in FLOP, traffic in bytes, and the product it computes, if any.

    `cold_bytes` are weights, which no earlier kernel has left in a cache. `tensor_cores` is False where the shape or a
    dilation keeps cuDNN from using them; `changes_layout` is True where tensor-core kernels want NHWC and get NCHW.
    For a CPU: `scalar_work` counts exponentials (or what takes as long); `by_library` is True where PyTorch calls
    oneDNN rather than a loop of its own; `fused` where that adds the kernel to the one before it.
    """

    kind: str
    dtype: str
    flops: int
    read_bytes: int
    write_bytes: int
    cold_bytes: int = 0
    product: Product = Product(0, 0, 0, 0)
    tensor_cores: bool = True
    changes_layout: bool = False
    scalar_work: float = 0.0
    by_library: bool = False
    fused: bool = False

    @property
    def bytes(self) -> int:
        """All traffic, in bytes."""
        return self.read_bytes + self.cold_bytes + self.write_bytes


@dataclass(frozen=True)
class Lowered:
    """One op: its kind on the host, the ATen calls below it, its kernels, and whether a rule was found for it."""

    op: Op
    host_kind: str
    calls: int
    kernels: Tuple[Kernel, ...]
    has_rule: bool = True


def lower(ops: Iterable[Op]) -> Tuple[Lowered, ...]:
    """Returns each op with the kernels it launches. Ops without a rule are priced by their bytes (`has_rule` False)."""
    return tuple(_lower_op(op) for op in ops)


def _lower_op(op: Op) -> Lowered:
    if op.is_view:
        return Lowered(op, "view", 0, ())
    rule = _RULES.get(op.name)
    return rule(op) if rule else Lowered(op, "other", 0, (_stream(op),), has_rule=False)


def _stream(op: Op, kind: str = "stream", flops_per_element: int = 1) -> Kernel:
    """Reads every input once, writes every output once."""
    flops = flops_per_element * max([t.numel for t in op.outputs + op.inputs], default=0)
    reads, writes = (sum(t.nbytes for t in tensors) for tensors in (op.inputs, op.outputs))
    work, library = _scalar_work(op), op.name.startswith("aten.gelu")
    return Kernel(kind, op.outputs[0].dtype, flops, reads, writes, scalar_work=work, by_library=library)


def _scalar_work(op: Op) -> float:
    name: str = op.name[len("aten.") :]
    elements = float(op.outputs[0].numel)
    if name in ("max_pool2d_with_indices", "avg_pool2d"):
        tap = _MAX_TAP if name.startswith("max") else _MEAN_TAP
        window = op.args[1] if isinstance(op.args[1], tuple) else (op.args[1],)
        return tap * elements * float(window[0] * window[-1] + _WINDOW)
    if name in ("clone", "copy", "copy_"):
        return 0.0 if all(t.contiguous for t in op.inputs) else _GATHER * elements
    return _SCALAR_WORK.get(name, _SCALAR_WORK.get(name.rstrip("_"), 0.0)) * elements


def _streaming(host_kind: str, kind: str = "stream") -> Callable[[Op], Lowered]:
    return lambda op: Lowered(op, host_kind, 0, (_stream(op, kind),))


def _first_output(host_kind: str, kind: str = "stream") -> Callable[[Op], Lowered]:
    """Norms in inference return statistics that nobody computes."""

    def rule(op: Op) -> Lowered:
        out = op.outputs[0]
        reads = sum(t.nbytes for t in op.inputs)
        return Lowered(op, host_kind, 0, (Kernel(kind, out.dtype, 4 * out.numel, reads, out.nbytes),))

    return rule


def _convolution(op: Op) -> Lowered:
    source, weight, bias = op.args[0], op.args[1], op.args[2]
    kernels = [_convolution_kernel(op, source, weight)]
    if isinstance(bias, TensorSpec):
        out = op.outputs[0]
        kernels.append(Kernel("stream", out.dtype, out.numel, out.nbytes + bias.nbytes, out.nbytes, fused=True))
    return Lowered(op, "convolution", len(kernels) - 1, tuple(kernels))


def _convolution_kernel(op: Op, source: TensorSpec, weight: TensorSpec) -> Kernel:
    dilated, transposed, groups = max(op.args[5]) > 1, bool(op.args[6]), int(op.args[8])
    out = op.outputs[0]
    pixels = source if transposed else out
    taps = weight.numel // (weight.shape[0] * weight.shape[1])
    channels_in, channels_out = source.shape[1] // groups, out.shape[1] // groups
    m = pixels.numel // pixels.shape[1]
    work = (channels_out * taps, channels_in) if transposed else (channels_out, channels_in * taps)
    product = Product(groups, m, work[0], work[1])
    depthwise = groups > 1 and channels_in == 1 and not transposed
    pointwise = taps == 1 and max(op.args[3]) == 1
    return Kernel(
        kind="depthwise" if depthwise else "convolution",
        dtype=out.dtype,
        flops=product.flops,
        read_bytes=source.nbytes,
        write_bytes=out.nbytes,
        cold_bytes=weight.nbytes,
        product=product,
        tensor_cores=not dilated and channels_in % _TENSOR_CORE_CHANNELS == 0,
        changes_layout=not pointwise,
        by_library=groups > 1 or max(weight.shape[2:]) > 3 or source.shape[0] > 1 or source.numel > _LIBRARY_ELEMENTS,
    )


def _product(op: Op, first: int, cold: bool) -> Lowered:
    left, right = op.args[first], op.args[first + 1]
    return Lowered(op, "product", 0, (_product_kernel(left, right, cold, extra=first and op.args[0].nbytes),))


def _product_kernel(left: TensorSpec, right: TensorSpec, cold: bool, extra: int = 0) -> Kernel:
    batch = left.shape[0] if len(left.shape) == 3 else 1
    m, k, n = left.shape[-2], left.shape[-1], right.shape[-1]
    reads, weights = (left.nbytes, right.nbytes) if cold else (left.nbytes + right.nbytes, 0)
    product = Product(batch, m, n, k)
    writes = batch * m * n * left.item_bytes
    return Kernel("product", left.dtype, product.flops, reads, writes, weights + extra, product)


def _multi_head_attention(op: Op) -> Lowered:
    kernels = _attention_layer(op.args[0], int(op.args[4]), op.args[5], op.args[7])
    return Lowered(op, "product", len(kernels) - 1, kernels)


def _attention_layer(
    query: TensorSpec, heads: int, in_weight: TensorSpec, out_weight: TensorSpec
) -> Tuple[Kernel, ...]:
    """QKV product, head split with bias and scale, Q x K, softmax, P x V, head merge, output product."""
    batch, tokens, width = query.shape
    rows = TensorSpec((batch * tokens, width), query.dtype, query.item_bytes)
    fused = TensorSpec((batch * tokens, 3 * width), query.dtype, query.item_bytes)
    return (
        _product_kernel(rows, _transposed(in_weight), cold=True),
        _copy(fused),
        *_attention_kernels(query, batch * heads, tokens, tokens, width // heads),
        _copy(rows),
        _product_kernel(rows, _transposed(out_weight), cold=True),
    )


def _encoder_layer(op: Op) -> Lowered:
    """The whole layer as one op: attention, two products around an activation, two norms, two residual additions."""
    source, heads, in_weight, out_weight = op.args[0], int(op.args[2]), op.args[3], op.args[5]
    first, second = op.args[14], op.args[16]
    batch, tokens, width = source.shape
    rows = TensorSpec((batch * tokens, width), source.dtype, source.item_bytes)
    hidden = TensorSpec((batch * tokens, first.shape[0]), source.dtype, source.item_bytes)
    attention = _attention_layer(source, heads, in_weight, out_weight)
    products = (
        _product_kernel(rows, _transposed(first), cold=True),
        _product_kernel(hidden, _transposed(second), cold=True),
    )
    kernels = (*attention, *products, _copy(hidden), *(_copy(rows) for _ in range(4)))
    return Lowered(op, "product", len(kernels) - 1, kernels)


def _scaled_dot_product_attention(op: Op) -> Lowered:
    query, key = op.args[0], op.args[1]
    heads = query.numel // (query.shape[-1] * query.shape[-2])
    kernels = _attention_kernels(query, heads, query.shape[-2], key.shape[-2], query.shape[-1])
    return Lowered(op, "product", len(kernels) - 1, kernels)


def _attention_kernels(like: TensorSpec, heads: int, queries: int, keys: int, width: int) -> Tuple[Kernel, ...]:
    def spec(*shape: int) -> TensorSpec:
        return TensorSpec(shape, like.dtype, like.item_bytes)

    scores = spec(heads, queries, keys)
    softmax = Kernel(
        "stream", like.dtype, 5 * scores.numel, scores.nbytes, scores.nbytes, scalar_work=float(scores.numel)
    )
    return (
        _product_kernel(spec(heads, queries, width), spec(heads, width, keys), cold=False),
        softmax,
        _product_kernel(scores, spec(heads, keys, width), cold=False),
    )


def _copy(t: TensorSpec) -> Kernel:
    return Kernel("stream", t.dtype, 0, t.nbytes, t.nbytes)


def _transposed(t: TensorSpec) -> TensorSpec:
    return TensorSpec((t.shape[1], t.shape[0]), t.dtype, t.item_bytes)


def _gather(op: Op) -> Lowered:
    """Reads of its source only what it writes."""
    out = op.outputs[0]
    indices = sum(t.nbytes for t in op.inputs[1:])
    return Lowered(op, "copy", 0, (Kernel("stream", out.dtype, 0, out.nbytes + indices, out.nbytes),))


def _fill(op: Op) -> Lowered:
    out = op.outputs[0]
    return Lowered(op, "pointwise", 0, (Kernel("stream", out.dtype, 0, 0, out.nbytes),))


_POINTWISE = """
abs add bitwise_and bitwise_or bitwise_not ceil clamp clamp_max clamp_min cos div elu eq erf exp floor floor_divide ge
gelu glu gt hardsigmoid hardswish hardtanh le leaky_relu log logical_and logical_not logical_or lt masked_fill maximum
minimum mish mul ne neg pow prelu reciprocal relu remainder rsqrt rsub sigmoid sign silu sin softplus sqrt sub tanh
threshold where
""".split()
_REDUCTIONS = """
_adaptive_avg_pool2d _adaptive_avg_pool3d _softmax _log_softmax all amax amin any argmax argmin avg_pool2d cumsum
avg_pool3d linalg_vector_norm max max_pool2d_with_indices max_pool3d_with_indices mean min prod sort sum topk var
var_mean
""".split()
_COPIES = """
_to_copy cat clone constant_pad_nd copy flip grid_sampler_2d lift_fresh pixel_shuffle pixel_unshuffle reflection_pad2d
repeat replication_pad2d roll stack tril triu upsample_bicubic2d upsample_bilinear2d upsample_nearest2d
""".split()
_FILLS = """
arange fill full full_like linspace new_full new_ones new_zeros ones ones_like scalar_tensor zero zeros zeros_like
""".split()


def _rules() -> Dict[str, Callable[[Op], Lowered]]:
    rules: Dict[str, Callable[[Op], Lowered]] = {}
    for names, rule in (
        (_POINTWISE, _streaming("pointwise")),
        (_REDUCTIONS, _streaming("reduction")),
        (_COPIES, _streaming("copy")),
        (_FILLS, _fill),
        (["native_batch_norm", "native_layer_norm", "native_group_norm", "cudnn_batch_norm"], _first_output("norm")),
        (["_native_batch_norm_legit_no_training"], _first_output("norm")),
        (["index", "index_select", "embedding", "gather"], _gather),
        (["convolution", "_convolution"], _convolution),
        (["mm", "bmm"], lambda op: _product(op, 0, cold=op.name == "aten.mm")),
        (["addmm", "baddbmm"], lambda op: _product(op, 1, cold=op.name == "aten.addmm")),
        (["_native_multi_head_attention"], _multi_head_attention),
        (["_transformer_encoder_layer_fwd"], _encoder_layer),
        (list(_SDPA), _scaled_dot_product_attention),
    ):
        for name in names:
            rules[f"aten.{name}"] = rules[f"aten.{name}_"] = rule
    return rules


_SDPA = (
    "_scaled_dot_product_flash_attention",
    "_scaled_dot_product_flash_attention_for_cpu",
    "_scaled_dot_product_efficient_attention",
    "_scaled_dot_product_attention_math",
)
_RULES = _rules()
