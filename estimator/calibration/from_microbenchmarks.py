"""Calibration from micro-benchmarks: what `--calibrate` does with what it measured, and a refit without a device."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Callable, Dict, Mapping, Sequence, Tuple

from ..errors import CalibrationError
from ..hardware.profile import Profile
from ..hardware.software import software_in
from .evidence import Evidence
from .fit import Fit, Fitter
from .importance import constant_lines, group_importances, held_out_chain_spread_pct, importance_lines
from .microbenchmarks import Microbenchmarks, as_evidence
from .profile_text import profile_text, sources, summary


@dataclass(frozen=True)
class Calibrated:
    """The text of the new profile, and the lines that tell the user what it says."""

    text: str
    lines: Tuple[str, ...]


def calibrate(
    profile: Profile,
    found: Microbenchmarks,
    power_mode: str,
    progress: Callable[[str], None],
    recorded: Sequence[Evidence] = (),
) -> Calibrated:
    """Returns the profile as the micro-benchmarks (and recorded models, if given) fit it.

    CalibrationError when the fit does not converge or there is nothing to fit.
    """
    evidence = (*recorded, *as_evidence(found))
    if not evidence:
        raise CalibrationError("no micro-benchmarks to calibrate from")
    fitter = Fitter(replace(profile, calibrated_mode=power_mode), evidence)
    progress("fit")
    fit = fitter.fit()
    importances = group_importances(fitter, fit, progress)
    fitter = _with_spread(fitter, held_out_chain_spread_pct(fitter, progress))
    units = {name: constant.unit for name, constant in profile.constants.items()}
    lines = (
        f"  calibrated from {sources(evidence)}: {summary(evidence)}",
        "",
        *constant_lines(fit, units),
        "",
        *importance_lines(importances),
        "",
        f"  whole chains that the fit has not seen: {fitter.profile.held_out_spread_pct:.1f} % (one sigma)",
    )
    software = software_in(found.provenance["software"])
    text = profile_text(fitter, fit, software, _board(profile, found.provenance))
    return Calibrated(text, (*lines, *bound_lines(fit)))


def _with_spread(fitter: Fitter, spread_pct: float) -> Fitter:
    return Fitter(replace(fitter.profile, held_out_spread_pct=spread_pct), fitter.evidence)


def bound_lines(fit: Fit) -> Tuple[str, ...]:
    """Returns a line that names the constants at a bound: no measurement, the evidence wants more than is physical."""
    return (f"  at their bounds, so not to be trusted: {', '.join(fit.at_bound)}",) if fit.at_bound else ()


def _board(profile: Profile, provenance: Mapping[str, str]) -> Dict[str, Any]:
    """The facts of this machine's CPU; those of a board are written by hand and stay."""
    if profile.processor != "cpu":
        return {}
    return {
        "description": provenance["board"],
        "software": provenance["software"],
        "source": f"pytest --calibrate, {provenance['date']}, suite {provenance['revision']}",
        "threads": int(provenance["threads"]),
    }
