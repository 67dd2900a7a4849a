"""CPUs that are synthetic, calibrated by their micro-benchmarks alone: the models come out right on each of them."""

from __future__ import annotations

import random
from dataclasses import replace
from statistics import fmean

import pytest

from estimator.calibration.design import CPU, design
from estimator.calibration.fit import Fitter
from estimator.calibration.fit_corrections import fit_corrections
from estimator.calibration.microbenchmarks import Microbenchmarks, TimedBlock, as_evidence
from estimator.cost.columns import kernel_columns, op_columns
from estimator.cost.price import price
from estimator.hardware.boards import find_board
from estimator.lower import lower
from estimator.subjects.chains import lower_layers
from estimator.subjects.zoo import MODELS
from estimator.target import calibrated_target
from meta_tests.estimating import op_stream

from .synthetic_cpus import MACHINES, noisy

SHARE = 0.4


def measured_on(machine):
    """What a calibration would have measured on this machine."""
    source = random.Random(14)
    blocks = []
    for index, chain in enumerate(design(CPU, SHARE)):
        for block in chain:
            us = tuple(noisy(machine.ops_us(ops), source) for ops in lower_layers(block))
            blocks.append(TimedBlock(index, block, {"in chain": us}))
    return Microbenchmarks({}, tuple(blocks))


def calibrated_on(machine):
    """The profile by its constants alone, and with corrections."""
    base = find_board("local-cpu").base_profile()
    fitter = Fitter(base, as_evidence(measured_on(machine)))
    fit = fitter.fit()
    plain = replace(base, constants={n: replace(base.constants[n], value=v) for n, v in fit.constants.items()})
    corrections, _ = fit_corrections(fitter, fit)
    return plain, replace(plain, corrections=corrections)


def estimated_us(lowered, profile):
    costs = price(op_columns(lowered), kernel_columns(lowered), calibrated_target(profile), profile.values())
    return costs.host_us.sum() + costs.device_us.sum()


def errors_pct(profile, machine):
    streams = {model.name: lower(op_stream(model)) for model in MODELS}
    return {name: 100 * (estimated_us(ops, profile) / machine.ops_us(ops) - 1) for name, ops in streams.items()}


@pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: machine.name)
def test_models_are_recovered_on_a_machine_that_nobody_tuned_for(machine):
    plain, corrected = (errors_pct(profile, machine) for profile in calibrated_on(machine))
    assert max(map(abs, corrected.values())) < 10, corrected
    mean_pct, plain_mean_pct = (fmean(map(abs, errors.values())) for errors in (corrected, plain))
    assert mean_pct < max(plain_mean_pct, 2.0)  # corrections mend what formulas cannot, and do no harm
