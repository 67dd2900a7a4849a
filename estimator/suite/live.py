"""What a live test does instead of a replayed one: measures, then holds estimate and latency against what is known."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Callable, Dict, Iterator, List, Optional, Union

import pytest

from ..compare import Comparison, compare
from ..errors import GoldenLatencyError, MeasurementError, MeasurementRefused
from ..hardware.local import CALIBRATE_LOCAL_CPU, LOCAL_CPU, is_calibrated
from ..hardware.profile import load_profile
from ..measure.baseline import record, refuse_mixing, repeat_lines
from ..measure.device.jetson import is_jetson
from ..measure.progress import Progress
from ..measure.session import LiveSession
from ..measure.timers import PRECISION_S
from ..measure.together import LEAST_SHARING, Together, judge_together
from ..measure.verdict import judge
from ..records.kinds import PATTERN_KIND
from ..subjects.patterns import Pattern
from .calibrate import Calibration
from .checks import Golden
from .live_options import LiveOptions
from .live_report import (
    LiveResult,
    band_problem,
    common_problem,
    cost_line,
    extra_info,
    live_lines,
    verdict_problem,
)
from .options import settings_of
from .results import Result, as_properties, validate

if TYPE_CHECKING:
    from ..subjects.zoo import Subject
    from .options import Settings

UNCALIBRATED = "-"
_UNCALIBRATED_NOTE = (
    f"{LOCAL_CPU} is not calibrated on this machine: measured, without an estimate to hold it against; "
    f"to calibrate: {CALIBRATE_LOCAL_CPU}"
)
_HOT_PATTERNS_NOTE = (
    "a pattern alone runs hot in a CPU's caches; its estimate is for a model around it, and is not asserted"
)
_STORAGE = "file://./.benchmarks"


class Live:
    """What the hooks of the suite do in a live run, of models or of patterns."""

    def __init__(self, config: pytest.Config, settings: Settings, options: LiveOptions) -> None:
        self._config, self._settings, self._options = config, settings, options
        configuration = settings.configuration
        named = is_jetson() and configuration.hardware != LOCAL_CPU
        power_mode = configuration.thermal_profile if named else None
        self.session = LiveSession(configuration, power_mode, options, Progress(self._progress_writer()))
        self._results: Dict[str, LiveResult] = {}
        self._recorded_line: Optional[str] = None
        self._calibration: Optional[Calibration] = None
        if getattr(config.option, "benchmark_storage", None) == _STORAGE:
            config.option.benchmark_storage = f"{_STORAGE}/{configuration.hardware}/{configuration.label}"

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

    @property
    def has_baseline(self) -> bool:
        """Whether enough of the models to be measured have a baseline to judge them together."""
        recorded = self._settings.measurements.runs_ms
        return not self._options.record and sum(m.name in recorded for m in self._settings.models) >= LEAST_SHARING

    def start(self, subjects: List[Subject]) -> None:
        """Starts the processes that will measure these subjects, all models or all patterns."""
        if any(isinstance(subject, Pattern) for subject in subjects):
            self._settings = settings_of(self._config, self._settings.configuration, PATTERN_KIND)
        self.session.progress.models = len(subjects)
        try:
            self.session.start()
        except MeasurementRefused as refused:
            pytest.exit(f"not measured, refused: {refused}", returncode=int(pytest.ExitCode.TESTS_FAILED))

    @property
    def _has_estimates(self) -> bool:
        """Whether there is something to hold the latency against: local-cpu must be calibrated, which is for FP32."""
        configuration = self._settings.configuration
        return configuration.hardware != LOCAL_CPU or (is_calibrated() and configuration.precision == "fp32")

    def header(self) -> Iterator[str]:
        """Yields what the header says about measuring."""
        options = self._options
        if options.calibrate:
            yield "CALIBRATION: micro-benchmarks are measured, the profile is written"
            return
        each = "in 1 fresh process" if options.runs == 1 else f"each model in {options.runs} fresh processes"
        recording = ", RECORDING the baseline" if options.record else ""
        yield f"protocol: {options.protocol.text}; {each}{recording}"
        if not self._has_estimates:
            yield _UNCALIBRATED_NOTE

    def calibration(self) -> Calibration:
        """Returns the calibration of this run's device."""
        self._calibration = Calibration(self.session, self._settings, self._config.rootpath, self._options.calibrate)
        return self._calibration

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
            return self._result(model)
        except GoldenLatencyError as error:
            self.session.refused[model.name] = str(error)
            return error

    def _result(self, model: Subject) -> LiveResult:
        """The estimate first, while the device is idle."""
        recorded = self._estimated(model)
        measured = self.session.measure(model.name)
        baseline_ms = self._settings.measurements.runs_ms.get(model.name, ())
        verdict, noise_pct = judge(baseline_ms, measured.runs_ms), measured.noise_pct(baseline_ms)
        if recorded is None:
            nothing = (None, None, None, None)
            row = Comparison(model.name, model.family, None, measured.median_ms, None, UNCALIBRATED, *nothing)
        else:
            row = compare(model.name, model.family, recorded.estimate, measured.median_ms)
        return LiveResult(row, recorded, measured, verdict, noise_pct)

    def _estimated(self, model: Subject) -> Optional[Result]:
        recorded_ms = self._settings.measurements.median_ms(model.name)
        return validate(model, self._settings.configuration, recorded_ms) if self._has_estimates else None

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
        problems = [
            *self._golden_problems(result),
            *band_problem(result, self._settings),
            *verdict_problem(result, self._settings),
        ]
        if problems and not self._options.record:
            pytest.fail("\n".join(problems), pytrace=False)

    def check_baseline(self) -> None:
        """Fails with each model that left its baseline, the speed that models share taken out, or with that speed."""
        __tracebackhide__ = True
        together = self._together()
        problems = [] if together is None else list(common_problem(together.common))
        for result in self._results.values():
            if together is not None and result.measured.model in together.models:
                beside = replace(result, verdict=together.models[result.measured.model])
                problems += verdict_problem(beside, self._settings)
        if problems:
            pytest.fail("\n".join(problems), pytrace=False)

    def _together(self) -> Optional[Together]:
        """On a CPU all models share its speed, on a GPU those that its host keeps waiting."""
        everywhere = self._settings.configuration.hardware == LOCAL_CPU
        results, recorded = self._results.values(), self._settings.measurements
        sharing = {r.measured.model for r in results if everywhere or r.comparison.bound == "host"}
        baseline_ms = {name: runs for name, runs in recorded.runs_ms.items() if name not in recorded.partial}
        return judge_together(baseline_ms, {r.measured.model: r.measured.runs_ms for r in results}, sharing)

    def _golden_problems(self, result: LiveResult) -> List[str]:
        """A machine's own CPU has no goldens: its profile is its own."""
        if result.recorded is None or self._settings.configuration.hardware == LOCAL_CPU:
            return []
        return Golden(self._settings, None, self._config.rootpath).problems(result.recorded)

    def device_info(self) -> Dict[str, Any]:
        """Returns the device, its mode and its software, for pytest-benchmark's JSON."""
        configuration = self._settings.configuration
        if not self.session.started:  # --benchmark-compare asks before anything runs
            return {"hardware": configuration.hardware, "configuration": configuration.label}
        environment = self.session.environment()
        known = {key: environment.get(key) for key in ("name", "torch", "torchvision", "cuda", "cudnn", "threads")}
        return {"hardware": configuration.hardware, "configuration": configuration.label, **known}

    def finish(self, completed: bool) -> bool:
        """Ends the processes; writes the baseline if that was asked for and the run was not cut short.

        Returns False where it could not be written.
        """
        try:
            if completed and self._options.record:
                self._recorded_line = record(self.session, self._settings.measurements, self._config.rootpath)
        except (OSError, GoldenLatencyError) as error:
            self._recorded_line = f"NOT RECORDED: {error}"
            return False
        finally:
            self.session.close()
        return True

    def summary(self) -> Iterator[str]:
        """Yields the lines below the table: each model's runs and verdict, what the run cost, how it repeats."""
        if self._calibration is not None:
            yield from self._calibration.lines
        if not self._results:
            return
        together = None if self._options.record else self._together()
        yield from live_lines(list(self._results.values()), together)
        yield ""
        yield cost_line(self.session.measuring_s)
        yield from repeat_lines(self.session)
        faults = max(run.page_faults for m in self.session.measured.values() for run in m.runs)
        threads = int(self.session.environment()["threads"])
        yield f"  {threads} threads; at most {faults} page faults a forward"
        if self.session.unchecked:
            yield f"  {self.session.unchecked}"
        yield from self._calibration_notes(threads)
        if self._recorded_line:
            yield f"  {self._recorded_line}"

    def _calibration_notes(self, threads: int) -> Iterator[str]:
        if not self._has_estimates:
            yield f"  {_UNCALIBRATED_NOTE}"
        elif self._settings.configuration.hardware == LOCAL_CPU:
            if self._settings.kind is PATTERN_KIND:
                yield f"  {_HOT_PATTERNS_NOTE}"
            calibrated = load_profile(LOCAL_CPU).mode().threads
            if calibrated != threads:
                yield f"  calibrated with {calibrated} threads, {threads} are used now: {CALIBRATE_LOCAL_CPU}"


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
