"""A hardware profile: what is known of a board (facts) and what was fitted on it (constants). Plain data."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Dict, Mapping, Optional, Tuple

from ..checked import shown
from ..errors import ProfileError, UsageError
from .quantities import FACTS


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
class Correction:
    """How far measured ops of one kind were from the formula: logarithms of measured over estimated time.

    `offset` holds for all of them; `residuals` are beside it, one for each of `points`, and fade with the distance from
    them: `length` octaves of a feature make a factor of 0.6. A point has a number for each of `features`.
    """

    pieces: int
    noise: float
    offset: float
    length: float
    features: Tuple[str, ...]
    points: Tuple[Tuple[float, ...], ...]
    residuals: Tuple[float, ...]


@dataclass(frozen=True, eq=False)
class Profile:
    """One board: facts, power modes (default first) and calibrated constants, all checked.

    `covariance` is that of the constants' logarithms, in their order; `held_out_spread_pct` the spread of the errors on
    models that a fit has not seen. `transferred_from` names the board whose constants these are, if not its own, and
    `calibrated_facts` are the facts of that board.
    `processor` is "gpu" (a host and a device) or "cpu" (both in one); `sources` says what the constants were fitted to.
    `software` has the versions that they were fitted with, as far as known, `host_software` those of the host's.
    `own_host` says that these were fitted apart from the device's; of a transferred profile only they are its own.
    `corrections` of a CPU, by kind of op, say what its formulas leave over; `reference_ms` of the reference workload.
    `compute_capability` is that of a GPU, "8.7". `spreads_pct` are of constants of public GPUs: one standard deviation
    of the error on GPUs whose family a fit has not seen, by kind of kernel.
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
    compute_capability: str = ""
    spreads_pct: Mapping[str, float] = field(default_factory=dict)
    sources: str = "records"
    software: Mapping[str, str] = field(default_factory=dict)
    host_software: Mapping[str, str] = field(default_factory=dict)
    own_host: bool = False
    transferred_facts: Mapping[str, Quantity] = field(default_factory=dict)

    @property
    def calibrated_facts(self) -> Mapping[str, Quantity]:
        """Returns the facts of the board whose constants these are."""
        return self.transferred_facts if self.transferred_from else self.facts

    corrections: Mapping[str, Correction] = field(default_factory=dict)
    reference_ms: Optional[float] = None

    def mode(self, name: Optional[str] = None) -> PowerMode:
        """Returns the named power mode, the default for None; UsageError names the known ones."""
        wanted = name or self.default_mode
        if wanted not in self.modes:
            known = ", ".join(self.modes)
            raise UsageError(f"unknown thermal profile {shown(wanted)} of {self.name}; known thermal profiles: {known}")
        return self.modes[wanted]

    @property
    def transferred(self) -> str:
        """Returns ", transferred from <board>" where constants are another board's, else an empty text."""
        what = "device transferred" if self.own_host else "transferred"
        return f", {what} from {self.transferred_from}" if self.transferred_from else ""

    @property
    def constants_of(self) -> str:
        """Returns the board that the constants are of; both, where the host's are of another than the device's."""
        origin = self.transferred_from or self.name
        return f"{origin}, host {self.name}" if self.own_host and self.transferred_from else origin

    def fact(self, name: str) -> float:
        """Returns a fact's value, its default where the profile does not give it; ProfileError without either."""
        value = self.facts[name].value if name in self.facts else FACTS[name].default
        if value is None:
            raise ProfileError(f"{self.path}: facts.{name}: is missing")
        return value

    def values(self) -> Dict[str, float]:
        """Returns the calibrated constants by name."""
        return {name: constant.value for name, constant in self.constants.items()}
