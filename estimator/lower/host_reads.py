"""Ops that the host waits for, because their results are values or as many elements as the data have."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Tuple

from ..opstream import Op, TensorSpec
from .kernels import Kernel, Lowered, pass_kernel, shaped, stream_kernel
from .rules import rule

_COPY = 1  # nested: the value comes to the host in a copy of its own
_SORT_PASSES = 8  # a radix sort of 64 bits, 8 bits a pass (Merrill, Grimshaw: arXiv 1008.2849)


@rule("_local_scalar_dense", "_is_all_true", "_is_any_true", "allclose", "bincount", "equal")
def read(op: Op, *_: Any, **__: Any) -> Lowered:
    """Returns one kernel, whose result is copied to the host."""
    return Lowered(op, "copy", _COPY, (stream_kernel(op),), waits=True)


@rule("nonzero", "masked_select")
def selected(op: Op, *_: Any, **__: Any) -> Lowered:
    """Returns two kernels: one counts, and once the host knows how many there are, the other writes their places."""
    return Lowered(op, "copy", _COPY, (*masks_found(op.inputs[-1:], of_any_type=True), stream_kernel(op)), waits=True)


@rule("_unique2", "unique_dim", "unique_consecutive")
def unique(op: Op, self: TensorSpec, *_: Any, **__: Any) -> Lowered:
    """Returns the passes of a sort, and one that finds where neighbours differ."""
    passes = (pass_kernel("sort", self),) * _SORT_PASSES
    return Lowered(op, "reduction", _COPY + 1, (*passes, stream_kernel(op)), waits=True)


@rule("repeat_interleave")
def repeat_interleave(op: Op, repeats: TensorSpec, *_: Any, output_size: Any = None, **__: Any) -> Lowered:
    """Returns two kernels; the host waits for the sum of the repeats where it was not told."""
    kernels = (pass_kernel("cumsum", repeats), stream_kernel(op))
    return Lowered(op, "copy", 1, kernels, waits=output_size is None)


def masks_found(indices: Tuple[TensorSpec, ...], of_any_type: bool = False) -> Tuple[Kernel, ...]:
    """Returns a kernel for each mask among the indices that counts what it selects; the host waits for that."""
    masks = [t for t in indices if of_any_type or t.dtype in ("bool", "uint8")]
    return tuple(replace(pass_kernel("nonzero", t), write_bytes=shaped(t, 1).nbytes) for t in masks)
