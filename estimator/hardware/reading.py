"""Reads a hardware profile from its TOML file and refuses one that cannot be true."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Dict, List, Mapping, Sequence, Tuple

from ..errors import ProfileError, RecordError
from ..files import read_toml
from .profile import Constant, Correction, PowerMode, Profile, Quantity
from .quantities import CAPABILITIES, CPU_CONSTANTS, FACTS, FEATURES, GPU_CONSTANTS
from .software import SOFTWARE

PROFILES = Path(__file__).parent
TEMPLATES = PROFILES / "templates"
_EVENT_PAIR_KCYCLES = 32.3  # of the Jetson Orin AGX; what a pair of events costs a host is not known elsewhere
_MODE_KEYS: Mapping[str, Tuple[str, ...]] = {
    "gpu": ("cpu_mhz", "gpu_mhz", "sms", "bandwidth_gb_s"),
    "cpu": ("threads",),
}
SOURCES = ("records", "microbenchmarks", "records and microbenchmarks")
"""What constants can have been fitted to."""
_FORMER_SOURCES = {"models": SOURCES[0], "patterns": SOURCES[1], "models and patterns": SOURCES[2]}
_WHOLE = {"sms": "multiprocessors", "threads": "threads"}


def known_profiles() -> Tuple[str, ...]:
    """Returns the names of the boards that have a profile, sorted."""
    return tuple(sorted(path.stem for path in PROFILES.glob("*.toml")))


def read_profile(path: Path) -> Profile:
    """Returns the checked profile in `path`, read anew each time; ProfileError names the file and key that is wrong."""
    document = _Table(path, "", _parse(path))
    board, modes = document.table("board"), document.table("power_mode").tables()
    processor = _processor(board)
    profile = Profile(
        name=path.stem,
        path=path,
        board=_board(board),
        facts=_facts(document, board) if processor == "gpu" else {},
        modes={key: _power_mode(key, table, _MODE_KEYS[processor]) for key, table in modes.items()},
        default_mode=board.text("default_power_mode")
        if "default_power_mode" in board.content
        else next(iter(modes), ""),
        processor=processor,
        **_calibration(document, document.table("calibration")),
    )
    _check(profile, document)
    return profile


def _processor(board: _Table) -> str:
    processor = board.text("processor") if "processor" in board.content else "gpu"
    if processor not in _MODE_KEYS:
        raise board.error(f"unknown {processor!r}; known: {', '.join(_MODE_KEYS)}", "processor")
    return processor


def _board(board: _Table) -> Dict[str, str]:
    software = board.text("software") if "software" in board.content else "not known"
    return {"description": board.text("description"), "software": software, "source": board.text("source")}


def _facts(document: _Table, board: _Table) -> Dict[str, Quantity]:
    """What the board's compute capability implies, unless the profile says otherwise."""
    content = {**_implied_facts(board), **document.table("facts").content}
    table = _Table(document.path, "facts", content)
    _check_keys(table, tuple(FACTS))
    return {name: _fact(table, name, board.text("source")) for name in content}


def _implied_facts(board: _Table) -> Dict[str, float]:
    if "compute_capability" not in board.content:
        return {}
    capability = board.text("compute_capability")
    if capability not in CAPABILITIES:
        raise board.error(f"unknown {capability!r}; known: {', '.join(CAPABILITIES)}", "compute_capability")
    names = (f"{arithmetic}_flops_per_clock_per_sm" for arithmetic in ("fp32", "tf32", "fp16"))
    return {**dict(zip(names, map(float, CAPABILITIES[capability]))), "event_pair_kcycles": _EVENT_PAIR_KCYCLES}


def _fact(table: _Table, name: str, source: str) -> Quantity:
    """A table of its own, or just the number: then it comes from the board's source, in the unit its name ends with."""
    if isinstance(table.content[name], dict):
        return _quantity(table.table(name))
    unit, lower, upper = FACTS[name]
    content = {"value": table.number(name), "unit": unit, "source": source, "lower": lower, "upper": upper}
    return _quantity(_Table(table.path, f"{table.key}.{name}", content))


