"""Cross-validation: the error of each model when the fit has not seen it, beside the two simple estimates."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from statistics import mean
from typing import Any, Callable, Dict, List, Sequence

from ..against.simple import compute_ops, peaks_of, per_op_us, roofline_us
from ..figures import percent, signed_percent
from ..interval import QUANTILE
from ..pipeline import estimate_lowered
from ..report.table import Table, left, right
from ..target import calibrated_target
from .fit import Fit, Fitter, indices

_HEADLINES = {
    "in_sample": "in_sample_pct",
    "leave_one_model_out": "without_model_pct",
    "leave_one_family_out": "without_family_pct",
    "one_constant_per_op": "per_op_pct",
    "plain_roofline": "roofline_pct",
}
COLUMNS = tuple(_HEADLINES.values())
_TITLES = ("In-sample", "Without the model", "Without its family", "One µs per op", "Plain roofline")


@dataclass(frozen=True)
class ModelErrors:
    """One model's signed errors in percent: in-sample, left out, left out with its family, and of simple ones."""

    model: str
    family: str
    in_sample_pct: float
    without_model_pct: float
    without_family_pct: float
    per_op_pct: float
    roofline_pct: float


def cross_validate(fitter: Fitter, fit: Fit, progress: Callable[[str], None] = lambda _: None) -> List[ModelErrors]:
    """Returns the errors of every recorded model; refits once per model and once per family."""
    evidence, in_sample = fitter.evidence, fitter.errors_pct(fit)
    models = [i for i, item in enumerate(evidence) if item.group == "model"]
    without_family: Dict[int, float] = {}
    for family in dict.fromkeys(str(evidence[i].family) for i in models):
        progress(f"without {family}")
        left_out = indices(evidence, family)
        errors = fitter.errors_pct(fitter.fit(left_out))
        without_family.update({i: errors[i] for i in left_out})
    each_us = per_op_us([evidence[i].latency_us for i in models], [compute_ops(evidence[i].lowered) for i in models])
    peaks = peaks_of(calibrated_target(fitter.profile))
    rows = []
    for i in models:
        item = evidence[i]
        progress(f"without {item.name}")
        alone = fitter.errors_pct(fitter.fit([i]))[i]
        simple_us = each_us * compute_ops(item.lowered), roofline_us(item.lowered, peaks)
        errors = [in_sample[i], alone, without_family[i], *(100 * (us / item.latency_us - 1) for us in simple_us)]
        rows.append(ModelErrors(item.name, str(item.family), *(round(float(error), 1) for error in errors)))
    return rows


def held_out_spread_pct(fitter: Fitter, rows: Sequence[ModelErrors]) -> float:
    """Returns the spread of the errors without a model's family that the fit's covariance does not explain."""
    target = calibrated_target(replace(fitter.profile, held_out_spread_pct=0.0))
    streams = {item.name: item.lowered for item in fitter.evidence if item.group == "model"}
    explained = ((estimate_lowered(streams[row.model], target).interval_pct or 0.0) / QUANTILE for row in rows)
    excess = mean(row.without_family_pct**2 - pct**2 for row, pct in zip(rows, explained))
    return round(math.sqrt(max(excess, 0.0)), 1)


def as_golden(rows: Sequence[ModelErrors]) -> Dict[str, Any]:
    """Returns the rows and their headline means as plain data for JSON."""
    summary = {name: _summary(rows, column) for name, column in _HEADLINES.items()}
    models = {row.model: {"family": row.family, **{c: getattr(row, c) for c in COLUMNS}} for row in rows}
    return {**summary, "models": models}


def as_markdown(rows: Sequence[ModelErrors]) -> str:
    """Returns the rows as a Markdown table, the headline means below."""
    cells = [[row.model, *(signed_percent(getattr(row, column)) for column in COLUMNS)] for row in rows]
    summaries = [_summary(rows, column) for column in COLUMNS]
    for label, key in (("mean", "mean_abs_error_pct"), ("max", "max_abs_error_pct")):
        cells.append([f"**{label} |error|**", *(percent(summary[key]) for summary in summaries)])
    return "\n".join(Table((left("Model"), *map(right, _TITLES)), cells).markdown()) + "\n"


def _summary(rows: Sequence[ModelErrors], column: str) -> Dict[str, float]:
    absolute = [abs(getattr(row, column)) for row in rows]
    return {"mean_abs_error_pct": round(mean(absolute), 2), "max_abs_error_pct": max(absolute)}
