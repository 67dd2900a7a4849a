"""The op stream: what capture writes down and lower reads. Plain data, no torch."""

from __future__ import annotations

import functools
import hashlib
from dataclasses import dataclass
from typing import Any, Iterator, Sequence, Tuple


@dataclass(frozen=True)
class TensorSpec:
    """Shape (elements per dimension), dtype name ("float32") and layout of one tensor.

    `contiguous` says whether it lies in the order of its elements, `channels_last` whether it lies as NHWC (NDHWC).
    """

    shape: Tuple[int, ...]
    dtype: str
    item_bytes: int
    contiguous: bool = True
    channels_last: bool = False

    @functools.cached_property
    def numel(self) -> int:
        """Number of elements."""
        return functools.reduce(lambda a, b: a * b, self.shape, 1)

    @property
    def nbytes(self) -> int:
        """Size of the data in bytes."""
        return self.numel * self.item_bytes


@dataclass(frozen=True)
class Op:
    """One call into ATen: its name ("aten.convolution"), arguments with a TensorSpec for each tensor, and outputs."""

    name: str
    args: Tuple[Any, ...]
    kwargs: Tuple[Tuple[str, Any], ...]
    outputs: Tuple[TensorSpec, ...]
    is_view: bool
    in_place: bool

    @functools.cached_property
    def inputs(self) -> Tuple[TensorSpec, ...]:
        """The tensors among the arguments, in order; those inside lists included."""
        return tuple(_tensors((self.args, tuple(value for _, value in self.kwargs))))


def _tensors(value: Any) -> Iterator[TensorSpec]:
    if isinstance(value, TensorSpec):
        yield value
    elif isinstance(value, tuple):
        for part in value:
            yield from _tensors(part)


def digest(ops: Sequence[Op]) -> str:
    """Returns twelve hexadecimal digits that change with any name, shape, dtype or whole number of the stream.

    Other numbers (momentum, eps, a probability) do not count: none decides a latency, and releases of torchvision
    differ in them.
    """
    text = "\n".join(f"{op.name} {_canonical((op.args, op.kwargs, op.outputs))}" for op in ops)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _canonical(value: Any) -> str:
    if isinstance(value, TensorSpec):
        return f"{value.dtype}{list(value.shape)}{'' if value.contiguous else ' strided'}"
    if isinstance(value, tuple):
        return "(" + ",".join(map(_canonical, value)) + ")"
    return "float" if isinstance(value, float) else str(value)
