"""The tables below a session: models beside their measurements, patterns, and power modes side by side."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Callable, Dict, Iterator, List, Mapping, Sequence

from ..commands import calibrate_command
from ..compare import Comparison
from ..digits import significant
from ..errors import CaptureError
from ..estimates import Estimates
from ..lower import lower
from ..opstream import Op
from ..report import bar_lines, pattern_lines, summarise, summary_lines, terminal_table
from .budgets import budget_lines

MOST_UNSAID_PCT = 1.0
OpsOf = Callable[[str, "Target"], Sequence[Op]]
"""Returns the op stream of a subject by its name, on a target."""

if TYPE_CHECKING:
    from ..goldens.configuration import Configuration
    from ..subjects.registry import Subject
    from ..target import Target


def model_lines(
    rows: Sequence[Comparison], failed: Sequence[str], configuration: Configuration, in_short: bool, ops_of: OpsOf
) -> Iterator[str]:
    """Yields the table of models, its summary, and over the whole zoo the bars; without estimates what is known.

    `in_short` leaves out the models that failed, which have a line each elsewhere, and the summary.
    """
    from ..subjects.zoo import MODELS

    if not _has_estimates(configuration.target):
        yield from (*measured_lines(rows, configuration.target, ops_of), *budget_lines(rows))
        return
    summary = summarise(rows, len(failed))
    yield from _table(rows, failed, in_short)
    yield from budget_lines(rows)
    if not in_short:
        yield from ("", *summary_lines(summary))
    if [row.model for row in rows] == [model.name for model in MODELS] and summary.mean_abs_error_pct is not None:
        yield from ("", *bar_lines(summary, configuration.held_out_means_pct, configuration.bars))


def pattern_table(
    rows: Sequence[Comparison], failed: Sequence[str], target: Target, in_short: bool, ops_of: OpsOf
) -> Iterator[str]:
    """Yields the table of patterns and its one line of summary; `in_short`, and without estimates, as for models."""
    if not _has_estimates(target):
        yield from measured_lines(rows, target, ops_of)
        return
    yield from (*_table(rows, failed, in_short), *pattern_lines(rows))


def _table(rows: Sequence[Comparison], failed: Sequence[str], in_short: bool) -> Iterator[str]:
    shown = [row for row in rows if not (in_short and row.model in failed)]
    if shown:
        yield from terminal_table(shown)
    if len(shown) < len(rows):
        yield f"  {len(rows) - len(shown)} of {len(rows)} failed: each has its line below, -v shows their rows"


def defaulted_lines(shares_pct: Mapping[str, Mapping[str, float]]) -> Iterator[str]:
    """Yields which ops without a rule take more than 1 % of a subject's device time; nothing where none does."""
    found = {name: {op: pct for op, pct in ops.items() if pct > MOST_UNSAID_PCT} for name, ops in shares_pct.items()}
    if any(found.values()):
        yield ""
        yield f"  Priced by their bytes alone, for want of a rule, more than {MOST_UNSAID_PCT:.0f} % of device time:"
    for name, ops in found.items():
        if ops:
            yield f"    {name}: {', '.join(f'{op} {pct:.1f} %' for op, pct in ops.items())}"


def _has_estimates(target: Target) -> bool:
    return target.board.estimates(target.precision.name)


def measured_lines(rows: Sequence[Comparison], target: Target, ops_of: OpsOf) -> Iterator[str]:
    """Yields what is known of a board without a calibration: latencies beside the work that was done in them."""
    yield f"  {'Model':<22} {'Meas (ms)':>10} {'GFLOP':>9} {'GFLOP/s':>9} {'Ops':>6} {'us an op':>9}"
    yield "  " + "-" * 70
    for row in rows:
        yield f"    {row.model:<20} {_work_cells(row, target, ops_of)}".rstrip()
    yield "  " + "-" * 70
    yield f"  Known without a calibration: latency and work. {target.board.name} has no estimate to hold against them;"
    if target.precision.name != "fp32":
        yield "  it is calibrated at --precision fp32."
    else:
        yield "  estimate, error, rating, bound and interval of each model need one calibration, about two minutes:"
        yield f"  {calibrate_command(target.hardware)}"


def _work_cells(row: Comparison, target: Target, ops_of: OpsOf) -> str:
    if row.meas_ms is None:
        return row.rating
    try:
        ops = lower(ops_of(row.model, target))
    except CaptureError as error:
        return f"{row.meas_ms:>10.2f}  ({error})"
    gflop = sum(kernel.flops for op in ops for kernel in op.kernels) / 1e9
    rate, each_us = 1e3 * gflop / row.meas_ms, 1e3 * row.meas_ms / len(ops)
    return f"{row.meas_ms:>10.2f} {gflop:>9.3g} {rate:>9.3g} {len(ops):>6} {each_us:>9.1f}"


def latencies_ms(subject: Subject, target: Target, modes: Sequence[str], estimates: Estimates) -> Dict[str, float]:
    """Returns the subject's estimate in ms in each of these power modes of the target's board."""
    targets = {mode: replace(target, mode=target.profile.mode(mode)) for mode in modes}
    return {mode: significant(estimates.estimate(subject, at_mode).latency_ms) for mode, at_mode in targets.items()}


def mode_lines(table: Mapping[str, Mapping[str, float]], target: Target) -> Iterator[str]:
    """Yields the table of latencies in ms by subject and power mode, the fastest marked, and the surprises below.

    A surprise is a mode with fewer watts that is faster: host-bound models follow the clock of the CPU.
    """
    modes = list(next(iter(table.values())))
    width = max(24, *(len(name) + 4 for name in table))
    yield f"  {'Est (ms) by power mode':<{width}}" + "".join(f"{mode:>12}" for mode in modes)
    yield "  " + "-" * (width + 12 * len(modes))
    for name, by_mode_ms in table.items():
        best = min(by_mode_ms.values())
        cells = (f"{ms:.2f}{'*' if ms == best else ' '}" for ms in by_mode_ms.values())
        yield f"    {name:<{width - 2}}" + "".join(f"{cell:>12}" for cell in cells)
    yield "  * fastest"
    yield from _surprises(table, target, modes)


def _surprises(table: Mapping[str, Mapping[str, float]], target: Target, modes: Sequence[str]) -> Iterator[str]:
    watts = {mode: target.profile.mode(mode).watts or float("inf") for mode in modes}
    for low, high in ((a, b) for a in modes for b in modes if watts[a] < watts[b]):
        faster: List[str] = [name for name, ms in table.items() if ms[low] < ms[high]]
        if faster:
            yield f"  {low} is faster than {high} for {len(faster)} of {len(table)} models: {', '.join(faster)}"
