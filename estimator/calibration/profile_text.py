"""A fit as the text of a profile: constants, uncertainties and residuals written, facts and comments left alone."""

from __future__ import annotations

import re
from dataclasses import replace
from statistics import fmean
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

import numpy as np

from ..hardware.profile import Profile
from .evidence import MICROBENCHMARKS, RECORDS, Evidence
from .fit import SYNCHRONISED_CALL_US, Fit, Fitter

_SOURCE_OF_PART = re.compile(r"^(fitted here|transferred from [\w.-]+); ")
"""Before the source of a constant, where `calibrate --host` left those of the device another board's."""


def profile_text(
    fitter: Fitter, fit: Fit, software: Mapping[str, str], board: Optional[Mapping[str, Any]] = None
) -> str:
    """Returns the TOML of the fitter's profile with what the fit gives; `board` replaces facts about the board.

    `software` has the versions that the evidence was measured with. A board that borrowed its constants gets its own.
    """
    import tomlkit

    document: Any = tomlkit.parse(fitter.profile.path.read_text(encoding="utf-8"))
    for key, value in (board or {}).items():
        table, name = (document["power_mode"]["default"], key) if key == "threads" else (document["board"], key)
        table[name] = value
    _set_constants(document, fitter.profile, fit)
    _set_calibration(document["calibration"], fitter, fit, software)
    _set_corrections(document, fitter.profile)
    return _dumped(document)


def _dumped(document: Any) -> str:
    """A blank line before each table; tomlkit loses that behind a table which was replaced."""
    import tomlkit

    return re.sub(r"^([^#\n].*)\n(?=\[)", r"\1\n\n", tomlkit.dumps(document), flags=re.MULTILINE)


def _set_constants(document: Any, profile: Profile, fit: Fit) -> None:
    import tomlkit

    if "constants" not in document:
        document["constants"] = tomlkit.table(is_super_table=True)
    for name, value in fit.constants.items():
        if name not in document["constants"]:
            known = profile.constants[name]
            fields = ("value", "unit", "source", "lower", "upper", "prior", "prior_sigma", "uncertainty_pct")
            document["constants"][name] = {field: getattr(known, field) for field in fields}
        constant = document["constants"][name]
        if _SOURCE_OF_PART.match(constant["source"]):
            constant["source"] = _SOURCE_OF_PART.sub("", constant["source"])
        constant["value"] = value
        constant["uncertainty_pct"] = fit.uncertainty_pct[name]


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


def _set_calibration(calibration: Any, fitter: Fitter, fit: Fit, software: Mapping[str, str]) -> None:
    import tomlkit

    for of_parts in ("transferred_from", "host"):
        calibration.pop(of_parts, None)
    calibration["power_mode"] = fitter.profile.calibrated_mode
    calibration["sources"] = sources(fitter.evidence)
    calibration["evidence"] = summary(fitter.evidence)
    calibration["held_out_spread_pct"] = fitter.profile.held_out_spread_pct
    if fit.synchronised_call_us is not None:
        calibration[SYNCHRONISED_CALL_US] = fit.synchronised_call_us
    if fitter.profile.reference_ms is not None:
        calibration["reference_ms"] = fitter.profile.reference_ms
    calibration["at_bound"] = list(fit.at_bound)
    calibration["covariance"] = tomlkit.item([list(row) for row in fit.covariance]).multiline(True)
    calibration["residuals_pct"] = tomlkit.item(residuals_pct(fitter, fit))
    _set_table(calibration, "software", software)


def _set_table(table: Any, name: str, content: Mapping[str, Any]) -> None:
    """An empty table is left out: nothing is known."""
    import tomlkit

    if content:
        table[name] = tomlkit.item(dict(content))
    else:
        table.pop(name, None)


def host_profile_text(profile: Profile, fit: Fit, about: Mapping[str, Any]) -> str:
    """Returns the TOML of the profile with the host's constants as `fit` gives them, and all else as it was.

    `about` says where, when and with what they were fitted. A board that borrowed its constants gets copies of the
    device's, so that they stay those that the host's belong to; each constant's source says which of the two it is.
    """
    import tomlkit

    document: Any = tomlkit.parse(profile.path.read_text(encoding="utf-8"))
    calibration = document["calibration"]
    whole = _with_device(profile, fit)
    is_first = "constants" not in document
    _set_constants(document, profile, whole if is_first else fit)
    if is_first:
        calibration["held_out_spread_pct"] = profile.held_out_spread_pct
        calibration["sources"] = profile.sources
        _set_table(calibration, "software", profile.software)
    if profile.transferred_from:
        calibration["power_mode"] = about["power_mode"]
    calibration["at_bound"] = [*_bound_before(calibration, fit), *fit.at_bound]
    calibration["covariance"] = tomlkit.item([list(row) for row in whole.covariance]).multiline(True)
    _set_table(calibration, "host", about)
    _say_whose(document["constants"], profile, fit)
    return _dumped(document)


def _with_device(profile: Profile, fit: Fit) -> Fit:
    """The fit of the host, and the device's constants with their block of the covariance; no cross terms."""
    names = list(profile.constants)
    known = [profile.constants[name].uncertainty_pct / 100 for name in names]
    before = np.array(profile.covariance) if profile.covariance else np.diag(np.square(known))
    is_host = np.array([name in fit.constants for name in names])
    covariance = np.where(np.outer(~is_host, ~is_host), before, 0.0)
    covariance[np.ix_(is_host, is_host)] = fit.covariance
    uncertainty_pct = {name: constant.uncertainty_pct for name, constant in profile.constants.items()}
    return replace(
        fit,
        constants={**profile.values(), **fit.constants},
        uncertainty_pct={**uncertainty_pct, **fit.uncertainty_pct},
        covariance=tuple(tuple(map(float, row)) for row in covariance),
    )


def _bound_before(calibration: Any, fit: Fit) -> List[str]:
    return [str(name) for name in calibration.get("at_bound", ()) if name not in fit.constants]


def _say_whose(constants: Any, profile: Profile, fit: Fit) -> None:
    """Only where some are another board's is there something to say."""
    if profile.transferred_from:
        for name, constant in constants.items():
            whose = "fitted here" if name in fit.constants else f"transferred from {profile.transferred_from}"
            constant["source"] = f"{whose}; {_SOURCE_OF_PART.sub('', constant['source'])}"


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
    return {**alone, **_rounded_means(errors)}


def rounded_group_errors_pct(fitter: Fitter, fit: Fit) -> Dict[str, float]:
    """Returns the mean error of each group of micro-benchmarks in percent."""
    return _rounded_means(list(zip(fitter.evidence, map(float, fitter.errors_pct(fit)))))


def _rounded_means(errors: Sequence[Tuple[Evidence, float]]) -> Dict[str, float]:
    return {group: round(fmean(found), 1) for group, found in group_errors_pct(errors).items()}


def group_errors_pct(errors: Sequence[Tuple[Evidence, float]]) -> Dict[str, List[float]]:
    """Returns the errors of the micro-benchmarks by group."""
    groups: Dict[str, List[float]] = {}
    for item, error in errors:
        if item.source == MICROBENCHMARKS:
            groups.setdefault(item.group, []).append(error)
    return groups
