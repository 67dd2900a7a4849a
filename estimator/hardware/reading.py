"""Reads a hardware profile from its TOML file and refuses one that cannot be true."""

from __future__ import annotations

import math
import tempfile
from pathlib import Path
from typing import Any, Callable, Dict, Mapping, Optional, Tuple

from ..checked import LATENCY_MS, PERCENT, Checked, number, one_of, shown
from ..errors import ProfileError
from ..files import write_atomically
from . import public_gpus
from .generations import DRAM_EFFICIENCY, GENERATIONS, implied_facts
from .profile import Correction, PowerMode, Profile, Quantity
from .quantities import (
    CPU_CONSTANTS,
    FACTS,
    FEATURE,
    FEATURES,
    GPU_CONSTANTS,
    LOGARITHM,
    MODE_BOUNDS,
    PIECES,
    SCALE,
    WATTS,
    WHOLE,
)
from .software import SOFTWARE
from .toml_quantities import constant_in, covariance_in, document_in, quantity_in

PROFILES = Path(__file__).parent
TEMPLATES = PROFILES / "templates"
SOURCES = ("records", "microbenchmarks", "records and microbenchmarks")
"""What constants can have been fitted to."""
_HOST_OF = "Jetson-Orin-AGX"
"""The board whose host's costs those of other hosts are a factor of."""
_TABLES = ("board", "power_mode", "facts", "calibration", "constants", "corrections")
_BOARD_KEYS = "description software source processor compute_capability memory host default_power_mode".split()
_CALIBRATION_KEYS = (
    "power_mode held_out_spread_pct covariance evidence synchronised_call_us reference_ms at_bound sources "
    "residuals_pct software host transferred_from"
).split()


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
    document = document_in(path)
    document.only(_TABLES)
    board, modes = document.table("board"), document.table("power_mode").tables()
    board.only(_BOARD_KEYS)
    processor = board.one_of("processor", tuple(MODE_BOUNDS)) if board.has("processor") else "gpu"
    if processor == "gpu":
        board.check("compute_capability", board.text("compute_capability"), one_of, tuple(GENERATIONS))
    default_mode = board.text("default_power_mode", next(iter(modes), ""))
    facts = _facts(document, board) if processor == "gpu" else {}
    profile = Profile(
        name=path.stem,
        path=path,
        board={
            "description": board.text("description"),
            "software": board.text("software", "not known"),
            "source": board.text("source"),
        },
        facts=facts,
        modes={key: _power_mode(key, table, processor, _derived_gb_s(board, facts)) for key, table in modes.items()},
        default_mode=default_mode,
        processor=processor,
        compute_capability=board.text("compute_capability", " ").strip(),
        **_calibration(document, board, default_mode, profile_of),
    )
    _check(profile, document)
    return profile


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


def _facts(document: Checked, board: Checked) -> Dict[str, Quantity]:
    """What the board's compute capability implies, unless the profile says otherwise."""
    table = document.part("facts", {**_implied_facts(board), **document.table("facts").content})
    table.only(tuple(FACTS))
    for name in (name for name, fact in FACTS.items() if fact.default is None):
        table.get(name)
    return {name: _fact(table, name, board.text("source")) for name in table.content}


def _implied_facts(board: Checked) -> Dict[str, float]:
    return implied_facts(board.text("compute_capability"))


def _fact(table: Checked, name: str, source: str) -> Quantity:
    """A table of its own, or just the number: then it comes from the board's source, in the unit its name ends with."""
    bounds = FACTS[name].bounds
    if isinstance(table.content[name], dict):
        table.table(name).number("value", bounds)
        return quantity_in(table.table(name))
    return Quantity(name, table.number(name, bounds), bounds.unit, source, bounds.lower, bounds.upper)


