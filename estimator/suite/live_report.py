"""What a live session says: why a model fails, its line below the table, what pytest-benchmark's JSON carries."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, Iterator, Mapping, Optional, Sequence

from ..compare import BANDS_PCT, Comparison
from ..digits import ms_text
from ..estimates import Result
from ..hardware.software import differing, software_text
from ..measure.device_session import Measured
from ..measure.regression import Verdict
from ..measure.together import Together
from ..records.record import Record
from ..target import Target
from .reports import Problem

_NAME_WIDTH = 22
_FITTED = {
    True: "intervals allow for it; to fit the host's",
    False: "no evidence says what that changes; to fit them",
}
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


def verdict_problem(result: LiveResult, baseline: Record, target: Target) -> Optional[Problem]:
    """Returns how the latency left the baseline, and what to do if that is meant; None if it did not."""
    if not result.verdict.alarms:
        return None
    return Problem(
        f"{result.comparison.model}: {result.verdict.text}",
        (
            f"  measured {_measured_text(result)}",
            f"  baseline {', '.join(map(str, baseline.runs_ms[result.comparison.model]))} ms, {baseline.path}",
            f"  recorded {baseline.provenance['date']} with {baseline.provenance['software']}",
            f"  If the change is meant: {target.command} --device {target.board.device} --record --runs 3",
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


def live_lines(results: Sequence[LiveResult], together: Optional[Together] = None) -> Iterator[str]:
    """Yields the table of medians, noise, runs and verdicts: each model's alone, and beside what models share."""
    width = max(_NAME_WIDTH, *(len(result.measured.model) for result in results), len(COMMON))
    yield f"  {'Live':<{width + 2}} {'median':>10} {'p90':>10} {'noise':>8}  runs (ms), against the baseline"
    yield "  " + "-" * (width + 60)
    for result in results:
        measured = result.measured
        runs = ", ".join(f"{ms:.4g}" for ms in measured.runs_ms)
        figures = f"{ms_text(measured.median_ms):>10} {ms_text(measured.p90_ms):>10} {result.noise_pct:>6.1f} %"
        yield f"    {measured.model:<{width}} {figures}  {runs}: {verdict_text(result, together)}"
    if together is not None:
        yield f"    {COMMON:<{width}} {'':>30}  {together.common.text}"


def software_notes(target: Target, here: Mapping[str, str]) -> Iterator[str]:
    """Yields the line that says which software of this machine is another than that of the constants, if any is."""
    profile, board = target.profile, target.board
    of_host, of_device = (differing(software, here) for software in (profile.host_software, profile.software))
    if of_host:
        versions = _versions(profile.host_software, here, of_host)
        yield (
            f"another software: the constants were fitted with {versions}; "
            f"{_FITTED[board.host_is_apart]} here: {board.software_command}"
        )
    elif of_device:
        versions = _versions(profile.software, here, of_device)
        yield (
            f"another software: the device's constants were fitted with {versions}; the host's are of this software; "
            f"what the device's would be is not known; to fit all here: {board.calibrate_command}"
        )


def _versions(fitted_with: Mapping[str, str], here: Mapping[str, str], keys: Sequence[str]) -> str:
    return f"{software_text(fitted_with, keys)}; here {software_text(here, keys)}"


def verdict_text(result: LiveResult, together: Optional[Together]) -> str:
    """Returns the verdict on a subject: alone, and beside what models share."""
    beside = together.models.get(result.measured.model) if together is not None else None
    return result.verdict.text + (f"; together {beside.text}" if beside is not None else "")


def cost_line(measuring_s: float) -> str:
    """Returns what the whole run took, and how much of that was not spent measuring."""
    wall_s = time.time() - process_start_s()
    return (
        f"  {wall_s:.0f} s, {measuring_s:.0f} s of them warm-ups and rounds: "
        f"overhead {100 * (1 - measuring_s / wall_s):.1f} %"
    )


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


def process_start_s() -> float:
    """Returns when this process began, in seconds since the epoch: interpreter and imports are part of a run's cost."""
    try:
        ticks = int(Path("/proc/self/stat").read_text().rsplit(")", 1)[1].split()[19])
        uptime_s = float(Path("/proc/uptime").read_text().split()[0])
        return min(time.time() - uptime_s + ticks / os.sysconf("SC_CLK_TCK"), _IMPORTED_S)
    except (OSError, ValueError, IndexError):
        return _IMPORTED_S


_IMPORTED_S = time.time()
