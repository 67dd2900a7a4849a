"""The fitter: log ratios of estimated and measured latency, and a log-normal prior on each constant."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from typing import Callable, Dict, List, Mapping, Optional, Sequence, Tuple

import numpy as np

from ..cost.columns import Column, Costs, kernel_columns, op_columns
from ..cost.corrections import describe
from ..cost.price import price
from ..errors import CalibrationError
from ..figures import significant
from ..hardware.profile import Profile
from ..lower import Lowered
from ..schedule import Passes
from ..target import calibrated_target
from .evidence import DEVICE, HOST, MICROBENCHMARKS, PASS, SYNCHRONISED, Evidence

SYNCHRONISED_CALL_US = "synchronised_call_us"
"""Not a constant of the board: launch and sync of the loop that measured single kernels; fitted beside the others."""
_NUISANCE_PRIOR, _NUISANCE_SIGMA = 450.0, 0.15
_STARTS, _STEPS = 4, 200
"""The objective has kinks: restart from the last point, at most so many times, with so many steps each."""
_EXACT = {"xtol": 1e-10, "ftol": 1e-12, "gtol": 1e-10}
_NEAR = dict.fromkeys(_EXACT, 1e-5)
"""Tolerances of a fit that only tells what leaving some evidence out does: far below what that moves."""
_SETTLED = 1e-3
"""A start that lowers the cost by less than this part of it has found nothing new."""
_NO_CORRELATION = 1e-6  # what is below is the processor's rounding


@dataclass(frozen=True)
class Fit:
    """Constants by name (four digits), their relative uncertainty in percent, and the nuisance of the evidence.

    `covariance` is that of the constants' logarithms, in their order. `synchronised_call_us` is None where no piece of
    evidence was synchronised.
    """

    constants: Mapping[str, float]
    uncertainty_pct: Mapping[str, float]
    covariance: Tuple[Tuple[float, ...], ...]
    synchronised_call_us: Optional[float]
    at_bound: Tuple[str, ...]


@dataclass(frozen=True)
class _Pieces:
    """Some of the evidence in one line: each op's and kernel's row among the distinct ones, each piece's bounds."""

    indices: Column
    ops: Column
    kernels: Column
    kernel_op: Column
    op_bounds: Column
    kernel_bounds: Column


