"""Constants of a GPU that nobody calibrated: the device's fitted to public GPUs, the host's by its architecture."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Dict, Mapping, Sequence, Tuple

import numpy as np

from ..checked import PERCENT, Bounds, Checked
from .generations import GENERATIONS, Generation
from .profile import Constant, Profile
from .quantities import DEVICE_CONSTANTS, HOST_CONSTANTS, PRIOR_SIGMA
from .toml_quantities import constant_in, covariance_in, document_in

NAME = "public-GPUs"
"""What a profile says in `calibration.transferred_from` that takes these constants."""
PATH = Path(__file__).with_name("templates") / "public-gpus.toml"
_LEAST_SIGMA = 0.05
"""Of a board's prior: what two boards of a generation may differ by."""
_FAMILIES = Bounds(2, 100, "", "compute capabilities of public GPUs")
_FACTOR = Bounds(0.01, 10, "", "of the cycles that an op costs a Jetson's host")
_DISPATCHES = Bounds(1, 10, "", "dispatches of a pointwise op; a convolution takes at least one")
Covariance = Tuple[Tuple[float, ...], ...]


@dataclass(frozen=True)
class Host:
    """An architecture's host: all costs as a factor of a Jetson Orin's cycles, known to within `sigma` (logarithm).

    A convolution takes so many dispatches of a pointwise op.
    """

    factor: float
    sigma: float
    convolution_dispatches: float


@dataclass(frozen=True)
class PublicGpus:
    """The fit to public GPUs: constants by name or "name: variant", their covariance, and spreads by kind of kernel.

    `families` counts the compute capabilities that it is of.
    """

    constants: Mapping[str, Constant]
    covariance: Covariance
    spreads_pct: Mapping[str, float]
    families: int
    hosts: Mapping[str, Host]

    def device(self, generation: Generation) -> Tuple[Dict[str, Constant], Covariance]:
        """Returns the device's constants of a generation by name, and their covariance."""
        keys = keys_of(generation)
        names, found = list(self.constants), {name: self.constants[key] for name, key in keys.items()}
        places = [names.index(key) for key in keys.values()]
        rows = tuple(tuple(self.covariance[i][j] for j in places) for i in places)
        return {name: self._as_prior(replace(constant, name=name)) for name, constant in found.items()}, rows

    def _as_prior(self, constant: Constant) -> Constant:
        """What a board's own fit starts from: families vary by the root of their number as much as their mean does."""
        sigma = max(round(math.sqrt(self.families) * constant.uncertainty_pct / 100, 3), _LEAST_SIGMA)
        return replace(constant, prior=constant.value, prior_sigma=sigma)


def keys_of(generation: Generation) -> Dict[str, str]:
    """Returns by the name of each constant of the device what it is called among those of all generations."""
    variants = generation.variants
    return {name: f"{name}: {variants[name]}" if name in variants else name for name in DEVICE_CONSTANTS}


def with_priors(profile: Profile) -> Profile:
    """Returns the profile with the constants of a GPU's device starting from the fit to public GPUs; a CPU's stay."""
    if profile.compute_capability not in GENERATIONS:
        return profile
    public, _ = read_public_gpus().device(GENERATIONS[profile.compute_capability])
    found = {
        name: replace(constant, prior=public[name].prior, prior_sigma=public[name].prior_sigma)
        for name, constant in profile.constants.items()
        if name in public
    }
    return replace(profile, constants={**profile.constants, **found})


def host_constants(
    host: Host, of_jetson: Mapping[str, Constant], covariance: Covariance
) -> Tuple[Dict[str, Constant], Covariance]:
    """Returns an architecture's constants, and their covariance: what the Jetson's are, with the factor's doubt."""
    values = {name: host.factor * of_jetson[name].value for name in HOST_CONSTANTS}
    values["convolution_extra_kcycles"] += (host.convolution_dispatches - 1) * values["dispatch_kcycles"]
    places = [list(of_jetson).index(name) for name in HOST_CONSTANTS]
    rows = np.array(covariance)[np.ix_(places, places)] + host.sigma**2
    found = {
        name: _host_constant(of_jetson[name], value, math.sqrt(variance))
        for (name, value), variance in zip(values.items(), np.diag(rows))
    }
    return found, tuple(map(tuple, rows.tolist()))


def _host_constant(constant: Constant, value: float, sigma: float) -> Constant:
    upper = max(constant.upper, 2 * value)
    pct = min(100 * math.expm1(sigma), PERCENT.upper)
    return replace(constant, value=value, upper=upper, lower=0.0, prior=value, prior_sigma=sigma, uncertainty_pct=pct)


@functools.lru_cache(maxsize=1)
def read_public_gpus() -> PublicGpus:
    """Returns the fit that the package has."""
    return parsed(document_in(PATH))


def parsed(document: Checked) -> PublicGpus:
    """Returns the fit that a document holds; ProfileError names what is wrong with it."""
    calibration = document.table("calibration")
    spreads = calibration.table("spreads_pct")
    return PublicGpus(
        constants={key: constant_in(table) for key, table in document.table("constants").tables().items()},
        covariance=covariance_in(calibration),
        families=calibration.whole("families", _FAMILIES),
        spreads_pct={kind: spreads.number(kind, PERCENT) for kind in spreads.content},
        hosts={name: _host(table) for name, table in document.table("hosts").tables().items()},
    )


def _host(table: Checked) -> Host:
    table.only(("factor", "sigma", "convolution_dispatches", "source"))
    table.text("source")
    return Host(
        table.number("factor", _FACTOR),
        table.number("sigma", PRIOR_SIGMA),
        table.number("convolution_dispatches", _DISPATCHES),
    )


def joined(blocks: Sequence[Covariance]) -> Covariance:
    """Returns one covariance of parts that know nothing of each other."""
    size, first = sum(map(len, blocks)), 0
    whole = np.zeros((size, size))
    for block in blocks:
        last = first + len(block)
        whole[first:last, first:last] = block
        first = last
    return tuple(map(tuple, whole.tolist()))
