"""Matrix products; the right-hand side of one that has no batch is taken for a layer's weights."""

from __future__ import annotations

from typing import Any

from ..opstream import Op, TensorSpec
from .kernels import Kernel, Lowered, Product, transposed
from .rules import rule


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
