"""An explanation as a person or a program reads it: terminal text and JSON."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Dict, Iterator, Mapping, Sequence

from ..digits import ms_text
from ..estimate_text import estimate_data, estimate_lines
from .breakdown import IDLE, ExpensiveOp, Part
from .explanation import Explanation
from .what_if import WhatIf

_PART = "    {:<34} {:>10} {:>10} {:>8}"
_OP = "  {:>7} {:>8} {:>10}  {:<14} {:>7}  {:<28} {:<20} {}"
_CHANGE = "  {:<36} {:>10} {:>11} {:>9} {:>9}  {}"


def text_of(found: Explanation) -> str:
    """Returns the explanation as lines for a terminal."""
    return "\n".join(_lines(found)) + "\n"


def _lines(found: Explanation) -> Iterator[str]:
    yield from estimate_lines(found.subject, found.target, found.estimate)
    yield from (
        "",
        "WHERE THE LATENCY GOES, along the critical path: the ops and kernels that follow each other to its end",
    )
    yield _PART.format("", "host us", "device us", "share").rstrip()
    breakdown = found.breakdown
    for title, parts in (("stage", breakdown.stages), ("kind of op", breakdown.kinds), ("side", breakdown.sides)):
        yield f"  by {title}"
        yield from map(_part_line, (*parts, _total(parts)))
    yield f"  idle device: {breakdown.idle_pct:.1f} % ({IDLE})"
    yield from ("", "THE MOST EXPENSIVE OPS by their share of the critical path; host and device: all that an op costs")
    yield _OP.format("share", "host us", "device us", "bound by", "times", "op", "shape", "module")
    yield from map(_op_line, breakdown.expensive)
    yield "  times: how many times as long the kernels take as what bounds them would at its peak"
    yield from ("", "WHAT IF, one change at a time; speed-up per image")
    yield _CHANGE.format("", "ms", "80% within", "per image", "speed-up", "measured").rstrip()
    notes = _notes(found.what_if)
    yield from (_change_line(row, notes) for row in found.what_if)
    yield from (f"  [{number}] {text}" for text, number in notes.items())


def _part_line(part: Part) -> str:
    return _PART.format(part.name, f"{part.host_us:.1f}", f"{part.device_us:.1f}", f"{part.share_pct:.1f} %")


def _total(parts: Sequence[Part]) -> Part:
    sums = (sum(getattr(part, name) for part in parts) for name in ("host_us", "device_us", "share_pct"))
    return Part("together", *sums)


def _op_line(op: ExpensiveOp) -> str:
    times = "-" if op.limit == "-" else f"{op.times_limit:.1f}"
    figures = (f"{op.share_pct:.1f} %", f"{op.host_us:.1f}", f"{op.device_us:.1f}")
    return _OP.format(*figures, op.limit, times, op.op, "x".join(map(str, op.shape)), op.module)


def _notes(rows: Sequence[WhatIf]) -> Dict[str, int]:
    """A number for each text that says what stands behind a row without a measurement, or why there is no row."""
    texts = dict.fromkeys(_note(row) for row in rows if row.measured_ms is None or row.problem)
    return {text: number for number, text in enumerate(texts, 1)}


def _note(row: WhatIf) -> str:
    return f"no estimate: {row.problem}" if row.problem else row.evidence


def _change_line(row: WhatIf, notes: Mapping[str, int]) -> str:
    interval = "-" if row.interval_pct is None else f"± {row.interval_pct:.1f} %"
    speed_up = "-" if row.speed_up is None else f"{row.speed_up:.2f}"
    number = notes.get(_note(row))
    measured = f"{ms_text(row.measured_ms)} ms" if number is None else f"no [{number}]"
    return _CHANGE.format(row.change, ms_text(row.latency_ms), interval, ms_text(row.per_image_ms), speed_up, measured)


def json_of(found: Explanation) -> str:
    """Returns the explanation as a JSON object: times in ms or us as the keys say, shares in percent."""
    data = {
        **estimate_data(found.subject, found.target, found.estimate),
        "idle_definition": IDLE,
        **asdict(found.breakdown),
        "what_if": [asdict(row) for row in found.what_if],
    }
    return json.dumps(data, indent=2) + "\n"
