"""Several forward passes priced together, each kernel that they share once: what a formula costs is its calls."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

import numpy as np

from ..hardware.quantities import HOST_CONSTANTS
from ..lower import Lowered
from ..target import Target
from .columns import Column, Costs, KernelColumns, OpColumns, kernel_columns, op_columns
from .price import price
from .recurrence import is_recurrent


class SharedPrices:
    """Models that are estimated on one target after another, with all constants alike."""

    def __init__(self, passes: Sequence[Sequence[Lowered]]) -> None:
        lowered = [op for each in passes for op in each]
        kernels = kernel_columns(lowered)
        self._ops = op_columns(lowered)
        self._kernels, self._place = _distinct(self._ops, kernels)
        self._rows = _slices([len(each) for each in passes])
        self._kernel_rows = _slices([sum(len(op.kernels) for op in each) for each in passes])
        self._no_kernels = self._kernels.take([])
        self._early = bool(is_recurrent(self._ops).any())
        self._target: Optional[Target] = None
        self._known: Dict[Tuple[float, ...], Costs] = {}
        self._on_device: Dict[Tuple[float, ...], Column] = {}

    def costs(self, index: int, target: Target, constants: Mapping[str, float]) -> Costs:
        """Returns what `price` does for one of the passes, but for the limits; all are priced at the first call."""
        if target is not self._target:
            self._target, self._known, self._on_device = target, {}, {}
        key = tuple(constants.values())
        if key not in self._known:
            self._known[key] = self._priced(target, constants)
        all_costs, places = self._known[key], self._place[self._kernel_rows[index]]
        early_us = all_costs.early_us[places] if self._early and all_costs.early_us is not None else None
        host_us = all_costs.host_us[self._rows[index]]
        return Costs(host_us, all_costs.device_us[places], all_costs.overhead_us, all_costs.one_clock, early_us)

    def _priced(self, target: Target, constants: Mapping[str, float]) -> Costs:
        """Kernels take what they took where only constants of the host moved, unless a library launches its own."""
        key = tuple(value for name, value in constants.items() if name not in HOST_CONSTANTS)
        if self._early or key not in self._on_device:
            found = price(self._ops, self._kernels, target, constants)
            self._on_device[key] = found.device_us
            return found
        return replace(price(self._ops, self._no_kernels, target, constants), device_us=self._on_device[key])


def _distinct(ops: OpColumns, kernels: KernelColumns) -> Tuple[KernelColumns, Column]:
    """The kernels that differ in more than their op, and which of them each is.

    Where a library launches kernels of its own, the op decides when: then all are kept.
    """
    if is_recurrent(ops).any() or not len(kernels.op):
        return kernels, np.arange(len(kernels.op))
    _, _, *names = KernelColumns.__dataclass_fields__  # but for the names of functions, and the op
    table = np.stack([np.asarray(getattr(kernels, name), dtype=float) for name in names], axis=1)
    _, first, place = np.unique(table, axis=0, return_index=True, return_inverse=True)
    return kernels.take(first), np.ravel(place)


def _slices(counts: List[int]) -> List[Any]:
    bounds = [0, *np.cumsum(counts).tolist()]
    return [slice(*pair) for pair in zip(bounds[:-1], bounds[1:])]
