"""Loads a hardware profile from its TOML file and refuses one that cannot be true."""

from __future__ import annotations

import functools
import math
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from ..errors import ProfileError, UsageError
from .local import CALIBRATE_LOCAL_CPU, LOCAL_CPU, is_calibrated, local_profile_path

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_FOLDER = Path(__file__).parent
TEMPLATES = _FOLDER / "templates"
DEFAULT_HARDWARE = "Jetson-Orin-AGX"
CONSTANTS: Tuple[str, ...] = (
    "dispatch_kcycles",
    "view_kcycles",
    "nested_dispatch_kcycles",
    "product_extra_kcycles",
    "norm_extra_kcycles",
    "fp32_core_efficiency",
    "tensor_core_convolution_efficiency",
    "tensor_core_product_efficiency",
    "fp32_convolution_efficiency",
    "depthwise_efficiency",
    "tile_half_elements",
    "fp32_core_fill_waves",
    "tensor_core_fill_waves",
    "reduction_fill_elements",
    "stream_efficiency",
    "weight_stream_efficiency",
    "layout_passes",
    "kernel_kcycles",
)
CPU_CONSTANTS: Tuple[str, ...] = (
    "dispatch_us",
    "refill_us",
    "view_us",
    "nested_dispatch_us",
    "norm_extra_us",
    "library_call_us",
    "reorder_us",
    "convolution_gflop_s",
    "depthwise_gflop_s",
    "product_gflop_s",
    "block_half_channels",
    "block_half_rows",
    "product_half_elements",
    "product_double_columns",
    "warm_gb_s",
    "cold_gb_s",
    "packing_gb_s",
    "layout_passes",
    "scalar_melements_s",
)
_FLOPS = "FLOP per clock and SM"
FACTS: Mapping[str, Tuple[str, float, float]] = {
    "dram_peak_gb_s": ("GB/s", 10, 10000),
    "l2_mib": ("MiB", 0.25, 256),
    "fp32_flops_per_clock_per_sm": (_FLOPS, 64, 1024),
    "tf32_flops_per_clock_per_sm": (_FLOPS, 64, 8192),
    "fp16_flops_per_clock_per_sm": (_FLOPS, 64, 16384),
    "event_pair_kcycles": ("kcycle of the CPU", 0.1, 1000),
}
"""Unit and bounds of each fact of a GPU's board; a profile may give just the number, or a table with its own source."""
CAPABILITIES: Mapping[str, Tuple[int, int, int]] = {
    "7.0": (128, 128, 1024),
    "7.2": (128, 128, 1024),
    "7.5": (128, 128, 1024),
    "8.0": (128, 1024, 2048),
    "8.6": (256, 512, 1024),
    "8.7": (256, 1024, 2048),
    "8.9": (256, 512, 1024),
    "9.0": (256, 2048, 4096),
    "10.0": (256, 4096, 8192),
    "12.0": (256, 512, 1024),
}
"""FLOP per clock and SM in FP32, TF32 and FP16 (dense, tensor cores where there are any), by compute capability.

From NVIDIA's data sheets of the professional boards: advertised rate / (SMs x boost clock). GeForce boards of 8.6 and
8.9 accumulate FP16 in FP32 at half that rate.
"""
_EVENT_PAIR_KCYCLES = 32.3  # of the Jetson Orin AGX; what a pair of events costs a host is not known elsewhere
_MODE_KEYS: Mapping[str, Tuple[str, ...]] = {
    "gpu": ("cpu_mhz", "gpu_mhz", "sms", "bandwidth_gb_s"),
    "cpu": ("threads",),
}
_WHOLE = {"sms": "multiprocessors", "threads": "threads"}


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
    """Clocks in MHz, streaming multiprocessors switched on, and the best measured DRAM bandwidth of a power mode.

    Of a CPU the number of threads alone: its constants are rates of all of them.
    """

    name: str
    cpu_mhz: float = 0.0
    gpu_mhz: float = 0.0
    sms: int = 0
    bandwidth_gb_s: float = 0.0
    threads: int = 0
    watts: Optional[float] = None


@dataclass(frozen=True)
class Profile:
    """One board: facts, power modes (default first) and calibrated constants, all checked.

    `covariance` is that of the constants' logarithms, in their order; `held_out_spread_pct` the spread of the errors on
    models that a fit has not seen. `transferred_from` names the board whose constants these are, if not its own.
    `processor` is "gpu" (a host and a device) or "cpu" (both in one); `sources` says what the constants were fitted to.
    """

    name: str
    path: Path
    board: Mapping[str, str]
    facts: Mapping[str, Quantity]
    modes: Mapping[str, PowerMode]
    default_mode: str
    calibrated_mode: str
    constants: Mapping[str, Constant]
    covariance: Tuple[Tuple[float, ...], ...] = ()
    held_out_spread_pct: float = 0.0
    transferred_from: str = ""
    processor: str = "gpu"
    sources: str = "models"

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
    if name == LOCAL_CPU:
        if not is_calibrated():
            raise UsageError(f"{LOCAL_CPU} is not calibrated on this machine: {CALIBRATE_LOCAL_CPU}")
        return _read_local()
    if name not in known_hardware():
        raise UsageError(f"unknown hardware {name!r}; known hardware: {', '.join((*known_hardware(), LOCAL_CPU))}")
    return _read_once(_FOLDER / f"{name}.toml")


def _read_local() -> Profile:
    path = local_profile_path()
    try:
        return _read_once(path, path.stat().st_mtime_ns)
    except ProfileError as error:
        raise ProfileError(f"{error}; to write it anew: {CALIBRATE_LOCAL_CPU}") from error


@functools.lru_cache(maxsize=None)
def _read_once(path: Path, _changed_ns: int = 0) -> Profile:
    return read_profile(path)


def read_profile(path: Path) -> Profile:
    """Returns the checked profile in `path`; ProfileError names the file and key that is wrong."""
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
    """The board's own constants, or those of the board it names in `transferred_from`."""
    if "transferred_from" in calibration.content:
        return _transferred(calibration)
    return {
        "calibrated_mode": calibration.text("power_mode"),
        "constants": {key: _constant(table) for key, table in document.table("constants").tables().items()},
        "covariance": tuple(tuple(row) for row in calibration.rows("covariance")),
        "held_out_spread_pct": calibration.number("held_out_spread_pct"),
        "sources": calibration.text("sources") if "sources" in calibration.content else "models",
    }


def _transferred(calibration: _Table) -> Dict[str, Any]:
    origin = calibration.text("transferred_from")
    if origin not in known_hardware() or origin == calibration.path.stem:
        known = ", ".join(known_hardware())
        raise calibration.error(f"unknown hardware {origin!r}; known: {known}", "transferred_from")
    source = load_profile(origin)
    if source.transferred_from:
        raise calibration.error(f"{origin} is itself transferred from {source.transferred_from}", "transferred_from")
    return {
        "calibrated_mode": source.calibrated_mode,
        "constants": source.constants,
        "covariance": source.covariance,
        "held_out_spread_pct": source.held_out_spread_pct,
        "transferred_from": origin,
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
    if profile.transferred_from:
        return
    needed = CONSTANTS if profile.processor == "gpu" else CPU_CONSTANTS
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
