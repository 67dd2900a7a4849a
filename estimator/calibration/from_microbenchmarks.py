"""Calibration from micro-benchmarks: the fit to what was measured, now or before, and how much they tell.

Each group is left out in turn, and chains are held out to see what a fit is worth.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from statistics import median
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple

import numpy as np

from ..cost.columns import Column
from ..errors import CalibrationError
from ..figures import percent
from ..hardware.profile import Profile
from ..hardware.software import software_in
from ..report.table import Row, Table, left, right
from .evidence import MICROBENCHMARKS, Evidence
from .fit import Fit, Fitter
from .fit_corrections import Settings, correction_lines, fit_corrections
from .microbenchmarks import Microbenchmarks, as_evidence
from .profile_text import profile_text, sources, summary

_FOLDS = 5
_NORMAL = 1.4826  # standard deviations in a median |error|, were they normal
_COLUMNS = (
    *(left("micro-benchmarks"), right("n"), right("|error|", percent), right("without", percent)),
    left("the constant that moves most without it"),
)


@dataclass(frozen=True)
class Calibrated:
    """The text of the new profile, the lines that tell the user what it says, and how far unseen chains are off.

    `spread_pct` is one sigma; None where chains were not left out.
    """

    text: str
    lines: Tuple[str, ...]
    spread_pct: Optional[float] = None


def calibrate(
    profile: Profile,
    found: Microbenchmarks,
    power_mode: str,
    progress: Callable[[str], None],
    recorded: Sequence[Evidence] = (),
) -> Calibrated:
    """Returns the profile that the evidence gives; CalibrationError without any, or where the fit does not converge."""
    evidence = (*recorded, *as_evidence(found))
    if not evidence:
        raise CalibrationError("no micro-benchmarks to calibrate from")
    fitter = Fitter(replace(profile, calibrated_mode=power_mode, corrections={}), evidence)
    progress("fit")
    fit = fitter.fit()
    importances = [_importance(fitter, fit, *group, progress) for group in _rows_by(fitter, "group").items()]
    is_cpu = profile.processor == "cpu"
    progress("corrections")
    # A CPU's libraries have code of their own for many a shape; a GPU's formulas know its tiles.
    corrections, settings = fit_corrections(fitter, fit) if is_cpu else ({}, {})
    reference_ms = found.reference_ms if is_cpu else None
    spread_pct = held_out_chain_spread_pct(fitter, fit, settings, progress)
    fitter = fitter.on(
        replace(fitter.profile, held_out_spread_pct=spread_pct, corrections=corrections, reference_ms=reference_ms)
    )
    lines = (
        f"  calibrated from {sources(evidence)}: {summary(evidence)}",
        "",
        *constant_lines(profile, fit),
        "",
        *Table(_COLUMNS, importances).text(),
        *correction_lines(corrections),
        "",
        f"  whole chains that the fit has not seen: {spread_pct:.1f} % (one sigma)",
    )
    software = software_in(found.provenance["software"])
    text = profile_text(fitter, fit, software, _board(found.provenance) if is_cpu else None)
    return Calibrated(text, (*lines, *bound_lines(fit)), spread_pct)


def bound_lines(fit: Fit) -> Tuple[str, ...]:
    """Returns a line that names the constants at a bound: no measurement, the evidence wants more than is physical."""
    return (f"  at their bounds, so not to be trusted: {', '.join(fit.at_bound)}",) if fit.at_bound else ()


def _board(provenance: Mapping[str, str]) -> Dict[str, Any]:
    """The facts of this machine's CPU; those of a board are written by hand and stay."""
    return {
        "description": provenance["board"],
        "software": provenance["software"],
        "source": f"python -m estimator calibrate, {provenance['date']}, suite {provenance['revision']}",
        "threads": int(provenance["threads"]),
    }


def _importance(fitter: Fitter, fit: Fit, group: str, rows: Sequence[int], progress: Callable[[str], None]) -> Row:
    """A group of micro-benchmarks: its mean |error| with and without it in the fit, and what it decides."""
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
