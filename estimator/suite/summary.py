"""The lines below a session: tables of models, patterns and power modes; of a live one also verdicts and software."""

from __future__ import annotations

import os
import statistics
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple

from ..commands import calibrate_command
from ..compare import Comparison, summarise
from ..errors import CaptureError
from ..estimates import Estimates
from ..figures import ms, percent, significant
from ..hardware.software import differing, software_text
from ..lower import lower
from ..measure.speed import Speed
from ..measure.together import Together
from ..opstream import Op
from ..report.bars import MICROBENCHMARK_BARS, bar_lines
from ..report.comparisons import budget_table, comparison_table, summary_lines
from ..report.table import NAME_WIDTH, Table, left, right
from ..runtimes import RUNTIMES
from .outcomes import COMMON, LiveResult

MOST_UNSAID_PCT = 1.0
OpsOf = Callable[[str, "Target"], Sequence[Op]]
"""Returns the op stream of a subject by its name, on a target."""
_FITTED = {
    True: "intervals allow for it; to fit the host's",
    False: "no evidence says what that changes; to fit them",
}
_IMPORTED_S = time.time()

if TYPE_CHECKING:
    from ..goldens.configuration import Configuration
    from ..subjects.registry import Subject
    from ..target import Target


def table_lines(
    rows: Sequence[Comparison], failed: Sequence[str], configuration: Configuration, in_short: bool, ops_of: OpsOf
) -> Iterator[str]:
    """Yields the table of models or patterns, and their budgets; without estimates what is known.

    `in_short` leaves out those that failed, which have a line each elsewhere.
    """
    shown = [row for row in rows if not (in_short and row.model in failed)]
    if not configuration.has_estimates:
        yield from measured_lines(rows, configuration.target, ops_of)
    elif shown:
        yield from comparison_table(shown).text(gap=1, ruled=True)
    if configuration.has_estimates and len(shown) < len(rows):
        yield f"  {len(rows) - len(shown)} of {len(rows)} failed: each has its line below, -v shows their rows"
    budgets = budget_table(rows)
    if budgets.rows:
        yield from ("", *budgets.text(ruled=True))


def model_summary(
    rows: Sequence[Comparison], failed: Sequence[str], configuration: Configuration, in_short: bool
) -> Iterator[str]:
    """Yields the summary of models unless it is `in_short`, and over the whole zoo the bars."""
    from ..subjects.zoo import MODELS

    summary = summarise(rows, len(failed))
    if not in_short:
        yield from ("", *summary_lines(summary))
    if [row.model for row in rows] == [model.name for model in MODELS] and summary.mean_abs_error_pct is not None:
        yield from ("", *bar_lines(summary, configuration.held_out_means_pct, configuration.bars))


def defaulted_lines(shares_pct: Mapping[str, Mapping[str, float]]) -> Iterator[str]:
    """Yields which ops without a rule take more than 1 % of a subject's device time; nothing where none does."""
    found = {name: {op: pct for op, pct in ops.items() if pct > MOST_UNSAID_PCT} for name, ops in shares_pct.items()}
    if any(found.values()):
        yield ""
        yield f"  Priced by their bytes alone, for want of a rule, more than {MOST_UNSAID_PCT:.0f} % of device time:"
    for name, ops in found.items():
        if ops:
            yield f"    {name}: {', '.join(f'{op} {percent(pct)}' for op, pct in ops.items())}"


def decided_lines(decided_by: Mapping[str, str]) -> Iterator[str]:
    """Yields which subjects' ops are those of their inputs' values, and which op decided; nothing where none are."""
    if decided_by:
        yield ""
        yield "  The op stream is that of these inputs, whose values decided:"
    for name, decision in decided_by.items():
        yield f"    {name}: {decision}"


def measured_lines(rows: Sequence[Comparison], target: Target, ops_of: OpsOf) -> Iterator[str]:
    """Yields what is known of a board without a calibration: latencies beside the work that was done in them."""
    figures = (right(title) for title in ("GFLOP", "GFLOP/s", "Ops", "us an op"))
    columns = (left("Model", width=NAME_WIDTH), right("Meas (ms)", ms), *figures, left(""))
    yield from Table(columns, [(row.model, row.meas_ms, *_work(row, target, ops_of)) for row in rows]).text(ruled=True)
    yield f"  Known without a calibration: latency and work. {target.board.name} has no estimate to hold against them;"
    if target.precision.name != "fp32":
        yield "  it is calibrated at fp32 alone."
    else:
        yield "  estimate, error, rating, bound and interval of each model need one calibration, about two minutes:"
        yield f"  {calibrate_command(target.hardware)}"


def _work(row: Comparison, target: Target, ops_of: OpsOf) -> Tuple[Any, ...]:
    """GFLOP, GFLOP/s, ops, us an op, and why they are not known."""
    unknown = (None,) * 4
    if row.meas_ms is None:
        return (*unknown, row.rating)
    try:
        ops = lower(ops_of(row.model, target))
    except CaptureError as error:
        return (*unknown, f"({error})")
    gflop = sum(kernel.flops for op in ops for kernel in op.kernels) / 1e9
    rate, each_us = 1e3 * gflop / row.meas_ms, 1e3 * row.meas_ms / len(ops)
    return f"{gflop:.3g}", f"{rate:.3g}", len(ops), f"{each_us:.1f}", ""


def latencies_ms(subject: Subject, target: Target, names: Sequence[str], estimates: Estimates) -> Dict[str, float]:
    """Returns the subject's estimate in ms in each of these power modes of the target's board, or on these runtimes."""
    targets = {
        name: target.on_runtime(name) if name in RUNTIMES else replace(target, mode=target.profile.mode(name))
        for name in names
    }
    return {name: significant(estimates.estimate(subject, other).latency_ms) for name, other in targets.items()}


def mode_lines(by_model_ms: Mapping[str, Mapping[str, float]], target: Target) -> Iterator[str]:
    """Yields the table of latencies in ms by subject and power mode or runtime, the fastest marked; surprises below.

    A surprise is a mode with fewer watts that is faster: host-bound models follow the clock of the CPU.
    """
    modes = list(next(iter(by_model_ms.values())))
    rows = [(name, *_marked(list(by_mode_ms.values()))) for name, by_mode_ms in by_model_ms.items()]
    columns = (left("Est (ms)", width=NAME_WIDTH), *(right(mode, width=10) for mode in modes))
    yield from Table(columns, rows).text(ruled=True)
    yield "  * fastest"
    yield from _surprises(by_model_ms, target, modes)


def _marked(latencies: Sequence[float]) -> List[str]:
    return [f"{ms(latency_ms)}{'*' if latency_ms == min(latencies) else ' '}" for latency_ms in latencies]


def _surprises(by_model_ms: Mapping[str, Mapping[str, float]], target: Target, modes: Sequence[str]) -> Iterator[str]:
    watts = {mode: target.profile.modes[mode].watts or float("inf") for mode in modes if mode in target.profile.modes}
    for low, high in ((a, b) for a in watts for b in watts if watts[a] < watts[b]):
        faster: List[str] = [name for name, ms in by_model_ms.items() if ms[low] < ms[high]]
        if faster:
            yield f"  {low} is faster than {high} for {len(faster)} of {len(by_model_ms)} models: {', '.join(faster)}"


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
