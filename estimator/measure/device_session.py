"""Measures subjects of one target: the fresh processes, the device's state around them, and what came of each."""

from __future__ import annotations

import functools
import statistics
import tempfile
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple, TypeVar

from ..errors import MeasurementError, MeasurementRefused
from ..figures import significant
from ..judging import judged_by
from .device.jetson import JetsonReader, is_jetson
from .device.nvidia import nvidia_reader
from .device.state import DeviceState, StateReader, refusals_after, refusals_before
from .device.this_cpu import CpuReader
from .process import MeasuringProcess, Run, Tick
from .progress import Progress
from .protocol import Plan, Protocol, deviation_pct, median_noise_pct, percentile_ms
from .regression import spread_pct

if TYPE_CHECKING:
    from ..subjects.chains import Chain
    from ..subjects.from_pytest import Place
    from ..target import Target
    from .built_blocks import ChainTimes

_T = TypeVar("_T")

MOST_NOISE_PCT: Mapping[str, float] = {device: judged_by(f"live.noise.{device}") for device in ("cpu", "cuda")}
"""A run whose median is not known better than this (95 %) is refused; a CPU is shared with everything else."""
CHAINS_LOOK_S = 10.0
"""Other processes are averaged over so long before they spoil a calibration, whose times have short ones cut off."""
_LOCK_WAIT_S = 900


@dataclass(frozen=True)
class Measured:
    """One model, measured: its runs, and the device's state before, meanwhile and after."""

    model: str
    runs: Tuple[Run, ...]
    before: DeviceState
    during: Tuple[DeviceState, ...]
    after: DeviceState

    @property
    def runs_ms(self) -> Tuple[float, ...]:
        """Returns each run's latency in ms, to five significant digits."""
        return tuple(significant(run.latency_ms, 5) for run in self.runs)

    @property
    def median_ms(self) -> float:
        """Returns the median of the runs in ms."""
        return significant(statistics.median(self.runs_ms))

    @property
    def samples_ms(self) -> Tuple[float, ...]:
        """Returns the rounds of all runs."""
        return tuple(sample for run in self.runs for sample in run.samples_ms)

    @property
    def p90_ms(self) -> float:
        """Returns what 90 % of all rounds stay below, in ms."""
        return significant(percentile_ms(self.samples_ms, 90))

    def noise_pct(self, baseline_ms: Sequence[float]) -> float:
        """Returns how far off the median may be: two standard errors between runs, or that of the rounds if more."""
        within = max(median_noise_pct(run.samples_ms) for run in self.runs)
        between = spread_pct(baseline_ms, self.runs_ms)
        return max(within, 0.0 if between is None else 2 * between / len(self.runs) ** 0.5)

    @property
    def repeatability_pct(self) -> Optional[float]:
        """Returns mean |part - median| in percent, None where a model's rounds were one part."""
        parts_ms = [ms for run in self.runs for ms in run.parts_ms]
        return deviation_pct(parts_ms) if len(parts_ms) > 1 else None

    @property
    def clocks(self) -> str:
        """Returns the clocks seen while it ran, "gpu 810 to 816 of 816 MHz", or that there are none to read."""
        found = []
        for name in sorted({name for state in self.during for name in state.clocks_mhz}):
            seen = [state.clocks_mhz[name] for state in self.during if name in state.clocks_mhz]
            cap = next((f" of {s.caps_mhz[name]:.0f}" for s in self.during if name in s.caps_mhz), "")
            found.append(f"{name} {min(seen):.0f} to {max(seen):.0f}{cap} MHz")
        return "; ".join(found) or "not readable"


