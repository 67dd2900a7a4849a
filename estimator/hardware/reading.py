"""Reads a hardware profile from its TOML file and refuses one that cannot be true."""

from __future__ import annotations

import math
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any, Callable, Dict, Tuple

import numpy as np

from ..checked import LATENCY_MS, PERCENT, Bounds, Checked, number, one_of, shown
from ..errors import ProfileError, RecordError
from ..files import read_toml, write_atomically
from .profile import Constant, Correction, PowerMode, Profile, Quantity
from .quantities import (
    BOUND,
    CAPABILITIES,
    CPU_CONSTANTS,
    FACTS,
    FEATURE,
    FEATURES,
    GPU_CONSTANTS,
    LEAST,
    LOGARITHM,
    MODE_BOUNDS,
    PIECES,
    PRIOR_SIGMA,
    SCALE,
    VARIANCE,
    WATTS,
    WHOLE,
)
from .software import SOFTWARE

PROFILES = Path(__file__).parent
TEMPLATES = PROFILES / "templates"
_ROUNDING = 0.005
"""Of each entry of a covariance, which is kept to two digits: what its least eigenvalue may be below 0, per row."""
SOURCES = ("records", "microbenchmarks", "records and microbenchmarks")
"""What constants can have been fitted to."""
_TABLES = ("board", "power_mode", "facts", "calibration", "constants", "corrections")
_BOARD_KEYS = ("description", "software", "source", "processor", "compute_capability", "default_power_mode")
_CALIBRATION_KEYS = (
    "power_mode held_out_spread_pct covariance evidence synchronised_call_us reference_ms at_bound sources "
    "residuals_pct software host transferred_from"
).split()
_QUANTITY_KEYS = ("value", "unit", "source", "lower", "upper", "prior", "prior_sigma", "uncertainty_pct")


def known_profiles() -> Tuple[str, ...]:
    """Returns the names of the boards that have a profile, sorted."""
    return tuple(sorted(path.stem for path in PROFILES.glob("*.toml")))


def read_known(name: str) -> Profile:
    """Returns the profile of a board of that name, which must be known; raises as `read_profile`."""
    return read_profile(PROFILES / f"{name}.toml")


def read_profile(path: Path, profile_of: Callable[[str], Profile] = read_known) -> Profile:
    """Returns the checked profile in `path`, read anew each time; ProfileError names the file and key that is wrong.

    `profile_of` gives the profile of the board whose constants it takes, if it takes another's.
    """
    document = _document(path)
    document.only(_TABLES)
    board, modes = document.table("board"), document.table("power_mode").tables()
    board.only(_BOARD_KEYS)
    processor = board.one_of("processor", tuple(MODE_BOUNDS)) if board.has("processor") else "gpu"
    profile = Profile(
        name=path.stem,
        path=path,
        board={
            "description": board.text("description"),
            "software": board.text("software", "not known"),
            "source": board.text("source"),
        },
        facts=_facts(document, board) if processor == "gpu" else {},
        modes={key: _power_mode(key, table, processor) for key, table in modes.items()},
        default_mode=board.text("default_power_mode", next(iter(modes), "")),
        processor=processor,
        **_calibration(document, document.table("calibration"), profile_of),
    )
    _check(profile, document)
    return profile


def fixed_constants(path: Path) -> Tuple[Constant, ...]:
    """Returns constants that no calibration moves: each is its own prior, known as well as its file says."""
    return tuple(map(_fixed, _document(path).tables().values()))


def _fixed(table: Checked) -> Constant:
    quantity, uncertainty_pct = _quantity(table), table.number("uncertainty_pct", PERCENT)
    sigma = math.log1p(uncertainty_pct / 100)
    return Constant(**asdict(quantity), prior=quantity.value, prior_sigma=sigma, uncertainty_pct=uncertainty_pct)


def write_profile_text(path: Path, text: str) -> None:
    """Writes a profile atomically; ProfileError, with nothing written, where it could not be read again."""
    with tempfile.TemporaryDirectory() as folder:
        trial = Path(folder, path.name)
        trial.write_text(text, encoding="utf-8")
        try:
            read_profile(trial)
        except ProfileError as error:
            raise ProfileError(str(error).replace(str(trial), f"not written to {path}")) from error
    write_atomically(path, text)


