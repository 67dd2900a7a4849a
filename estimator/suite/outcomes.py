"""What became of each subject of a live session: measured and judged, or why not."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Callable, Dict, List, Optional, Sequence, Union

from ..commands import option_name
from ..compare import BANDS_PCT, Comparison, compare
from ..errors import GoldenLatencyError
from ..estimates import Estimates, Result
from ..goldens.configuration import Configuration, kind_of
from ..measure.baseline import refuse_mixing
from ..measure.device_session import Measured, MeasuringSession
from ..measure.interleaved import measure_models
from ..measure.regression import Verdict, judge
from ..measure.speed import Speed, speed_of
from ..measure.together import Together, judge_together
from ..records.kinds import Kind
from ..records.record import Record
from ..target import Target
from ..target_options import target_command
from .reports import Problem

if TYPE_CHECKING:
    from ..measure.interleaved import Outcome
    from ..subjects.registry import Subject

UNCALIBRATED = "-"
COMMON = "common to models"
"""The row of what moved all models alike."""


@dataclass(frozen=True)
class LiveResult:
    """A model measured now: its row, what the golden is held against, and the verdict on its latency."""

    comparison: Comparison
    recorded: Optional[Result]
    measured: Measured
    verdict: Verdict
    noise_pct: float


def band_problem(result: LiveResult, rating: Optional[str]) -> Optional[Problem]:
    """Returns how far the estimate is outside the promised rating's band, widened by the noise; None if it is not."""
    row = result.comparison
    if rating is None or rating not in BANDS_PCT or row.error_pct is None:
        return None
    allowed_pct = BANDS_PCT[rating] + result.noise_pct
    if abs(row.error_pct) < allowed_pct:
        return None
    return Problem(
        f"{row.model}: the estimate is {row.error_pct:+.1f} % off on the live device, outside the band of {rating}",
        (
            f"  expected |error| < {BANDS_PCT[rating]:.0f} % ({rating}) + {result.noise_pct:.1f} % of noise",
            f"  got {row.error_pct:+.2f} %: estimated {row.est_ms} ms, measured {_measured_text(result)}",
        ),
    )


def verdict_problem(
    result: LiveResult, baseline: Record, target: Target, name: Callable[[str], str] = option_name
) -> Optional[Problem]:
    """Returns how the latency left the baseline, and what to do if that is meant; None if it did not."""
    if not result.verdict.alarms:
        return None
    measure = f"{target_command(target, name)} {name('--device')} {target.board.device}"
    return Problem(
        f"{result.comparison.model}: {result.verdict.text}",
        (
            f"  measured {_measured_text(result)}",
            f"  baseline {', '.join(map(str, baseline.runs_ms[result.comparison.model]))} ms, {baseline.path}",
            f"  recorded {baseline.provenance['date']} with {baseline.provenance['software']}",
            f"  If the change is meant: {measure} {name('--record')} {name('--runs')} 3",
        ),
    )


def common_problem(verdict: Verdict) -> Optional[Problem]:
    """Returns how the speed that models share left the baseline; None if it did not."""
    if not verdict.alarms:
        return None
    about = "  every model that the host's speed moves changed alike; what is said of each model is beside that"
    return Problem(f"{COMMON}: {verdict.text}", (about,))


def _measured_text(result: LiveResult) -> str:
    measured = result.measured
    runs = ", ".join(map(str, measured.runs_ms))
    return f"{measured.median_ms} ms (median of {len(measured.runs)} runs: {runs}; {len(measured.samples_ms)} rounds)"


