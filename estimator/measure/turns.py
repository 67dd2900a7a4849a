"""Models in turns on a CPU: each a slice at a time, all others in between, and an anchor beside each slice.

A shared machine drifts by several percent within minutes. A model that is measured in one go meets one state of it; in
turns all meet the same ones, and the slices of a model say how well the machine repeats. What keeps a slice from being
trusted (another process, say) costs that slice: it is measured again once, and left out if that fails, too.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Callable, Dict, List, Mapping, Sequence, Tuple, Union

from ..errors import GoldenLatencyError, MeasurementError, MeasurementRefused
from .device.state import DeviceState
from .process import MeasuringProcess, Run
from .protocol import Protocol, typical
from .session import Measured, MeasuringSession, refuse

Outcome = Union[Measured, GoldenLatencyError]
_ATTEMPTS = 2


@dataclass
class _Taken:
    """What there is of one model so far: its slices by run, the states around them, and what went wrong last."""

    slices: Dict[int, List[Run]] = field(default_factory=dict)
    states: List[DeviceState] = field(default_factory=list)
    refused: List[MeasurementRefused] = field(default_factory=list)
    failed: List[MeasurementError] = field(default_factory=list)


def measure_in_turns(session: MeasuringSession, models: Sequence[str]) -> Mapping[str, Outcome]:
    """Returns what was measured of each model, or why it could not be.

    Each of the session's processes measures all turns before the next one does, so that the models of one of them are
    in memory at a time.
    """
    taken = {model: _Taken() for model in models}
    turns = session.plan.protocol.slices()
    session.progress.models = len(models) * len(turns) * len(session.processes)
    with session.device_alone():
        for index, process in enumerate(session.processes):
            for turn, protocol in enumerate(turns):
                words = _words(index, len(session.processes), turn, len(turns))
                for model, found in taken.items():
                    if not found.failed:
                        _take(session, process, index, model, protocol, words, found)
                    session.progress.finish_model()
            if process.pid is not None:
                process.forget()
    outcomes = {model: _outcome(session, model, found) for model, found in taken.items()}
    session.measured.update({name: found for name, found in outcomes.items() if isinstance(found, Measured)})
    return outcomes


def _words(run: int, runs: int, turn: int, turns: int) -> str:
    return (f"run {run + 1}/{runs}, " if runs > 1 else "") + (f"turn {turn + 1}/{turns}, " if turns > 1 else "")


def _take(
    session: MeasuringSession,
    process: MeasuringProcess,
    run: int,
    model: str,
    protocol: Protocol,
    words: str,
    found: _Taken,
) -> None:
    """Adds a slice of the model, or what kept it from being one."""

    def work(look: Callable[[], None]) -> Tuple[float, Run]:
        return process.anchor_ms(look), session.run(process, model, protocol, words, look, keep=True)

    for _ in range(_ATTEMPTS):
        try:
            (anchor_ms, measured), before, during, after = session.watched(work)
        except MeasurementError as error:
            found.failed.append(error)
            return
        except MeasurementRefused as refused:
            found.refused.append(refused)
        else:
            session.anchors_ms.append(anchor_ms)
            found.slices.setdefault(run, []).append(measured)
            found.states += [before, *during, after]
            return


def _outcome(session: MeasuringSession, model: str, found: _Taken) -> Outcome:
    if found.failed:
        return found.failed[-1]
    if len(found.slices) < len(session.processes):
        return found.refused[-1]
    runs = tuple(_joined(slices) for slices in found.slices.values())
    try:
        refuse(session.noise([run.samples_ms for run in runs]))
    except MeasurementRefused as refused:
        return refused
    before, *during, after = found.states
    return Measured(model, runs, before, tuple(during), after)


def _joined(slices: Sequence[Run]) -> Run:
    """The slices of a run as one."""
    samples_ms: Tuple[float, ...] = tuple(ms for part in slices for ms in part.samples_ms)
    return Run(
        samples_ms=samples_ms,
        warmups=sum(part.warmups for part in slices),
        warmup_s=sum(part.warmup_s for part in slices),
        rounds_s=sum(part.rounds_s for part in slices),
        build_s=sum(part.build_s for part in slices),
        page_faults=max(part.page_faults for part in slices),
        finite=all(part.finite for part in slices),
        slices_ms=tuple(typical(part.samples_ms) for part in slices),
    )
