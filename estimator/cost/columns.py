"""Ops and kernels as columns, one row each, so that an estimate and a fit price thousands at once."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any, Callable, Dict, Mapping, Optional, Sequence, Tuple

import numpy as np

from ..lower.kernels import DEVICE_KINDS as DEVICE_KINDS
from ..lower.kernels import HOST_KINDS as HOST_KINDS
from ..lower.kernels import Lowered, Product, Window

Column = Any  # np.ndarray; numpy.typing is not there in every numpy that Python 3.8 may have

LIMITS = ("arithmetic", "memory", "waves of tiles", "latency", "power")
_PARTS: Mapping[str, Any] = {"product": Product(0, 0, 0, 0), "window": Window((0,), (0,), (0,), 0, 0, 0, 0)}
"""What a kernel may have, and what stands for it in a row of one that has none."""
_ITEM_BYTES = {"float16": 2, "bfloat16": 2, "int8": 1}


@dataclass(frozen=True)
class OpColumns:
    """One row per op: kind on the host (index into HOST_KINDS), nested calls, number of kernels.

    `elements` are those of its first input or output, whichever has more; `in_place` says whether it writes into its
    input, `waits` whether the host goes on only once its result is there.
    """

    kind: Column
    calls: Column
    kernels: Column
    elements: Column
    in_place: Column
    waits: Column


@dataclass(frozen=True)
class KernelColumns:
    """One row per kernel, in order of launch: facts that hold on any processor, as `Kernel` has them.

    `kind` is an index into DEVICE_KINDS, `function` one into `functions`. Traffic in bytes, `item_bytes` of the
    output's type. `batch` to `k` are of its product, `window_side` (the longest) to `rows_inside` of its window, the
    largest stride and dilation of all dimensions; 0 where it has none. `channels_last` is of a convolution's tensors.
    """

    functions: Tuple[str, ...]
    op: Column
    kind: Column
    function: Column
    elements: Column
    contiguous: Column
    flops: Column
    warm_bytes: Column
    cold_bytes: Column
    item_bytes: Column
    batch: Column
    m: Column
    n: Column
    k: Column
    window_side: Column
    taps: Column
    stride: Column
    dilation: Column
    channels: Column
    groups: Column
    images: Column
    input_elements: Column
    rows_inside: Column
    channels_last: Column
    rows: Column

    @functools.cached_property
    def by_kind(self) -> Tuple[Tuple[str, Column, KernelColumns], ...]:
        """Each kind that some kernel is of, the places of its kernels, and those kernels alone."""
        places = ((kind, np.flatnonzero(self.kind == index)) for index, kind in enumerate(DEVICE_KINDS))
        return tuple((kind, found, self.take(found)) for kind, found in places if len(found))

    def select(self, rows: Column) -> KernelColumns:
        """Returns the rows where `rows` is True."""
        return self.take(np.flatnonzero(rows))  # many columns: found once, not once for each

    def take(self, places: Column) -> KernelColumns:
        """Returns the rows at these places."""
        _, *columns = self.__dataclass_fields__
        return KernelColumns(self.functions, *(getattr(self, name)[places] for name in columns))

    def by_function(self, values: Mapping[str, float]) -> Column:
        """Returns a column with the value of each kernel's function, 0 where it has none."""
        return np.array([values.get(name, 0.0) for name in self.functions])[self.function]

    def computes(self, function: str) -> Column:
        """Returns a column that is True where a kernel computes this function."""
        return self.function == (self.functions.index(function) if function in self.functions else -1)


@dataclass(frozen=True)
class Limits:
    """Per kernel what takes most of its time (index into LIMITS), and the microseconds it would take at the peak.

    The peak is that of the cores it runs on, or the best measured bandwidth; of "latency", what an empty kernel takes.
    """

    limit: Column
    least_us: Column


@dataclass(frozen=True)
class Costs:
    """Microseconds per op on the host and per kernel on the device, and what the measuring itself adds.

    `one_clock` is True where host and device are the same processor, so that no kernel runs while an op is issued.
    `early_us` is how long before the end of its op's issue each kernel is launched; None where all are at its end.
    `limits` tells what bounds each kernel by the route it was priced on; None where formulas do not tell.
    """

    host_us: Column
    device_us: Column
    overhead_us: float
    one_clock: bool
    early_us: Optional[Column] = None
    limits: Optional[Callable[[], Limits]] = None


def op_columns(lowered: Sequence[Lowered]) -> OpColumns:
    """Returns the ops as columns."""
    return OpColumns(
        kind=np.array([HOST_KINDS.index(op.host_kind) for op in lowered], dtype=int),
        calls=np.array([op.calls for op in lowered], dtype=float),
        kernels=np.array([len(op.kernels) for op in lowered], dtype=int),
        elements=np.array([_elements(op) for op in lowered], dtype=float),
        in_place=np.array([op.op.in_place for op in lowered], dtype=bool),
        waits=np.array([op.waits for op in lowered], dtype=bool),
    )


def kernel_columns(lowered: Sequence[Lowered]) -> KernelColumns:
    """Returns the kernels of all ops as columns; column `op` says which op launched each."""
    kernels = [kernel for op in lowered for kernel in op.kernels]
    functions = tuple(dict.fromkeys(kernel.function for kernel in kernels))
    index = {name: i for i, name in enumerate(functions)}
    products, windows = ([getattr(k, name) or none for k in kernels] for name, none in _PARTS.items())
    return KernelColumns(
        functions=functions,
        op=np.array([i for i, op in enumerate(lowered) for _ in op.kernels], dtype=int),
        kind=np.array([DEVICE_KINDS.index(kernel.kind) for kernel in kernels], dtype=int),
        function=np.array([index[kernel.function] for kernel in kernels], dtype=int),
        contiguous=np.array([kernel.contiguous for kernel in kernels], dtype=bool),
        channels_last=np.array([kernel.channels_last for kernel in kernels], dtype=bool),
        warm_bytes=_column(kernel.read_bytes + kernel.write_bytes for kernel in kernels),
        item_bytes=_column(_ITEM_BYTES.get(kernel.dtype, 4) for kernel in kernels),
        window_side=_column(max(window.sides) for window in windows),
        stride=_column(max(window.stride) for window in windows),
        dilation=_column(max(window.dilation) for window in windows),
        **_named(kernels, "elements flops cold_bytes rows"),
        **_named(products, "batch m n k"),
        **_named(windows, "taps channels groups images input_elements rows_inside"),
    )


def _named(parts: Sequence[Any], names: str) -> Dict[str, Column]:
    return {name: _column(getattr(part, name) for part in parts) for name in names.split()}


def _column(values: Any) -> Column:
    return np.array(list(values), dtype=float)


def _elements(lowered: Lowered) -> int:
    return max((t.numel for t in (*lowered.op.inputs[:1], *lowered.op.outputs[:1])), default=0)