def _calibration(document: _Table, calibration: _Table) -> Dict[str, Any]:
    """The board's own constants, or those of the board it names in `transferred_from`.

    With a host calibrated apart, a transferred profile has constants of its own: the device's are copies.
    """
    origin = _origin(calibration) if "transferred_from" in calibration.content else None
    if origin is not None and "host" not in calibration.content:
        return _transferred(origin)
    software = _software(calibration)
    host = calibration.table("host") if "host" in calibration.content else None
    return {
        "calibrated_mode": calibration.text("power_mode"),
        "constants": {key: _constant(table) for key, table in document.table("constants").tables().items()},
        "covariance": tuple(tuple(row) for row in calibration.rows("covariance")),
        "held_out_spread_pct": calibration.number("held_out_spread_pct"),
        "sources": _sources(calibration),
        "transferred_from": origin.name if origin is not None else "",
        "transferred_facts": origin.facts if origin is not None else {},
        "software": software,
        "host_software": software if host is None else _software(host),
        "own_host": host is not None,
        "anchor_ms": calibration.number("anchor_ms") if "anchor_ms" in calibration.content else None,
        "corrections": _corrections(document),
    }


def _software(table: _Table) -> Dict[str, str]:
    """Versions by name; none where nobody wrote them down."""
    if "software" not in table.content:
        return {}
    software = table.table("software")
    for key in software.content:
        if key not in SOFTWARE:
            raise software.error(f"is not known; known keys: {', '.join(SOFTWARE)}", key)
    return {key: software.text(key) for key in software.content}


def _corrections(document: _Table) -> Dict[str, Correction]:
    if "corrections" not in document.content:
        return {}
    return {kind: _correction(table) for kind, table in document.table("corrections").tables().items()}


def _correction(table: _Table) -> Correction:
    """Each row of `points` has a number for each feature, and last the residual there."""
    features, rows = table.get("features"), table.get("points")
    if not isinstance(features, list) or not set(features) <= set(FEATURES):
        raise table.error(f"must be a list of some of {', '.join(FEATURES)}, got {features!r}", "features")
    if not isinstance(rows, list) or not all(_is_row(row, len(features) + 1) for row in rows):
        raise table.error(f"must be rows of {len(features) + 1} finite numbers", "points")
    if table.number("length") <= 0:
        raise table.error(f"must be above 0, got {table.number('length'):g}", "length")
    return Correction(
        pieces=int(table.number("pieces")),
        noise=table.number("noise"),
        offset=table.number("offset"),
        length=table.number("length"),
        features=tuple(features),
        points=tuple(tuple(map(float, row[:-1])) for row in rows),
        residuals=tuple(float(row[-1]) for row in rows),
    )


def _is_row(row: Any, length: int) -> bool:
    return (
        isinstance(row, list)
        and len(row) == length
        and all(isinstance(x, (int, float)) and math.isfinite(x) for x in row)
    )


def _sources(calibration: _Table) -> str:
    found = calibration.text("sources") if "sources" in calibration.content else SOURCES[0]
    if found in _FORMER_SOURCES:
        raise calibration.error(f"{found!r} is called {_FORMER_SOURCES[found]!r} now", "sources")
    if found not in SOURCES:
        raise calibration.error(f"unknown {found!r}; known: {', '.join(SOURCES)}", "sources")
    return found


def _origin(calibration: _Table) -> Profile:
    origin = calibration.text("transferred_from")
    if origin not in known_profiles() or origin == calibration.path.stem:
        known = ", ".join(known_profiles())
        raise calibration.error(f"unknown hardware {origin!r}; known: {known}", "transferred_from")
    source = read_profile(PROFILES / f"{origin}.toml")
    if source.transferred_from:
        raise calibration.error(f"{origin} is itself transferred from {source.transferred_from}", "transferred_from")
    return source


def _transferred(source: Profile) -> Dict[str, Any]:
    return {
        "calibrated_mode": source.calibrated_mode,
        "constants": source.constants,
        "covariance": source.covariance,
        "held_out_spread_pct": source.held_out_spread_pct,
        "transferred_from": source.name,
        "software": source.software,
        "host_software": source.host_software,
        "transferred_facts": source.facts,
    }


