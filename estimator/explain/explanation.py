"""A model explained: its estimate, where the latency goes, and what would change it; as text and as JSON."""

from __future__ import annotations

import json
from dataclasses import asdict, astuple, dataclass
from typing import Any, Dict, Iterator, Optional, Sequence, Tuple

from ..estimate_text import estimate_data, estimate_lines
from ..estimates import Estimates
from ..figures import ms, percent
from ..goldens.repository import Repository
from ..pipeline import Estimate, ForwardPass
from ..report.table import Table, left, right
from ..subjects.registry import Subject
from ..target import Target
from .breakdown import IDLE, Breakdown, ExpensiveOp, Part, break_down
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


def explain(subject: Subject, target: Target, repository: Repository, estimates: Estimates) -> Explanation:
    """Returns the explanation; records are those of `repository`. CaptureError where there is no op stream."""
    modules = estimates.run(subject, target).modules
    forward = estimates.forward(subject, target)
    return Explanation(
        subject=subject.name,
        target=target,
        estimate=estimates.estimate(subject, target),
        forward=forward,
        modules=modules,
        breakdown=break_down(forward, modules),
        what_if=what_if(subject, target, repository, estimates),
    )


def text_of(found: Explanation) -> str:
    """Returns the explanation as lines for a terminal."""
    return "\n".join(_lines(found)) + "\n"


def _lines(found: Explanation) -> Iterator[str]:
    yield from estimate_lines(found.subject, found.target, found.estimate)
    yield ""
    yield "WHERE THE LATENCY GOES, along the critical path: the ops and kernels that follow each other to its end"
    yield from _parts_table(found.breakdown).text(gap=1)
    yield f"  idle device: {percent(found.breakdown.idle_pct)} ({IDLE})"
    yield ""
    yield "THE MOST EXPENSIVE OPS by their share of the critical path; host and device: all that an op costs"
    yield from _ops_table(found.breakdown.expensive).text()
    yield "  times: how many times as long the kernels take as what bounds them would at its peak"
    yield ""
    yield "WHAT IF, one change at a time; speed-up per image"
    notes = _notes(found.what_if)
    yield from _what_if_table(found.what_if, notes).text()
    yield from (f"  [{number}] {text}" for text, number in notes.items())


def _us(value: float) -> str:
    return f"{value:.1f}"


def _parts_table(found: Breakdown) -> Table:
    columns = (left("", width=36), right("host us", _us, 10), right("device us", _us, 10), right("share", percent, 8))
    by = {"stage": found.stages, "kind of op": found.kinds, "side": found.sides}
    rows = [(f"by {title}", astuple(part)) for title, parts in by.items() for part in (*parts, _total(parts))]
    return Table(columns, [row for _, row in rows], [group for group, _ in rows])


def _total(parts: Sequence[Part]) -> Part:
    sums = (sum(getattr(part, name) for part in parts) for name in ("host_us", "device_us", "share_pct"))
    return Part("together", *sums)


def _ops_table(ops: Sequence[ExpensiveOp]) -> Table:
    words = (left(title) for title in ("op", "shape", "module"))
    costs = (right("share", percent), right("host us", _us), right("device us", _us), left("bound by"))
    return Table((*costs, right("times"), *words), [_op_cells(op) for op in ops])


def _op_cells(op: ExpensiveOp) -> Tuple[Any, ...]:
    times = "-" if op.limit == "-" else f"{op.times_limit:.1f}"
    return op.share_pct, op.host_us, op.device_us, op.limit, times, op.op, "x".join(map(str, op.shape)), op.module


def _notes(rows: Sequence[WhatIf]) -> Dict[str, int]:
    """A number for each text that says what stands behind a row without a measurement, or why there is no row."""
    texts = dict.fromkeys(_note(row) for row in rows if row.measured_ms is None or row.problem)
    return {text: number for number, text in enumerate(texts, 1)}


def _note(row: WhatIf) -> str:
    return f"no estimate: {row.problem}" if row.problem else row.evidence


def _what_if_table(rows: Sequence[WhatIf], notes: Dict[str, int]) -> Table:
    def measured(row: WhatIf) -> str:
        number = notes.get(_note(row))
        return f"{ms(row.measured_ms)} ms" if number is None else f"no [{number}]"

    figures = (right("ms", ms), right("80% within", _interval), right("per image", ms), right("speed-up", _ratio))
    cells = [(r.change, r.latency_ms, r.interval_pct, r.per_image_ms, r.speed_up, measured(r)) for r in rows]
    return Table((left(""), *figures, left("measured")), cells)


def _interval(interval_pct: Optional[float]) -> str:
    return percent(interval_pct, "± ")


def _ratio(value: Optional[float]) -> str:
    return "-" if value is None else f"{value:.2f}"


def json_of(found: Explanation) -> str:
    """Returns the explanation as a JSON object: times in ms or us as the keys say, shares in percent."""
    data = {
        **estimate_data(found.subject, found.target, found.estimate),
        "idle_definition": IDLE,
        **asdict(found.breakdown),
        "what_if": [asdict(row) for row in found.what_if],
    }
    return json.dumps(data, indent=2) + "\n"
