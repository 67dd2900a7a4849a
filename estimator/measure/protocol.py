"""The measuring protocol: warm-ups, then rounds of one forward each, all in one go; fewer of both for slow models."""

from __future__ import annotations

import math
import resource
import statistics
import time
from dataclasses import dataclass
from typing import Any, Callable, List, Mapping, Optional, Sequence, Tuple

from ..judging import judged_by
from .device.choice import Choice

WARMUP = 50
ROUNDS = 100
MIN_WARMUP = 1
MIN_ROUNDS = int(judged_by("live.rounds"))
BUDGETS_S: Mapping[str, float] = {"cpu": 3.0, "cuda": 120.0}
"""Seconds of warm-ups and rounds a model gets by default; a third of it for warm-ups, as 50 of 150 are."""
INTERLEAVED: Mapping[str, int] = {"cpu": 3, "cuda": 1}
"""Parts of a model's rounds, the other models in between: a shared CPU drifts within minutes."""
PRECISION_S: Mapping[str, float] = {"cpu": 1e-7, "cuda": 5e-7}
"""The resolution of each clock; CUDA's events resolve about half a microsecond."""
_PROGRESS_S = 0.5
_CUT = 1.5  # times the median
Report = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Protocol:
    """How many forwards: at most `warmup` + `rounds`, at least the minimum of each, as the budget allows; in parts."""

    warmup: int
    rounds: int
    min_warmup: int
    min_rounds: int
    budget_s: float
    interleaved: int = 1

    @property
    def text(self) -> str:
        """Returns the protocol in words."""
        counts = f"{self.warmup} warm-ups, then {self.rounds} rounds"
        parts = f", in {self.interleaved} interleaved rounds" if self.interleaved > 1 else ""
        if (self.min_warmup, self.min_rounds) == (self.warmup, self.rounds):
            return counts + parts
        least = f"never below {self.min_warmup} and {self.min_rounds}"
        return f"{counts}, fewer past {self.budget_s:g} s a model, {least}{parts}"

    def parts(self) -> Tuple[Protocol, ...]:
        """Returns the protocol of each part: its share of the rounds, and one warm-up at least if there is any."""
        count, parts = self.interleaved, []
        warmup, min_warmup = (-(-most // count) for most in (self.warmup, self.min_warmup))
        for part in range(count):
            rounds, min_rounds = ((most + count - 1 - part) // count for most in (self.rounds, self.min_rounds))
            parts.append(Protocol(warmup, rounds, min_warmup, min_rounds, self.budget_s / count))
        return tuple(parts)


def make_protocol(device: str, warmup: Optional[int] = None, rounds: Optional[int] = None) -> Protocol:
    """Returns the default protocol of "cpu" or "cuda"; a count that is given is kept, whatever it takes."""
    most_warmup, min_warmup = (WARMUP, MIN_WARMUP) if warmup is None else (warmup, warmup)
    most, least = (ROUNDS, MIN_ROUNDS) if rounds is None else (rounds, rounds)
    return Protocol(most_warmup, most, min_warmup, least, BUDGETS_S[device], min(INTERLEAVED[device], most))


@dataclass(frozen=True)
class Plan:
    """The device and why, the rounds of a run, the runs of a model, and whether they become the record."""

    choice: Choice
    protocol: Protocol
    runs: int
    record: bool


@dataclass(frozen=True)
class Rounds:
    """What one process measured: ms of each round, seconds of warm-ups and of rounds, mean page faults of a round."""

    samples_ms: Tuple[float, ...]
    warmup_s: float
    rounds_s: float
    page_faults: int


def run_rounds(once_ms: Callable[[], float], protocol: Protocol, report: Report) -> Rounds:
    """Returns the rounds of `once_ms`, which runs one forward and returns its ms; `report` gets (phase, done, of)."""
    start_s = time.perf_counter()
    _repeat(once_ms, protocol.warmup, protocol.min_warmup, protocol.budget_s / 3, "warm-up", report)
    warm_s = time.perf_counter() - start_s
    left_s = max(protocol.budget_s - warm_s, 0.0)
    faults_before = page_faults()
    samples_ms = _repeat(once_ms, protocol.rounds, protocol.min_rounds, left_s, "round", report)
    rounds_s = time.perf_counter() - start_s - warm_s
    return Rounds(tuple(samples_ms), warm_s, rounds_s, (page_faults() - faults_before) // len(samples_ms))


def _repeat(
    once_ms: Callable[[], float], most: int, least: int, budget_s: float, phase: str, report: Report
) -> List[float]:
    start_s = reported_s = time.perf_counter()
    samples_ms: List[float] = []
    while len(samples_ms) < most:
        samples_ms.append(once_ms())
        now_s = time.perf_counter()
        if len(samples_ms) >= least and now_s - start_s >= budget_s:
            break
        if now_s - reported_s >= _PROGRESS_S:
            expected = max(least, min(most, int(budget_s * len(samples_ms) / (now_s - start_s))))
            report(phase, len(samples_ms), expected)
            reported_s = now_s
    return samples_ms


def typical(samples: Sequence[float]) -> float:
    """Returns the mean of the samples, each cut at 1.5 times their median: what is cut the machine did meanwhile."""
    limit = _CUT * statistics.median(samples)
    return statistics.fmean(min(sample, limit) for sample in samples)


def deviation_pct(values: Sequence[float]) -> float:
    """Returns the mean |value - median| in percent of the median."""
    median = statistics.median(values)
    return statistics.fmean(100 * abs(value / median - 1) for value in values)


def percentile_ms(samples_ms: Sequence[float], percent: float) -> float:
    """Returns the sample that this percentage of the samples is at or below."""
    ordered = sorted(samples_ms)
    return ordered[max(0, math.ceil(percent / 100 * len(ordered)) - 1)]


def median_noise_pct(samples_ms: Sequence[float]) -> float:
    """Returns half the 95 % confidence interval of the median in percent of it, from order statistics alone."""
    ordered, count = sorted(samples_ms), len(samples_ms)
    reach = 1.96 * math.sqrt(count) / 2
    low = max(0, math.floor(count / 2 - reach))
    high = min(count - 1, math.ceil(count / 2 + reach))
    return 50 * (ordered[high] - ordered[low]) / statistics.median(ordered)


def page_faults() -> int:
    """Returns the page faults of this process so far, minor and major."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_minflt + usage.ru_majflt


def cuda_once(forward: Callable[[], Any]) -> Callable[[], float]:
    """Returns the function that runs (event, forward, event, synchronize) and returns the ms between the events."""
    import torch

    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))

    def once_ms() -> float:
        start.record()
        forward()
        end.record()
        torch.cuda.synchronize()
        return float(start.elapsed_time(end))

    return once_ms


def cpu_once(forward: Callable[[], Any]) -> Callable[[], float]:
    """Returns the function that runs one forward and returns its ms by the host's clock."""

    def once_ms() -> float:
        start_s = time.perf_counter()
        forward()
        return 1e3 * (time.perf_counter() - start_s)

    return once_ms


ONCE: Mapping[str, Callable[[Callable[[], Any]], Callable[[], float]]] = {"cpu": cpu_once, "cuda": cuda_once}