def _document(path: Path) -> Checked:
    try:
        return Checked(path, read_toml(path), error=ProfileError)
    except RecordError as error:
        raise ProfileError(str(error)) from error


def _facts(document: Checked, board: Checked) -> Dict[str, Quantity]:
    """What the board's compute capability implies, unless the profile says otherwise."""
    table = document.part("facts", {**_implied_facts(board), **document.table("facts").content})
    table.only(tuple(FACTS))
    for name in (name for name, fact in FACTS.items() if fact.default is None):
        table.get(name)
    return {name: _fact(table, name, board.text("source")) for name in table.content}


def _implied_facts(board: Checked) -> Dict[str, float]:
    if not board.has("compute_capability"):
        return {}
    capability = board.one_of("compute_capability", tuple(CAPABILITIES))
    names = (f"{arithmetic}_flops_per_clock_per_sm" for arithmetic in ("fp32", "tf32", "fp16"))
    return dict(zip(names, map(float, CAPABILITIES[capability])))


def _fact(table: Checked, name: str, source: str) -> Quantity:
    """A table of its own, or just the number: then it comes from the board's source, in the unit its name ends with."""
    bounds = FACTS[name].bounds
    if isinstance(table.content[name], dict):
        table.table(name).number("value", bounds)
        return _quantity(table.table(name))
    return Quantity(name, table.number(name, bounds), bounds.unit, source, bounds.lower, bounds.upper)


def _calibration(document: Checked, calibration: Checked, profile_of: Callable[[str], Profile]) -> Dict[str, Any]:
    """The board's own constants, or those of the board it names in `transferred_from`.

    With a host calibrated apart, a transferred profile has constants of its own: the device's are copies.
    """
    calibration.only(_CALIBRATION_KEYS)
    origin = _origin(calibration, profile_of) if calibration.has("transferred_from") else None
    if origin is not None and not calibration.has("host"):
        same = ("calibrated_mode", "constants", "covariance", "held_out_spread_pct", "software", "host_software")
        borrowed = {name: getattr(origin, name) for name in same}
        return {**borrowed, "transferred_from": origin.name, "transferred_facts": origin.facts}
    software = _software(calibration)
    host = calibration.table("host") if calibration.has("host") else None
    return {
        "calibrated_mode": calibration.text("power_mode"),
        "constants": {key: _constant(table) for key, table in document.table("constants").tables().items()},
        "covariance": _covariance(calibration),
        "held_out_spread_pct": calibration.number("held_out_spread_pct", PERCENT),
        "sources": calibration.one_of("sources", SOURCES) if calibration.has("sources") else SOURCES[0],
        "transferred_from": origin.name if origin is not None else "",
        "transferred_facts": origin.facts if origin is not None else {},
        "software": software,
        "host_software": software if host is None else _software(host),
        "own_host": host is not None,
        "reference_ms": calibration.number("reference_ms", LATENCY_MS) if calibration.has("reference_ms") else None,
        "corrections": {
            kind: _correction(table)
            for kind, table in document.part("corrections", document.content.get("corrections", {})).tables().items()
        },
    }


def _covariance(calibration: Checked) -> Tuple[Tuple[float, ...], ...]:
    """A matrix that is the covariance of something: symmetric, and no combination of constants varies negatively."""
    rows = calibration.rows("covariance", len(calibration.items("covariance")), VARIANCE)
    matrix = np.array(rows).reshape(len(rows), len(rows))
    if not (matrix == matrix.T).all():
        raise calibration.error("must be symmetric: a covariance is the same both ways", "covariance")
    sigmas = np.sqrt(np.where(matrix.diagonal() > 0, matrix.diagonal(), np.nan))
    correlations = np.nan_to_num(matrix / np.outer(sigmas, sigmas))
    is_certain = np.isnan(sigmas)
    least = np.linalg.eigvalsh(correlations).min() if len(rows) else 0.0
    if least < -_ROUNDING * len(rows) or matrix[is_certain].any() or (matrix.diagonal() < 0).any():
        raise calibration.error("is no covariance: some combination of the constants varies negatively", "covariance")
    return rows


def _software(table: Checked) -> Dict[str, str]:
    """Versions by name; none where nobody wrote them down."""
    if not table.has("software"):
        return {}
    software = table.table("software")
    software.only(tuple(SOFTWARE))
    return {key: software.text(key) for key in software.content}


