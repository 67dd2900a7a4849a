"""A model explained: its estimate, where the latency goes, and what would change it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Tuple

from ..estimates import Estimates
from ..pipeline import Estimate, ForwardPass
from ..subjects.registry import Subject
from ..target import Target
from .breakdown import Breakdown, break_down
from .what_if import WhatIf, what_if


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


def explain(subject: Subject, target: Target, root: Path, estimates: Estimates) -> Explanation:
    """Returns the explanation; records are looked for below `root`. CaptureError where there is no op stream."""
    modules = estimates.streams.of(subject, target.batch_size, target.precision.name).modules
    forward = estimates.forward(subject, target)
    return Explanation(
        subject=subject.name,
        target=target,
        estimate=estimates.estimate(subject, target),
        forward=forward,
        modules=modules,
        breakdown=break_down(forward, modules),
        what_if=what_if(subject, target, root, estimates),
    )
