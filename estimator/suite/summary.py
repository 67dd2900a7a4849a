"""The tables below a session: models beside their measurements, patterns, and power modes side by side."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Callable, Dict, Iterator, List, Mapping, Sequence, Tuple

from ..commands import calibrate_command
from ..compare import Comparison, summarise
from ..errors import CaptureError
from ..estimates import Estimates
from ..lower import lower
from ..opstream import Op
from ..report.bars import bar_lines
from ..report.comparisons import budget_table, comparison_table, short_summary, summary_lines
from ..report.format import ms, percent, significant
from ..report.table import NAME_WIDTH, Table, left, right

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

    yield from _table(rows, failed, configuration.target, in_short, ops_of)
    budgets = budget_table(rows)
    if budgets.rows:
        yield from ("", *budgets.text(ruled=True))
    if not _has_estimates(configuration.target):
        return
    summary = summarise(rows, len(failed))
    if not in_short:
        yield from ("", *summary_lines(summary))
    if [row.model for row in rows] == [model.name for model in MODELS] and summary.mean_abs_error_pct is not None:
        yield from ("", *bar_lines(summary, configuration.held_out_means_pct, configuration.bars))


def pattern_lines(
    rows: Sequence[Comparison], failed: Sequence[str], configuration: Configuration, in_short: bool, ops_of: OpsOf
) -> Iterator[str]:
    """Yields the table of patterns and its one line of summary; `in_short`, and without estimates, as for models."""
    yield from _table(rows, failed, configuration.target, in_short, ops_of)
    if _has_estimates(configuration.target):
        yield from short_summary(rows)


def _table(
    rows: Sequence[Comparison], failed: Sequence[str], target: Target, in_short: bool, ops_of: OpsOf
) -> Iterator[str]:
    if not _has_estimates(target):
        yield from measured_lines(rows, target, ops_of)
        return
    shown = [row for row in rows if not (in_short and row.model in failed)]
    if shown:
        yield from comparison_table(shown).text(gap=1, ruled=True)
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
            yield f"    {name}: {', '.join(f'{op} {percent(pct)}' for op, pct in ops.items())}"


def _has_estimates(target: Target) -> bool:
    return target.board.estimates(target.precision.name)


def measured_lines(rows: Sequence[Comparison], target: Target, ops_of: OpsOf) -> Iterator[str]:
    """Yields what is known of a board without a calibration: latencies beside the work that was done in them."""
    figures = (right(title) for title in ("GFLOP", "GFLOP/s", "Ops", "us an op"))
    columns = (left("Model", width=NAME_WIDTH), right("Meas (ms)", ms), *figures, left(""))
    yield from Table(columns, [(row.model, row.meas_ms, *_work(row, target, ops_of)) for row in rows]).text(ruled=True)
    yield f"  Known without a calibration: latency and work. {target.board.name} has no estimate to hold against them;"
    if target.precision.name != "fp32":
        yield "  it is calibrated at --precision fp32."
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


def latencies_ms(subject: Subject, target: Target, modes: Sequence[str], estimates: Estimates) -> Dict[str, float]:
    """Returns the subject's estimate in ms in each of these power modes of the target's board."""
    targets = {mode: replace(target, mode=target.profile.mode(mode)) for mode in modes}
    return {mode: significant(estimates.estimate(subject, at_mode).latency_ms) for mode, at_mode in targets.items()}


def mode_lines(by_model_ms: Mapping[str, Mapping[str, float]], target: Target) -> Iterator[str]:
    """Yields the table of latencies in ms by subject and power mode, the fastest marked, and the surprises below.

    A surprise is a mode with fewer watts that is faster: host-bound models follow the clock of the CPU.
    """
    modes = list(next(iter(by_model_ms.values())))
    rows = [(name, *_marked(list(by_mode_ms.values()))) for name, by_mode_ms in by_model_ms.items()]
    columns = (left("Est (ms) by power mode", width=NAME_WIDTH), *(right(mode, width=10) for mode in modes))
    yield from Table(columns, rows).text(ruled=True)
    yield "  * fastest"
    yield from _surprises(by_model_ms, target, modes)


def _marked(latencies: Sequence[float]) -> List[str]:
    return [f"{ms(latency_ms)}{'*' if latency_ms == min(latencies) else ' '}" for latency_ms in latencies]


def _surprises(by_model_ms: Mapping[str, Mapping[str, float]], target: Target, modes: Sequence[str]) -> Iterator[str]:
    watts = {mode: target.profile.mode(mode).watts or float("inf") for mode in modes}
    for low, high in ((a, b) for a in modes for b in modes if watts[a] < watts[b]):
        faster: List[str] = [name for name, ms in by_model_ms.items() if ms[low] < ms[high]]
        if faster:
            yield f"  {low} is faster than {high} for {len(faster)} of {len(by_model_ms)} models: {', '.join(faster)}"