class Fitter:
    """Prices all evidence at once for any constants: op streams become columns once, and of equal ops one is priced.

    The constants of these `names` are fitted, all by default; the profile's others stay.
    """

    def __init__(self, profile: Profile, evidence: Sequence[Evidence], names: Optional[Sequence[str]] = None) -> None:
        self.profile, self.evidence = profile, tuple(evidence)
        self.names = tuple(profile.constants if names is None else names)
        distinct = dict.fromkeys((item.precision, op) for item in evidence for op in item.lowered)
        lowered = [op for _, op in distinct]
        self._ops, self._kernels = op_columns(lowered), kernel_columns(lowered)
        of_ops = [precision for precision, _ in distinct]
        masks = {name: np.array(of_ops)[self._kernels.op] == name for name in dict.fromkeys(of_ops)}
        self._by_precision = [
            (calibrated_target(profile, name), mask, self._kernels.select(mask)) for name, mask in masks.items()
        ]
        rows = {pair: row for row, pair in enumerate(distinct)}
        self._pieces_of = {
            timed: self._pieces([i for i, item in enumerate(evidence) if item.timed == timed], rows)
            for timed in dict.fromkeys(item.timed for item in evidence)
        }
        if PASS in self._pieces_of:
            passes = self._pieces_of[PASS]
            self._passes = Passes(passes.op_bounds, passes.kernel_bounds, passes.kernel_op)
        self.measured_us = np.array([item.latency_us for item in evidence])
        self.spread = np.array([item.spread for item in evidence])
        self._has_nuisance = SYNCHRONISED in self._pieces_of
        self._soft = np.array([item.source == MICROBENCHMARKS for item in evidence])

    def on(self, profile: Profile) -> Fitter:
        """Returns a fitter of the same evidence for another state of the profile: its spread, or its corrections."""
        other = copy.copy(self)
        other.profile = profile
        other._by_precision = [
            (calibrated_target(profile, target.precision.name), rows, kernels)
            for target, rows, kernels in self._by_precision
        ]
        return other

    def main_ops(self, constants: Mapping[str, float]) -> Tuple[Column, Column, Column]:
        """Returns each piece of evidence's main kind of op, its features, and its share, 0 where it is no pass."""
        costs, timed = self._costs(constants), self._pieces_of[PASS]
        each_us = costs.host_us + np.bincount(self._kernels.op, costs.device_us, len(costs.host_us))
        kinds, features = describe(self._ops, self._kernels)
        found = np.full(len(self.evidence), "", dtype=object)
        rows, shares = np.zeros(len(self.evidence), dtype=int), np.zeros(len(self.evidence))
        for index, first, last in zip(timed.indices, timed.op_bounds, timed.op_bounds[1:]):
            ops = timed.ops[first:last]
            rows[index] = ops[np.argmax(each_us[ops])]
            found[index] = kinds[rows[index]]
            shares[index] = each_us[ops[kinds[ops] == found[index]]].sum() / each_us[ops].sum()
        return found, features[rows], shares

    def latencies_us(self, constants: Mapping[str, float], synchronised_call_us: Optional[float] = None) -> Column:
        """Returns the estimated latency of each piece of evidence, in us."""
        costs, latencies_us = self._costs(constants), np.empty(len(self.evidence))
        call_us = synchronised_call_us or 0.0
        how: Dict[str, Callable[[Costs, _Pieces], Column]] = {
            PASS: self._passes_us,
            HOST: _host_us,
            DEVICE: _device_us,
            SYNCHRONISED: lambda costs, pieces: _device_us(costs, pieces) + call_us,
        }
        for timed, pieces in self._pieces_of.items():
            latencies_us[pieces.indices] = how[timed](costs, pieces)
        return latencies_us

    def _passes_us(self, costs: Costs, pieces: _Pieces) -> Column:
        host_us, device_us = costs.host_us[pieces.ops], costs.device_us[pieces.kernels]
        if costs.one_clock:
            ends_us = sums(host_us, pieces.op_bounds) + sums(device_us, pieces.kernel_bounds)
        else:
            ends_us = self._passes.ends_us(host_us, device_us)
        return ends_us + costs.overhead_us

    def errors_pct(self, fit: Fit) -> Column:
        """Returns the error of each estimate against its measurement, in percent."""
        return 100 * (self.latencies_us(fit.constants, fit.synchronised_call_us) / self.measured_us - 1)

    def fit(self, without: Sequence[int] = (), start: Optional[Fit] = None) -> Fit:
        """Returns the constants that fit all evidence but that at these indices; `start` is a fit to most of it.

        Minimises the squares of log(estimate/measurement)/spread and of log(constant/prior)/prior_sigma, within the
        constants' bounds; of hundreds of micro-benchmarks single ones may be far off (soft L1), of what was recorded
        none. CalibrationError when the solver does not converge.
        """
        from scipy.optimize import least_squares

        kept = np.ones(len(self.evidence), dtype=bool)
        kept[list(without)] = False
        lower, upper, prior, sigma = self._prior()
        shift = 1 - lower  # the solver's steps are relative: none near zero

        def residuals(shifted: Column) -> Column:
            x = shifted - shift
            errors = np.log(self.latencies_us(*self._unpack(x)) / self.measured_us) / self.spread
            return np.concatenate([np.where(self._soft, softened(errors), errors)[kept], (x - prior) / sigma])

        tolerances = _EXACT if start is None else _NEAR
        x, cost = prior if start is None else self._packed(start, lower, upper), np.inf
        for _ in range(_STARTS):
            bounds = lower + shift, upper + shift
            solution = least_squares(
                residuals, x + shift, bounds=bounds, x_scale=0.05, diff_step=1e-4, max_nfev=_STEPS, **tolerances
            )
            x, before, cost = solution.x - shift, cost, solution.cost
            if start is not None and before - cost <= _SETTLED * cost:
                break
        if not solution.success and before - cost > _SETTLED * cost:
            raise CalibrationError(f"the fit did not converge: {solution.message}")
        return self._as_fit(x, solution.jac, lower, upper)

    def _pieces(self, indices: List[int], rows: Mapping[Tuple[str, Lowered], int]) -> _Pieces:
        chosen = [self.evidence[i] for i in indices]
        ops = np.array([rows[item.precision, op] for item in chosen for op in item.lowered], dtype=int)
        op_bounds = np.cumsum([0] + [len(item.lowered) for item in chosen])
        counts = self._ops.kernels[ops]
        kernel_op = np.repeat(np.arange(len(ops)), counts)
        first = np.cumsum(counts) - counts
        kernels = np.searchsorted(self._kernels.op, ops)[kernel_op] + np.arange(len(kernel_op)) - first[kernel_op]
        kernel_bounds = np.searchsorted(kernel_op, op_bounds)
        return _Pieces(np.array(indices, dtype=int), ops, kernels, kernel_op, op_bounds, kernel_bounds)

    def _costs(self, constants: Mapping[str, float]) -> Costs:
        """Each kernel at the precision it was measured at; the host costs the same at all of them."""
        device_us = np.zeros(len(self._kernels.op))
        for target, mask, kernels in self._by_precision:
            costs = price(self._ops, kernels, target, {**self.profile.values(), **constants})
            device_us[mask] = costs.device_us
        return replace(costs, device_us=device_us)

    def _prior(self) -> Tuple[Column, Column, Column, Column]:
        constants = [self.profile.constants[name] for name in self.names]
        rows = [(max(c.lower, 1e-3), c.upper, c.prior, c.prior_sigma) for c in constants]
        if self._has_nuisance:
            rows.append((10.0, 5000.0, _NUISANCE_PRIOR, _NUISANCE_SIGMA))
        lower, upper, prior, sigma = (np.array(column) for column in zip(*rows))
        return np.log(lower), np.log(upper), np.log(prior), sigma

    def _packed(self, fit: Fit, lower: Column, upper: Column) -> Column:
        values = [*fit.constants.values(), *([fit.synchronised_call_us] if self._has_nuisance else [])]
        return np.clip(np.log(np.array(values, dtype=float)), lower, upper)

    def _unpack(self, x: Column) -> Tuple[Dict[str, float], Optional[float]]:
        values = [float(value) for value in np.exp(x)]
        return dict(zip(self.names, values)), values[-1] if self._has_nuisance else None

    def _as_fit(self, x: Column, jacobian: Column, lower: Column, upper: Column) -> Fit:
        constants, synchronised_call_us = self._unpack(x)
        covariance = np.linalg.inv(jacobian.T @ jacobian)
        size = len(self.names)
        near = np.minimum(x - lower, upper - x) < 1e-3
        return Fit(
            constants={name: significant(value) for name, value in constants.items()},
            uncertainty_pct={n: significant(100 * u, 2) for n, u in zip(self.names, np.sqrt(np.diag(covariance)))},
            covariance=written_covariance(covariance[:size, :size]),
            synchronised_call_us=None if synchronised_call_us is None else significant(synchronised_call_us),
            at_bound=tuple(name for name, bound in zip(self.names, near) if bound),
        )


