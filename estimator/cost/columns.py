"""Ops and kernels as columns, one row each, so that an estimate and a fit price thousands at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Sequence

import numpy as np

from ..lower import Kernel, Lowered

Column = Any  # np.ndarray; numpy.typing is not there in every numpy that Python 3.8 may have

HOST_KINDS = ("view", "convolution", "product", "norm", "reduction", "copy", "pointwise", "other")
DEVICE_KINDS = ("convolution", "depthwise", "product", "stream")


@dataclass(frozen=True)
class OpColumns:
    """One row per op: kind on the host (index into HOST_KINDS), nested calls, number of kernels.

    `elements` are those of its first input or output, whichever has more.
    """

    kind: Column
    calls: Column
    kernels: Column
    elements: Column


@dataclass(frozen=True)
class KernelColumns:
    """One row per kernel, in order of launch; traffic in bytes, `item_bytes` of the output's type.

    The last three are a CPU's: exponentials, whether a library runs it, whether it is part of the kernel before.
    """

    op: Column
    kind: Column
    flops: Column
    warm_bytes: Column
    cold_bytes: Column
    item_bytes: Column
    batch: Column
    m: Column
    n: Column
    k: Column
    tensor_cores: Column
    changes_layout: Column
    scalar_work: Column
    by_library: Column
    fused: Column

    def select(self, rows: Column) -> KernelColumns:
        """Returns the rows where `rows` is True."""
        return KernelColumns(*(getattr(self, name)[rows] for name in self.__dataclass_fields__))


def op_columns(lowered: Sequence[Lowered]) -> OpColumns:
    """Returns the ops as columns."""
    return OpColumns(
        kind=np.array([HOST_KINDS.index(op.host_kind) for op in lowered], dtype=int),
        calls=np.array([op.calls for op in lowered], dtype=float),
        kernels=np.array([len(op.kernels) for op in lowered], dtype=int),
        elements=np.array([_elements(op) for op in lowered], dtype=float),
    )


def kernel_columns(lowered: Sequence[Lowered]) -> KernelColumns:
    """Returns the kernels of all ops as columns; column `op` says which op launched each."""
    rows = [(i, kernel) for i, op in enumerate(lowered) for kernel in op.kernels]

    def column(values: Any, dtype: Any = float) -> Column:
        return np.array(list(values), dtype=dtype)

    return KernelColumns(
        op=column((i for i, _ in rows), int),
        kind=column((DEVICE_KINDS.index(k.kind) for _, k in rows), int),
        flops=column(k.flops for _, k in rows),
        warm_bytes=column(k.read_bytes + k.write_bytes for _, k in rows),
        cold_bytes=column(k.cold_bytes for _, k in rows),
        item_bytes=column(_item_bytes(k) for _, k in rows),
        batch=column(k.product.batch for _, k in rows),
        m=column(k.product.m for _, k in rows),
        n=column(k.product.n for _, k in rows),
        k=column(k.product.k for _, k in rows),
        tensor_cores=column((k.tensor_cores for _, k in rows), bool),
        changes_layout=column((k.changes_layout for _, k in rows), bool),
        scalar_work=column(k.scalar_work for _, k in rows),
        by_library=column((k.by_library for _, k in rows), bool),
        fused=column((k.fused for _, k in rows), bool),
    )


def _elements(lowered: Lowered) -> int:
    return max((t.numel for t in (*lowered.op.inputs[:1], *lowered.op.outputs[:1])), default=0)


def _item_bytes(kernel: Kernel) -> int:
    return 2 if kernel.dtype in ("float16", "bfloat16") else 4
