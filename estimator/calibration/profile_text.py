"""A fit as the text of a profile: constants, uncertainties and residuals written, facts and comments left alone."""

from __future__ import annotations

import re
from dataclasses import asdict, replace
from statistics import fmean
from typing import Any, Dict, List, Mapping, Optional, Sequence

import numpy as np
import tomlkit

from ..hardware.profile import Profile
from .evidence import MICROBENCHMARKS, RECORDS, Evidence
from .fit import SYNCHRONISED_CALL_US, Fit, Fitter

_SOURCE_OF_PART = re.compile(r"^(fitted here|transferred from [\w.-]+); ")
"""Before the source of a constant, where `calibrate --host` left those of the device another board's."""


def profile_text(
    fitter: Fitter, fit: Fit, software: Mapping[str, str], board: Optional[Mapping[str, Any]] = None
) -> str:
    """Returns the fitter's profile as TOML with what the fit gives; `board` replaces facts about the board."""
    document, profile = _document(fitter.profile), fitter.profile
    for key, value in (board or {}).items():
        table, name = (document["power_mode"]["default"], key) if key == "threads" else (document["board"], key)
        table[name] = value
    _set_constants(document, profile, fit)
    calibration = document["calibration"]
    for of_parts in ("transferred_from", "host"):
        calibration.pop(of_parts, None)
    found = {
        "power_mode": profile.calibrated_mode,
        "sources": sources(fitter.evidence),
        "evidence": summary(fitter.evidence),
        "held_out_spread_pct": profile.held_out_spread_pct,
        SYNCHRONISED_CALL_US: fit.synchronised_call_us,
        "reference_ms": profile.reference_ms,
        "at_bound": list(fit.at_bound),
        "covariance": rows_text(fit.covariance),
        "residuals_pct": tomlkit.item(residuals_pct(fitter, fit)),
    }
    calibration.update({key: value for key, value in found.items() if value is not None})
    _set_table(calibration, "software", software)
    document.pop("corrections", None)
    if profile.corrections:
        document["corrections"] = _corrections(profile)
    return dumped(document)


def host_profile_text(profile: Profile, fit: Fit, about: Mapping[str, Any]) -> str:
    """Returns the TOML of the profile with the host's constants as `fit` gives them, `about` says from what.

    A board that borrowed its constants gets copies of the device's; each constant's source says which of the two it is.
    """
    document = _document(profile)
    calibration, whole = document["calibration"], _with_device(profile, fit)
    is_first = "constants" not in document
    _set_constants(document, profile, whole if is_first else fit)
    if is_first:
        calibration["held_out_spread_pct"] = profile.held_out_spread_pct
        calibration["sources"] = profile.sources
        _set_table(calibration, "software", profile.software)
    if profile.transferred_from:
        calibration["power_mode"] = about["power_mode"]
        for name, constant in document["constants"].items():
            whose = "fitted here" if name in fit.constants else f"transferred from {profile.transferred_from}"
            constant["source"] = f"{whose}; {_SOURCE_OF_PART.sub('', constant['source'])}"
    of_device = [str(name) for name in calibration.get("at_bound", ()) if name not in fit.constants]
    calibration["at_bound"] = [*of_device, *fit.at_bound]
    calibration["covariance"] = rows_text(whole.covariance)
    _set_table(calibration, "host", about)
    return dumped(document)


def _document(profile: Profile) -> Any:
    return tomlkit.parse(profile.path.read_text(encoding="utf-8"))


def dumped(document: Any) -> str:
    """Returns the text, with a blank line before each table: tomlkit loses that behind a table which was replaced."""
    return re.sub(r"^([^#\n].*)\n(?=\[)", r"\1\n\n", tomlkit.dumps(document), flags=re.MULTILINE)


def rows_text(rows: Sequence[Sequence[float]]) -> Any:
    """Returns a TOML array with a line for each row."""
    return tomlkit.item(list(map(list, rows))).multiline(True)


def _set_constants(document: Any, profile: Profile, fit: Fit) -> None:
    constants = document.setdefault("constants", tomlkit.table(is_super_table=True))
    for name, value in fit.constants.items():
        if name not in constants:
            constants[name] = {key: field for key, field in asdict(profile.constants[name]).items() if key != "name"}
        source = _SOURCE_OF_PART.sub("", constants[name]["source"])
        for key in ("prior", "prior_sigma"):
            if constants[name][key] != getattr(profile.constants[name], key):
                constants[name][key] = getattr(profile.constants[name], key)
        constants[name].update({"source": source, "value": value, "uncertainty_pct": fit.uncertainty_pct[name]})


def _corrections(profile: Profile) -> Any:
    """A line for each point: its features, and last the logarithm by which the formula is off there."""
    tables = tomlkit.table(is_super_table=True)
    for kind, found in profile.corrections.items():
        about = {key: getattr(found, key) for key in ("pieces", "noise", "offset", "length")}
        points = [(*point, residual) for point, residual in zip(found.points, found.residuals)]
        tables[kind] = {**about, "features": list(found.features), "points": rows_text(points)}
    return tables


def _set_table(table: Any, name: str, content: Mapping[str, Any]) -> None:
    """An empty table is left out: nothing is known."""
    table.pop(name, None)
    if content:
        table[name] = tomlkit.item(dict(content))


def _with_device(profile: Profile, fit: Fit) -> Fit:
    """The fit of the host, and the device's constants with their block of the covariance; no cross terms."""
    uncertainty_pct = {name: constant.uncertainty_pct for name, constant in profile.constants.items()}
    sigmas = np.array(list(uncertainty_pct.values())) / 100
    before = np.array(profile.covariance) if profile.covariance else np.diag(np.square(sigmas))
    is_host = np.array([name in fit.constants for name in profile.constants])
    covariance = np.where(np.outer(~is_host, ~is_host), before, 0.0)
    covariance[np.ix_(is_host, is_host)] = fit.covariance
    return replace(
        fit,
        constants={**profile.values(), **fit.constants},
        uncertainty_pct={**uncertainty_pct, **fit.uncertainty_pct},
        covariance=tuple(map(tuple, covariance.tolist())),
    )


def sources(evidence: Sequence[Evidence]) -> str:
    """Returns what a fit looked at: "records", "microbenchmarks" or both."""
    found = {item.source for item in evidence}
    return " and ".join(source for source in (RECORDS, MICROBENCHMARKS) if source in found)


def summary(evidence: Sequence[Evidence]) -> str:
    """Returns how many pieces of which kind, "22 models, 8 patterns"."""
    groups = [item.group for item in evidence if item.source == RECORDS]
    parts = [f"{groups.count(group)} {group}s" for group in dict.fromkeys(groups)]
    chains = [item.family for item in evidence if item.source == MICROBENCHMARKS]
    return ", ".join([*parts, *([f"{len(chains)} micro-benchmarks in {len({*chains})} chains"] if chains else [])])


def residuals_pct(fitter: Fitter, fit: Fit) -> Dict[str, float]:
    """Returns each recorded figure's error in percent; of micro-benchmarks the mean of each group."""
    errors: Dict[str, List[float]] = {}
    for item, error in zip(fitter.evidence, map(float, fitter.errors_pct(fit))):
        errors.setdefault(item.name if item.source == RECORDS else item.group, []).append(error)
    return {name: round(fmean(found), 1) for name, found in errors.items()}
