"""Another estimator by its name: found once, then asked about one model after another.

The two simple ones are called like any other, and priced by the code that the cross-validation uses.
"""

from __future__ import annotations

import functools
import inspect
import math
from dataclasses import dataclass
from numbers import Real
from typing import TYPE_CHECKING, Any, Callable, Iterable, Mapping, Sequence, Tuple

from ..errors import CalibrationError, GoldenLatencyError, UsageError, one_line_with_type
from ..figures import significant
from ..goldens.repository import Repository
from ..hardware.boards import DEFAULT_HARDWARE
from ..hardware.public_gpus import NAME as PUBLIC_GPUS
from ..importing import FORM, import_function
from ..lower import Lowered, lower
from ..records.kinds import MODEL_KIND
from ..records.record import load_record
from ..report.answers import Answer
from ..subjects.streams import Streams
from ..subjects.zoo import MODELS
from ..target import Target, calibrated_target, resolve, tensor_dtype
from .simple import compute_ops, peaks_of, per_op_us, roofline_us

if TYPE_CHECKING:
    import torch

    from ..subjects.registry import Subject

KEYWORDS = ("model", "example_inputs", "hardware", "mode", "precision")
"""What another estimator is called with: a module in `eval()` and its inputs, and three names."""
_MOST_LETTERS = 200


@dataclass(frozen=True, eq=False)
class OtherEstimator:
    """A function that estimates, under the name that it was asked for by."""

    name: str
    function: Callable[..., Any]

    def ask(self, subject: Subject, target: Target) -> Answer:
        """Returns its estimate of a subject, of which it is given a copy without data, or in one line why not."""
        arguments = (target.hardware, target.mode.name, target.precision.name)
        try:
            given = _without_data(subject.build(), subject.example_input(target.batch_size))
            return _answer(self.function(**dict(zip(KEYWORDS, (*given, *arguments)))))
        except GoldenLatencyError as error:
            return Answer(None, _shortened(str(error)))
        except (Exception, SystemExit) as error:  # somebody else's code may raise anything
            return Answer(None, _shortened(one_line_with_type(error)))


def _without_data(module: torch.nn.Module, inputs: Any) -> Tuple[torch.nn.Module, Any]:
    """Copies with all tensors on the meta device: whatever is done to them, the module stays as it was."""
    import torch

    from ..capture.copies import copied

    def bare(tensor: torch.Tensor) -> torch.Tensor:
        found = tensor.detach().to("meta")
        return torch.nn.Parameter(found, tensor.requires_grad) if isinstance(tensor, torch.nn.Parameter) else found

    model, given = copied((module, inputs), {}, bare)
    return model.eval(), given


def _answer(found: Any) -> Answer:
    value = getattr(found, "latency_ms", found)
    if isinstance(value, bool) or not isinstance(value, Real):
        return Answer(None, f"returned {_shortened(repr(value))}, which is no number of ms")
    est_ms = float(value)
    if not (math.isfinite(est_ms) and est_ms > 0):
        return Answer(None, f"returned {est_ms} ms, which is no latency")
    return Answer(significant(est_ms))


def _shortened(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _MOST_LETTERS else f"{line[: _MOST_LETTERS - 4]} ..."


def roofline_ms(model: torch.nn.Module, example_inputs: Any, hardware: str, mode: str, precision: str) -> float:
    """Returns ms: each kernel at the peak of its arithmetic or at the power mode's bandwidth, added up; no host."""
    peaks = peaks_of(resolve(hardware, mode, precision))
    return roofline_us(_lowered(model, example_inputs, precision), peaks) / 1e3


def one_constant_per_op(repository: Repository) -> Callable[..., float]:
    """Returns an estimator with the same time for each op that launches a kernel, fitted to records of `repository`.

    Fitted to all recorded models of the board that the constants are of, in the configuration that it was calibrated
    in, the model that is estimated among them; other modes, precisions and boards take it as it is, those with
    constants of public GPUs that of the default board. It returns ms, and raises CalibrationError where no model is
    recorded.
    """
    each_us = functools.lru_cache(maxsize=None)(lambda hardware: _fitted_us(repository, hardware))

    def one_constant_ms(model: torch.nn.Module, example_inputs: Any, hardware: str, mode: str, precision: str) -> float:
        origin = repository.profile(hardware).transferred_from or hardware
        fitted_on = DEFAULT_HARDWARE if origin == PUBLIC_GPUS else origin
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


def find_estimators(names: Iterable[str], repository: Repository) -> Tuple[OtherEstimator, ...]:
    """Returns each named estimator once; records are those of `repository`.

    UsageError where a name is neither one of KNOWN nor a function that can be imported and takes KEYWORDS.
    """
    return tuple(OtherEstimator(name, _function(name, repository)) for name in dict.fromkeys(names))


def _function(name: str, repository: Repository) -> Callable[..., Any]:
    if name in KNOWN:
        return KNOWN[name](repository)
    option = repository.option_name("--against")
    if ":" not in name:
        raise UsageError(f"{option} {name}: unknown estimator; known: {', '.join(KNOWN)}; or {FORM}")
    function = import_function(name)
    _refuse_other_keywords(f"{option} {name}", function)
    return function


def _refuse_other_keywords(asked: str, function: Callable[..., Any]) -> None:
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return  # not written in Python: the first call will tell
    try:
        signature.bind(**dict.fromkeys(KEYWORDS))
    except TypeError as error:
        raise UsageError(f"{asked}: must take the keywords {', '.join(KEYWORDS)}: {error}") from error
