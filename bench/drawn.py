"""`python -m bench.drawn`: recurrent layers that were drawn at random and timed, the fit to them, and its error.

`drawn_layers.csv` has two sets of 60 layers, drawn alike, timed on an NVIDIA H200 with torch 2.11 (132 SMs, 1.98 GHz):
`host_us` is from the call to its return, `dispatch_us` what a ReLU took of the host in a loop in between,
`persistent_us` the mean over kernels that run all steps of a layer and direction, where there are any. One set is
fitted to, the other not. A dispatch in a model takes longer than in a loop: on that machine what `--calibrate host`
found over what `--calibrate` found.
"""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, List, Mapping, Optional, Sequence

import numpy as np
import torch
from scipy.optimize import least_squares

from estimator.capture import capture
from estimator.cost import recurrent
from estimator.cost.columns import KernelColumns, kernel_columns, op_columns
from estimator.cost.rates import Rates, rates_of
from estimator.files import read_csv
from estimator.lower import Lowered, lower
from estimator.lower.recurrent import PERSISTENT
from estimator.target import resolve

TABLE = Path(__file__).with_name("drawn_layers.csv")
FIT, HELD_OUT = "fit", "held out"
_HOST = (recurrent.CALL, recurrent.LAUNCH)
_DEVICE = (recurrent.STEP, recurrent.EFFICIENCY, recurrent.SPILLED, recurrent.LOAD)
_IN_MODEL = 48.75 / 33.04  # dispatch_kcycles: chains of layers over queues of one layer
_CELL = 5  # the place of an LSTM's cell among the arguments
_OUTLIER = 0.3  # of a logarithm: beyond it an error counts less than its square


@dataclass(frozen=True)
class Layer:
    """A layer that was timed: the op that it is, and its times in us; `persistent_us` is None without such kernels."""

    set: str
    op: Lowered
    dtype: str
    launches: int
    host_us: float
    dispatch_us: float
    persistent_us: Optional[float]

    @property
    def is_persistent(self) -> bool:
        """Whether one kernel is expected for all steps."""
        return any(kernel.function == PERSISTENT for kernel in self.op.kernels)

    @property
    def is_told_apart(self) -> bool:
        """Whether the library runs what is expected; in FP16 it may run kernels that are not."""
        return (self.persistent_us is not None) == self.is_persistent and 2 * self.launches >= len(self.op.kernels)

    @property
    def host_dispatches(self) -> float:
        """What the call itself took of the host, without what fills its states with zeros, in dispatches of a model."""
        states = 1 if self.op.op.args[_CELL] is None else 2
        return (self.host_us / self.dispatch_us - states) / _IN_MODEL


def load_layers(path: Path = TABLE) -> List[Layer]:
    """Returns the layers of the table."""
    return [_layer(row) for row in read_csv(path)]


def _layer(row: Mapping[str, str]) -> Layer:
    inputs, hidden, layers, directions, batch, steps = (
        int(row[name]) for name in ("inputs", "hidden", "layers", "directions", "batch", "steps")
    )
    dtype = getattr(torch, row["dtype"])
    module = getattr(torch.nn, row["layer"])(inputs, hidden, layers, bidirectional=directions == 2, device="meta")
    ops = lower(capture(module, torch.empty(steps, batch, inputs, device="meta"), dtype))
    (op,) = (op for op in ops if op.host_kind == "recurrent")
    persistent_us = float(row["persistent_us"]) if row["persistent_us"] else None
    times = float(row["host_us"]), float(row["dispatch_us"]), persistent_us
    return Layer(row["set"], op, row["dtype"], int(row["launches"]), *times)


def gpu_rates() -> Rates:
    """Returns the rates of the GPU that they were timed on."""
    target = resolve("NVIDIA-H200")
    return rates_of(target, target.profile.values())


def host_errors(layers: Sequence[Layer], values: Mapping[str, float]) -> Any:
    """Returns the logarithm of estimate over measurement of each layer's host time."""
    found = recurrent.host_dispatches(op_columns([each.op for each in layers]), values)
    return np.log(found / [each.host_dispatches for each in layers])


def device_errors(layers: Sequence[Layer], values: Mapping[str, float]) -> Any:
    """Returns the same of the kernels that run all steps, of layers that have them."""
    ours = [each for each in layers if each.persistent_us is not None and each.is_persistent]
    return _device_errors(ours, _persistent_kernels(ours), gpu_rates(), values)


def _persistent_kernels(layers: Sequence[Layer]) -> KernelColumns:
    """The first of each layer: the others, of more layers and directions, are as long."""
    columns = kernel_columns([each.op for each in layers])
    places = np.flatnonzero(recurrent.is_persistent(columns))
    _, first = np.unique(columns.op[places], return_index=True)
    return columns.take(places[first])


def _device_errors(layers: Sequence[Layer], kernels: KernelColumns, rates: Rates, values: Mapping[str, float]) -> Any:
    return np.log(recurrent.persistent_us(kernels, rates, values) / [each.persistent_us for each in layers])


def fitted(layers: Sequence[Layer]) -> Mapping[str, float]:
    """Returns the constants that fit these layers best."""
    known = [each for each in layers if each.is_told_apart]
    persistent = [each for each in known if each.is_persistent]
    kernels, rates = _persistent_kernels(persistent), gpu_rates()
    host = _best([c.name for c in _HOST], lambda values: host_errors(known, values))
    device = _best([c.name for c in _DEVICE], lambda values: _device_errors(persistent, kernels, rates, values))
    return {**host, **device}


def _best(names: Sequence[str], errors: Callable[[Mapping[str, float]], Any]) -> Mapping[str, float]:
    def of(logs: Any) -> Mapping[str, float]:
        return dict(zip(names, np.exp(logs)))

    start = np.log([recurrent.VALUES[name] for name in names])
    found = least_squares(lambda logs: errors(of(logs)), start, loss="soft_l1", f_scale=_OUTLIER)
    return {name: float(value) for name, value in of(found.x).items()}


def spread(errors: Any) -> float:
    """Returns the root mean square."""
    return math.sqrt(float(np.mean(np.square(errors))))


def main() -> int:
    """Prints the constants beside their fit, and the errors of both sets."""
    layers = load_layers()
    values = fitted([each for each in layers if each.set == FIT])
    for constant in recurrent.CONSTANTS:
        print(f"{constant.name:32} {constant.value:8g}   fit {values[constant.name]:8.3g}   {constant.unit}")
    for name in (FIT, HELD_OUT):
        known = [each for each in layers if each.set == name and each.is_told_apart]
        print(f"{name}, step by step: {_host_text([each for each in known if not each.is_persistent])}")
        persistent = [each for each in known if each.is_persistent]
        device_pct = 100 * spread(device_errors(persistent, recurrent.VALUES))
        print(f"{name}, in one kernel: {_host_text(persistent)}, device off by {device_pct:.0f} %")
    return 0


def _host_text(layers: Sequence[Layer]) -> str:
    return f"{len(layers)} layers, host off by {100 * spread(host_errors(layers, recurrent.VALUES)):.0f} %"


if __name__ == "__main__":
    sys.exit(main())
