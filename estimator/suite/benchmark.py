"""pytest-benchmark beside a live session: it gets the rounds that were measured, and where they come from."""

from __future__ import annotations

from typing import Any, Dict, List, Sequence

import pytest

from ..measure.device_session import MeasuringSession
from ..measure.protocol import PRECISION_S
from .outcomes import LiveResult

_STORAGE = "file://./.benchmarks"


def keep_devices_apart(config: pytest.Config, folder: str) -> None:
    """Lets pytest-benchmark keep what it saves in this folder, unless the command line names another."""
    if getattr(config.option, "benchmark_storage", None) == _STORAGE:
        config.option.benchmark_storage = f"{_STORAGE}/{folder}"


def machine_info(measuring: MeasuringSession) -> Dict[str, Any]:
    """Returns the device, its mode and its software."""
    target = measuring.target
    known: Dict[str, Any] = {"hardware": target.hardware, "configuration": target.label}
    if measuring.processes:  # --benchmark-compare asks before anything runs
        environment = measuring.environment()
        keys = ("name", "torch", "torchvision", "cuda", "cudnn", "threads")
        known.update({key: environment.get(key) for key in keys})
    return known


def hand_over(request: pytest.FixtureRequest, result: LiveResult, device: str) -> None:
    """Gives pytest-benchmark the rounds that were measured: a timer that tells the measured time of each."""
    if not request.config.pluginmanager.hasplugin("benchmark") or "benchmark" in request.node.funcargs:
        return  # a benchmark has one function; a test may check several subjects
    clock = _MeasuredClock(result.measured.samples_ms)
    request.node.add_marker(pytest.mark.benchmark(timer=clock.now_s, disable_gc=False))
    benchmark = request.getfixturevalue("benchmark")
    getattr(benchmark, "_precisions", {})[clock.now_s] = PRECISION_S[device]
    benchmark.extra_info.update(extra_info(result))
    benchmark.pedantic(clock.next_round, rounds=len(result.measured.samples_ms), iterations=1)


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
        "repeatability_pct": measured.repeatability_pct,
        "verdict": result.verdict.text,
        "clocks": measured.clocks,
        "temperature_c": [measured.before.temperature_c, measured.after.temperature_c],
        "power_mode": measured.before.power_mode,
        "page_faults": max(run.page_faults for run in measured.runs),
    }


class _MeasuredClock:
    """A clock that stands still but for the measured rounds."""

    def __init__(self, samples_ms: Sequence[float]) -> None:
        self._left: List[float] = list(reversed(samples_ms))
        self._now_s = 0.0

    def now_s(self) -> float:
        return self._now_s

    def next_round(self) -> None:
        if self._left:  # pytest-benchmark calls once more after the last round
            self._now_s += self._left.pop() / 1e3
