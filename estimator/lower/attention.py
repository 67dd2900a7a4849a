"""Attention: products around a softmax, also where one ATen op is a whole attention or encoder layer."""

from __future__ import annotations

import math
from typing import Any, Optional, Tuple

from ..opstream import Op, TensorSpec
from .kernels import FUSED_ATTENTION, Kernel, Lowered, Product, pass_kernel, shaped, transposed
from .product import activations_kernel, weights_kernel
from .rules import rule

_SOFTMAX_FLOPS = 5  # an element: maximum, difference, exponential, sum, quotient
_NORM_FIRST = 2  # of an encoder layer's choices, behind its first bias
_CHOICE = 1  # nested: scaled_dot_product_attention chooses a kernel, then calls the op that has it


@rule("_scaled_dot_product_flash_attention", "_scaled_dot_product_flash_attention_for_cpu")
def flash_attention(
    op: Op,
    query: TensorSpec,
    key: TensorSpec,
    value: TensorSpec,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    *_: Any,
    attn_mask: Optional[TensorSpec] = None,
    **__: Any,
) -> Lowered:
    """Returns one kernel, which keeps the scores on the chip; all dimensions before the last two are heads."""
    return Lowered(op, "product", _CHOICE, (_fused_kernel(query, key, value, attn_mask, is_causal),))


@rule("_scaled_dot_product_efficient_attention", "_scaled_dot_product_cudnn_attention")
def efficient_attention(
    op: Op,
    query: TensorSpec,
    key: TensorSpec,
    value: TensorSpec,
    attn_bias: Optional[TensorSpec],
    compute_log_sumexp: bool,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    *_: Any,
    **__: Any,
) -> Lowered:
    """Returns one kernel, as `flash_attention` does; it reads the mask as well."""
    return Lowered(op, "product", _CHOICE, (_fused_kernel(query, key, value, attn_bias, is_causal),))


def _fused_kernel(
    query: TensorSpec, key: TensorSpec, value: TensorSpec, bias: Optional[TensorSpec], causal: bool
) -> Kernel:
    """Each block owns some queries and walks over the keys: two products in one loop (Dao et al.: arXiv 2205.14135).

    As a product it is (queries, pairs) x (pairs, width) with twice the pairs that a query has on average; a causal one
    skips the keys behind each query. FLOP are 2 x 2 x heads x pairs x width.
    """
    queries, keys, width = query.shape[-2], key.shape[-2], query.shape[-1]
    heads = math.prod(query.shape[:-2])
    pairs = sum(min(row + 1, keys) for row in range(queries)) if causal else queries * keys
    product = Product(heads, queries, value.shape[-1], max(1, 2 * pairs // max(1, queries)))
    written = heads * queries * value.shape[-1]
    return Kernel(
        kind="product",
        function=FUSED_ATTENTION,
        dtype=query.dtype,
        elements=written,
        flops=2 * heads * pairs * (width + value.shape[-1]),
        read_bytes=query.nbytes + key.nbytes + value.nbytes + (0 if bias is None else bias.nbytes),
        write_bytes=written * query.item_bytes,
        contiguous=query.contiguous and key.contiguous and value.contiguous,
        product=product,
    )


@rule("_native_multi_head_attention")
def multi_head_attention(
    op: Op,
    query: TensorSpec,
    key: TensorSpec,
    value: TensorSpec,
    embed_dim: int,
    num_head: int,
    qkv_weight: TensorSpec,
    qkv_bias: TensorSpec,
    proj_weight: TensorSpec,
    *_: Any,
    **__: Any,
) -> Lowered:
    """Returns the kernels of self-attention and of the products before and after it."""
    return _composed(op, _layer_kernels(query, num_head, qkv_weight, proj_weight))


@rule("_transformer_encoder_layer_fwd")
def transformer_encoder_layer(
    op: Op,
    src: TensorSpec,
    embed_dim: int,
    num_heads: int,
    qkv_weight: TensorSpec,
    qkv_bias: TensorSpec,
    proj_weight: TensorSpec,
    *rest: Any,
    **__: Any,
) -> Lowered:
    """Returns the kernels of attention, two products around an activation, two norms and two residual additions.

    The rest is a bias, three choices, weight and bias of both norms, and then weight and bias of both products. Each
    kernel reads what the one before has made.
    """
    norm_first, (first, _, second) = rest[_NORM_FIRST], rest[8:11]
    attention = _layer_kernels(src, num_heads, qkv_weight, proj_weight)
    perceptron = _perceptron_kernels(src, first, second)
    rows = _rows(src, src.shape[-1])
    norm, add = (pass_kernel("native_layer_norm", rows, rows=rows.shape[0]),), (pass_kernel("add", rows),)
    blocks = [(*norm, *block, *add) if norm_first else (*block, *add, *norm) for block in (attention, perceptron)]
    return _composed(op, (*blocks[0], *blocks[1]))


def _composed(op: Op, kernels: Tuple[Kernel, ...]) -> Lowered:
    return Lowered(op, "product", len(kernels) - 1, kernels)


def _layer_kernels(
    query: TensorSpec, heads: int, qkv_weight: TensorSpec, proj_weight: TensorSpec
) -> Tuple[Kernel, ...]:
    """QKV product, head split with bias and scale, Q x K, softmax, P x V, head merge, output product."""
    batch, tokens, width = query.shape
    rows = _rows(query, width)
    return (
        weights_kernel("mm", rows, transposed(qkv_weight)),
        pass_kernel("transform_bias_rescale_qkv", _rows(query, 3 * width)),
        *_head_kernels(query, batch * heads, tokens, tokens, width // heads),
        pass_kernel("transform_0213", rows),
        weights_kernel("mm", rows, transposed(proj_weight)),
    )


def _perceptron_kernels(src: TensorSpec, first: TensorSpec, second: TensorSpec) -> Tuple[Kernel, ...]:
    hidden = _rows(src, first.shape[0])
    return (
        weights_kernel("mm", _rows(src, src.shape[-1]), transposed(first)),
        pass_kernel("activation", hidden),
        weights_kernel("mm", hidden, transposed(second)),
    )


def _head_kernels(like: TensorSpec, heads: int, queries: int, keys: int, width: int) -> Tuple[Kernel, ...]:
    scores = shaped(like, heads, queries, keys)
    return (
        activations_kernel("bmm", shaped(like, heads, queries, width), shaped(like, heads, width, keys)),
        pass_kernel("_softmax", scores, _SOFTMAX_FLOPS, heads * queries),
        activations_kernel("bmm", scores, shaped(like, heads, keys, width)),
    )


def _rows(t: TensorSpec, width: int) -> TensorSpec:
    """A row of `width` elements for each token of (batch, tokens, width)."""
    return shaped(t, t.shape[0] * t.shape[1], width)
