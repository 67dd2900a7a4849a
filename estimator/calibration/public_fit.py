"""The fit to public GPUs: constants, how far they hold on a family of GPUs that no figure is of, and the file of both.

Figures of all boards are priced with one set of constants; what belongs to a kind of SM or a process is one of its own.
The covariance is the fit's and the jackknife's over families of GPUs: how far a constant moves without one of them.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple

import numpy as np
import tomlkit

from ..checked import Checked
from ..cost import gpu
from ..cost.columns import Column, KernelColumns, kernel_columns
from ..cost.rates import rates_of
from ..errors import ProfileError
from ..figures import percent, signed_percent, significant
from ..files import write_atomically
from ..hardware.generations import GENERATIONS
from ..hardware.public_gpus import PATH, keys_of, parsed, read_public_gpus
from ..interval import QUANTILE
from ..report.table import Table, left, right
from ..target import Target
from .fit import softened, written_covariance
from .profile_text import dumped, rows_text
from .public_evidence import Figure, by_family, read_figures

_TOLERANCE = 1e-4
_STEPS = 60
_DIGITS = 3
_LAUNCH_US = 10.0  # of a figure that carries a launch: how far that may be off
_SPREAD_KINDS = {"product": ("product",), "convolution": ("conv", "model"), "stream": ("norm", "pointwise")}
"""Kinds of kernel, and the kinds of figures that tell how far those are off."""
_CHECKED = 0.25
"""Of a constant's uncertainty: what another processor's arithmetic may move it by, in a fit with kinks."""
_STEP = 0.01  # relative, of each constant in turn
GOLDEN = Path("golden") / "public-gpus.md"
_COLUMNS = (
    *(left("Compute capability"), left("Figures"), right("n"), right("|error|", percent)),
    *(right("Without its GPUs", percent), right("Bias", signed_percent), right("Held by the 80 % interval")),
)
_HEADER = """<!-- written by golden-latency -->
<!-- python -m estimator calibrate public-GPUs --refit -->

# The fit to public GPUs

Figures of kernels and models (`estimator/calibration/evidence/public-gpus.csv`), by compute capability and kind: the
mean error of the device's time in the fit, and of a fit without any figure of that compute capability.

"""


@dataclass(frozen=True)
class PublicFit:
    """Constants by name or "name: variant", the covariance of their logarithms, and spreads by kind of kernel.

    `families` were left out, one after another. Of each figure the logarithm of estimated over measured time, in the
    fit and with its family left out, and whether the interval that is given for such a GPU held the second.
    """

    values: Mapping[str, float]
    covariance: Column
    spreads_pct: Mapping[str, float]
    families: int
    errors: Column
    held_out: Column
    held: Column


class PublicFitter:
    """Prices all figures at once for any constants; those of one board and precision are one group of columns."""

    def __init__(self, figures: Sequence[Figure]) -> None:
        self.figures = tuple(figures)
        self.constants = read_public_gpus().constants
        self._groups = list(_groups(self.figures))
        self._measured_us = np.array([figure.measured_us for figure in figures])
        self._launch_us = np.array([figure.launch_us for figure in figures])
        launch_spread = np.where(self._launch_us > 0, _LAUNCH_US, 0.0) / self._measured_us
        self._spread = np.hypot([figure.spread for figure in figures], launch_spread)

    def logs(self, values: Mapping[str, float]) -> Column:
        """Returns the logarithm of estimated over measured time of each figure."""
        us = np.zeros(len(self.figures))
        for target, places, kernels, owner in self._groups:
            keys = keys_of(GENERATIONS[target.profile.compute_capability])
            constants = {name: values[key] for name, key in keys.items()}
            kernels_us = gpu.device_us(kernels, rates_of(target, constants))
            us[places] = np.bincount(owner, kernels_us, len(places))
        return np.log((us + self._launch_us) / self._measured_us)

    def values(self, x: Column) -> Dict[str, float]:
        """Returns the constants whose logarithms these are, by name."""
        return dict(zip(self.constants, np.exp(x).tolist()))

    def gradients(self, x: Column) -> Column:
        """Returns how the logarithm of each figure's estimate follows that of each constant: a row for each figure."""
        base, steps = self.logs(self.values(x)), _STEP * np.eye(len(x))
        return np.column_stack([(self.logs(self.values(x + step)) - base) / _STEP for step in steps])

    def fit(self, without: Sequence[int] = (), start: Optional[Column] = None) -> Tuple[Column, Column]:
        """Returns the logarithms of the constants that fit all but these figures, and the fit's covariance."""
        from scipy.optimize import least_squares

        kept = np.ones(len(self.figures), dtype=bool)
        kept[list(without)] = False
        c = self.constants.values()
        prior, sigma = np.log([x.prior for x in c]), np.array([x.prior_sigma for x in c])
        lower, upper = np.log([x.lower for x in c]), np.log([x.upper for x in c])

        def residuals(x: Column) -> Column:
            errors = self.logs(self.values(x)) / self._spread
            return np.concatenate([softened(errors)[kept], (x - prior) / sigma])

        first = np.clip(prior if start is None else start, lower + _TOLERANCE, upper - _TOLERANCE)
        found = least_squares(
            residuals, first, bounds=(lower, upper), x_scale=0.1, diff_step=1e-3, max_nfev=_STEPS, ftol=_TOLERANCE
        )
        return found.x, np.linalg.inv(found.jac.T @ found.jac)


