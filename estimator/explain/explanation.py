"""A model explained: its estimate, where the latency goes, and what would change it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, Tuple

from ..errors import UsageError
from ..pipeline import Estimate, ForwardPass, estimate_pass
from ..subjects.all import find_subject, subject_names
from ..subjects.imported import FORM, import_subject
from ..target import Target
from .breakdown import Breakdown, break_down
from .streams import Streams
from .what_if import WhatIf, what_if

if TYPE_CHECKING:
    from typing import Any


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
    streams = Streams(subject.build(), subject.example_input)
    captured, forward = streams.captured(target), streams.forward(target)
    return Explanation(
        subject=subject.name,
        target=target,
        estimate=estimate_pass(forward, target),
        forward=forward,
        modules=captured.modules,
        breakdown=break_down(forward, captured.modules, target),
        what_if=what_if(subject.name, streams, target, root),
    )