def _calibration(
    document: Checked, board: Checked, default_mode: str, profile_of: Callable[[str], Profile]
) -> Dict[str, Any]:
    """The board's own constants, or those that it names in `transferred_from`: another board's, or public GPUs'.

    With a host calibrated apart, a transferred profile has constants of its own: the device's are copies.
    """
    calibration = document.table("calibration")
    calibration.only(_CALIBRATION_KEYS)
    borrowed: Dict[str, Any] = {}
    if calibration.has("transferred_from"):
        is_public = calibration.get("transferred_from") == public_gpus.NAME
        borrowed = _of_public_gpus(board, default_mode, profile_of) if is_public else _of_board(calibration, profile_of)
    if borrowed and not calibration.has("host"):
        return borrowed
    software = _software(calibration)
    host = calibration.table("host") if calibration.has("host") else None
    own = {
        "calibrated_mode": calibration.text("power_mode"),
        "constants": {key: constant_in(table) for key, table in document.table("constants").tables().items()},
        "covariance": covariance_in(calibration),
        "held_out_spread_pct": calibration.number("held_out_spread_pct", PERCENT),
        "sources": calibration.one_of("sources", SOURCES) if calibration.has("sources") else SOURCES[0],
        "software": software,
        "host_software": software if host is None else _software(host),
        "own_host": host is not None,
        "reference_ms": calibration.number("reference_ms", LATENCY_MS) if calibration.has("reference_ms") else None,
        "corrections": {
            kind: _correction(table)
            for kind, table in document.part("corrections", document.content.get("corrections", {})).tables().items()
        },
    }
    return {**borrowed, **own}


def _of_board(calibration: Checked, profile_of: Callable[[str], Profile]) -> Dict[str, Any]:
    origin = _origin(calibration, profile_of)
    same = ("calibrated_mode", "constants", "covariance", "held_out_spread_pct", "software", "host_software")
    borrowed = {name: getattr(origin, name) for name in same}
    return {**borrowed, "transferred_from": origin.name, "transferred_facts": origin.facts}


def _of_public_gpus(board: Checked, default_mode: str, profile_of: Callable[[str], Profile]) -> Dict[str, Any]:
    """The device's of the fit to public GPUs, the host's by the architecture of the board's host."""
    public = public_gpus.read_public_gpus()
    host = public.hosts[board.one_of("host", tuple(public.hosts))]
    jetson = profile_of(_HOST_OF)
    of_host, host_rows = public_gpus.host_constants(host, jetson.constants, jetson.covariance)
    of_device, device_rows = public.device(GENERATIONS[board.text("compute_capability")])
    return {
        "calibrated_mode": default_mode,
        "constants": {**of_host, **of_device},
        "covariance": public_gpus.joined((host_rows, device_rows)),
        "spreads_pct": public.spreads_pct,
        "held_out_spread_pct": 0.0,
        "transferred_from": public_gpus.NAME,
    }


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
        known = ", ".join((*known_profiles(), public_gpus.NAME))
        raise calibration.error(f"unknown hardware {shown(origin)}; known: {known}", "transferred_from")
    source = profile_of(origin)
    if source.transferred_from:
        raise calibration.error(f"{origin} is itself transferred from {source.transferred_from}", "transferred_from")
    return source


def _derived_gb_s(board: Checked, facts: Mapping[str, Quantity]) -> Optional[float]:
    """What copies reach of the memory's peak by its kind, where the profile says which it is."""
    if not board.has("memory"):
        return None
    return DRAM_EFFICIENCY[board.one_of("memory", tuple(DRAM_EFFICIENCY))] * facts["dram_peak_gb_s"].value


def _power_mode(name: str, table: Checked, processor: str, derived_gb_s: Optional[float] = None) -> PowerMode:
    bounds = MODE_BOUNDS[processor]
    table.only((*bounds, "watts", "source"))
    if derived_gb_s is not None and not table.has("bandwidth_gb_s"):
        table = table.beside("bandwidth_gb_s", derived_gb_s)
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
