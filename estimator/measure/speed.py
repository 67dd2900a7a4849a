"""How fast this machine's CPU is beside the day of its calibration."""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Optional, Sequence

from ..interval import QUANTILE
from .protocol import deviation_pct

if TYPE_CHECKING:
    from ..hardware.profile import Profile
    from ..pipeline import Estimate


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
        factor, terms = self.slowdown or 1.0, ("latency_ms", "host_ms", "device_ms")
        return replace(estimate, **{term: factor * getattr(estimate, term) for term in terms})


def speed_of(profile: Profile, references_ms: Sequence[float]) -> Speed:
    """Returns the speed that these times of the reference workload show, in a session on the profile's CPU."""
    interval_pct = QUANTILE * profile.held_out_spread_pct
    if not references_ms or profile.reference_ms is None:
        return Speed(None, 0.0, interval_pct)
    slowdown = statistics.median(references_ms) / profile.reference_ms
    return Speed(slowdown, deviation_pct(references_ms), interval_pct)
