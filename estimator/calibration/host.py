"""The host's constants alone: the chains that show them, and their fit, which leaves the device's as they are.

On a GPU a layer's call returns when the host has issued its kernels, not when they have run. In chains of short layers
the time from call to return is the host's cost and nothing of the device's: no constant of the device has a part in the
fit, and the new constants are not correlated with the old ones.
"""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Callable, Iterator, List, Mapping, Optional, Sequence, Tuple

import numpy as np

from ..cost.columns import Column
from ..cost.gpu import host_us, rates_of
from ..hardware.profile import Profile
from ..hardware.quantities import HOST_CONSTANTS
from ..hardware.software import software_in
from ..subjects.chains import Block, Chain
from ..target import calibrated_target
from .evidence import MODEL_SPREAD_FLOOR, Evidence
from .fit import Fit, Fitter
from .from_microbenchmarks import Calibrated, bound_lines
from .microbenchmarks import Microbenchmarks, as_evidence
from .profile_text import host_profile_text, rounded_group_errors_pct, summary

if TYPE_CHECKING:
    from ..measure.layers import ChainTimes

_WIDTHS = (16, 32, 48, 64)
"""Channels of each chain; a kernel of theirs takes a few us, less than it takes to issue it."""
_PX, _TOKENS, _HEADS, _SQUEEZED, _WINDOWS = 8, 16, 4, 8, 4


def host_design(share: float = 1.0) -> Tuple[Chain, ...]:
    """Returns the chains, always the same: blocks of every kind that models are made of, each with little to compute.

    `share` below 1 leaves whole chains out.
    """
    return tuple(map(_chain, _WIDTHS[: max(1, round(share * len(_WIDTHS)))]))


def _chain(c: int) -> Chain:
    image, tokens, windows = (1, c, _PX, _PX), (1, _TOKENS, c), (_WINDOWS, _TOKENS, c)
    dense, depthwise = (("Conv2d", c, c, 3, 1, 1, 1, groups, False) for groups in (1, c))
    squeeze, expand = ("Conv2d", c, _SQUEEZED, 1), ("Conv2d", _SQUEEZED, c, 1)
    scores = (("Product", _WINDOWS, c, _TOKENS), ("Add", 1, _TOKENS, _TOKENS), ("Softmax", -1))
    permutes = ("Permute", 0, 2, 3, 1), ("Permute", 0, 3, 1, 2)
    add_image, add_tokens = ("Add", 1, c, _PX, _PX), ("Add", 1, _TOKENS, c)
    mlp = (("LayerNorm", c), ("Linear", c, 2 * c), ("GELU",), ("Linear", 2 * c, c), add_tokens)
    gate = (("AdaptiveAvgPool2d", 1), squeeze, ("ReLU",), expand, ("Hardsigmoid",), ("Scale", 1, c, _PX, _PX))
    return (
        Block("dense convolution", image, (dense, ("BatchNorm2d", c), ("ReLU",), add_image)),
        Block("depthwise convolution", image, (depthwise, ("BatchNorm2d", c), ("Hardswish",))),
        Block("gate", image, gate),
        Block("pooling", image, (("MaxPool2d", 3, 2, 1), ("ReLU",))),
        Block("MLP", tokens, mlp),
        Block("attention", tokens, (("LayerNorm", c), ("SelfAttention", c, _HEADS), add_tokens)),
        Block("window attention", windows, (*scores, ("Product", _WINDOWS, _TOKENS, c), ("Permute", 1, 0, 2))),
        Block("copy", image, (*permutes, ("Concatenate", 1, _SQUEEZED, _PX, _PX))),
        Block("tiny", (1, c), (("ReLU",), ("Add", 1, c), ("Sigmoid",), ("Views", 8), ("Scale", 1, c))),
    )


@dataclass(frozen=True)
class HostTimes:
    """Mean us of each layer over the processes that measured, and how well they know the speed that all share.

    `common_spread` is relative, one sigma.
    """

    layers_us: Tuple[Tuple[Tuple[Tuple[float, ...], ...], ...], ...]
    processes: int
    common_spread: float


