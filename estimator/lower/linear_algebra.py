"""Decompositions of matrices and what is solved with them: their arithmetic is known, their kernels are the library's.

A library runs each in many small steps that fill no GPU: what is priced is the least, and nothing has been measured.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Mapping

from ..opstream import Op
from .kernels import MULTIPLIED, Kernel, Lowered, Product, function_name, stream_kernel
from .rules import rule

MULTIPLY_ADDS: Mapping[str, float] = {
    "cholesky": 1 / 6,
    "linalg_cholesky_ex": 1 / 6,
    "linalg_ldl_factor_ex": 1 / 6,
    "_linalg_det": 1 / 3,
    "_linalg_slogdet": 1 / 3,
    "linalg_lu": 1 / 3,
    "linalg_lu_factor_ex": 1 / 3,
    "_linalg_solve_ex": 4 / 3,
    "cholesky_inverse": 1 / 3,
    "cholesky_solve": 1.0,
    "linalg_lu_solve": 1.0,
    "linalg_solve_triangular": 1 / 2,
    "triangular_solve": 1 / 2,
    "linalg_inv_ex": 1.0,
    "linalg_householder_product": 2 / 3,
    "linalg_qr": 4 / 3,
    "geqrf": 2 / 3,
    "linalg_lstsq": 2.0,
    "_linalg_eigh": 4.5,
    "_linalg_svd": 11.0,
    "linalg_pinv": 13.0,
    "linalg_eig": 12.5,
    "_linalg_eigvals": 5.0,
    "linalg_matrix_exp": 8.0,
}
"""Of a matrix of n rows and columns, in n^3: Golub, Van Loan, Matrix Computations (4th edition), at each algorithm.

The singular values' are those of the vectors as well (R-SVD), the matrix exponential's those of eight products.
"""


@rule(*MULTIPLY_ADDS)
def decomposition(op: Op, *_: Any, **__: Any) -> Lowered:
    """Returns one kernel with the arithmetic of the op; no calibration has seen its like."""
    return Lowered(op, "other", 0, (_kernel(op),), has_rule=False)


def _kernel(op: Op) -> Kernel:
    matrix = max(op.inputs, key=lambda t: t.numel)
    rows, columns = matrix.shape[-2:]
    batch, depth = matrix.numel // max(1, rows * columns), MULTIPLY_ADDS[function_name(op)] * min(rows, columns)
    product = Product(batch, rows, columns, max(1, round(depth)))
    moved = stream_kernel(op)
    if matrix.dtype not in MULTIPLIED or not matrix.numel:
        return moved
    return replace(moved, kind="product", dtype=matrix.dtype, flops=product.flops, product=product)
