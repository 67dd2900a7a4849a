"""A session on the device: measures, then holds estimate and latency against golden and baseline."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Callable, Dict, Iterator, List, Mapping, Optional, Sequence

import pytest

from ..commands import calibrate_command
from ..errors import GoldenLatencyError, MeasurementError, MeasurementRefused
from ..goldens.configuration import Configuration, kind_of
from ..measure.baseline import provenance, record, repeat_lines
from ..measure.device_session import session_on
from ..measure.progress import Progress
from ..measure.protocol import Plan
from ..measure.together import LEAST_SHARING
from ..opstream import digest
from ..records.kinds import MODEL_KIND, PATTERN_KIND
from ..report.page import Measurement
from ..review.live_verdict import live_verdict_lines
from ..review.verdict import golden_verdict_lines
from ..subjects.custom import OwnModel, rules_of
from ..subjects.from_pytest import Place
from . import benchmark
from .budgets import budget_problem, with_budget
from .goldens import Goldens
from .options import Options, command_of
from .outcomes import LiveResult, Outcomes, band_problem, verdict_problem
from .reports import Problem, fail_in_one_line, fail_with, noted, tell_row
from .session import BASELINE, Asked, Session, Test, not_repeated, repeat_options
from .summary import cost_line, finding_lines, live_lines, software_notes, verdict_text

if TYPE_CHECKING:
    from ..estimates import Result
    from ..goldens.difference import Difference
    from ..subjects.registry import Subject
    from ..target import Target

PROMISED_RATING = "FAIR"
"""Of every model where there are no goldens to say it."""
_HOT_PATTERNS_NOTE = (
    "a pattern alone runs hot in a CPU's caches; its estimate is for a model around it, and is not asserted"
)


class Live(Session):
    """Measures models, or patterns where no model is asked for."""

    _only_patterns = False
    _recorded_line: Optional[str] = None

    def __init__(self, config: pytest.Config, options: Options, configuration: Configuration, plan: Plan) -> None:
        super().__init__(config, options, configuration, plan.choice)
        target = options.target
        self.plan = plan
        self.measuring = session_on(target, plan, Progress(_progress_writer(config)))
        self.outcomes = Outcomes(self.measuring, configuration, self.estimates)
        benchmark.keep_devices_apart(config, f"{target.hardware}/{target.label}")

    def header(self) -> Iterator[str]:
        """Yields how each subject is measured."""
        plan = self.plan
        each = "in 1 fresh process" if plan.runs == 1 else f"each model in {plan.runs} fresh processes"
        recording = ", RECORDING the baseline" if plan.record else ""
        yield f"protocol: {plan.protocol.text}; {each}{recording}"
        yield from self._notes()

    def _notes(self) -> Iterator[str]:
        """What must be known of the constants, if there are any."""
        name = self.options.target.hardware
        if self.configuration.has_estimates:
            yield from software_notes(self.options.target, self.options.software)
        else:
            yield (
                f"{name} is not calibrated on this machine: measured, without an estimate to hold it against; "
                f"to calibrate: {calibrate_command(name)}"
            )

    def select(self, tests: Sequence[Test]) -> List[Test]:
        """Models as the options say, and what judges them together; patterns only where no model is collected."""
        has_models = any(test.kind is MODEL_KIND for test in tests)
        return [test for test in tests if not test.is_ours or self._runs(test, has_models)]

    def _runs(self, test: Test, has_models: bool) -> bool:
        if test.kind is MODEL_KIND:
            return test.subject in self.options.models
        if test.kind is PATTERN_KIND:
            return not has_models and self.options.whole_zoo
        if test.is_own:
            return self.options.whole_zoo
        recorded = [model for model in self.options.models if model.name in self.configuration.record.runs_ms]
        return test.role == BASELINE and not self.plan.record and len(recorded) >= LEAST_SHARING

    def start(self, tests: Sequence[Test]) -> None:
        """Starts the processes that will measure the subjects of these tests."""
        self.outcomes.interleaved = [test.subject.name for test in tests if test.subject is not None]
        about = [test for test in tests if test.subject is not None or test.is_own]
        if about:
            self._only_patterns = all(test.kind is PATTERN_KIND for test in about)
            self._start_measuring(len(about))

    def _start_measuring(self, subjects: int) -> None:
        """Ends the session where the device refuses."""
        self.measuring.progress.models = subjects * self.plan.protocol.interleaved * self.plan.runs
        try:
            self.measuring.start()
        except MeasurementRefused as refused:
            pytest.exit(f"not measured, refused: {refused}", returncode=int(pytest.ExitCode.TESTS_FAILED))

    def prepare(self, request: pytest.FixtureRequest, subject: Subject) -> None:
        """Measures the subject; a refused measurement is an error of the test, a subject that fails is a failure."""
        __tracebackhide__ = True
        outcome = self.outcomes.measure(subject, is_part=not self.options.whole_zoo)
        if isinstance(outcome, MeasurementRefused):
            fail_in_one_line(f"{subject.name}: not measured, refused: {outcome}")
        if isinstance(outcome, LiveResult):
            benchmark.hand_over(request, outcome, self.choice.device)
            tell_row(request.node, subject, outcome.comparison)

    def check(self, request: pytest.FixtureRequest, asked: Asked) -> None:
        """Fails with what is wrong with the estimate, its band, the latency since the baseline, or the budget.

        While recording, the old baseline and the golden that goes with it are reported, not asserted.
        """
        __tracebackhide__ = True
        subject = asked.subject
        if asked.configuration.where != self.configuration.where:
            pytest.skip(f"{subject.name}: for {asked.configuration.name}; {self.configuration.name} is measured")
        if self.outcomes.get(subject.name) is None:
            self._prepare_own(request, subject)
        outcome = self.outcomes.get(subject.name)
        if not isinstance(outcome, LiveResult):
            what = "not measured" if isinstance(outcome, MeasurementError) else "no estimate"
            fail_in_one_line(f"{subject.name}: {what}: {outcome}")
        row, budget = with_budget(outcome.comparison, asked.budget_ms, outcome.noise_pct)
        recorded = outcome.recorded
        tell_row(request.node, subject, row, **({} if recorded is None else noted(recorded.estimate)))
        problems = [
            budget_problem(budget, asked, not_repeated(request.node, request.node.nodeid), self.estimates),
            self._golden_problem(request, subject, outcome.recorded),
            None if self.outcomes.speed.drifted else band_problem(outcome, self._promised_rating(subject)),
            self._verdict_problem(outcome),
        ]
        fail_with(request, [] if self.plan.record else problems)

    def _verdict_problem(self, outcome: LiveResult) -> Optional[Problem]:
        recorded, name = self.outcomes.record_of(outcome.measured.model), self.configuration.repository.option_name
        return verdict_problem(outcome, recorded, self.options.target, name)

    def _prepare_own(self, request: pytest.FixtureRequest, subject: Subject) -> None:
        """The processes that measure get the module of a test by running the test, as far as it goes."""
        __tracebackhide__ = True
        if isinstance(subject, OwnModel):
            self.own_models[subject.name] = subject
            name = self.configuration.repository.option_name
            self.measuring.tests[subject.name] = place_of(request, self.options.target, name)
        self.prepare(request, subject)

    def _promised_rating(self, subject: Subject) -> Optional[str]:
        """The golden's; without goldens that of the board, which a pattern in a loop of its own does not share."""
        board = self.options.target.board
        if not board.has_goldens:
            return PROMISED_RATING if kind_of(subject) is not PATTERN_KIND else None
        return self.configuration.golden(subject).get("rating")

    def _golden_problem(
        self, request: pytest.FixtureRequest, subject: Subject, recorded: Optional[Result]
    ) -> Optional[Problem]:
        if recorded is None or not self.options.target.board.has_goldens:
            return None
        goldens = Goldens(self.configuration, request.getfixturevalue("snapshot"), updating=False)
        fitted_with = replace(self.configuration.target, same_software=None)  # a golden's interval is for that software
        estimated = replace(self.configuration, target=fitted_with).estimated(subject, self.estimates)
        return goldens.problem(subject, estimated)

    def check_baselines(self, request: pytest.FixtureRequest) -> None:
        """Fails with each model that left its baseline, the speed that models share taken out, or with that speed."""
        __tracebackhide__ = True
        fail_with(request, self.outcomes.regressions())

    def finish(self, ended: bool) -> bool:
        """Ends the processes; writes the record if that was asked for. Returns False where it could not be written."""
        try:
            if ended and self.plan.record:
                self._recorded_line = self._recorded()
        except (OSError, GoldenLatencyError) as error:
            self._recorded_line = f"NOT RECORDED: {error}"
            return False
        finally:
            self.measuring.close()
        return True

    def _recorded(self) -> Optional[str]:
        """Writes the record of each kind of subject; returns what it says of each."""
        root, lines = self.configuration.root, []
        for kind in dict.fromkeys(self.outcomes.kinds.values()):
            names = [name for name, of in self.outcomes.kinds.items() if of == kind]
            lines.append(record(self.measuring, self.configuration.record_of(kind), root, names))
        return "; ".join(line for line in lines if line is not None) or None

    def measurements(self) -> Mapping[str, Measurement]:
        """Returns each subject's rounds and verdict: what is said of it alone, and beside what models share."""
        together = None if self.plan.record else self.outcomes.together()
        return {
            r.measured.model: Measurement(r.measured.samples_ms, r.measured.runs_ms, verdict_text(r, together))
            for r in self.outcomes.results
        }

    def summary(self) -> Iterator[str]:
        """Yields each subject's runs and verdict, what the session cost, and how it repeats."""
        if not self.outcomes.results:
            return
        together = None if self.plan.record else self.outcomes.together()
        yield from ("", *live_lines(self.outcomes.results, together), "", cost_line(self.measuring.measuring_s))
        yield from repeat_lines(self.measuring)
        faults = max(run.page_faults for m in self.measuring.measured.values() for run in m.runs)
        threads = int(self.measuring.environment()["threads"])
        yield f"  {threads} threads; at most {faults} page faults a forward"
        if self.measuring.reader.unchecked:
            yield f"  {self.measuring.reader.unchecked}"
        yield from self._calibration_notes(threads)
        if self.configuration.has_estimates and not self.options.target.board.has_goldens and not self._only_patterns:
            yield from finding_lines(self.outcomes.results, self.outcomes.speed, self.options.target)
        if self._recorded_line:
            yield f"  {self._recorded_line}"

    def verdict(self, differences: Sequence[Difference], judged: Sequence[str]) -> Iterator[str]:
        """Yields what changed in the goldens' inputs, then whether the suite or the device changed since the record."""
        configuration, repository = self.configuration, self.configuration.repository
        if differences:
            device = repository.option_name("--device")
            command = f"{command_of(self.config, self.options, repository)} {device} {self.choice.device}"
            yield from golden_verdict_lines(repository, [configuration], judged, differences, command, self.estimates)
        now = provenance(self.measuring, configuration.root) if self.outcomes.results else {}
        for kind in dict.fromkeys(self.outcomes.kinds.values()):
            names = [r.measured.model for r in self.outcomes.results if self.outcomes.kinds[r.measured.model] == kind]
            recorded, target = configuration.record_of(kind), self.options.target
            if names:
                digests = {
                    name: digest(self.ops_of(name, target), rules_of(self.own_models.get(name))) for name in names
                }
                yield from live_verdict_lines(repository, target, recorded, now, digests)

    def _calibration_notes(self, threads: int) -> Iterator[str]:
        target = self.options.target
        yield from (f"  {note}" for note in self._notes())
        if self.configuration.has_estimates and not target.board.has_goldens:
            if self._only_patterns:
                yield f"  {_HOT_PATTERNS_NOTE}"
            calibrated = target.mode.threads
            if calibrated != threads:
                used = f"calibrated with {calibrated} threads, {threads} are used now"
                yield f"  {used}: {calibrate_command(target.hardware)}"

    def device_info(self) -> Dict[str, Any]:
        """Returns the device, its mode and its software, for pytest-benchmark's JSON."""
        return benchmark.machine_info(self.measuring)


def place_of(request: pytest.FixtureRequest, target: Target, name: Callable[[str], str]) -> Place:
    """Returns where another process finds what a test checks, for the same target; `name` gives an option's name."""
    config, item = request.config, request.node
    ini = ("-c", str(config.inipath)) if config.inipath is not None else ()
    of_target = (*(name("--hardware"), target.hardware), *(name("--power-mode"), target.mode.name))
    of_stream = (*(name("--precision"), target.precision.name), *(name("--batch-size"), str(target.batch_size)))
    of_runtime = (name("--runtime"), target.runtime)
    _, colons, test = item.nodeid.partition("::")
    options = (f"--rootdir={config.rootpath}", *ini, *of_target, *of_stream, *of_runtime, *repeat_options(config))
    return Place(f"{item.path}{colons}{test}", options)


def _progress_writer(config: pytest.Config) -> Optional[Callable[[str], None]]:
    """Nothing is shown under -q, in CI, and where the output is no terminal."""
    if config.option.verbose < 0 or os.environ.get("CI"):
        return None

    def write(line: str) -> None:
        terminal = config.pluginmanager.get_plugin("terminalreporter")
        if terminal is not None and terminal.isatty:
            terminal.rewrite(line, erase=True)
            terminal.flush()

    return write
