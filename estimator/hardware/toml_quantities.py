"""Tables of a TOML file that hold quantities: facts, constants, covariances; ProfileError names what is wrong."""

from __future__ import annotations

import math
from dataclasses import asdict
from pathlib import Path
from typing import Tuple

import numpy as np

from ..checked import PERCENT, Bounds, Checked
from ..errors import ProfileError, RecordError
from ..files import read_toml
from .profile import Constant, Quantity
from .quantities import BOUND, LEAST, PRIOR_SIGMA, VARIANCE

_ROUNDING = 0.005
"""Of each entry of a covariance, which is kept to two digits: what its least eigenvalue may be below 0, per row."""
_QUANTITY_KEYS = ("value", "unit", "source", "lower", "upper", "prior", "prior_sigma", "uncertainty_pct")


def document_in(path: Path) -> Checked:
    """Returns the file's content; ProfileError where it cannot be read."""
    try:
        return Checked(path, read_toml(path), error=ProfileError)
    except RecordError as error:
        raise ProfileError(str(error)) from error


def fixed_constants(path: Path) -> Tuple[Constant, ...]:
    """Returns constants that no calibration moves: each is its own prior, known as well as its file says."""
    return tuple(map(_fixed, document_in(path).tables().values()))


def _fixed(table: Checked) -> Constant:
    quantity, uncertainty_pct = quantity_in(table), table.number("uncertainty_pct", PERCENT)
    sigma = math.log1p(uncertainty_pct / 100)
    return Constant(**asdict(quantity), prior=quantity.value, prior_sigma=sigma, uncertainty_pct=uncertainty_pct)


def quantity_in(table: Checked) -> Quantity:
    """Returns a quantity with its unit and bounds."""
    table.only(_QUANTITY_KEYS)
    name = table.key.rsplit(".", 1)[-1]
    lower, upper = table.number("lower", BOUND), table.number("upper", BOUND)
    unit, source = table.text("unit"), table.text("source")
    if not lower < upper:
        raise table.error(f"bounds must be 0 <= lower < upper, got [{lower:g}, {upper:g}] {unit}")
    if unit == "fraction of peak" and upper > 1:
        raise table.error(f"no efficiency above 1 is physical, got {upper:g}", "upper")
    value = table.number("value", Bounds(max(lower, LEAST), upper, unit))
    return Quantity(name, value, unit, source, lower, upper)


def constant_in(table: Checked) -> Constant:
    """Returns a calibrated constant."""
    quantity = quantity_in(table)
    return Constant(
        **asdict(quantity),
        prior=table.number("prior", Bounds(quantity.lower, quantity.upper, quantity.unit)),
        prior_sigma=table.number("prior_sigma", PRIOR_SIGMA),
        uncertainty_pct=table.number("uncertainty_pct", PERCENT),
    )


def covariance_in(calibration: Checked) -> Tuple[Tuple[float, ...], ...]:
    """Returns a matrix that is the covariance of something: symmetric, and no combination varies negatively."""
    rows = calibration.rows("covariance", len(calibration.items("covariance")), VARIANCE)
    matrix = np.array(rows).reshape(len(rows), len(rows))
    if not (matrix == matrix.T).all():
        raise calibration.error("must be symmetric: a covariance is the same both ways", "covariance")
    sigmas = np.sqrt(np.where(matrix.diagonal() > 0, matrix.diagonal(), np.nan))
    correlations = np.nan_to_num(matrix / np.outer(sigmas, sigmas))
    is_certain = np.isnan(sigmas)
    least = np.linalg.eigvalsh(correlations).min() if len(rows) else 0.0
    if least < -_ROUNDING * len(rows) or matrix[is_certain].any() or (matrix.diagonal() < 0).any():
        raise calibration.error("is no covariance: some combination of the constants varies negatively", "covariance")
    return rows
