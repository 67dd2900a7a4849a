"""A model explained: its estimate, where the latency goes, and what would change it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Dict, Protocol, Sequence, Tuple

from ..errors import UsageError
from ..lower import lower
from ..pipeline import Estimate, ForwardPass, estimate_pass, forward_pass
from ..subjects.all import find_subject, subject_names
from ..subjects.imported import FORM, import_subject
from ..target import Target, find_precision, tensor_dtype
from .breakdown import Breakdown, break_down
from .what_if import WhatIf, what_if

if TYPE_CHECKING:
    from typing import Any

    from ..capture import Captured
    from ..opstream import Op


class Subject(Protocol):
    """What can be explained: a model, a pattern, or a module of the user's own."""

    @property
    def name(self) -> str:
        """Returns its name."""

    def build(self) -> Any:
        """Returns the module."""

    def example_input(self, batch_size: int = 1) -> Any:
        """Returns inputs of so many times its batch."""


@dataclass(frozen=True, eq=False)
class Explanation:
    """Everything that `explain` shows of a subject on a target; `modules` has the module's path of each op."""

    subject: str
    target: Target
    estimate: Estimate
    forward: ForwardPass
    modules: Tuple[str, ...]
    breakdown: Breakdown
    what_if: Tuple[WhatIf, ...]


def find(name: str) -> Subject:
    """Returns the model, pattern or imported module; UsageError names what is known."""
    if ":" in name:
        return import_subject(name)
    if name not in subject_names():
        known = ", ".join(sorted(subject_names()))
        raise UsageError(f"unknown model {name!r}; known models and patterns: {known}; or {FORM}")
    return find_subject(name)


def explain(subject: Subject, target: Target, root: Path) -> Explanation:
    """Returns the explanation; records are looked for below `root`. CaptureError where there is no op stream."""
    captures = _Captures(subject)
    captured = captures.at(target.precision.name, target.batch_size)
    forward = forward_pass(lower(captured.ops), target)
    return Explanation(
        subject=subject.name,
        target=target,
        estimate=estimate_pass(forward, target),
        forward=forward,
        modules=captured.modules,
        breakdown=break_down(forward, captured.modules, target),
        what_if=what_if(subject.name, captures.ops_at, target, root),
    )


class _Captures:
    """The op streams of a subject, each captured once; precisions with tensors of one type share one."""

    def __init__(self, subject: Subject) -> None:
        self._subject = subject
        self._model = subject.build()
        self._captured: Dict[Tuple[str, int], Captured] = {}

    def at(self, precision: str, batch_size: int) -> Captured:
        """Returns the op stream at a precision and batch, in modules; raises as `capture` does."""
        from ..capture import capture_in_modules

        key = find_precision(precision).tensors, batch_size
        if key not in self._captured:
            inputs = self._subject.example_input(batch_size)
            self._captured[key] = capture_in_modules(self._model, inputs, tensor_dtype(precision))
        return self._captured[key]

    def ops_at(self, precision: str, batch_size: int) -> Sequence[Op]:
        """Returns the op stream alone."""
        return self.at(precision, batch_size).ops
