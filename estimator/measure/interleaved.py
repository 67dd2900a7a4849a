"""Models in interleaved rounds: each a part of its rounds at a time, all others and a reference workload in between.

A shared CPU drifts by several percent within minutes: all interleaved models meet the same states of it. What keeps a
part from being trusted (another process, say) costs that part: it is measured again once. A GPU does not drift so:
there a model's rounds are one part, and the models follow each other.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Dict, List, Mapping, Optional, Sequence, Union

from ..errors import GoldenLatencyError, MeasurementError, MeasurementRefused
from .device.state import DeviceState
from .device_session import Measured, MeasuringSession
from .process import Run, Tick
from .protocol import Protocol, typical

Outcome = Union[Measured, GoldenLatencyError]


@dataclass
class _Taken:
    """What there is of one model so far: its parts by process, the states around them, and what went wrong last."""

    parts: Dict[int, List[Run]] = field(default_factory=dict)
    states: List[DeviceState] = field(default_factory=list)
    error: Optional[GoldenLatencyError] = None

    @property
    def failed(self) -> bool:
        """Whether there is no use in trying again."""
        return isinstance(self.error, MeasurementError)


def measure_models(session: MeasuringSession, models: Sequence[str]) -> Mapping[str, Outcome]:
    """Returns what was measured of each model, or why not; one process measures all parts before the next does."""
    taken = {model: _Taken() for model in models}
    parts = session.plan.protocol.parts()
    with session.device_alone():
        for index, process in enumerate(session.processes):
            for number, protocol in enumerate(parts):
                words = _of("run", index, len(session.processes)) + _of("interleaved", number, len(parts))
                for model, found in taken.items():
                    if not found.failed:
                        _take(session, index, model, protocol, words, found)
                    session.progress.finish_model()
            if len(parts) > 1 and process.pid is not None:
                process.forget()
    outcomes = {model: _outcome(session, model, found) for model, found in taken.items()}
    session.measured.update({name: found for name, found in outcomes.items() if isinstance(found, Measured)})
    return outcomes


def _of(what: str, index: int, count: int) -> str:
    return f"{what} {index + 1}/{count}, " if count > 1 else ""


def _take(session: MeasuringSession, index: int, model: str, protocol: Protocol, words: str, found: _Taken) -> None:
    """Adds a part of the model, or what kept it from being one."""
    process, is_interleaved = session.processes[index], session.plan.protocol.interleaved > 1
    references_ms: List[float] = []

    def work(look: Tick) -> Run:
        if is_interleaved:
            references_ms[:] = [process.reference_ms(look)]
        return session.run(process, model, protocol, words, look, keep=is_interleaved)

    for _ in range(2 if is_interleaved else 1):
        try:
            run, before, during, after = session.watched(work)
        except (MeasurementError, MeasurementRefused) as error:
            found.error = error
            if found.failed:
                return
        else:
            session.references_ms += references_ms
            found.parts.setdefault(index, []).append(run)
            found.states += [before, *during, after]
            return


def _outcome(session: MeasuringSession, model: str, found: _Taken) -> Outcome:
    if found.error is not None and (found.failed or len(found.parts) < len(session.processes)):
        return found.error
    runs = tuple(map(_joined, found.parts.values()))
    try:
        session.refuse_noise([run.samples_ms for run in runs])
    except MeasurementRefused as refused:
        return refused
    before, *during, after = found.states
    return Measured(model, runs, before, tuple(during), after)


def _joined(parts: Sequence[Run]) -> Run:
    """The parts that one process measured as one run."""
    return Run(
        samples_ms=tuple(ms for part in parts for ms in part.samples_ms),
        warmup_s=sum(part.warmup_s for part in parts),
        rounds_s=sum(part.rounds_s for part in parts),
        page_faults=max(part.page_faults for part in parts),
        finite=all(part.finite for part in parts),
        parts_ms=tuple(typical(part.samples_ms) for part in parts) if len(parts) > 1 else (),
    )
