"""How fast this machine's CPU is beside the day of its calibration, and what a live session found, in words."""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Iterator, Optional, Sequence

from ..interval import QUANTILE
from ..report import MICROBENCHMARK_BARS

if TYPE_CHECKING:
    from ..hardware.profile import Profile
    from ..pipeline import Estimate
    from ..target import Target
    from .live_report import LiveResult


@dataclass(frozen=True)
class Speed:
    """What the reference workload takes now over what it took at calibration, and an estimate's interval in percent.

    `slowdown` is None where it was not measured now or then; `spread_pct` is its mean |time - median| now.
    """

    slowdown: Optional[float]
    spread_pct: float
    interval_pct: float

    @property
    def drifted(self) -> bool:
        """Whether the machine's speed since calibration moved by more than an estimate may be off anyway."""
        return self.slowdown is not None and abs(math.log(self.slowdown)) > math.log1p(self.interval_pct / 100)

    def applied_to(self, estimate: Estimate) -> Estimate:
        """Returns the estimate for the speed of now: a CPU has one clock, and the reference workload shows it."""
        factor = self.slowdown or 1.0
        return replace(
            estimate,
            latency_ms=factor * estimate.latency_ms,
            host_ms=factor * estimate.host_ms,
            device_ms=factor * estimate.device_ms,
        )


def speed_of(profile: Profile, references_ms: Sequence[float]) -> Speed:
    """Returns the speed that these times of the reference workload show, in a session on the profile's CPU."""
    interval_pct = QUANTILE * profile.held_out_spread_pct
    if not references_ms or profile.reference_ms is None:
        return Speed(None, 0.0, interval_pct)
    median_ms = statistics.median(references_ms)
    spread_pct = statistics.fmean(100 * abs(ms / median_ms - 1) for ms in references_ms)
    return Speed(median_ms / profile.reference_ms, spread_pct, interval_pct)


def finding_lines(results: Sequence[LiveResult], speed: Speed, target: Target) -> Iterator[str]:
    """Yields in words how well the estimates hold on this machine, and what limits them."""
    errors = {r.comparison.model: r.comparison.error_pct for r in results if r.comparison.error_pct is not None}
    repeats = [r.measured.repeatability_pct for r in results]
    known = [pct for pct in repeats if pct is not None]
    yield from _speed_lines(speed, target)
    if not errors:
        return
    mean_pct = statistics.fmean(map(abs, errors.values()))
    worst = max(errors, key=lambda name: abs(errors[name]))
    yield ""
    yield (
        f"  Found: the estimates of {len(errors)} models are off by {mean_pct:.1f} % on average, "
        f"by {errors[worst]:+.1f} % at most ({worst})."
    )
    if known:
        yield f"  Measured again within this session, a model differs from itself by {statistics.fmean(known):.1f} %."
        yield f"  {_limit(mean_pct, statistics.fmean(known), speed, target)}"


def _speed_lines(speed: Speed, target: Target) -> Iterator[str]:
    if speed.slowdown is None:
        return
    pct = 100 * abs(speed.slowdown - 1)
    word = "slower" if speed.slowdown > 1 else "faster"
    now = f"the machine is {pct:.1f} % {word} than at its calibration, by a reference workload beside each model"
    if speed.drifted:
        yield (
            f"  {now}: more than the interval of {speed.interval_pct:.1f} %, so no estimate is asserted; "
            f"to calibrate again: {target.board.calibrate_command}"
        )
    else:
        yield f"  {now} (which varies by {speed.spread_pct:.1f} %); the estimates are for the speed of now"


def _limit(mean_pct: float, repeats_pct: float, speed: Speed, target: Target) -> str:
    bar_pct = MICROBENCHMARK_BARS[target.profile.processor].mean_pct
    if speed.drifted:
        return "What limits them: the machine is not what it was when it was calibrated; calibrate again."
    if repeats_pct >= 0.7 * mean_pct:
        return "What limits them: the machine itself; no estimate can be shown to be better than it repeats."
    if mean_pct <= bar_pct:
        return f"They hold what is promised of a calibrated CPU ({bar_pct:.0f} % on average)."
    return (
        f"What limits them: the formulas, which do not know all of this processor ({bar_pct:.0f} % was promised); "
        "a second calibration in a quieter hour tells whether it was the day."
    )
