"""The timeline in the Trace Event format, which Perfetto and chrome://tracing open: modules and ops, and kernels.

The format: https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU. Times are in us.
"""

from __future__ import annotations

import json
from typing import Any, Dict, Iterator, List, Sequence, Tuple

from .explanation import Explanation

_PROCESS = 1
_HOST, _DEVICE = 1, 2
Event = Dict[str, Any]


def trace_text(found: Explanation) -> str:
    """Returns the trace as a JSON object, an event a line."""
    lines = ",\n".join(json.dumps(event) for event in _events(found))
    about = json.dumps({"model": found.subject, "configuration": f"{found.target.hardware} {found.target.label}"})
    return f'{{"displayTimeUnit": "ms", "otherData": {about}, "traceEvents": [\n{lines}\n]}}\n'


def _events(found: Explanation) -> Iterator[Event]:
    yield _name("process_name", 0, f"{found.subject} on {found.target.hardware}, {found.target.label}")
    for lane, title in ((_HOST, "host: modules and ops"), (_DEVICE, "device: kernels")):
        yield _name("thread_name", lane, title)
        yield {**_name("thread_sort_index", lane, ""), "args": {"sort_index": lane}}
    yield from _host_events(found)
    yield from _device_events(found)


def _name(kind: str, lane: int, text: str) -> Event:
    return {"ph": "M", "name": kind, "pid": _PROCESS, "tid": lane, "args": {"name": text}}


def _slice(lane: int, category: str, name: str, start_us: float, end_us: float, **about: Any) -> Event:
    times = {"ts": _exact(start_us), "dur": _exact(end_us) - _exact(start_us)}
    return {"ph": "X", "name": name, "cat": category, "pid": _PROCESS, "tid": lane, **times, "args": about}


def _exact(us: float) -> float:
    """To a thousandth that floating point adds without rounding: readers compare ends with starts to the last digit."""
    return round(us * 1024) / 1024


def _host_events(found: Explanation) -> Iterator[Event]:
    """Each module around what it calls, outermost first, and the ops inside."""
    ends_us = found.forward.timeline.issue_end_us
    starts_us = ends_us - found.forward.costs.host_us
    yield from (
        _slice(_HOST, "module", path, starts_us[first], ends_us[last], module=path)
        for path, first, last in _module_spans(found.modules)
    )
    for i, lowered in enumerate(found.forward.lowered):
        about = {"module": found.modules[i], "outputs": [list(t.shape) for t in lowered.op.outputs]}
        yield _slice(_HOST, "op", lowered.op.name, starts_us[i], ends_us[i], **about)


def _module_spans(modules: Sequence[str]) -> List[Tuple[str, int, int]]:
    """Each module's path with its first and last op, for every uninterrupted run of ops below it."""
    spans: List[Tuple[str, int, int]] = []
    open_spans: List[Tuple[str, int]] = []
    for i, module in enumerate([*modules, ""]):
        words = module.split(".") if module else []
        paths = [".".join(words[: depth + 1]) for depth in range(len(words))]
        while open_spans and [path for path, _ in open_spans] != paths[: len(open_spans)]:
            path, first = open_spans.pop()
            spans.append((path, first, i - 1))
        open_spans += [(path, i) for path in paths[len(open_spans) :]]
    return sorted(spans, key=lambda span: (span[1], -span[2], len(span[0])))


def _device_events(found: Explanation) -> Iterator[Event]:
    """Each kernel, and an arrow to it from the op that launches it."""
    timeline, kernel_op = found.forward.timeline, found.forward.kernels.op.tolist()
    kernels = [kernel for lowered in found.forward.lowered for kernel in lowered.kernels]
    for i, (kernel, op) in enumerate(zip(kernels, kernel_op)):
        start_us, end_us = float(timeline.kernel_start_us[i]), float(timeline.kernel_end_us[i])
        about = {"module": found.modules[op], "op": found.forward.lowered[op].op.name}
        work = {"flops": kernel.flops, "bytes": kernel.bytes}
        yield _slice(_DEVICE, "kernel", kernel.function, start_us, end_us, **about, **work)
        middle_us = min(float(timeline.issue_end_us[op] - found.forward.costs.host_us[op] / 2), start_us)
        yield _arrow("s", i, _HOST, middle_us)
        yield {**_arrow("f", i, _DEVICE, start_us), "bp": "e"}


def _arrow(phase: str, number: int, lane: int, at_us: float) -> Event:
    about = {"name": "launch", "cat": "launch", "id": number}
    return {"ph": phase, **about, "pid": _PROCESS, "tid": lane, "ts": _exact(at_us)}
