"""The two simple estimates as estimators: called like any other, priced by the code that the cross-validation uses."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, Callable, Mapping, Sequence

from ..errors import CalibrationError
from ..goldens.repository import Repository
from ..lower import Lowered, lower
from ..records.kinds import MODEL_KIND
from ..records.record import load_record
from ..subjects.streams import Streams
from ..subjects.zoo import MODELS
from ..target import calibrated_target, resolve, tensor_dtype
from .simple import compute_ops, peaks_of, per_op_us, roofline_us

if TYPE_CHECKING:
    import torch


def roofline_ms(model: torch.nn.Module, example_inputs: Any, hardware: str, mode: str, precision: str) -> float:
    """Returns ms: each kernel at the peak of its arithmetic or at the power mode's bandwidth, added up; no host."""
    peaks = peaks_of(resolve(hardware, mode, precision))
    return roofline_us(_lowered(model, example_inputs, precision), peaks) / 1e3


def one_constant_per_op(repository: Repository) -> Callable[..., float]:
    """Returns an estimator with the same time for each op that launches a kernel, fitted to records of `repository`.

    Fitted to all recorded models of the board that the constants are of, in the configuration that it was calibrated
    in, the model that is estimated among them; other modes, precisions and boards take it as it is. It returns ms, and
    raises CalibrationError where no model is recorded.
    """
    each_us = functools.lru_cache(maxsize=None)(lambda hardware: _fitted_us(repository, hardware))

    def one_constant_ms(model: torch.nn.Module, example_inputs: Any, hardware: str, mode: str, precision: str) -> float:
        fitted_on = repository.profile(hardware).transferred_from or hardware
        return each_us(fitted_on) * compute_ops(_lowered(model, example_inputs, precision)) / 1e3

    return one_constant_ms


def _fitted_us(repository: Repository, hardware: str) -> float:
    label = calibrated_target(repository.profile(hardware)).label
    folder = repository.configuration_folder(repository.target(hardware, label))
    record = load_record(folder / MODEL_KIND.record, [model.name for model in MODELS])
    if not record.runs_ms:
        raise CalibrationError(f"{record.path}: no recorded models to fit the constant to")
    medians_ms = {model: record.median_ms(model.name) for model in MODELS}
    recorded_us = {model: 1e3 * ms for model, ms in medians_ms.items() if ms is not None}
    streams = Streams()
    return per_op_us(list(recorded_us.values()), [compute_ops(lower(streams.ops(model))) for model in recorded_us])


def _lowered(model: torch.nn.Module, example_inputs: Any, precision: str) -> Sequence[Lowered]:
    from ..capture import capture

    return lower(capture(model, example_inputs, tensor_dtype(precision)))


KNOWN: Mapping[str, Callable[[Repository], Callable[..., float]]] = {
    "roofline": lambda _: roofline_ms,
    "one-constant-per-op": one_constant_per_op,
}
"""Each simple estimate's name, and what makes it from the repository that has the records."""