def _correction(table: Checked) -> Correction:
    """Each row of `points` has a number for each feature, and last the residual there."""
    places = range(len(table.items("features")))
    features = [table.check(f"features[{i}]", table.items("features")[i], one_of, tuple(FEATURES)) for i in places]
    rows = table.rows("points", len(features) + 1, FEATURE)
    for place, row in enumerate(rows):
        table.check(f"points[{place}][{len(features)}]", row[-1], number, LOGARITHM)
    return Correction(
        pieces=table.whole("pieces", PIECES),
        noise=table.number("noise", SCALE),
        offset=table.number("offset", LOGARITHM),
        length=table.number("length", SCALE),
        features=tuple(features),
        points=tuple(row[:-1] for row in rows),
        residuals=tuple(row[-1] for row in rows),
    )


def _origin(calibration: Checked, profile_of: Callable[[str], Profile]) -> Profile:
    origin = calibration.text("transferred_from")
    if origin not in known_profiles() or origin == calibration.path.stem:
        known = ", ".join(known_profiles())
        raise calibration.error(f"unknown hardware {shown(origin)}; known: {known}", "transferred_from")
    source = profile_of(origin)
    if source.transferred_from:
        raise calibration.error(f"{origin} is itself transferred from {source.transferred_from}", "transferred_from")
    return source


def _quantity(table: Checked) -> Quantity:
    table.only(_QUANTITY_KEYS)
    name = table.key.rsplit(".", 1)[-1]
    lower, upper = table.number("lower", BOUND), table.number("upper", BOUND)
    unit, source = table.text("unit"), table.text("source")
    if not lower < upper:
        raise table.error(f"bounds must be 0 <= lower < upper, got [{lower:g}, {upper:g}] {unit}")
    if unit == "fraction of peak" and upper > 1:
        raise table.error(f"no efficiency above 1 is physical, got {upper:g}", "upper")
    value = table.number("value", Bounds(max(lower, LEAST), upper, unit))
    return Quantity(name, value, unit, source, lower, upper)


def _constant(table: Checked) -> Constant:
    quantity = _quantity(table)
    return Constant(
        **asdict(quantity),
        prior=table.number("prior", Bounds(quantity.lower, quantity.upper, quantity.unit)),
        prior_sigma=table.number("prior_sigma", PRIOR_SIGMA),
        uncertainty_pct=table.number("uncertainty_pct", PERCENT),
    )


def _power_mode(name: str, table: Checked, processor: str) -> PowerMode:
    bounds = MODE_BOUNDS[processor]
    table.only((*bounds, "watts", "source"))
    numbers: Dict[str, Any] = {
        key: table.whole(key, limits) if key in WHOLE else table.number(key, limits) for key, limits in bounds.items()
    }
    watts = table.number("watts", WATTS) if table.has("watts") else None
    return PowerMode(name=name, watts=watts, **numbers)


def _check(profile: Profile, document: Checked) -> None:
    _check_modes(profile, document)
    if profile.transferred_from and not profile.own_host:
        return
    needed = GPU_CONSTANTS if profile.processor == "gpu" else CPU_CONSTANTS
    document.table("constants").only(needed, needed=True)
    calibration = document.table("calibration")
    if profile.calibrated_mode not in profile.modes:
        known = ", ".join(profile.modes)
        raise calibration.error(f"unknown power mode {shown(profile.calibrated_mode)}; known: {known}", "power_mode")
    if len(profile.covariance) not in (0, len(needed)):
        raise calibration.error(f"must have {len(needed)} rows, got {len(profile.covariance)}", "covariance")


def _check_modes(profile: Profile, document: Checked) -> None:
    peak = profile.fact("dram_peak_gb_s") if profile.processor == "gpu" else math.inf
    for name, mode in profile.modes.items():
        if mode.bandwidth_gb_s > peak:
            message = f"is above the memory's peak of {peak:g} GB/s, got {mode.bandwidth_gb_s:g}"
            raise document.table("power_mode").table(name).error(message, "bandwidth_gb_s")
    if profile.default_mode not in profile.modes:
        message = f"unknown power mode {shown(profile.default_mode)}; known: {', '.join(profile.modes)}"
        raise document.table("board").error(message, "default_power_mode")
