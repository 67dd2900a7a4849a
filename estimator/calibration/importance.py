"""How much the micro-benchmarks tell: each group left out in turn, and chains held out to see what a fit is worth."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from statistics import median
from typing import Callable, Dict, Iterator, List, Mapping, Sequence

import numpy as np

from ..cost.columns import Column
from .evidence import MICROBENCHMARKS
from .fit import Fit, Fitter
from .fit_corrections import Settings, fit_corrections

_FOLDS = 5
_NORMAL = 1.4826  # standard deviations in a median |error|, were they normal


@dataclass(frozen=True)
class GroupImportance:
    """A group's size, its mean |error| in percent with and without it in the fit, and the constant it moves most."""

    group: str
    pieces: int
    error_pct: float
    without_pct: float
    moved_constant: str
    moved_pct: float


def group_importances(fitter: Fitter, fit: Fit, progress: Callable[[str], None]) -> List[GroupImportance]:
    """Returns a row per group of micro-benchmarks, in order; refits once without each."""
    return [_importance(fitter, fit, group, rows, progress) for group, rows in _rows_by(fitter, "group").items()]


def _importance(
    fitter: Fitter, fit: Fit, group: str, rows: Sequence[int], progress: Callable[[str], None]
) -> GroupImportance:
    progress(f"without {group}")
    without = fitter.fit(rows, fit)
    errors, left_out = (np.abs(fitter.errors_pct(found))[rows] for found in (fit, without))
    moved = {name: 100 * (without.constants[name] / value - 1) for name, value in fit.constants.items()}
    most = max(moved, key=lambda name: abs(moved[name]))
    return GroupImportance(group, len(rows), float(errors.mean()), float(left_out.mean()), most, moved[most])


def held_out_chain_spread_pct(
    fitter: Fitter, fit: Fit, settings: Mapping[str, Settings], progress: Callable[[str], None]
) -> float:
    """Returns the spread, in percent, of whole chains' errors when the fit has not seen them; the chains in five parts.

    `settings` are those of the corrections, if there are any: they are made without the chains, too.

    A chain is a sum over some fifteen blocks, as a model is. The spread is the median's (1.48 median |error|): a chain
    of nothing but tiny ops, which a model has few of, is no measure for it.
    """
    chains = list(_rows_by(fitter, "family").values())
    errors: List[float] = []
    for part in range(min(_FOLDS, len(chains))):
        progress(f"without chains, part {part + 1} of {_FOLDS}")
        held_out = chains[part::_FOLDS]
        estimated_us = _without(fitter, fit, settings, [i for rows in held_out for i in rows])
        errors += [_log_error(fitter, estimated_us, rows) for rows in held_out]
    return round(100 * _NORMAL * median(map(abs, errors)), 1)


def _without(fitter: Fitter, fit: Fit, settings: Mapping[str, Settings], rows: Sequence[int]) -> Column:
    """The latencies, in us, by a fit that has not seen the evidence in these rows."""
    fit = fitter.fit(rows, fit)
    if settings:
        corrections, _ = fit_corrections(fitter, fit, settings, rows)
        fitter = fitter.on(replace(fitter.profile, corrections=corrections))
    return fitter.latencies_us(fit.constants)


def _log_error(fitter: Fitter, estimated_us: Sequence[float], rows: Sequence[int]) -> float:
    measured_us = sum(fitter.evidence[i].latency_us for i in rows)
    return math.log(sum(float(estimated_us[i]) for i in rows) / measured_us)


def _rows_by(fitter: Fitter, key: str) -> Dict[str, List[int]]:
    found: Dict[str, List[int]] = {}
    for index, item in enumerate(fitter.evidence):
        if item.source == MICROBENCHMARKS:
            found.setdefault(str(getattr(item, key)), []).append(index)
    return found


def constant_lines(fit: Fit, units: Mapping[str, str]) -> Iterator[str]:
    """Yields each constant with its uncertainty and unit; those that ended on a bound say so."""
    width = max(map(len, fit.constants))
    for name, value in fit.constants.items():
        note = "  at its bound" if name in fit.at_bound else ""
        yield f"  {name:{width}} {value:>9g} +- {fit.uncertainty_pct[name]:>3g} %  {units[name]}{note}"


def importance_lines(rows: Sequence[GroupImportance]) -> Iterator[str]:
    """Yields the table of groups: how well each is fitted, how well without it, and what it decides."""
    yield f"  {'micro-benchmarks':<24} {'n':>4} {'|error|':>8} {'without':>8}  the constant that moves most without it"
    for row in rows:
        moved = f"{row.moved_constant} {row.moved_pct:+.0f} %"
        yield f"  {row.group:<24} {row.pieces:>4} {row.error_pct:>6.1f} % {row.without_pct:>6.1f} %  {moved}"
