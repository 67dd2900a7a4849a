"""What runs a model: PyTorch, op by op, or a TensorRT engine that was built of it, with constants of its own."""

from __future__ import annotations

import functools
import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Collection, Mapping, NamedTuple, Tuple

import numpy as np

from .checked import PERCENT, shown
from .errors import UsageError
from .hardware.profile import Constant, Profile
from .hardware.toml_quantities import constant_in, covariance_in, document_in

EAGER, TENSORRT = "eager", "tensorrt"
RUNTIMES = (EAGER, TENSORRT)
_TENSORRT = Path(__file__).parent / "cost" / "tensorrt.toml"
CAPABILITY = "8.7"
"""Of the boards whose engines the constants were fitted to, but for one."""


class RuntimeConstants(NamedTuple):
    """A runtime's own constants, the covariance of their logarithms, and the spread of errors on models left out."""

    constants: Mapping[str, Constant]
    covariance: Tuple[Tuple[float, ...], ...]
    held_out_spread_pct: float


def find_runtime(name: str) -> str:
    """Returns the name of a runtime; UsageError names the known ones."""
    if name not in RUNTIMES:
        raise UsageError(f"unknown runtime {shown(name)}; known runtimes: {', '.join(RUNTIMES)}")
    return name


@functools.lru_cache(maxsize=None)
def tensorrt_constants() -> RuntimeConstants:
    """Returns the constants of an engine; ProfileError names what is wrong with their file."""
    document = document_in(_TENSORRT)
    fit = document.table("fit")
    constants = {name: constant_in(table) for name, table in document.table("constants").tables().items()}
    return RuntimeConstants(constants, covariance_in(fit), fit.number("held_out_spread_pct", PERCENT))


def own_constants(runtime: str) -> Collection[str]:
    """Returns the names of the constants that a runtime has values of its own for."""
    return () if runtime == EAGER else tensorrt_constants().constants


def constants_digest() -> str:
    """Returns twelve hexadecimal digits that change with any constant of an engine, its covariance or its spread."""
    own = tensorrt_constants()
    values = [(name, constant.value) for name, constant in own.constants.items()]
    return hashlib.sha256(repr((values, own.covariance, own.held_out_spread_pct)).encode()).hexdigest()[:12]


def with_runtime(profile: Profile, runtime: str) -> Profile:
    """Returns the profile with the runtime's own constants in place of those of eager PyTorch.

    UsageError where the runtime has no place on the board's processor.
    """
    if runtime == EAGER:
        return profile
    if profile.processor != "gpu":
        raise UsageError(f"{profile.name} is no GPU and runs no engine of {runtime}; known runtimes: {EAGER}")
    own = tensorrt_constants()
    return replace(
        profile,
        constants={**profile.constants, **own.constants},
        covariance=_covariance(profile, own),
        held_out_spread_pct=own.held_out_spread_pct,
        spreads_pct={},
    )


def _covariance(profile: Profile, own: RuntimeConstants) -> Tuple[Tuple[float, ...], ...]:
    """That of the profile's constants without those replaced, and that of the runtime's; none between both."""
    names, known, replaced = list({**profile.constants, **own.constants}), list(profile.constants), list(own.constants)
    found = np.zeros((len(names), len(names)))
    if profile.covariance:
        found[: len(known), : len(known)] = profile.covariance
    places = [names.index(name) for name in replaced]
    found[places, :], found[:, places] = 0.0, 0.0
    found[np.ix_(places, places)] = own.covariance
    return tuple(map(tuple, found.tolist()))