@dataclass
class MeasuringSession:
    """Measures models or patterns of one target on its device, one at a time."""

    target: Target
    power_mode: Optional[str]
    plan: Plan
    progress: Progress
    measured: Dict[str, Measured] = field(default_factory=dict)
    refused: Dict[str, str] = field(default_factory=dict)
    measuring_s: float = 0.0
    references_ms: List[float] = field(default_factory=list)
    tests: Dict[str, Place] = field(default_factory=dict)  # where the processes find modules of the user's own
    processes: List[MeasuringProcess] = field(default_factory=list)
    lock: Any = None  # held for the whole session

    @functools.cached_property
    def reader(self) -> StateReader:
        """Returns what reads the state of the device."""
        if self.target.profile.processor == "cpu":
            return CpuReader()
        return JetsonReader() if is_jetson() else nvidia_reader(self.environment())

    def start(self) -> None:
        """Starts the processes and locks a GPU, which they hold a part of; MeasurementRefused if it stays taken."""
        if self._device == "cuda":
            self.lock = _acquired(self._device)
        how = self._device, self.target.precision.name, self.target.runtime
        self.processes = [MeasuringProcess(*how) for _ in range(self.plan.runs)]
        for process in self.processes:
            process.start()

    def close(self) -> None:
        """Ends the processes and lets go of the device."""
        for process in self.processes:
            process.close()
        if self.lock is not None:
            self.lock.release()

    def environment(self) -> Mapping[str, Any]:
        """Returns versions, switches and device as the first process sees them."""
        return self.processes[0].environment()

    def measure_chains(
        self, chains: Sequence[Chain], budget_s: float, host_alone: bool = False
    ) -> Tuple[ChainTimes, ...]:
        """Returns the times of all layers, or with `host_alone` of the host's calls, by process, one after another.

        MeasurementRefused where device or samples are not to be trusted, MeasurementError where measuring failed.
        """

        def run_chains(look: Tick) -> Tuple[ChainTimes, ...]:
            share_s, bar = budget_s / len(self.processes), self.progress.bar
            return tuple(process.measure_chains(chains, share_s, bar, look, host_alone) for process in self.processes)

        with self.device_alone():
            runs = self.watched(run_chains, CHAINS_LOOK_S)[0]
            self.refuse_noise([run.passes_us for run in runs])
        return runs

    @contextmanager
    def device_alone(self) -> Iterator[None]:
        """Locks the device unless it is locked, with all processes ready; MeasurementRefused if it stays taken."""
        lock = _acquired(self._device) if self.lock is None else None
        try:
            for process in self.processes:
                process.environment()  # all have loaded torch before one measures
            yield
        finally:
            if lock is not None:
                lock.release()
            self.progress.say("")

    def watched(
        self, work: Callable[[Tick], _T], look_s: float = 0.0
    ) -> Tuple[_T, DeviceState, Tuple[DeviceState, ...], DeviceState]:
        """Runs `work`, which calls its argument about once a second; looks at the device around it and meanwhile.

        Others are judged by `look_s` seconds where that is how they are seen; MeasurementRefused says what is wrong.
        """
        self.reader.begin(look_s)
        before = self.state()
        _refuse(*refusals_before(before, self.target.hardware, self.power_mode))
        during: List[DeviceState] = []
        done = work(lambda: during.append(self.state()))
        after = self.state()
        _refuse(*refusals_after(before, during, after))
        return done, before, tuple(during), after

    def run(
        self, process: MeasuringProcess, model: str, protocol: Protocol, words: str, tick: Tick, keep: bool = False
    ) -> Run:
        """Returns what the process measured of the model; `words` say in the line of progress which run it is."""
        request = {"model": model, "batch_size": self.target.batch_size, "keep": keep}
        if model in self.tests:
            request["test"] = asdict(self.tests[model])
        result = process.measure(request, protocol, functools.partial(self.progress.show, model, words), tick)
        self.measuring_s += result.warmup_s + result.rounds_s
        if not result.finite:
            raise MeasurementError(f"{model}: its output is not finite: this is no forward pass to compare with")
        return result

    def refuse_noise(self, runs: Sequence[Sequence[float]]) -> None:
        """Raises MeasurementRefused where the median of one of these runs is not known well enough."""
        noise_pct, limit_pct = max(map(median_noise_pct, runs)), MOST_NOISE_PCT[self._device]
        if noise_pct > limit_pct:
            about = f"their median is known to ±{noise_pct:.0f} %, at most {limit_pct:.0f} %"
            raise MeasurementRefused(f"the samples are too noisy: {about}")

    @property
    def _device(self) -> str:
        return self.plan.choice.device

    def state(self) -> DeviceState:
        """Returns the state of the device now."""
        return self.reader.read([process.pid for process in self.processes if process.pid is not None])


def session_on(target: Target, plan: Plan, progress: Progress) -> MeasuringSession:
    """Returns a session that asks for the target's power mode where the board has such modes."""
    power_mode = target.mode.name if is_jetson() and target.board.has_goldens else None
    return MeasuringSession(target, power_mode, plan, progress)


def lock_path(device: str) -> Path:
    """Returns the file that is locked around each measurement on this machine's "cpu" or "cuda"."""
    return Path(tempfile.gettempdir()) / f"golden-latency-{device}.lock"


def _acquired(device: str) -> Any:
    """Returns the lock of the device, taken; MeasurementRefused where another measurement keeps it."""
    from filelock import FileLock, Timeout

    # Whoever measures here next may be another user.
    lock = FileLock(lock_path(device), timeout=_LOCK_WAIT_S, mode=0o666)
    try:
        lock.acquire()
    except Timeout:
        raise MeasurementRefused(f"another measurement has held {lock.lock_file} for {_LOCK_WAIT_S} s") from None
    except OSError as error:
        raise MeasurementRefused(f"the device's lock cannot be taken: {error}") from error
    return lock


def _refuse(*reasons: str) -> None:
    if reasons:
        raise MeasurementRefused("; ".join(reasons))