class Outcomes:
    """The subjects that were measured in a session, by name.

    `interleaved` names those whose rounds are interleaved, all before the first of them has a result.
    """

    def __init__(self, measuring: MeasuringSession, configuration: Configuration, estimates: Estimates) -> None:
        self.measuring = measuring
        self.kinds: Dict[str, Kind] = {}
        self.interleaved: Sequence[str] = ()
        self._configuration = configuration
        self._estimates = estimates
        self._found: Dict[str, Union[LiveResult, GoldenLatencyError]] = {}
        self._measured: Dict[str, Outcome] = {}

    def get(self, name: str) -> Union[LiveResult, GoldenLatencyError, None]:
        """Returns what became of a subject, None where nobody measured it yet."""
        return self._found.get(name)

    @property
    def results(self) -> List[LiveResult]:
        """Returns the subjects that have a latency."""
        return [outcome for outcome in self._found.values() if isinstance(outcome, LiveResult)]

    def measure(self, subject: Subject, is_part: bool) -> Union[LiveResult, GoldenLatencyError]:
        """Returns the subject measured and judged, or why not; `is_part` where others of its record are left out."""
        self.kinds[subject.name] = kind_of(subject)
        try:
            if self.measuring.plan.record and is_part:
                refuse_mixing(self.measuring, self.record_of(subject.name))
            self._found[subject.name] = self._result(subject)
        except GoldenLatencyError as error:
            self.measuring.refused[subject.name] = str(error)
            self._found[subject.name] = error
        return self._found[subject.name]

    def _result(self, subject: Subject) -> LiveResult:
        """The estimate first, while the device is idle."""
        configuration = self._configuration
        recorded = configuration.estimated(subject, self._estimates) if configuration.has_estimates else None
        measured = self._taken(subject)
        baseline_ms = self.record_of(subject.name).runs_ms.get(subject.name, ())
        noise_pct = measured.noise_pct(baseline_ms)
        row = _row(subject, recorded, measured.median_ms, self.speed, configuration)
        return LiveResult(row, recorded, measured, judge(baseline_ms, measured.runs_ms), noise_pct)

    def _taken(self, subject: Subject) -> Measured:
        if subject.name not in self._measured:
            is_interleaved = self.measuring.plan.protocol.interleaved > 1 and subject.name in self.interleaved
            names = self.interleaved if is_interleaved else [subject.name]
            self._measured.update(measure_models(self.measuring, names))
        outcome = self._measured[subject.name]
        if isinstance(outcome, GoldenLatencyError):
            raise outcome
        return outcome

    def record_of(self, name: str) -> Record:
        """Returns the record of the tests that a subject belongs to."""
        return self._configuration.record_of(self.kinds[name])

    @property
    def speed(self) -> Speed:
        """Returns how fast the machine is now, beside the day of its calibration."""
        references_ms = self.measuring.references_ms if self._configuration.has_estimates else ()
        return speed_of(self._configuration.target.profile, references_ms)

    def together(self) -> Optional[Together]:
        """Returns the verdict on all models together; None where too few have a baseline."""
        one_clock = self._configuration.target.profile.processor == "cpu"
        kinds = list(dict.fromkeys(self.kinds.values()))
        record = self._configuration.record_of(kinds[0]) if kinds else self._configuration.record
        sharing = {r.measured.model for r in self.results if one_clock or r.comparison.bound == "host"}
        baseline_ms = {name: runs for name, runs in record.runs_ms.items() if name not in record.partial}
        return judge_together(baseline_ms, {r.measured.model: r.measured.runs_ms for r in self.results}, sharing)

    def regressions(self) -> List[Problem]:
        """Returns each model that left its baseline beside what models share, and that share where it did."""
        together = self.together()
        if together is None:
            return []
        judged = [(r, together.models.get(r.measured.model)) for r in self.results]
        found = [(replace(result, verdict=verdict)) for result, verdict in judged if verdict is not None]
        target = self._configuration.target
        name = self._configuration.repository.option_name
        problems = [verdict_problem(result, self.record_of(result.measured.model), target, name) for result in found]
        return [problem for problem in (common_problem(together.common), *problems) if problem is not None]


def _row(
    subject: Subject, recorded: Optional[Result], median_ms: float, speed: Speed, configuration: Configuration
) -> Comparison:
    if recorded is not None:
        estimate = speed.applied_to(recorded.estimate)
        return compare(subject.name, subject.family, estimate, median_ms, configuration.where)
    nothing = (None, None, None, None)
    return Comparison(subject.name, subject.family, None, median_ms, None, UNCALIBRATED, *nothing, *configuration.where)
