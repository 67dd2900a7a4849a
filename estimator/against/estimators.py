"""Another estimator by its name: found once, then asked about one model after another."""

from __future__ import annotations

import copy
import inspect
import math
from dataclasses import dataclass
from numbers import Real
from typing import TYPE_CHECKING, Any, Callable, Dict, Iterable, Tuple

from ..errors import GoldenLatencyError, UsageError
from ..figures import significant
from ..goldens.repository import Repository
from ..importing import FORM, import_function, one_line
from ..report.answers import Answer
from .known import KNOWN

if TYPE_CHECKING:
    import torch

    from ..subjects.registry import Subject
    from ..target import Target

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
            return Answer(None, _shortened(one_line(error)))


def _without_data(module: torch.nn.Module, inputs: Any) -> Tuple[torch.nn.Module, Any]:
    """Copies with all tensors on the meta device: whatever is done to them, the module stays as it was."""
    import torch
    from torch.utils._pytree import tree_map_only

    def bare(tensor: torch.Tensor) -> torch.Tensor:
        return tensor.detach().to("meta")

    memo: Dict[int, Any] = {id(p): torch.nn.Parameter(bare(p), p.requires_grad) for p in module.parameters()}
    memo.update({id(buffer): bare(buffer) for buffer in module.buffers()})
    return copy.deepcopy(module, memo).eval(), tree_map_only(torch.Tensor, bare, inputs)


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


def find_estimators(names: Iterable[str], repository: Repository) -> Tuple[OtherEstimator, ...]:
    """Returns each named estimator once; records are those of `repository`.

    UsageError where a name is neither one of KNOWN nor a function that can be imported and takes KEYWORDS.
    """
    return tuple(OtherEstimator(name, _function(name, repository)) for name in dict.fromkeys(names))


def _function(name: str, repository: Repository) -> Callable[..., Any]:
    if name in KNOWN:
        return KNOWN[name](repository)
    if ":" not in name:
        raise UsageError(f"--against {name}: unknown estimator; known: {', '.join(KNOWN)}; or {FORM}")
    function = import_function(name)
    _refuse_other_keywords(name, function)
    return function


def _refuse_other_keywords(name: str, function: Callable[..., Any]) -> None:
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return  # not written in Python: the first call will tell
    try:
        signature.bind(**dict.fromkeys(KEYWORDS))
    except TypeError as error:
        raise UsageError(f"--against {name}: must take the keywords {', '.join(KEYWORDS)}: {error}") from error
