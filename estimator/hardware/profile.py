"""Loads a hardware profile from its TOML file and refuses one that cannot be true."""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, Mapping, Optional, Tuple

from ..errors import ProfileError, UsageError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_FOLDER = Path(__file__).parent
DEFAULT_HARDWARE = "Jetson-Orin-AGX"


@dataclass(frozen=True)
class Quantity:
    """A number with its unit, where it came from, and the bounds physics or arithmetic sets."""

    name: str
    value: float
    unit: str
    source: str
    lower: float
    upper: float


@dataclass(frozen=True)
class Constant(Quantity):
    """A calibrated quantity: its prior before any evidence (log-normal, `prior_sigma`) and its uncertainty after it."""

    prior: float
    prior_sigma: float
    uncertainty_pct: float


@dataclass(frozen=True)
class PowerMode:
    """Clocks in MHz, streaming multiprocessors switched on, and the best measured DRAM bandwidth of a power mode."""

    name: str
    cpu_mhz: float
    gpu_mhz: float
    sms: int
    bandwidth_gb_s: float
    watts: Optional[float] = None


@dataclass(frozen=True)
class Profile:
    """One board: facts, power modes (default first) and calibrated constants, all checked."""

    name: str
    path: Path
    board: Mapping[str, str]
    facts: Mapping[str, Quantity]
    modes: Mapping[str, PowerMode]
    default_mode: str
    calibrated_mode: str
    constants: Mapping[str, Constant]

    def mode(self, name: Optional[str] = None) -> PowerMode:
        """Returns the named power mode, the default for None; UsageError names the known ones."""
        wanted = name or self.default_mode
        if wanted not in self.modes:
            known = ", ".join(self.modes)
            raise UsageError(f"unknown thermal profile {wanted!r} of {self.name}; known thermal profiles: {known}")
        return self.modes[wanted]

    def fact(self, name: str) -> float:
        """Returns a fact's value, in the unit that its name ends with."""
        return self.facts[name].value

    def values(self) -> Dict[str, float]:
        """Returns the calibrated constants by name."""
        return {name: constant.value for name, constant in self.constants.items()}


def known_hardware() -> Tuple[str, ...]:
    """Returns the names of the profiles at hand, sorted."""
    return tuple(sorted(path.stem for path in _FOLDER.glob("*.toml")))


def load_profile(name: str = DEFAULT_HARDWARE) -> Profile:
    """Returns the checked profile; UsageError names the known ones, ProfileError the file and key that is wrong."""
    path = _FOLDER / f"{name}.toml"
    if name not in known_hardware():
        raise UsageError(f"unknown hardware {name!r}; known hardware: {', '.join(known_hardware())}")
    return read_profile(path)


def read_profile(path: Path) -> Profile:
    """Returns the checked profile in `path`; ProfileError names the file and key that is wrong."""
    document = _Table(path, "", _parse(path))
    board = document.table("board")
    profile = Profile(
        name=path.stem,
        path=path,
        board={key: board.text(key) for key in ("description", "software", "source")},
        facts={key: _quantity(table) for key, table in document.table("facts").tables().items()},
        modes={key: _power_mode(key, table) for key, table in document.table("power_mode").tables().items()},
        default_mode=board.text("default_power_mode"),
        calibrated_mode=document.table("calibration").text("power_mode"),
        constants={key: _constant(table) for key, table in document.table("constants").tables().items()},
    )
    _check(profile, document)
    return profile


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

    def table(self, key: str) -> _Table:
        return _Table(self.path, f"{self.key}.{key}" if self.key else key, self.get(key))

    def tables(self) -> Dict[str, _Table]:
        return {key: self.table(key) for key in self.content}


def _parse(path: Path) -> Any:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ProfileError(f"{path}: is not readable TOML: {error}") from error


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


def _power_mode(name: str, table: _Table) -> PowerMode:
    keys = "cpu_mhz", "gpu_mhz", "sms", "bandwidth_gb_s"
    numbers = {key: table.number(key) for key in keys}
    for key, value in numbers.items():
        if value <= 0:
            raise table.error(f"must be above 0, got {value:g}", key)
    if numbers["sms"] != int(numbers["sms"]):
        raise table.error(f"must be a whole number of multiprocessors, got {numbers['sms']:g}", "sms")
    watts = table.number("watts") if "watts" in table.content else None
    return PowerMode(name, numbers["cpu_mhz"], numbers["gpu_mhz"], int(numbers["sms"]), numbers["bandwidth_gb_s"], watts)


def _check(profile: Profile, document: _Table) -> None:
    from ..cost import CONSTANTS, FACTS

    for section, present, needed in (("facts", profile.facts, FACTS), ("constants", profile.constants, CONSTANTS)):
        table = document.table(section)
        for key in needed:
            if key not in present:
                raise table.error(f"is missing; keys here: {', '.join(present)}", key)
        for key in present:
            if key not in needed:
                raise table.error(f"is not known; known keys: {', '.join(needed)}", key)
    peak = profile.fact("dram_peak_gb_s")
    for name, mode in profile.modes.items():
        if mode.bandwidth_gb_s > peak:
            message = f"is above the memory's peak of {peak:g} GB/s, got {mode.bandwidth_gb_s:g}"
            raise document.table("power_mode").table(name).error(message, "bandwidth_gb_s")
    for table, key, mode_name in (
        (document.table("board"), "default_power_mode", profile.default_mode),
        (document.table("calibration"), "power_mode", profile.calibrated_mode),
    ):
        if mode_name not in profile.modes:
            raise table.error(f"unknown power mode {mode_name!r}; known: {', '.join(profile.modes)}", key)
