"""The pytest side of measuring: options, what a live test does instead of a replayed one, and what a run says."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, Dict, Iterator, List, Optional, Union

import pytest

from ..compare import BANDS_PCT, UNMEASURED, Comparison, compare
from ..errors import GoldenLatencyError, MeasurementError, MeasurementRefused, UsageError
from ..measure.choice import Choice, choose_device
from ..measure.cpu import LOCAL_CPU
from ..measure.jetson import is_jetson
from ..measure.progress import Progress
from ..measure.protocol import make_protocol
from ..measure.timers import PRECISION_S
from ..measure.verdict import Verdict, judge
from .checks import Golden
from .measuring import LiveOptions, LiveSession, Measured
from .places import write_local_profile
from .recording import record, refuse_mixing, repeat_lines
from .results import Result, as_properties, validate

if TYPE_CHECKING:
    from ..zoo import Subject
    from .options import Settings

UNCALIBRATED = "-"
_UNCALIBRATED_NOTE = f"{LOCAL_CPU} is not calibrated on this machine: measured, without an estimate to hold it against"
_RUNS = {"cuda": 3, "cpu": 1}
_STORAGE = "file://./.benchmarks"


def add_live_options(parser: pytest.Parser) -> None:
    """Declares the options of measuring."""
    group = parser.getgroup("golden-latency")
    group.addoption(
        "--device",
        metavar="auto|recorded|cpu|cuda",
        default="auto",
        help="measure on the device, or replay the record (default: auto, measures if the named GPU is here)",
    )
    group.addoption("--record", action="store_true", help="write what is measured live as the new baseline")
    group.addoption("--runs", metavar="N", help="fresh processes per model (default: 3 on cuda, 1 on cpu)")
    group.addoption("--rounds", metavar="N", help="measured forwards per run (default: 100, fewer for slow models)")
    group.addoption("--warmup", metavar="N", help="forwards before those (default: 50, fewer for slow models)")


def live_options(config: pytest.Config) -> LiveOptions:
    """Returns what the options ask for; UsageError for a bad value, or one that cannot go with the others."""
    option, hardware = config.getoption, config.getoption("hardware")
    parallel = bool(option("numprocesses", default=None)) or option("dist", default="no") != "no"
    parallel = parallel or hasattr(config, "workerinput")
    choice = _alone(choose_device(option("device"), hardware), option("device"), parallel)
    if choice.live and option("device") == "auto" and option("every_configuration"):
        choice = Choice("recorded", "--every-configuration holds the records against their goldens")
    counts = {name: _count(name, option(name)) for name in ("runs", "rounds", "warmup")}
    if choice.live:
        _refuse_together(config)
    elif option("record"):
        raise UsageError(f"--record needs a live device, and this run replays ({choice.why}): add --device cuda")
    if choice.device == "recorded" and hardware == LOCAL_CPU:
        raise UsageError(f"--hardware {LOCAL_CPU} is only measured: add --device cpu, leave -n out")
    device = choice.device if choice.live else "cpu"
    protocol = make_protocol(device, counts["warmup"], counts["rounds"])
    return LiveOptions(choice, protocol, counts["runs"] or _RUNS[device], option("record"))


def _alone(choice: Choice, wanted: str, parallel: bool) -> Choice:
    if not (choice.live and parallel):
        return choice
    if wanted == "auto":
        return Choice("recorded", f"{choice.why}, but -n cannot share it: leave -n out to measure")
    raise UsageError(
        f"--device {wanted} cannot be combined with -n: one device, one measurement at a time; "
        "leave -n out, or replay with --device recorded"
    )


def _count(name: str, text: Optional[str]) -> Optional[int]:
    if text is None:
        return None
    least = 0 if name == "warmup" else 1
    if not text.isdecimal() or int(text) < least:
        raise UsageError(f"--{name} {text}: must be a whole number from {least}")
    return int(text)


def _refuse_together(config: pytest.Config) -> None:
    updates = ("update_snapshots", "update_new_snapshots_only")
    if any(config.getoption(name, default=False) for name in updates):
        raise UsageError(
            "--snapshot-update cannot be combined with a live device: goldens hold records; "
            "--record first, then --device recorded --snapshot-update"
        )
    if config.getoption("every_configuration"):
        raise UsageError("--every-configuration replays records: add --device recorded")


@dataclass(frozen=True)
class LiveResult:
    """A model measured now: its row, what the golden is held against, and the verdict on its latency."""

    comparison: Comparison
    recorded: Optional[Result]
    measured: Measured
    verdict: Verdict
    noise_pct: float


class Live:
    """What the hooks of the suite do in a live run."""

    def __init__(self, config: pytest.Config, settings: Settings, options: LiveOptions) -> None:
        self._config, self._settings, self._options = config, settings, options
        configuration = settings.configuration
        self.session = LiveSession(
            configuration,
            configuration.thermal_profile if is_jetson() else None,
            options,
            len(settings.models),
            Progress(len(settings.models), self._progress_writer()),
        )
        self._results: Dict[str, LiveResult] = {}
        self._recorded_line: Optional[str] = None
        if getattr(config.option, "benchmark_storage", None) == _STORAGE:
            config.option.benchmark_storage = f"{_STORAGE}/{configuration.hardware}/{configuration.label}"
        if configuration.hardware == LOCAL_CPU:
            write_local_profile()

    def _progress_writer(self) -> Optional[Callable[[str], None]]:
        """Nothing is shown under -q, in CI, and where the output is no terminal."""
        config = self._config
        if config.option.verbose < 0 or os.environ.get("CI"):
            return None

        def write(line: str) -> None:
            terminal = config.pluginmanager.get_plugin("terminalreporter")
            if terminal is not None and terminal.isatty:
                terminal.rewrite(line, erase=True)
                terminal.flush()

        return write

    def header(self) -> Iterator[str]:
        """Yields what the header says about measuring."""
        options = self._options
        each = "each model in 1 fresh process" if options.runs == 1 else f"each model in {options.runs} fresh processes"
        recording = ", RECORDING the baseline" if options.record else ""
        yield f"protocol: {options.protocol.text}; {each}{recording}"
        if self._settings.configuration.hardware == LOCAL_CPU:
            yield _UNCALIBRATED_NOTE

    def validated(self, request: pytest.FixtureRequest, model: Subject) -> Callable[[Any], LiveResult]:
        """Measures the model and returns the function that gives its result.

        In the set-up of a test, so that a refused measurement is an error; a model that failed fails its test.
        """
        __tracebackhide__ = True
        outcome = self._measure(model)
        if isinstance(outcome, MeasurementRefused):
            pytest.fail(f"{model.name}: not measured, refused: {outcome}", pytrace=False)
        if isinstance(outcome, LiveResult):
            self._hand_to_benchmark(request, outcome)
            request.node.user_properties.extend(as_properties(outcome.comparison))
            self._results[model.name] = outcome

        def validate_model(_: Any) -> LiveResult:
            __tracebackhide__ = True
            if isinstance(outcome, LiveResult):
                return outcome
            what = "not measured" if isinstance(outcome, MeasurementError) else "no estimate"
            pytest.fail(f"{model.name}: {what}: {outcome}", pytrace=False)

        return validate_model

    def _measure(self, model: Subject) -> Union[LiveResult, GoldenLatencyError]:
        try:
            if self._options.record and not self._settings.whole_zoo:
                refuse_mixing(self.session, self._settings.measurements)
            return self._result(model, self.session.measure(model.name))
        except GoldenLatencyError as error:
            self.session.refused[model.name] = str(error)
            return error

    def _result(self, model: Subject, measured: Measured) -> LiveResult:
        baseline_ms = self._settings.measurements.runs_ms.get(model.name, ())
        verdict, noise_pct = judge(baseline_ms, measured.runs_ms), measured.noise_pct(baseline_ms)
        if self._settings.configuration.hardware == LOCAL_CPU:
            nothing = (None, None, None, None)
            row = Comparison(model.name, model.family, None, measured.median_ms, None, UNCALIBRATED, *nothing)
            return LiveResult(row, None, measured, verdict, noise_pct)
        recorded_ms = self._settings.measurements.median_ms(model.name)
        recorded = validate(model, self._settings.configuration, recorded_ms)
        row = compare(model.name, model.family, recorded.estimate, measured.median_ms)
        return LiveResult(row, recorded, measured, verdict, noise_pct)

    def _hand_to_benchmark(self, request: pytest.FixtureRequest, result: LiveResult) -> None:
        """Gives pytest-benchmark the rounds that were measured: a timer that tells the measured time of each."""
        if not self._config.pluginmanager.hasplugin("benchmark"):
            return
        clock = _Replay(result.measured.samples_ms)
        request.node.add_marker(pytest.mark.benchmark(timer=clock.now_s, disable_gc=False))
        benchmark = request.getfixturevalue("benchmark")
        getattr(benchmark, "_precisions", {})[clock.now_s] = PRECISION_S[self._options.choice.device]
        benchmark.extra_info.update(extra_info(result))
        benchmark.pedantic(clock.next_round, rounds=len(result.measured.samples_ms), iterations=1)

    def check(self, result: LiveResult) -> None:
        """Fails with what is wrong with the estimate, its band, or the latency since the baseline.

        While recording, the old baseline and the golden that goes with it are only spoken of, not asserted.
        """
        __tracebackhide__ = True
        problems = [*self._estimate_problems(result), *self._verdict_problems(result)]
        if problems and not self._options.record:
            pytest.fail("\n".join(problems), pytrace=False)

    def _estimate_problems(self, result: LiveResult) -> Iterator[str]:
        if result.recorded is None:
            return
        yield from Golden(self._settings, None, self._config.rootpath).problems(result.recorded)
        row = result.comparison
        rating = self._settings.goldens.get(row.model, {}).get("rating", UNMEASURED)
        if rating not in BANDS_PCT or row.error_pct is None:
            return
        allowed_pct = BANDS_PCT[rating] + result.noise_pct
        if abs(row.error_pct) >= allowed_pct:
            yield f"{row.model}: the estimate is outside its golden rating's band on the live device"
            yield f"  expected |error| < {BANDS_PCT[rating]:.0f} % ({rating}) + {result.noise_pct:.1f} % of noise"
            yield f"  got {row.error_pct:+.2f} %: estimated {row.est_ms} ms, measured {_measured_text(result)}"

    def _verdict_problems(self, result: LiveResult) -> Iterator[str]:
        if result.verdict.alarms:
            record_of = self._settings.measurements
            yield f"{result.comparison.model}: {result.verdict.text}"
            yield f"  measured {_measured_text(result)}"
            yield f"  baseline {', '.join(map(str, record_of.runs_ms[result.comparison.model]))} ms, {record_of.path}"
            yield f"  recorded {record_of.provenance['date']} with {record_of.provenance['software']}"
            yield f"  If the change is meant: {self._settings.command} --device cuda --record --runs 3"

    def device_info(self) -> Dict[str, Any]:
        """Returns the device, its mode and its software, for pytest-benchmark's JSON."""
        configuration, environment = self._settings.configuration, dict(self.session.environment())
        known = {key: environment.get(key) for key in ("name", "torch", "torchvision", "cuda", "cudnn", "threads")}
        return {"hardware": configuration.hardware, "configuration": configuration.label, **known}

    def finish(self, completed: bool) -> None:
        """Ends the processes; writes the baseline if that was asked for and the run was not cut short."""
        try:
            if completed and self._options.record:
                self._recorded_line = record(self.session, self._settings.measurements, self._config.rootpath)
        finally:
            self.session.close()

    def summary(self) -> Iterator[str]:
        """Yields the lines below the table: each model's runs and verdict, what the run cost, how it repeats."""
        if not self._results:
            return
        yield f"  {'Live':<24} {'median':>10} {'p90':>10} {'noise':>8}  runs (ms), against the baseline"
        yield "  " + "-" * 82
        yield from map(_live_line, self._results.values())
        yield ""
        yield self._cost_line()
        yield from repeat_lines(self.session)
        faults = max(run.page_faults for m in self.session.measured.values() for run in m.runs)
        yield f"  {self.session.environment()['threads']} threads; at most {faults} page faults a forward"
        if self._settings.configuration.hardware == LOCAL_CPU:
            yield f"  {_UNCALIBRATED_NOTE}"
        if self._recorded_line:
            yield f"  {self._recorded_line}"

    def _cost_line(self) -> str:
        wall_s, measuring_s = time.time() - process_start_s(), self.session.measuring_s
        return (
            f"  {wall_s:.0f} s, {measuring_s:.0f} s of them warm-ups and rounds: "
            f"overhead {100 * (1 - measuring_s / wall_s):.1f} %"
        )