class _Table:
    """A TOML table that knows its file and key, for the message when something is wrong with it."""

    def __init__(self, path: Path, key: str, content: Any) -> None:
        self.path, self.key, self.content = path, key, content
        if not isinstance(content, dict):
            raise self.error("must be a table")

    def error(self, what: str, key: str = "") -> ProfileError:
        where = ".".join(part for part in (self.key, key) if part)
        return ProfileError(f"{self.path}: {where or 'document'}: {what}")

    def get(self, key: str) -> Any:
        if key not in self.content:
            raise self.error(f"is missing; keys here: {', '.join(self.content) or 'none'}", key)
        return self.content[key]

    def text(self, key: str) -> str:
        value = self.get(key)
        if not isinstance(value, str) or not value.strip():
            raise self.error(f"must be a text, got {value!r}", key)
        return value

    def number(self, key: str) -> float:
        value = self.get(key)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            raise self.error(f"must be a finite number, got {value!r}", key)
        return float(value)

    def rows(self, key: str) -> List[List[float]]:
        rows = self.get(key)
        if not isinstance(rows, list) or any(not isinstance(row, list) or len(row) != len(rows) for row in rows):
            raise self.error("must be a square matrix, a list of rows", key)
        if not all(isinstance(x, (int, float)) and math.isfinite(x) for row in rows for x in row):
            raise self.error("must hold finite numbers", key)
        return rows

    def table(self, key: str) -> _Table:
        return _Table(self.path, f"{self.key}.{key}" if self.key else key, self.get(key))

    def tables(self) -> Dict[str, _Table]:
        return {key: self.table(key) for key in self.content}


def _parse(path: Path) -> Dict[str, Any]:
    try:
        return read_toml(path)
    except RecordError as error:
        raise ProfileError(str(error)) from error


def _quantity(table: _Table) -> Quantity:
    name = table.key.rsplit(".", 1)[-1]
    lower, upper = table.number("lower"), table.number("upper")
    value, unit, source = table.number("value"), table.text("unit"), table.text("source")
    if not 0 <= lower < upper:
        raise table.error(f"bounds must be 0 <= lower < upper, got [{lower:g}, {upper:g}] {unit}")
    if not lower <= value <= upper or value <= 0:
        raise table.error(f"must be above 0 and within [{lower:g}, {upper:g}] {unit}, got {value:g}", "value")
    if unit == "fraction of peak" and upper > 1:
        raise table.error(f"no efficiency above 1 is physical, got {upper:g}", "upper")
    return Quantity(name, value, unit, source, lower, upper)


def _constant(table: _Table) -> Constant:
    q = _quantity(table)
    prior, sigma = table.number("prior"), table.number("prior_sigma")
    if not q.lower <= prior <= q.upper or sigma <= 0:
        raise table.error(f"prior {prior:g} must lie within [{q.lower:g}, {q.upper:g}] and prior_sigma above 0")
    rest = prior, sigma, table.number("uncertainty_pct")
    return Constant(q.name, q.value, q.unit, q.source, q.lower, q.upper, *rest)


def _power_mode(name: str, table: _Table, keys: Sequence[str]) -> PowerMode:
    numbers: Dict[str, Any] = {key: table.number(key) for key in keys}
    for key, value in numbers.items():
        if value <= 0:
            raise table.error(f"must be above 0, got {value:g}", key)
        if key in _WHOLE:
            if value != int(value):
                raise table.error(f"must be a whole number of {_WHOLE[key]}, got {value:g}", key)
            numbers[key] = int(value)
    watts = table.number("watts") if "watts" in table.content else None
    return PowerMode(name=name, watts=watts, **numbers)


def _check(profile: Profile, document: _Table) -> None:
    _check_modes(profile, document)
    if profile.transferred_from and not profile.own_host:
        return
    needed = GPU_CONSTANTS if profile.processor == "gpu" else CPU_CONSTANTS
    _check_keys(document.table("constants"), needed)
    calibration = document.table("calibration")
    if profile.calibrated_mode not in profile.modes:
        known = ", ".join(profile.modes)
        raise calibration.error(f"unknown power mode {profile.calibrated_mode!r}; known: {known}", "power_mode")
    if len(profile.covariance) not in (0, len(needed)):
        raise calibration.error(f"must have {len(needed)} rows, got {len(profile.covariance)}", "covariance")


def _check_keys(table: _Table, needed: Sequence[str]) -> None:
    for key in needed:
        if key not in table.content:
            raise table.error(f"is missing; keys here: {', '.join(table.content)}", key)
    for key in table.content:
        if key not in needed:
            raise table.error(f"is not known; known keys: {', '.join(needed)}", key)


def _check_modes(profile: Profile, document: _Table) -> None:
    peak = profile.fact("dram_peak_gb_s") if profile.processor == "gpu" else math.inf
    for name, mode in profile.modes.items():
        if mode.bandwidth_gb_s > peak:
            message = f"is above the memory's peak of {peak:g} GB/s, got {mode.bandwidth_gb_s:g}"
            raise document.table("power_mode").table(name).error(message, "bandwidth_gb_s")
    if profile.default_mode not in profile.modes:
        message = f"unknown power mode {profile.default_mode!r}; known: {', '.join(profile.modes)}"
        raise document.table("board").error(message, "default_power_mode")
