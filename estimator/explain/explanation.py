"""A model explained: its estimate, where the latency goes, and what would change it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Tuple

from ..pipeline import Estimate, ForwardPass, estimate_pass
from ..subjects.named import Named
from ..target import Target
from .breakdown import Breakdown, break_down
from .streams import Streams
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


def explain(subject: Named, target: Target, root: Path) -> Explanation:
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
