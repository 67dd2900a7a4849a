"""What formulas leave over of a CPU's ops, by kind of op: a factor, and more of it near shapes that were measured.

A formula knows how work grows; how well a library's code fits a shape (a tail of its blocks, a layout of its own) it
does not. The logarithm of measured over estimated time is interpolated between measured shapes by a Gaussian process
with a squared-exponential kernel (Rasmussen and Williams, 2006, section 2.2), and falls back to the kind's own factor
far from all of them. Shapes are compared by logarithms to base 2, and by the powers of two that divide them.
"""

from __future__ import annotations

from typing import Dict, List, Mapping, Tuple

import numpy as np

from ..hardware.profile import Correction
from ..hardware.quantities import FEATURES
from .columns import DEVICE_KINDS, Column, KernelColumns, OpColumns

_NAMES = list(FEATURES)
_MOST_TWOS = 6  # 64 elements: wider than any vector
_JITTER = 1e-3  # of the prior variance: keeps points that lie close to each other apart
_ATTENTION_KERNELS = 3  # an op with so many kernels is a composed one


def factors(ops: OpColumns, kernels: KernelColumns, corrections: Mapping[str, Correction]) -> Column:
    """Returns for each op the factor by which its time is off; 1 for kinds without a correction."""
    kinds, features = describe(ops, kernels)
    logs = np.zeros(len(kinds))
    for kind, correction in corrections.items():
        rows = np.flatnonzero(kinds == kind)
        if len(rows):
            logs[rows] = correction_logs(correction, features[rows])
    return np.exp(logs)


def correction_logs(correction: Correction, features: Column) -> Column:
    """Returns the logarithm of the factor for each row of features (one column for each of FEATURES)."""
    if not correction.points:
        return np.full(len(features), correction.offset)
    columns = [_NAMES.index(name) for name in correction.features]
    points = np.array(correction.points)
    scales = length_scales(correction.features, correction.length)
    inner = similarity(points, points, scales) + _JITTER * np.eye(len(points))
    weights = np.linalg.solve(inner, np.array(correction.residuals))
    return correction.offset + similarity(features[:, columns], points, scales) @ weights


def length_scales(names: Tuple[str, ...], length: float) -> Column:
    """Returns the length scale of each of these features."""
    return np.array([length * FEATURES[name] for name in names])


def similarity(left: Column, right: Column, scales: Column) -> Column:
    """Returns exp(-d^2 / 2) for each pair of rows, d their distance in units of `scales`."""
    a, b = left / scales, right / scales
    squares = (a**2).sum(1)[:, None] + (b**2).sum(1)[None, :] - 2 * a @ b.T
    return np.exp(-0.5 * np.maximum(squares, 0.0))


def describe(ops: OpColumns, kernels: KernelColumns) -> Tuple[Column, Column]:
    """Returns the kind of each op by name, and a row of features for each; both are those of its heaviest kernel."""
    main = _main_kernels(len(ops.kind), kernels)
    has_kernel = main >= 0
    kinds = np.full(len(ops.kind), "view", dtype=object)
    features = np.zeros((len(ops.kind), len(_NAMES)))
    features[:, _NAMES.index("elements")] = _log2(ops.elements)
    heaviest = kernels.take(main[has_kernel])
    kinds[has_kernel] = _kinds(heaviest)
    features[has_kernel] = np.column_stack([_features(heaviest)[name] for name in _NAMES])
    kinds[ops.kernels >= _ATTENTION_KERNELS] = "attention"
    features[:, _NAMES.index("in_place")] = ops.in_place
    return kinds, features


def _main_kernels(count: int, kernels: KernelColumns) -> Column:
    """The row of each op's kernel with most work, -1 for an op without one."""
    main = np.full(count, -1)
    order = np.lexsort((kernels.warm_bytes + kernels.cold_bytes, kernels.flops))
    main[kernels.op[order]] = order  # the last assignment to a place stays
    return main


def _kinds(kernels: KernelColumns) -> List[str]:
    names: List[str] = []
    for kind, function, groups, rows, batch in zip(
        kernels.kind, kernels.function, kernels.groups, kernels.m, kernels.batch
    ):
        name = DEVICE_KINDS[kind]
        if name == "convolution" and groups > 1:
            name = "grouped convolution"
        elif name == "product":
            name = "batched product" if batch > 1 else "vector product" if rows == 1 else name
        elif name == "stream":
            name = kernels.functions[function]
        names.append(name)
    return names


def _features(kernels: KernelColumns) -> Dict[str, Column]:
    inner = np.where(kernels.channels > 0, kernels.channels, kernels.k)
    return {
        "flop": _log2(kernels.flops),
        "warm_bytes": _log2(kernels.warm_bytes),
        "cold_bytes": _log2(kernels.cold_bytes),
        "elements": _log2(kernels.elements),
        "batch": _log2(kernels.batch),
        "m": _log2(kernels.m),
        "n": _log2(kernels.n),
        "k": _log2(kernels.k),
        "twos_in_n": _twos(kernels.n),
        "twos_in_k": _twos(inner),
        "window_side": _log2(kernels.window_side),
        "stride": _log2(kernels.stride),
        "dilation": _log2(kernels.dilation),
        "in_place": np.zeros(len(kernels.op)),
        "strided": np.where(kernels.contiguous, 0.0, 1.0),
    }


def _log2(values: Column) -> Column:
    return np.log2(np.maximum(values, 1.0))


def _twos(values: Column) -> Column:
    """How many times two divides a whole number, up to a vector's worth."""
    whole = np.maximum(values, 1).astype(int)
    return np.log2(np.minimum(whole & -whole, 2**_MOST_TWOS))
