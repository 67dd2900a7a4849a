"""The lines below the tables of a live session: latencies and verdicts, software, cost, how far the estimates hold."""

from __future__ import annotations

import os
import statistics
import time
from pathlib import Path
from typing import Any, Iterator, Mapping, Optional, Sequence, Tuple

from ..commands import calibrate_command
from ..hardware.software import differing, software_text
from ..measure.speed import Speed
from ..measure.together import Together
from ..report.bars import MICROBENCHMARK_BARS
from ..report.format import ms, percent
from ..report.table import NAME_WIDTH, Table, left, right
from ..target import Target
from .outcomes import COMMON, LiveResult

_FITTED = {
    True: "intervals allow for it; to fit the host's",
    False: "no evidence says what that changes; to fit them",
}


def live_lines(results: Sequence[LiveResult], together: Optional[Together] = None) -> Iterator[str]:
    """Yields the table of medians, noise, runs and verdicts: each model's alone, and beside what models share."""
    rows = [_live_cells(result, together) for result in results]
    if together is not None:
        rows.append((COMMON, None, None, None, together.common.text))
    figures = (right("median", ms, 10), right("p90", ms, 10), right("noise", percent, 10))
    columns = (left("Live", width=NAME_WIDTH), *figures, left("runs (ms), against the baseline"))
    yield from Table(columns, rows).text(ruled=True)


def _live_cells(result: LiveResult, together: Optional[Together]) -> Tuple[Any, ...]:
    found = result.measured
    runs = ", ".join(f"{run_ms:.4g}" for run_ms in found.runs_ms)
    return found.model, found.median_ms, found.p90_ms, result.noise_pct, f"{runs}: {verdict_text(result, together)}"


def software_notes(target: Target, here: Mapping[str, str]) -> Iterator[str]:
    """Yields the line that says which software of this machine is another than that of the constants, if any is."""
    profile, board, is_gpu = target.profile, target.board, target.profile.processor == "gpu"
    of_host, of_device = (differing(software, here) for software in (profile.host_software, profile.software))
    if of_host:
        versions = _versions(profile.host_software, here, of_host)
        yield (
            f"another software: the constants were fitted with {versions}; "
            f"{_FITTED[is_gpu]} here: {calibrate_command(board.name, host_alone=is_gpu)}"
        )
    elif of_device:
        versions = _versions(profile.software, here, of_device)
        yield (
            f"another software: the device's constants were fitted with {versions}; the host's are of this software; "
            f"what the device's would be is not known; to fit all here: {calibrate_command(board.name)}"
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


def process_start_s() -> float:
    """Returns when this process began, in seconds since the epoch: interpreter and imports are part of a run's cost."""
    try:
        ticks = int(Path("/proc/self/stat").read_text().rsplit(")", 1)[1].split()[19])
        uptime_s = float(Path("/proc/uptime").read_text().split()[0])
        return min(time.time() - uptime_s + ticks / os.sysconf("SC_CLK_TCK"), _IMPORTED_S)
    except (OSError, ValueError, IndexError):
        return _IMPORTED_S


_IMPORTED_S = time.time()


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
            f"to calibrate again: {calibrate_command(target.hardware)}"
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
