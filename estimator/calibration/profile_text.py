"""A fit as the text of a profile: constants, uncertainties and residuals written, facts and comments left alone."""

from __future__ import annotations

from statistics import fmean
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from ..hardware.profile import Profile
from .evidence import MICROBENCHMARKS, RECORDS, Evidence
from .fit import SYNCHRONISED_CALL_US, Fit, Fitter


def profile_text(fitter: Fitter, fit: Fit, board: Optional[Mapping[str, Any]] = None) -> str:
    """Returns the TOML of the fitter's profile with what the fit gives; `board` replaces facts about the board.

    A board that borrowed its constants gets its own.
    """
    import tomlkit

    document: Any = tomlkit.parse(fitter.profile.path.read_text(encoding="utf-8"))
    for key, value in (board or {}).items():
        table, name = (document["power_mode"]["default"], key) if key == "threads" else (document["board"], key)
        table[name] = value
    _set_constants(document, fitter.profile, fit)
    _set_calibration(document["calibration"], fitter, fit)
    _set_corrections(document, fitter.profile)
    return str(tomlkit.dumps(document))


def _set_constants(document: Any, profile: Profile, fit: Fit) -> None:
    import tomlkit

    if "constants" not in document:
        document["constants"] = tomlkit.table(is_super_table=True)
    for name, value in fit.constants.items():
        if name not in document["constants"]:
            known = profile.constants[name]
            fields = ("value", "unit", "source", "lower", "upper", "prior", "prior_sigma", "uncertainty_pct")
            document["constants"][name] = {field: getattr(known, field) for field in fields}
        document["constants"][name]["value"] = value
        document["constants"][name]["uncertainty_pct"] = fit.uncertainty_pct[name]


def _set_corrections(document: Any, profile: Profile) -> None:
    """A line for each point: its features, and last the logarithm by which the formula is off there."""
    import tomlkit

    document.pop("corrections", None)
    if not profile.corrections:
        return
    tables = tomlkit.table(is_super_table=True)
    for kind, found in profile.corrections.items():
        table = tomlkit.table()
        table["pieces"], table["noise"] = found.pieces, found.noise
        table["offset"], table["length"] = found.offset, found.length
        table["features"] = list(found.features)
        rows = [[*point, residual] for point, residual in zip(found.points, found.residuals)]
        table["points"] = tomlkit.item(rows).multiline(True)
        tables[kind] = table
    document["corrections"] = tables


def _set_calibration(calibration: Any, fitter: Fitter, fit: Fit) -> None:
    import tomlkit

    calibration.pop("transferred_from", None)
    calibration["power_mode"] = fitter.profile.calibrated_mode
    calibration["sources"] = sources(fitter.evidence)
    calibration["evidence"] = summary(fitter.evidence)
    calibration["held_out_spread_pct"] = fitter.profile.held_out_spread_pct
    if fit.synchronised_call_us is not None:
        calibration[SYNCHRONISED_CALL_US] = fit.synchronised_call_us
    if fitter.profile.anchor_ms is not None:
        calibration["anchor_ms"] = fitter.profile.anchor_ms
    calibration["at_bound"] = list(fit.at_bound)
    calibration["covariance"] = tomlkit.item([list(row) for row in fit.covariance]).multiline(True)
    calibration["residuals_pct"] = tomlkit.item(residuals_pct(fitter, fit))


def sources(evidence: Sequence[Evidence]) -> str:
    """Returns what a fit looked at: "records", "microbenchmarks" or both."""
    found = {item.source for item in evidence}
    return " and ".join(source for source in (RECORDS, MICROBENCHMARKS) if source in found)


def summary(evidence: Sequence[Evidence]) -> str:
    """Returns how many pieces of which kind, "22 models, 8 patterns"."""
    groups = [item.group for item in evidence if item.source == RECORDS]
    parts = [f"{groups.count(group)} {group}s" for group in dict.fromkeys(groups)]
    micro = [item for item in evidence if item.source == MICROBENCHMARKS]
    chains = {item.family for item in micro}
    return ", ".join([*parts, *([f"{len(micro)} micro-benchmarks in {len(chains)} chains"] if micro else [])])


def residuals_pct(fitter: Fitter, fit: Fit) -> Dict[str, float]:
    """Returns each recorded figure's error in percent; of micro-benchmarks the mean of each group."""
    errors = list(zip(fitter.evidence, map(float, fitter.errors_pct(fit))))
    alone = {item.name: round(error, 1) for item, error in errors if item.source == RECORDS}
    return {**alone, **{group: round(fmean(found), 1) for group, found in group_errors_pct(errors).items()}}


def group_errors_pct(errors: Sequence[Tuple[Evidence, float]]) -> Dict[str, List[float]]:
    """Returns the errors of the micro-benchmarks by group."""
    groups: Dict[str, List[float]] = {}
    for item, error in errors:
        if item.source == MICROBENCHMARKS:
            groups.setdefault(item.group, []).append(error)
    return groups
