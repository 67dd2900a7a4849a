"""What a calibration promises, and each figure that was reached beside its bar."""

from __future__ import annotations

from dataclasses import dataclass
from typing import List, Mapping

from ..compare import UNMEASURED, Summary
from ..figures import compact_percent
from ..judging import judged_by


@dataclass(frozen=True)
class Bars:
    """What a calibration promises of all models: mean and largest |error| in percent, and whether all are EXCELLENT."""

    mean_pct: float
    max_pct: float
    all: bool


def _bars(of: str, all: bool) -> Bars:
    return Bars(judged_by(f"bar.{of}.mean"), judged_by(f"bar.{of}.max"), all)


MODEL_BARS = _bars("models", all=True)
"""In-sample: the constants were fitted to these models."""
MICROBENCHMARK_BARS: Mapping[str, Bars] = {
    processor: _bars(f"microbenchmarks.{processor}", all=False) for processor in ("cpu", "gpu")
}
"""By kind of processor: the constants were fitted to micro-benchmarks alone, the models are all held out."""
CROSS_VALIDATION_BARS_PCT: Mapping[str, float] = {
    kind: judged_by(f"bar.{kind}") for kind in ("leave_one_model_out", "leave_one_family_out")
}
"""Mean |error| in percent of models that the fit has not seen, at most."""


def bar_lines(summary: Summary, held_out_means_pct: Mapping[str, float], bars: Bars) -> List[str]:
    """Returns one line per bar with the reached figure; held-out means in percent by the kind of cross-validation."""
    lines = ["  BARS", "  " + "-" * 40]
    mean_pct, max_pct = summary.mean_abs_error_pct, summary.max_abs_error_pct
    if mean_pct is not None and max_pct is not None:
        excellent = summary.per_rating.get("EXCELLENT", 0)
        total = summary.total - summary.per_rating.get(UNMEASURED, 0)
        if bars.all:
            lines.append(_bar("Models EXCELLENT", f"{excellent} of {total}", f"{total} of {total}", excellent == total))
        mean, most = map(compact_percent, (mean_pct, max_pct))
        lines.append(_bar("Mean |error|", mean, f"<= {bars.mean_pct:g}%", mean_pct <= bars.mean_pct))
        lines.append(_bar("Max |error|", most, f"< {bars.max_pct:g}%", max_pct < bars.max_pct))
    for kind, bar_pct in CROSS_VALIDATION_BARS_PCT.items():
        if kind in held_out_means_pct:
            title, reached_pct = f"{kind.replace('_', ' ').capitalize()}, mean |error|", held_out_means_pct[kind]
            lines.append(_bar(title, compact_percent(reached_pct), f"<= {bar_pct:.0f}%", reached_pct <= bar_pct))
    return lines


def _bar(title: str, reached: str, bar: str, met: bool) -> str:
    return "  " + beside_bar(f"{title + ':':<36} {reached:>9} ", f"{bar:<9}", met)


def beside_bar(figure: str, bar: str, met: bool) -> str:
    """Returns the figure with its bar and whether it is met, "3.2 times  bar <= 4  met"."""
    return f"{figure}  bar {bar}  {'met' if met else 'MISSED'}"
