"""What would make a model faster: each change estimated by itself, with its interval and what was measured of it."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Callable, Iterator, Mapping, Optional, Sequence, Tuple

from ..checked import Checked
from ..errors import CaptureError, UsageError
from ..estimates import Estimates
from ..files import read_toml
from ..goldens.repository import Repository
from ..interval import QUANTILE, interval_pct
from ..judging import judged_by
from ..lower import Lowered, lower
from ..lower.fusion import fold_batch_norms, in_nhwc
from ..pipeline import ForwardPass, forward_pass, interval_of
from ..records.kinds import KINDS
from ..records.record import load_record
from ..runtimes import EAGER, TENSORRT
from ..subjects.custom import rules_of
from ..subjects.registry import Subject, subject_names
from ..target import PRECISIONS, Target
from .dispatch_free import dispatch_free_ms, graph_variance

CHANGE_PCT = judged_by("interval.software_change")
"""One standard deviation for a change of the software, by judgement: none was measured on a model."""
BATCHES = (1, 2, 4, 8, 16, 32)
NOTHING = "nothing measured on this board"
_CONFIGURATIONS = ("mode", "batch", "fp16", "tf32", TENSORRT)
"""Keys of what is a configuration of its own, and can have a record; a change of the software is none."""
EVIDENCE = Path(__file__).with_name("evidence.toml")
"""What stands behind a row, in words, by board and change."""


_Priced = Tuple[float, Optional[float]]
"""Latency in ms, and its interval in percent."""
COMPILED = "compiled"
NOT_MODELLED = "what its compiler fuses is not modelled"


@dataclass(frozen=True)
class WhatIf:
    """The latency of a forward pass after a change, and per image; `speed_up` is per image.

    `interval_pct` as in an estimate. `measured_ms` is the record's median of that configuration, where it has one;
    `evidence` says in words what stands behind the row. `problem` is the reason where there is no latency.
    """

    change: str
    latency_ms: Optional[float]
    interval_pct: Optional[float]
    per_image_ms: Optional[float]
    speed_up: Optional[float]
    measured_ms: Optional[float]
    evidence: str
    problem: str = ""


@dataclass(frozen=True)
class _Case:
    """A change: what it is called, the key of its evidence, and what gives its ms and its interval in percent."""

    change: str
    key: str
    target: Target
    priced: Callable[[], Optional[_Priced]]


def what_if(subject: Subject, target: Target, repository: Repository, estimates: Estimates) -> Tuple[WhatIf, ...]:
    """Returns a row for each change that makes sense on the target, the first one for no change at all.

    Records of the subject are those of `repository`.
    """
    texts = _texts(target.hardware)
    rows = [_row(case, subject.name, repository, texts) for case in _cases(subject, target, estimates)]
    as_is_ms = rows[0].per_image_ms
    return tuple(replace(row, speed_up=_ratio(as_is_ms, row.per_image_ms)) for row in rows)


def _ratio(before_ms: Optional[float], after_ms: Optional[float]) -> Optional[float]:
    return None if before_ms is None or after_ms is None else before_ms / after_ms


def _row(case: _Case, name: str, repository: Repository, texts: Mapping[str, str]) -> WhatIf:
    batch = case.target.batch_size
    measured_ms, evidence = _evidence(case, name, repository, texts)
    try:
        priced = case.priced()
    except (CaptureError, UsageError) as error:  # a batch of what cannot be repeated, as a cache
        return WhatIf(case.change, None, None, None, None, measured_ms, evidence, str(error))
    if priced is None:
        return WhatIf(case.change, None, None, None, None, measured_ms, evidence, f"{NOT_MODELLED}; {evidence}")
    latency_ms, interval = priced
    return WhatIf(case.change, latency_ms, interval, latency_ms / batch, None, measured_ms, evidence)


def _cases(subject: Subject, target: Target, estimates: Estimates) -> Iterator[_Case]:
    forward = functools.partial(estimates.forward, subject)

    def at(change: str, key: str, other: Target) -> _Case:
        return _Case(change, key, other, lambda: _priced(forward(other), other))

    yield at("as it is", "mode", target)
    if target.runtime == EAGER:
        yield from _eager_changes(subject, target, estimates)
        if target.profile.processor == "gpu":
            yield from (at(title, key, other) for title, key, other in _engines(target))
    for mode in target.profile.modes.values():
        yield at(f"power mode {mode.name}", "mode", replace(target, mode=mode))
    for batch in BATCHES:
        yield at(f"batch {batch}", "batch", replace(target, batch_size=batch))


def _eager_changes(subject: Subject, target: Target, estimates: Estimates) -> Iterator[_Case]:
    """What PyTorch could do otherwise, op by op or with a graph of its kernels."""
    forward = functools.partial(estimates.forward, subject)

    def changed(change: str, key: str, lowered: Callable[[], Sequence[Lowered]]) -> _Case:
        return _Case(change, key, target, lambda: _changed(_priced(forward_pass(lowered(), target), target)))

    yield _Case("dispatch free (CUDA graph)", "dispatch_free", target, lambda: _dispatch_free(forward(target), target))
    if target.profile.processor == "gpu":
        yield _Case("torch.compile (default mode)", COMPILED, target, lambda: None)
        for title, key, other in _precisions(target):
            yield _Case(title, key, other, functools.partial(_forward_priced, forward, other))
        yield changed(
            "channels_last, no layout conversions",
            "channels_last",
            lambda: list(map(in_nhwc, estimates.run(subject, target).lowered)),
        )
    yield changed(
        "BatchNorm folded into convolutions",
        "folded",
        lambda: lower(fold_batch_norms(estimates.captured(subject, target)), rules_of(subject)),
    )


def _forward_priced(forward: Callable[[Target], ForwardPass], target: Target) -> _Priced:
    return _priced(forward(target), target)


def _engines(target: Target) -> Iterator[Tuple[str, str, Target]]:
    for precision, title in (("fp32", "FP32 (TF32)"), ("fp16", "FP16"), ("int8", "INT8")):
        yield f"TensorRT {title}", TENSORRT, target.on_runtime(TENSORRT, precision)


def _precisions(target: Target) -> Iterator[Tuple[str, str, Target]]:
    if target.precision.name != "fp16":
        yield "everything in FP16", "fp16", replace(target, precision=PRECISIONS["fp16"])
    if target.precision.name == "fp32":
        yield "products in TF32", "tf32", replace(target, precision=PRECISIONS["tf32"])


def _priced(found: ForwardPass, target: Target) -> _Priced:
    return found.latency_ms, interval_of(found, target)


def _dispatch_free(found: ForwardPass, target: Target) -> _Priced:
    def latency_of(constants: Mapping[str, float]) -> float:
        return dispatch_free_ms(found.with_constants(target, constants), target)

    graph_pct = 100 * math.sqrt(graph_variance(found, target))
    return _changed((latency_of(target.profile.values()), interval_pct(latency_of, target)), graph_pct)


def _changed(priced: _Priced, more_pct: float = 0.0) -> _Priced:
    """With what a change of the software, which no measurement has seen, adds to the interval; `more_pct` is one sd."""
    latency_ms, within_pct = priced
    if within_pct is None:
        return priced
    return latency_ms, QUANTILE * math.sqrt((within_pct / QUANTILE) ** 2 + CHANGE_PCT**2 + more_pct**2)


def _evidence(case: _Case, name: str, repository: Repository, texts: Mapping[str, str]) -> Tuple[Optional[float], str]:
    """The record's median in ms, where the configuration has one, and in words what stands behind the estimate."""
    if case.key in _CONFIGURATIONS:
        folder = repository.configuration_folder(case.target)
        found = (load_record(folder / kind.record, subject_names()) for kind in KINDS)
        records = [record for record in found if record.runs_ms]
        medians_ms = [ms for ms in (record.median_ms(name) for record in records) if ms is not None]
        if medians_ms:
            return medians_ms[0], f"measured in this configuration: {medians_ms[0]:g} ms"
        if records:
            return None, f"{len(records[0].runs_ms)} models are measured in this configuration; this one is not"
    return None, texts.get(case.key if case.target.runtime == EAGER else case.target.runtime, NOTHING)


def _texts(hardware: str) -> Mapping[str, str]:
    boards = Checked(EVIDENCE, read_toml(EVIDENCE)).tables()
    return {key: boards[hardware].text(key) for key in boards[hardware].content} if hardware in boards else {}