def indices(evidence: Sequence[Evidence], family: str) -> List[int]:
    """Returns the places of all models of a family in the evidence."""
    return [i for i, item in enumerate(evidence) if item.family == family]


def sums(values: Column, bounds: Column) -> Column:
    """Returns the sum of the values from each bound to the next."""
    return np.diff(np.concatenate([[0.0], np.cumsum(values)])[bounds])


def _host_us(costs: Costs, pieces: _Pieces) -> Column:
    return np.add.reduceat(costs.host_us[pieces.ops], pieces.op_bounds[:-1])


def _device_us(costs: Costs, pieces: _Pieces) -> Column:
    return np.add.reduceat(costs.device_us[pieces.kernels], pieces.kernel_bounds[:-1])


def softened(errors: Column) -> Column:
    """Returns residuals whose squares are the soft L1 loss: the solver's own loss would soften the priors, too."""
    return np.sign(errors) * np.sqrt(2 * (np.sqrt(1 + errors**2) - 1))


def written_covariance(covariance: Column) -> Tuple[Tuple[float, ...], ...]:
    """Returns a covariance as files have it: two digits, and 0 where the processor's rounding is all there is."""
    sigmas = np.sqrt(np.diag(covariance))
    noise = np.abs(covariance) < _NO_CORRELATION * np.outer(sigmas, sigmas)
    return tuple(tuple(significant(float(x), 2) for x in row) for row in np.where(noise, 0.0, covariance))
