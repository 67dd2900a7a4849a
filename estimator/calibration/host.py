"""The host's constants alone: the chains that show them, and their fit, which leaves the device's as they are.

On a GPU a layer's call returns when the host has issued its kernels: behind a sleeping kernel that is the host's cost
and nothing of the device's. Blocks are timed whole: what Python does around layers is in the cost of their ops.
"""

from __future__ import annotations

import math
import statistics
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Iterator, List, Mapping, Sequence, Tuple

import numpy as np

from ..figures import signed_percent, significant
from ..hardware.profile import Profile
from ..hardware.quantities import HOST_CONSTANTS
from ..hardware.software import software_in
from ..report.table import Table, left, right
from ..subjects.chains import Block, Chain, lower_layers
from .evidence import HOST, MICROBENCHMARKS, MODEL_SPREAD_FLOOR, Evidence
from .fit import Fit, Fitter
from .from_microbenchmarks import Calibrated, bound_lines
from .microbenchmarks import micro_benchmark_spread
from .profile_text import host_profile_text, residuals_pct, summary

if TYPE_CHECKING:
    from ..measure.built_blocks import ChainTimes

_WIDTHS = (16, 32, 48, 64)
"""Channels of each chain; a kernel of theirs takes a few us, less than it takes to issue it."""
_PX, _TOKENS, _HEADS, _SQUEEZED, _WINDOWS = 8, 16, 4, 8, 4


def host_design(share: float = 1.0) -> Tuple[Chain, ...]:
    """Returns the chains, always the same: short blocks of every kind; `share` below 1 leaves whole chains out."""
    return tuple(map(_chain, _WIDTHS[: max(1, round(share * len(_WIDTHS)))]))


def _chain(c: int) -> Chain:
    image, tokens, windows = (1, c, _PX, _PX), (1, _TOKENS, c), (_WINDOWS, _TOKENS, c)
    dense, depthwise = (("Conv2d", c, c, 3, 1, 1, 1, groups, False) for groups in (1, c))
    squeeze, expand = ("Conv2d", c, _SQUEEZED, 1), ("Conv2d", _SQUEEZED, c, 1)
    scores = (("Product", _WINDOWS, c, _TOKENS), ("Add", 1, _TOKENS, _TOKENS), ("Softmax", -1))
    permutes = ("Permute", 0, 2, 3, 1), ("Permute", 0, 3, 1, 2)
    add_image, add_tokens = ("Add", 1, c, _PX, _PX), ("Add", 1, _TOKENS, c)
    gate = (("AdaptiveAvgPool2d", 1), squeeze, ("ReLU",), expand, ("Hardsigmoid",), ("Scale", 1, c, _PX, _PX))
    mlp = (("LayerNorm", c), ("Linear", c, 2 * c), ("GELU",), ("Linear", 2 * c, c), add_tokens)
    return (
        Block("dense convolution", image, (dense, ("BatchNorm2d", c), ("ReLU",), add_image)),
        Block("depthwise convolution", image, (depthwise, ("BatchNorm2d", c), ("Hardswish",))),
        Block("convolution with bias", image, (squeeze, ("ReLU",), expand, ("ReLU",))),
        Block("gate", image, gate),
        Block("pooling", image, (("MaxPool2d", 3, 2, 1), ("ReLU",))),
        Block("MLP", tokens, mlp),
        Block("head", (1, c), (("Linear", c, c),) * 4),
        Block("norm", image, (("BatchNorm2d", c),) * 4),
        Block("layer norm", tokens, (("LayerNorm", c),) * 4),
        Block("attention", tokens, (("LayerNorm", c), ("SelfAttention", c, _HEADS), add_tokens)),
        Block("window attention", windows, (*scores, ("Product", _WINDOWS, _TOKENS, c), ("Permute", 1, 0, 2))),
        Block("copy", image, (*permutes, ("Concatenate", 1, _SQUEEZED, _PX, _PX))),
        Block("tiny", (1, c), (("ReLU",), ("Add", 1, c), ("Sigmoid",), ("Scale", 1, c))),
        Block("views", (1, c), (("Views", 8), ("ReLU",))),
    )


