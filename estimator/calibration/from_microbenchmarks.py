"""Calibration from micro-benchmarks: the fit to what was measured, now or before."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Callable, Dict, Mapping, Optional, Sequence, Tuple

from ..errors import CalibrationError
from ..hardware.profile import Profile
from ..hardware.software import software_in
from .evidence import Evidence
from .fit import Fit, Fitter
from .fit_corrections import correction_lines, fit_corrections
from .importance import constant_lines, held_out_chain_spread_pct, importance_lines
from .microbenchmarks import Microbenchmarks, as_evidence
from .profile_text import profile_text, sources, summary


@dataclass(frozen=True)
class Calibrated:
    """The new profile's text, what it says in lines, and the spread of unseen chains (one sigma), if it is known."""

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
    importances = importance_lines(fitter, fit, progress)
    is_cpu = profile.processor == "cpu"
    progress(
        "corrections"
    )  # a CPU's libraries have code of their own for many a shape; a GPU's formulas know its tiles
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
        *importances,
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