def _groups(figures: Sequence[Figure]) -> Iterator[Tuple[Target, Column, KernelColumns, Column]]:
    places: Dict[Tuple[str, str, str], List[int]] = {}
    for place, figure in enumerate(figures):
        target = figure.target
        places.setdefault((target.hardware, target.mode.name, target.precision.name), []).append(place)
    for found in places.values():
        some = [figures[place] for place in found]
        owner = [i for i, figure in enumerate(some) for op in figure.lowered for _ in op.kernels]
        kernels = kernel_columns([op for figure in some for op in figure.lowered])
        yield some[0].target, np.array(found), kernels, np.array(owner)


def fit_public_gpus(progress: Callable[[str], None]) -> Tuple[Tuple[Figure, ...], PublicFit]:
    """Returns the figures of the repository and the fit to them, also with each family of GPUs left out."""
    figures = tuple(read_figures())
    fitter = PublicFitter(figures)
    progress("all figures")
    x, covariance = fitter.fit()
    held_out, gradients, moved = np.zeros(len(figures)), np.zeros((len(figures), len(x))), []
    for family, places in by_family(figures).items():
        progress(f"without {family}")
        without, _ = fitter.fit(places, x)
        moved.append(without)
        rows = list(places)
        held_out[rows] = fitter.logs(fitter.values(without))[rows]
        gradients[rows] = fitter.gradients(without)[rows]
    covariance = _symmetric(covariance + _jackknife(np.array(moved)))
    values = {name: significant(value, _DIGITS) for name, value in fitter.values(x).items()}
    spreads_pct = _spreads_pct(figures, held_out)
    sigmas = np.sqrt(np.einsum("ij,jk,ik->i", gradients, covariance, gradients) + _spread_of(figures, spreads_pct) ** 2)
    held = np.abs(held_out) <= QUANTILE * sigmas
    return figures, PublicFit(values, covariance, spreads_pct, len(moved), fitter.logs(values), held_out, held)


def _symmetric(matrix: Column) -> Column:
    """An inverse is symmetric but for the last bits, which may decide how an entry is rounded."""
    return (matrix + matrix.T) / 2


def _jackknife(moved: Column) -> Column:
    """The variance of a mean of families, from fits without each (Efron, 1979)."""
    off = moved - moved.mean(0)
    return (len(moved) - 1) / len(moved) * off.T @ off


def _spreads_pct(figures: Sequence[Figure], held_out: Column) -> Dict[str, float]:
    """One standard deviation: 80 % of the figures of a family that no fit has seen are within 1.28 of it."""
    kinds = np.array([figure.kind for figure in figures])
    found = {
        kind: 100 * float(np.quantile(np.abs(held_out[np.isin(kinds, of)]), 0.8)) / QUANTILE
        for kind, of in _SPREAD_KINDS.items()
    }
    return {name: significant(pct, 2) for name, pct in {**found, "depthwise": found["convolution"]}.items()}


def _spread_of(figures: Sequence[Figure], spreads_pct: Mapping[str, float]) -> Column:
    kinds = {of: spreads_pct[kind] for kind, some in _SPREAD_KINDS.items() for of in some}
    return np.array([kinds[figure.kind] for figure in figures]) / 100


def table(figures: Sequence[Figure], fit: PublicFit) -> Table:
    """Returns the errors by compute capability and kind of figure, in the fit and with the GPUs left out."""
    rows = []
    for family, places in by_family(tuple(figures)).items():
        for kind in dict.fromkeys(figures[place].kind for place in places):
            of = [place for place in places if figures[place].kind == kind]
            seen, unseen = (100 * np.expm1(logs[of]) for logs in (fit.errors, fit.held_out))
            held = f"{int(fit.held[of].sum())} of {len(of)}"
            rows.append((family, kind, len(of), np.abs(seen).mean(), np.abs(unseen).mean(), unseen.mean(), held))
    return Table(_COLUMNS, rows)


def as_text(fit: PublicFit, path: Path = PATH) -> str:
    """Returns the file with what the fit gives; priors, bounds, units, sources and hosts stay."""
    document = tomlkit.parse(path.read_text(encoding="utf-8"))
    for (name, value), variance in zip(fit.values.items(), np.diag(fit.covariance)):
        found: Any = document["constants"]
        found[name].update({"value": value, "uncertainty_pct": significant(100 * float(np.sqrt(variance)), 2)})
    calibration: Any = document["calibration"]
    calibration["families"] = fit.families
    calibration["covariance"] = rows_text(written_covariance(fit.covariance))
    calibration["spreads_pct"].update(fit.spreads_pct)
    return dumped(document)


def write(found: Table, fit: PublicFit) -> int:
    """Writes the constants and the golden of their errors, and returns the exit code 0."""
    constants = as_text(fit)
    parsed(Checked(PATH, tomlkit.parse(constants).unwrap(), error=ProfileError))
    for path, text in ((PATH, constants), (GOLDEN, _HEADER + "\n".join(found.markdown()) + "\n")):
        write_atomically(path, text)
        print(f"written: {path}")
    return 0


def compare(fit: PublicFit) -> int:
    """Returns the exit code: 1 where a constant is not what the figures give, which is named."""
    off = differing(fit)
    for name in off:
        before = read_public_gpus().constants[name].value
        print(
            f"differs from what a refit gives: {name}: {before:g}, a refit gives {fit.values[name]:g}", file=sys.stderr
        )
    return 1 if off else 0


def differing(fit: PublicFit) -> List[str]:
    """Returns the constants of the file that the figures do not give, to within a quarter of their uncertainty."""
    sigmas = np.sqrt(np.diag(fit.covariance))
    return [
        name
        for (name, value), sigma in zip(fit.values.items(), sigmas)
        if abs(np.log(value / read_public_gpus().constants[name].value)) > _CHECKED * sigma
    ]