def host_evidence(chains: Sequence[Chain], runs: Sequence[ChainTimes]) -> List[Evidence]:
    """Returns a piece of evidence per block: its mean us over the processes that measured."""
    evidence = []
    for index, chain in enumerate(chains):
        for place, block in enumerate(chain):
            us = statistics.fmean(run.layers_us[index][place][0][0] for run in runs)
            spread = micro_benchmark_spread(us, len(block.layers))
            about = (block.group, block.group, f"chain {index}", us, spread)
            evidence.append(Evidence(*about, sum(lower_layers(block), ()), HOST, MICROBENCHMARKS))
    return evidence


def common_spread(runs: Sequence[ChainTimes]) -> float:
    """Returns the relative spread of the speed that all blocks share: a few processes show no less than the floor."""
    logs = [math.log(sum(way[0] for chain in run.layers_us for (way,) in chain)) for run in runs]
    error = statistics.stdev(logs) / math.sqrt(len(logs)) if len(logs) > 1 else 0.0
    return max(MODEL_SPREAD_FLOOR, error)


def calibrate_host(
    profile: Profile,
    chains: Sequence[Chain],
    runs: Sequence[ChainTimes],
    power_mode: str,
    provenance: Mapping[str, str],
) -> Calibrated:
    """Returns the profile with the host's constants fitted and the device's as before, or raises CalibrationError."""
    evidence = host_evidence(chains, runs)
    names = [name for name in profile.constants if name in HOST_CONSTANTS]
    fitter = Fitter(replace(profile, calibrated_mode=power_mode), evidence, names)
    fit = _with_common(fitter.fit(), common_spread(runs))
    about = {
        "power_mode": power_mode,
        "evidence": f"{summary(evidence)}, {len(runs)} processes",
        **{key: provenance[key] for key in ("board", "date", "revision") if key in provenance},
        "software": software_in(provenance["software"]),
        "residuals_pct": residuals_pct(fitter, fit),
    }
    return Calibrated(host_profile_text(profile, fit, about), tuple(_lines(profile, fit, about)))


def _with_common(fit: Fit, spread: float) -> Fit:
    """The fit with the uncertainty of the speed that all its evidence shares: a factor on every constant alike."""
    covariance = np.array(fit.covariance) + spread**2
    uncertainty_pct = dict(zip(fit.constants, 100 * np.sqrt(np.diag(covariance))))
    return replace(
        fit,
        covariance=tuple(tuple(significant(x, 2) for x in row) for row in covariance),
        uncertainty_pct={name: significant(pct, 2) for name, pct in uncertainty_pct.items()},
    )


def _lines(profile: Profile, fit: Fit, about: Mapping[str, Any]) -> Iterator[str]:
    """What changed, what did not, and how well the fit explains what was measured."""
    kept = len(profile.constants) - len(fit.constants)
    owner = f" of {profile.transferred_from}" if profile.transferred_from else ""
    group, pct = max(about["residuals_pct"].items(), key=lambda item: abs(item[1]))
    yield from (f"  the host's constants, from {about['evidence']}", "", *_changed_lines(profile, fit))
    yield f"  as before: the {kept} constants of the device{owner}"
    yield f"  a kind of block is off by {pct:+.1f} % on average at most ({group})"
    yield from bound_lines(fit)


def _changed_lines(profile: Profile, fit: Fit) -> List[str]:
    figures = right("before", "{:g}".format), right("now", "{:g}".format), right("change", signed_percent)
    rows = []
    for name, now in fit.constants.items():
        known = profile.constants[name]
        sure = f"+- {fit.uncertainty_pct[name]:g} %, {known.unit}"
        rows.append((name, known.value, now, 100 * (now / known.value - 1), sure))
    return Table((left("constant"), *figures, left("")), rows).text()
