"""The tables below a session: models beside their measurements, patterns, and power modes side by side."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Dict, Iterator, List, Sequence

from ..compare import Comparison
from ..report import bar_lines, pattern_lines, summarise, summary_lines, terminal_table
from ..results import validate

if TYPE_CHECKING:
    from ..subjects.zoo import ZooModel
    from ..target import Target
    from .configuration import Configuration


def model_lines(
    rows: Sequence[Comparison], failed: Sequence[str], configuration: Configuration, in_short: bool
) -> Iterator[str]:
    """Yields the table of models, its summary, and over the whole zoo the bars.

    `in_short` leaves out the models that failed, which have a line each elsewhere, and the summary.
    """
    from ..subjects.zoo import MODELS

    summary = summarise(rows, len(failed))
    yield from _table(rows, failed, in_short)
    if not in_short:
        yield from ("", *summary_lines(summary))
    if len(rows) == len(MODELS) and summary.mean_abs_error_pct is not None:
        yield from ("", *bar_lines(summary, configuration.held_out_means_pct, configuration.bars))


def pattern_table(rows: Sequence[Comparison], failed: Sequence[str], in_short: bool) -> Iterator[str]:
    """Yields the table of patterns and its one line of summary; `in_short` as for models."""
    yield from (*_table(rows, failed, in_short), *pattern_lines(rows))


def _table(rows: Sequence[Comparison], failed: Sequence[str], in_short: bool) -> Iterator[str]:
    shown = [row for row in rows if not (in_short and row.model in failed)]
    if shown:
        yield from terminal_table(shown)
    if len(shown) < len(rows):
        yield f"  {len(rows) - len(shown)} of {len(rows)} failed: each has its line below, -v shows their rows"


def mode_lines(models: Sequence[ZooModel], target: Target, modes: Sequence[str]) -> Iterator[str]:
    """Yields the table of models x power modes in ms, the fastest mode marked, and the surprises below.

    A surprise is a mode with fewer watts that is faster: host-bound models follow the clock of the CPU.
    """
    table = {model.name: _latencies_ms(model, target, modes) for model in models}
    yield f"  {'Est (ms) by power mode':<24}" + "".join(f"{mode:>12}" for mode in modes)
    yield "  " + "-" * (24 + 12 * len(modes))
    for name, latencies_ms in table.items():
        best = min(latencies_ms.values())
        cells = (f"{ms:.2f}{'*' if ms == best else ' '}" for ms in latencies_ms.values())
        yield f"    {name:<22}" + "".join(f"{cell:>12}" for cell in cells)
    yield "  * fastest"
    yield from _surprises(table, target, modes)


def _latencies_ms(model: ZooModel, target: Target, modes: Sequence[str]) -> Dict[str, float]:
    targets = {mode: replace(target, mode=target.profile.mode(mode)) for mode in modes}
    return {mode: float(validate(model, at_mode, None).comparison.est_ms or 0.0) for mode, at_mode in targets.items()}


def _surprises(table: Dict[str, Dict[str, float]], target: Target, modes: Sequence[str]) -> Iterator[str]:
    watts = {mode: target.profile.mode(mode).watts or float("inf") for mode in modes}
    for low, high in ((a, b) for a in modes for b in modes if watts[a] < watts[b]):
        faster: List[str] = [name for name, ms in table.items() if ms[low] < ms[high]]
        if faster:
            yield f"  {low} is faster than {high} for {len(faster)} of {len(table)} models: {', '.join(faster)}"
