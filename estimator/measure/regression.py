"""Live runs against the baseline's runs: slower, faster or the same, and how sure.

Processes differ more than rounds within one: a run counts as one observation, the median of its rounds. The verdict
is a two-sample t interval of the logarithms of those medians at level `ALPHA`. (A rank test could not do it: of three
runs against three, the most extreme order has a probability of 1 in 10 by chance alone.)
"""

from __future__ import annotations

import functools
import math
import statistics
from dataclasses import dataclass
from typing import Optional, Sequence, Tuple

from ..figures import percent
from ..judging import judged_by

ALPHA = judged_by("live.alarm.alone")
"""Level of the interval: with the recorded runs resampled, which are no normal distribution, a model judged alone and
together (`together.ALPHA`) alarms falsely in less than 1 %."""
FLOOR_PCT = judged_by("live.alarm.floor")
"""No difference smaller than this is ever a verdict."""

_WIDE_PCT = 1000.0
REGRESSION, FASTER, SAME = "REGRESSION", "FASTER: re-record", "same"
NO_BASELINE, UNJUDGED = "no baseline", "not judged"
ALARMS = (REGRESSION, FASTER)


@dataclass(frozen=True)
class Verdict:
    """What became of a model's latency since the baseline: change and margin in percent, None where neither is known.

    `change_pct` is a ratio of geometric means over the runs.
    """

    word: str
    change_pct: Optional[float] = None
    margin_pct: Optional[float] = None

    @property
    def alarms(self) -> bool:
        """Whether the change is one that somebody has to look at."""
        return self.word in ALARMS

    @property
    def text(self) -> str:
        """Returns the verdict in words, with its figures."""
        if self.change_pct is None:
            return self.word
        margin = percent(self.margin_pct)
        if self.margin_pct is None:
            margin = "unknown: one run each, use 3 runs"
        elif self.margin_pct > _WIDE_PCT:
            margin = f"above {_WIDE_PCT:.0f} %: runs this few and this far apart tell nothing, use 3 runs"
        return f"{self.word} ({self.change_pct:+.1f} %, margin {margin})"


def judge(baseline_ms: Sequence[float], live_ms: Sequence[float]) -> Verdict:
    """Returns the verdict on live runs, given the baseline's; latencies in ms, one per run."""
    if not baseline_ms:
        return Verdict(NO_BASELINE)
    return judge_logs(logs(baseline_ms), logs(live_ms))


def judge_logs(before: Sequence[float], now: Sequence[float], alpha: float = ALPHA) -> Verdict:
    """Returns the verdict on logarithms of latencies, one per run; neither side may be empty."""
    change, spread_log = statistics.fmean(now) - statistics.fmean(before), spread(before, now)
    if spread_log is None:
        return Verdict(UNJUDGED, 100 * math.expm1(change))
    margin = log_margin(spread_log, len(before), len(now), alpha)
    word = SAME if abs(change) <= margin else REGRESSION if change > 0 else FASTER
    return Verdict(word, 100 * math.expm1(change), 100 * math.expm1(margin))


def logs(values: Sequence[float]) -> Tuple[float, ...]:
    """Returns the natural logarithms."""
    return tuple(map(math.log, values))


def spread(*groups: Sequence[float]) -> Optional[float]:
    """Returns the standard deviation between runs within groups of logarithms; None where no group has two runs."""
    freedom = sum(len(group) - 1 for group in groups)
    return math.sqrt(sum(map(_squares, groups)) / freedom) if freedom else None


def _squares(group: Sequence[float]) -> float:  # statistics.pvariance computes with fractions, ten times as long
    mean = statistics.fmean(group)
    return math.fsum((x - mean) ** 2 for x in group)


def spread_pct(*runs_ms: Sequence[float]) -> Optional[float]:
    """Returns the spread between runs in percent."""
    found = spread(*(logs(group) for group in runs_ms if group))
    return None if found is None else 100 * found


def log_margin(spread_log: float, baseline_runs: int, live_runs: int, alpha: float = ALPHA) -> float:
    """Returns the logarithm beyond which a change is a verdict, from the spread of the model's own runs.

    max(FLOOR, t(runs - 2 degrees of freedom) x spread x sqrt(1 / baseline runs + 1 / live runs))
    """
    t = student_t(1 - alpha, baseline_runs + live_runs - 2)
    return max(math.log1p(FLOOR_PCT / 100), t * spread_log * math.sqrt(1 / baseline_runs + 1 / live_runs))


@functools.lru_cache(maxsize=None)
def student_t(probability: float, freedom: int) -> float:
    """Returns the bound that |t| stays below with this probability."""
    low, high = 0.0, 1e6
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if _within(middle, freedom) < probability else (low, middle)
    return high


def _within(t: float, freedom: int) -> float:
    """The probability of |T| < t, by the finite sum for whole degrees of freedom (Abramowitz and Stegun, 26.7.3-4)."""
    angle = math.atan(t / math.sqrt(freedom))
    sine, cosine = math.sin(angle), math.cos(angle)
    odd = freedom % 2
    term, total = (cosine, 0.0) if odd else (1.0, 0.0)
    for k in range(1 if odd else 0, freedom - 1, 2):
        total += term
        term *= cosine * cosine * (k + 1) / (k + 2)
    return 2 / math.pi * (angle + sine * total) if odd else sine * total
