"""How much the micro-benchmarks tell: each group left out in turn, and chains held out to see what a fit is worth."""

from __future__ import annotations

import math
from dataclasses import replace
from statistics import median
from typing import Callable, Dict, List, Mapping, Sequence

import numpy as np

from ..cost.columns import Column
from ..hardware.profile import Profile
from ..report.format import percent
from ..report.table import Row, Table, left, right
from .evidence import MICROBENCHMARKS
from .fit import Fit, Fitter
from .fit_corrections import Settings, fit_corrections

_FOLDS = 5
_NORMAL = 1.4826  # standard deviations in a median |error|, were they normal
_COLUMNS = (
    *(left("micro-benchmarks"), right("n"), right("|error|", percent), right("without", percent)),
    left("the constant that moves most without it"),
)


def importance_lines(fitter: Fitter, fit: Fit, progress: Callable[[str], None]) -> List[str]:
    """Returns a row per group of micro-benchmarks: its mean |error| with and without it in the fit, what it decides."""
    rows = [_importance(fitter, fit, group, rows, progress) for group, rows in _rows_by(fitter, "group").items()]
    return Table(_COLUMNS, rows).text()


def _importance(fitter: Fitter, fit: Fit, group: str, rows: Sequence[int], progress: Callable[[str], None]) -> Row:
    progress(f"without {group}")
    without = fitter.fit(rows, fit)
    errors_pct = [float(np.abs(fitter.errors_pct(found))[rows].mean()) for found in (fit, without)]
    moved_pct = {name: 100 * (without.constants[name] / value - 1) for name, value in fit.constants.items()}
    most = max(moved_pct, key=lambda name: abs(moved_pct[name]))
    return group, len(rows), *errors_pct, f"{most} {moved_pct[most]:+.0f} %"


def held_out_chain_spread_pct(
    fitter: Fitter, fit: Fit, settings: Mapping[str, Settings], progress: Callable[[str], None]
) -> float:
    """Returns the spread, in percent, of whole chains' errors when neither fit nor corrections have seen them.

    A chain is a sum over some fifteen blocks, as a model is. The spread is the median's (1.48 median |error|): a chain
    of nothing but tiny ops, which a model has few of, is no measure for it.
    """
    chains = list(_rows_by(fitter, "family").values())
    errors: List[float] = []
    for part in range(min(_FOLDS, len(chains))):
        progress(f"without chains, part {part + 1} of {_FOLDS}")
        held_out = chains[part::_FOLDS]
        estimated_us = _without(fitter, fit, settings, [i for rows in held_out for i in rows])
        errors += [math.log(estimated_us[rows].sum() / fitter.measured_us[rows].sum()) for rows in held_out]
    return round(100 * _NORMAL * median(map(abs, errors)), 1)


def _without(fitter: Fitter, fit: Fit, settings: Mapping[str, Settings], rows: Sequence[int]) -> Column:
    """The latencies, in us, by a fit that has not seen the evidence in these rows."""
    fit = fitter.fit(rows, fit)
    if settings:
        corrections, _ = fit_corrections(fitter, fit, settings, rows)
        fitter = fitter.on(replace(fitter.profile, corrections=corrections))
    return fitter.latencies_us(fit.constants)


def _rows_by(fitter: Fitter, key: str) -> Dict[str, List[int]]:
    found: Dict[str, List[int]] = {}
    for index, item in enumerate(fitter.evidence):
        if item.source == MICROBENCHMARKS:
            found.setdefault(str(getattr(item, key)), []).append(index)
    return found


def constant_lines(profile: Profile, fit: Fit) -> List[str]:
    """Returns each constant with its uncertainty and unit; those that ended on a bound say so."""
    columns = left("constant"), right("value", "{:g}".format), right("", "+- {:g} %".format), left("unit"), left("")
    notes = dict.fromkeys(fit.at_bound, "at its bound")
    values = fit.constants.items()
    rows = [(n, x, fit.uncertainty_pct[n], profile.constants[n].unit, notes.get(n, "")) for n, x in values]
    return Table(columns, rows).text()