def host_times(runs: Sequence[ChainTimes]) -> HostTimes:
    """Returns what the processes measured, taken together.

    A process keeps a speed of its own. Not below the floor that a few processes of one day cannot show.
    """
    logs = [math.log(sum(_flat(run.layers_us))) for run in runs]
    error = statistics.stdev(logs) / math.sqrt(len(logs)) if len(logs) > 1 else 0.0
    return HostTimes(_mean([run.layers_us for run in runs]), len(runs), max(MODEL_SPREAD_FLOOR, error))


def _flat(times: object) -> Iterator[float]:
    if isinstance(times, (list, tuple)):
        for part in times:
            yield from _flat(part)
    else:
        yield float(times)  # type: ignore[arg-type]


def _mean(times: Sequence[object]) -> Tuple[Tuple[Tuple[Tuple[float, ...], ...], ...], ...]:
    """The mean of nested tuples of one shape, number by number."""
    if isinstance(times[0], (list, tuple)):
        return tuple(map(_mean, zip(*times)))  # type: ignore[arg-type]
    return statistics.fmean(times)  # type: ignore[arg-type, return-value]


class HostFitter(Fitter):
    """Prices the host's part of all evidence, for any constants of the host."""

    def __init__(self, profile: Profile, evidence: Sequence[Evidence]) -> None:
        constants = {name: profile.constants[name] for name in HOST_CONSTANTS}
        super().__init__(replace(profile, constants=constants), evidence)

    def latencies_us(self, constants: Mapping[str, float], synchronised_call_us: Optional[float] = None) -> Column:
        """Returns the time that the host needs for each piece of evidence, in us."""
        per_op_us = host_us(self._ops, rates_of(calibrated_target(self.profile), constants))
        sums = np.concatenate([[0.0], np.cumsum(per_op_us[self._timed.ops])])[self._timed.op_bounds]
        return np.diff(sums)


def calibrate_host(
    profile: Profile, found: Microbenchmarks, times: HostTimes, power_mode: str, progress: Callable[[str], None]
) -> Calibrated:
    """Returns the profile with the host's constants as the short chains fit them; CalibrationError where they do not.

    The device's constants and their block of the covariance stay; cross terms are zero, since what was measured has no
    part of the device in it.
    """
    progress("fit")
    evidence = as_evidence(found)
    fitter = HostFitter(replace(profile, calibrated_mode=power_mode), evidence)
    fit = _with_common(fitter.fit(), times.common_spread)
    counted = f"{summary(evidence)}, {times.processes} processes"
    about = {
        "power_mode": power_mode,
        "evidence": counted,
        **{key: found.provenance[key] for key in ("board", "date", "revision") if key in found.provenance},
        "software": software_in(found.provenance["software"]),
        "residuals_pct": rounded_group_errors_pct(fitter, fit),
    }
    lines = ("  the host's constants, from " + counted, "", *_changed_lines(profile, fit), *bound_lines(fit))
    return Calibrated(host_profile_text(profile, fit, about), lines)


def _with_common(fit: Fit, spread: float) -> Fit:
    """The fit with the uncertainty of the speed that all its evidence shares: a factor on every constant alike."""
    covariance = np.array(fit.covariance) + spread**2
    uncertainty_pct = dict(zip(fit.constants, 100 * np.sqrt(np.diag(covariance))))
    return replace(
        fit,
        covariance=tuple(tuple(float(f"{x:.2g}") for x in row) for row in covariance),
        uncertainty_pct={name: float(f"{pct:.2g}") for name, pct in uncertainty_pct.items()},
    )


def _changed_lines(profile: Profile, fit: Fit) -> List[str]:
    width = max(map(len, fit.constants))
    lines = [f"  {'constant':{width}} {'before':>9} {'now':>9} {'change':>9}"]
    for name, now in fit.constants.items():
        known = profile.constants[name]
        change = f"{100 * (now / known.value - 1):+.1f} %"
        sure = f"+- {fit.uncertainty_pct[name]:g} %, {known.unit}"
        lines.append(f"  {name:{width}} {known.value:>9g} {now:>9g} {change:>9}  {sure}")
    kept = len(profile.constants) - len(fit.constants)
    owner = f" of {profile.transferred_from}" if profile.transferred_from else ""
    return [*lines, f"  as before: the {kept} constants of the device{owner}"]
