"""Matrix products; the right-hand side of one that has no batch is taken for a layer's weights."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Dict, Optional, Tuple

from ..opstream import Op, TensorSpec
from .kernels import Kernel, Lowered, Product, function_name, pass_kernel, shaped, stream_kernel, transposed
from .rules import rule

_EXTENSIVE = ("elements", "flops", "read_bytes", "write_bytes", "cold_bytes")
_SLICES = 3  # calls beside each product of a group: a slice of each operand and of the result


@rule("mm")
def mm(op: Op, self: TensorSpec, mat2: TensorSpec, *_: Any, **__: Any) -> Lowered:
    """Returns one kernel: an activation times weights."""
    return Lowered(op, "product", 0, (weights_kernel("mm", self, mat2),))


@rule("addmm")
def addmm(op: Op, self: TensorSpec, mat1: TensorSpec, mat2: TensorSpec, *_: Any, **__: Any) -> Lowered:
    """Returns one kernel: an activation times weights, plus a bias; in place, a product added to an activation."""
    kernel = activations_kernel if op.in_place else weights_kernel
    return Lowered(op, "product", 0, (kernel("addmm", mat1, mat2, self.nbytes),))


@rule("bmm")
def bmm(op: Op, self: TensorSpec, mat2: TensorSpec, *_: Any, **__: Any) -> Lowered:
    """Returns one kernel: an activation times another."""
    return Lowered(op, "product", 0, (activations_kernel("bmm", self, mat2),))


@rule("mv")
def mv(op: Op, self: TensorSpec, vec: TensorSpec, *_: Any, **__: Any) -> Lowered:
    """Returns one kernel: weights times one activation."""
    return Lowered(op, "product", 0, (weights_kernel("mv", _row(vec), transposed(self)),))


@rule("addmv")
def addmv(op: Op, self: TensorSpec, mat: TensorSpec, vec: TensorSpec, *_: Any, **__: Any) -> Lowered:
    """Returns one kernel: weights times one activation, plus a bias."""
    return Lowered(op, "product", 0, (weights_kernel("addmv", _row(vec), transposed(mat), self.nbytes),))


@rule("baddbmm")
def baddbmm(op: Op, self: TensorSpec, batch1: TensorSpec, batch2: TensorSpec, *_: Any, **__: Any) -> Lowered:
    """Returns one kernel: an activation times another, plus a bias."""
    return Lowered(op, "product", 0, (activations_kernel("baddbmm", batch1, batch2, self.nbytes),))


@rule("addbmm")
def addbmm(op: Op, self: TensorSpec, batch1: TensorSpec, batch2: TensorSpec, *_: Any, **__: Any) -> Lowered:
    """Returns one kernel: the products of a batch summed up, which is one product whose reduction is so much deeper."""
    batch, rows, depth = batch1.shape
    left, right = shaped(batch1, rows, batch * depth), shaped(batch2, batch * depth, batch2.shape[2])
    return Lowered(op, "product", 0, (activations_kernel("addbmm", left, right, self.nbytes),))


@rule("_trilinear")
def trilinear(op: Op, i1: TensorSpec, i2: TensorSpec, i3: TensorSpec, *_: Any, **__: Any) -> Lowered:
    """Returns the kernels of nn.Bilinear: an activation times weights, then times the other, summed up."""
    outputs, inner, outer = i2.shape[0], i2.shape[-2], i2.shape[-1]
    weights = shaped(i2, inner, outputs * outer)
    first = weights_kernel("_trilinear", shaped(i1, i1.numel // inner, inner), weights)
    rows = shaped(i1, i1.numel // inner, outputs * outer)
    return Lowered(op, "product", 2, (first, pass_kernel("mul", rows, 1), pass_kernel("sum", rows, 1)))


@rule("_euclidean_dist")
def euclidean_distance(op: Op, x1: TensorSpec, x2: TensorSpec, *_: Any, **__: Any) -> Lowered:
    """Returns the kernels of a distance between all pairs of rows: both with their norms beside them, and a product."""
    left, right = (shaped(t, *t.shape[:-1], t.shape[-1] + 2) for t in (x1, x2))
    norms = [pass_kernel(name, t, 1) for t in (x1, x2) for name in ("pow", "sum", "cat")]
    return Lowered(op, "product", 8, (*norms, _batched("bmm", left, right), pass_kernel("sqrt", op.outputs[0], 1)))


@rule("_cdist_forward")
def distance(op: Op, x1: TensorSpec, x2: TensorSpec, *_: Any, **__: Any) -> Lowered:
    """Returns one kernel: three FLOP (difference, power, sum) for each element of each pair of rows."""
    flops = 3 * op.outputs[0].numel * x1.shape[-1]
    return Lowered(op, "reduction", 0, (replace(stream_kernel(op), flops=flops),))


@rule("_grouped_mm")
def grouped_mm(
    op: Op, self: TensorSpec, mat2: TensorSpec, offs: Optional[TensorSpec] = None, *_: Any, **__: Any
) -> Lowered:
    """Returns the products of a mixture of experts, rows shared evenly among as many groups as there are rows for.

    In bfloat16 one kernel has them all. In other types the host reads where each group ends and issues a product, with
    its slices, for each (`_grouped_mm_fallback` of aten/src/ATen/native/GroupedMMUtils.h).
    """
    products = _group_products(self, mat2, offs)
    if self.dtype == "bfloat16" or offs is None:
        return Lowered(op, "product", 0, (_summed(products),))
    return Lowered(op, "product", (_SLICES + 1) * offs.numel, products, waits=True)


def _summed(products: Tuple[Kernel, ...]) -> Kernel:
    """One kernel that does what these equal ones do."""
    one, groups = products[0], len(products)
    extensive: Dict[str, Any] = {name: groups * getattr(one, name) for name in _EXTENSIVE}
    return replace(one, product=one.product and replace(one.product, batch=groups), **extensive)


def _group_products(left: TensorSpec, right: TensorSpec, offs: Optional[TensorSpec]) -> Tuple[Kernel, ...]:
    rows, depth, columns = left.shape[-2], left.shape[-1], right.shape[-1]
    groups = offs.numel if offs is not None else left.shape[0]
    if offs is not None and len(left.shape) == len(right.shape) == 2:  # groups along what is summed
        depth = max(1, depth // groups)
    elif offs is not None and len(left.shape) == 2:  # groups of rows
        groups = max(1, min(groups, rows))
        rows = max(1, round(rows / groups))
    elif offs is not None:  # groups of columns
        groups = max(1, min(groups, columns))
        columns = max(1, round(columns / groups))
    kernel = weights_kernel("_grouped_mm", shaped(left, rows, depth), shaped(right, depth, columns))
    return (kernel,) * groups


@rule("_int_mm")
def integer_mm(op: Op, self: TensorSpec, mat2: TensorSpec, *_: Any, **__: Any) -> Lowered:
    """Returns one kernel: at the rate of FP16, for no profile has one for integers; it is no lower."""
    return Lowered(op, "product", 0, (_in_half(op, weights_kernel("_int_mm", self, mat2)),))


@rule("_weight_int8pack_mm", "_weight_int4pack_mm")
def packed_mm(op: Op, self: TensorSpec, mat2: TensorSpec, *_: Any, **__: Any) -> Lowered:
    """Returns one kernel: an activation times packed weights, which come from memory in their few bits."""
    rows, depth, columns = self.shape[0], self.shape[1], op.outputs[0].shape[1]
    kernel = weights_kernel(function_name(op), shaped(self, rows, depth), shaped(self, depth, columns))
    scales_bytes = sum(t.nbytes for t in op.inputs[2:])
    return Lowered(op, "product", 0, (_in_half(op, replace(kernel, cold_bytes=mat2.nbytes + scales_bytes)),))


@rule("_scaled_mm")
def scaled_mm(op: Op, self: TensorSpec, mat2: TensorSpec, *_: Any, **__: Any) -> Lowered:
    """Returns one kernel of FP8: at the rate of FP16, for no profile has one of its own; it is no lower."""
    return Lowered(op, "product", 0, (_in_half(op, weights_kernel("_scaled_mm", self, mat2)),))


def _in_half(op: Op, kernel: Kernel) -> Kernel:
    return replace(kernel, dtype="float16", write_bytes=op.outputs[0].nbytes)


def _batched(function: str, left: TensorSpec, right: TensorSpec) -> Kernel:
    """A batch of products of an activation's rows with another's, over all dimensions before the last two."""
    batch = left.numel // (left.shape[-2] * left.shape[-1])
    turned = shaped(right, batch, right.shape[-1], right.shape[-2])
    return activations_kernel(function, shaped(left, batch, *left.shape[-2:]), turned)


def weights_kernel(function: str, left: TensorSpec, right: TensorSpec, bias_bytes: int = 0) -> Kernel:
    """Returns the product of an activation and weights, which come from memory as a bias does."""
    return _kernel(function, left, right, left.nbytes, right.nbytes + bias_bytes)


def activations_kernel(function: str, left: TensorSpec, right: TensorSpec, bias_bytes: int = 0) -> Kernel:
    """Returns the product of two activations; only a bias comes from memory."""
    return _kernel(function, left, right, left.nbytes + right.nbytes, bias_bytes)


def _row(t: TensorSpec) -> TensorSpec:
    return TensorSpec((1, t.numel), t.dtype, t.item_bytes, t.contiguous)


def _kernel(function: str, left: TensorSpec, right: TensorSpec, read_bytes: int, cold_bytes: int) -> Kernel:
    batch = left.shape[0] if len(left.shape) == 3 else 1
    product = Product(batch, m=left.shape[-2], n=right.shape[-1], k=left.shape[-1])
    elements = product.batch * product.m * product.n
    return Kernel(
        kind="product",
        function=function,
        dtype=left.dtype,
        elements=elements,
        flops=product.flops,
        read_bytes=read_bytes,
        write_bytes=elements * left.item_bytes,
        cold_bytes=cold_bytes,
        contiguous=left.contiguous and right.contiguous,
        product=product,
    )