class _Replay:
    """A clock that stands still but for the measured rounds."""

    def __init__(self, samples_ms: Any) -> None:
        self._left: List[float] = list(reversed(samples_ms))
        self._now_s = 0.0

    def now_s(self) -> float:
        return self._now_s

    def next_round(self) -> None:
        if self._left:  # pytest-benchmark calls once more after the last round
            self._now_s += self._left.pop() / 1e3


def extra_info(result: LiveResult) -> Dict[str, Any]:
    """Returns what pytest-benchmark's JSON carries beside the rounds; ms, percent, degrees Celsius."""
    row, measured = result.comparison, result.measured
    return {
        "est_ms": row.est_ms,
        "error_pct": row.error_pct,
        "rating": row.rating,
        "median_ms": measured.median_ms,
        "p90_ms": measured.p90_ms,
        "runs_ms": list(measured.runs_ms),
        "noise_pct": round(result.noise_pct, 2),
        "verdict": result.verdict.text,
        "clocks": measured.clocks,
        "temperature_c": [measured.before.temperature_c, measured.after.temperature_c],
        "power_mode": measured.before.power_mode,
        "page_faults": max(run.page_faults for run in measured.runs),
    }


def _measured_text(result: LiveResult) -> str:
    measured = result.measured
    runs = ", ".join(map(str, measured.runs_ms))
    return f"{measured.median_ms} ms (median of {len(measured.runs)} runs: {runs}; {len(measured.samples_ms)} rounds)"


def _live_line(result: LiveResult) -> str:
    measured = result.measured
    runs = ", ".join(f"{ms:.4g}" for ms in measured.runs_ms)
    figures = f"{measured.median_ms:>10.2f} {measured.p90_ms:>10.2f} {result.noise_pct:>6.1f} %"
    return f"    {measured.model:<22} {figures}  {runs}: {result.verdict.text}"


def process_start_s() -> float:
    """Returns when this process began, in seconds since the epoch: interpreter and imports are part of a run's cost."""
    try:
        ticks = int(Path("/proc/self/stat").read_text().rsplit(")", 1)[1].split()[19])
        uptime_s = float(Path("/proc/uptime").read_text().split()[0])
        return min(time.time() - uptime_s + ticks / os.sysconf("SC_CLK_TCK"), _IMPORTED_S)
    except (OSError, ValueError, IndexError):
        return _IMPORTED_S


_IMPORTED_S = time.time()
