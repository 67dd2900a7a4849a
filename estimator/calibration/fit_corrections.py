"""The corrections of a CPU: a Gaussian process over what a fit leaves over of each kind of op, kept as few points.

Its three settings (strength, length and noise) are those of a small grid with the highest marginal likelihood. Of all
measured shapes those points are kept that tell most about the others (pivoted Cholesky), and what the rest say is
folded into them (Rasmussen and Williams, 2006, section 8.3.1, subset of regressors).
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Dict, List, Mapping, Optional, Sequence, Tuple

import numpy as np

from ..cost.columns import Column
from ..cost.corrections import length_scales, similarity
from ..hardware.profile import Correction
from ..hardware.quantities import FEATURES
from ..report.table import Table, left, right
from .fit import Fit, Fitter

_LEAST_PIECES = 6
_MOST_POINTS = 40
_LEAST_SHARE = 0.8  # of a layer's time that ops of one kind must take to tell about that kind
_LEAST_NEWS = 0.05  # of a point's prior variance that the points before it must not know
_OFFSET = 0.4  # standard deviation of a kind's own factor, before anything is measured
_STRENGTHS, _LENGTHS, _NOISES = (0.05, 0.1, 0.2, 0.4), (4.0, 8.0, 16.0), (0.02, 0.04, 0.08, 0.16, 0.32)
_OUTLIER = 4.0  # standard deviations, by the median |residual|, beyond which one is cut
_NORMAL = 1.4826
_JITTER = 1e-3


@dataclass(frozen=True)
class Settings:
    """Of one kind: standard deviations of what depends on the shape and of what does not, and the length in octaves."""

    strength: float
    length: float
    noise: float


@dataclass(frozen=True)
class _Pieces:
    """The layers that tell about one kind: features, what the fit left over, and how unsure each is beside others."""

    names: Tuple[str, ...]
    features: Column
    residuals: Column
    spread: Column


def fit_corrections(
    fitter: Fitter, fit: Fit, settings: Optional[Mapping[str, Settings]] = None, without: Sequence[int] = ()
) -> Tuple[Dict[str, Correction], Dict[str, Settings]]:
    """Returns each kind's correction, made without some layers, and its settings, looked for where none are given."""
    found: Dict[str, Correction] = {}
    used: Dict[str, Settings] = {}
    for kind, pieces in _by_kind(fitter, fit, without).items():
        used[kind] = (settings or {}).get(kind) or _best_settings(pieces)
        found[kind] = _correction(pieces, used[kind])
    return found, used


def correction_lines(corrections: Mapping[str, Correction]) -> List[str]:
    """Returns the table of corrections: each kind's factor, how much shapes add to it, and what is left."""
    columns = left("kind of op"), right("n"), right("off by", "{:+.0%}".format)
    figures = (right(title, "{:.0%}".format) for title in ("by shape", "left"))
    rows = [
        (kind, found.pieces, math.expm1(found.offset), np.sqrt(np.mean(np.square(found.residuals or 0))), found.noise)
        for kind, found in corrections.items()
    ]
    return ["", *Table((*columns, *figures), rows).text()] if rows else []


def _by_kind(fitter: Fitter, fit: Fit, without: Sequence[int]) -> Dict[str, _Pieces]:
    logs = np.log(fitter.measured_us / fitter.latencies_us(fit.constants))
    kinds, features, shares = fitter.main_ops(fit.constants)
    tells = shares >= _LEAST_SHARE
    tells[list(without)] = False
    rows_of = {str(kind): np.flatnonzero(tells & (kinds == kind)) for kind in sorted(set(kinds[tells]))}
    told = {kind: rows for kind, rows in rows_of.items() if len(rows) >= _LEAST_PIECES}
    return {kind: _pieces(features[rows], logs[rows], fitter.spread[rows]) for kind, rows in told.items()}


def _pieces(features: Column, logs: Column, spread: Column) -> _Pieces:
    """Features that do not vary tell nothing; one wild layer does not speak for its neighbours."""
    varies = np.ptp(features, axis=0) > 0
    middle = np.median(logs)
    reach = _OUTLIER * _NORMAL * np.median(np.abs(logs - middle))
    names = tuple(name for name, keeps in zip(FEATURES, varies) if keeps)
    cut = np.clip(logs, middle - reach, middle + reach)
    return _Pieces(names, np.round(features[:, varies], 2), cut, spread / spread.min())


def _best_settings(pieces: _Pieces) -> Settings:
    likelihoods = {}
    for length in _LENGTHS:
        alike = similarity(pieces.features, pieces.features, length_scales(pieces.names, length))
        for strength, noise in itertools.product(_STRENGTHS, _NOISES):
            likelihoods[Settings(strength, length, noise)] = _log_likelihood(alike, pieces, strength, noise)
    return max(likelihoods, key=lambda settings: likelihoods[settings])


def _log_likelihood(alike: Column, pieces: _Pieces, strength: float, noise: float) -> float:
    """Rasmussen and Williams (2006), equation 2.30, without its constant."""
    covariance = strength**2 * alike + _OFFSET**2 + np.diag((noise * pieces.spread) ** 2)
    root = np.linalg.cholesky(covariance)
    whitened = np.linalg.solve(root, pieces.residuals)
    return float(-0.5 * whitened @ whitened - np.log(np.diag(root)).sum())


def _correction(pieces: _Pieces, settings: Settings) -> Correction:
    scales = length_scales(pieces.names, settings.length)
    points = pieces.features[_telling(pieces.features, scales)]
    inner = similarity(points, points, scales) + _JITTER * np.eye(len(points))
    basis = np.column_stack([np.ones(len(pieces.residuals)), similarity(pieces.features, points, scales)])
    weights = 1 / (settings.noise * pieces.spread) ** 2
    precision = np.zeros((len(points) + 1, len(points) + 1))
    precision[0, 0], precision[1:, 1:] = 1 / _OFFSET**2, inner / settings.strength**2
    solved = np.linalg.solve((basis.T * weights) @ basis + precision, (basis.T * weights) @ pieces.residuals)
    return Correction(
        pieces=len(pieces.residuals),
        noise=settings.noise,
        offset=round(float(solved[0]), 4),
        length=settings.length,
        features=pieces.names,
        points=tuple(map(tuple, points.tolist())),
        residuals=tuple(round(float(value), 4) for value in inner @ solved[1:]),
    )


def _telling(features: Column, scales: Column) -> List[int]:
    """Rows that tell most about the others, each chosen after those before it: pivoted Cholesky."""
    left = np.ones(len(features))
    columns = np.zeros((0, len(features)))
    chosen: List[int] = []
    while len(chosen) < min(_MOST_POINTS, len(features)) and left.max() > _LEAST_NEWS:
        row = int(np.argmax(left))
        alike = similarity(features, features[row : row + 1], scales)[:, 0]
        column = (alike - columns.T @ columns[:, row]) / math.sqrt(left[row])
        columns = np.vstack([columns, column])
        left = left - column**2
        left[row] = 0.0
        chosen.append(row)
    return chosen
