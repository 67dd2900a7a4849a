"""`python -m estimator calibrate` on synthetic GPUs, a large and a small one: host and device from the same chains."""

from __future__ import annotations

import math
from dataclasses import replace
from statistics import fmean, median

import numpy as np
import pytest
import torch

from estimator.calibration.design import design, size_of
from estimator.calibration.evidence import MODEL_SPREAD_FLOOR, Evidence
from estimator.calibration.fit import Fitter
from estimator.calibration.host import host_design
from estimator.calibration.microbenchmarks import Microbenchmarks, as_evidence, timed_blocks
from estimator.cost.columns import kernel_columns, op_columns
from estimator.cost.price import price
from estimator.errors import MeasurementError
from estimator.hardware.boards import Board, load_profile
from estimator.hardware.quantities import HOST_CONSTANTS
from estimator.hardware.reading import read_profile
from estimator.lower import lower
from estimator.measure import behind_sleep
from estimator.measure.chain_times import WAYS, measure_chains
from estimator.pipeline import estimate_lowered
from estimator.records.kinds import MODEL_KIND
from estimator.records.record import PROVENANCE_KEYS, Record, write_record
from estimator.subjects.chains import Block, lower_layers
from estimator.subjects.zoo import MODELS
from estimator.target import resolve, target_on
from meta_tests.estimating import op_stream
from meta_tests.synthetic_gpu import SOFTWARE, Gpu, source_of

LARGE, SMALL = "NVIDIA-H200", "Jetson-Orin-Nano-8GB"
SHARE = ("--share", "0.3")
LAYERS = (("Conv2d", 64, 64, 3, 1, 1, 1, 1, False), ("BatchNorm2d", 64), ("ReLU",), ("Add", 1, 64, 28, 28))
CHAIN = (
    Block("a convolution", (1, 64, 28, 28), LAYERS),
    Block("an MLP", (1, 64, 96), (("LayerNorm", 96), ("Linear", 96, 384), ("GELU",), ("Linear", 384, 96))),
    Block("nothing to compute", (1, 8), (("ReLU",), ("Add", 1, 8), ("Views", 4))),
)


@pytest.fixture
def gpu(monkeypatch):
    """Makes torch's GPU a synthetic one of that name."""
    if torch.cuda.is_available():
        pytest.skip("a real GPU is here")
    return lambda hardware: Gpu(hardware).install(monkeypatch.setattr)


def measured(chain, budget_s=0.0, host_alone=False):
    return measure_chains([chain], "cuda", budget_s, lambda *_: None, host_alone)


def true_us(gpu, block):
    """What a block takes host and device."""
    costs = [gpu.costs_us(op) for ops in lower_layers(block) for op in ops]
    return sum(host_us for host_us, _ in costs), sum(sum(kernels_us) for _, kernels_us in costs)


def holds(gpu, chain, times, of_host=0.03, of_device=0.01):
    """Asserts that each block's host and device took what they take."""
    for block, ((host_us,), (device_us,)) in zip(chain, times.layers_us[0]):
        truth = true_us(gpu, block)
        assert (host_us, device_us) == (pytest.approx(truth[0], of_host), pytest.approx(truth[1], of_device))


@pytest.mark.parametrize("hardware", [LARGE, SMALL])
def test_host_and_device_are_timed_apart_whichever_is_the_slower(hardware, gpu):
    machine = gpu(hardware)
    times = measured(CHAIN)
    holds(machine, CHAIN, times)
    assert len(times.passes_us) == 7


def test_a_budget_that_is_left_makes_more_rounds(gpu):
    gpu(LARGE)
    assert len(measured(CHAIN, budget_s=0.2).passes_us) > 20


def test_the_host_alone_needs_no_events(gpu):
    machine = gpu(LARGE)
    times = measured(CHAIN, host_alone=True)
    for block, ((host_us,),) in zip(CHAIN, times.layers_us[0]):
        assert host_us == pytest.approx(true_us(machine, block)[0], 0.03)


def test_a_sleep_that_ends_before_all_is_issued_is_tried_again_twice_as_long(gpu):
    machine = gpu(LARGE)
    chain = 7 * CHAIN
    holds(machine, chain, measured(chain))
    sleeps = machine.sleeps
    assert sleeps[0] / machine.target.mode.gpu_mhz < sum(true_us(machine, block)[0] for block in chain)
    assert all(later in (sooner, 2 * sooner) for sooner, later in zip(sleeps, sleeps[1:]))
    assert len(set(sleeps)) > 2


def test_a_device_that_never_sleeps_long_enough_is_an_error_that_says_so(gpu, monkeypatch):
    machine = gpu(LARGE)
    monkeypatch.setattr(torch.cuda, "_sleep", lambda _: machine.launch(0.0))
    with pytest.raises(MeasurementError, match=f"a chain is not issued while the device sleeps {2**33} cycles"):
        measured(CHAIN)


def test_a_chain_that_the_launch_queue_cannot_hold_is_issued_in_parts(gpu):
    machine = gpu(LARGE)
    chain = 40 * CHAIN
    holds(machine, chain, measured(chain))
    assert machine.blocked == 0
    parts = behind_sleep.parts_of(chain)
    assert sum(parts, ()) == chain
    assert len(parts) > 4
    assert max(sum(map(behind_sleep.launches, part)) for part in parts) < behind_sleep.LAUNCHES


def test_the_hosts_own_chains_fit_the_launch_queue_too(gpu):
    machine = gpu(SMALL)
    for chain in host_design():
        measured(chain, host_alone=True)
    assert machine.blocked == 0


@pytest.mark.parametrize(("hardware", "mode"), [(LARGE, None), (SMALL, "7W")])
def test_shapes_follow_the_peak_of_the_board(hardware, mode):
    target = resolve(hardware, mode)
    ops = [op for chain in design(size_of(target)) for block in chain for layer in lower_layers(block) for op in layer]
    device_us = price(op_columns(ops), kernel_columns(ops), target, target.profile.values()).device_us
    assert np.percentile(device_us, 90) > 30  # some tell more than how long a launch takes
    rounds = behind_sleep.COPIES * 2 * behind_sleep._LEAST_ROUNDS
    assert rounds * device_us.sum() < 30e6


def profile_after(live, hardware, *options):
    """What a calibration writes; the profile is then as it was."""
    path = live.suite.path / "estimator" / "hardware" / f"{hardware}.toml"
    before = path.read_text(encoding="utf-8")
    assert live.calibrate(hardware, "--device", "cuda", *options, first=source_of(hardware)) == 0
    profile = read_profile(path)
    path.write_text(before, encoding="utf-8")
    return profile


def errors_pct(machine, profile):
    """Of the estimates of all models, against what they take on the machine."""
    target = target_on(Board(profile.name), profile)
    streams = [lower(op_stream(model)) for model in MODELS]
    return [100 * abs(estimate_lowered(ops, target).latency_ms / machine.latency_ms(ops) - 1) for ops in streams]


def distances(machine, profile, names):
    return [abs(math.log(profile.values()[name] / machine.constants[name])) for name in names]


@pytest.mark.parametrize("hardware", [LARGE, SMALL])
def test_all_constants_serve_models_better_than_the_hosts_alone(hardware, live, capsys):
    machine, before = Gpu(hardware), load_profile(hardware)
    host_alone = profile_after(live, hardware, "--host", "--runs", "1", "--share", "0.25")
    profile = profile_after(live, hardware, *SHARE)
    shown = [
        name for name, constant in profile.constants.items() if constant.uncertainty_pct < 50 * constant.prior_sigma
    ]
    of_device = [name for name in shown if name not in HOST_CONSTANTS]
    assert len(of_device) > 5
    assert max(distances(machine, profile, HOST_CONSTANTS[:3])) < 0.05
    near, far = (median(distances(machine, constants, of_device)) for constants in (profile, before))
    assert near < 0.16 < far / 2
    at_bounds = [line for line in capsys.readouterr().out.splitlines() if "at their bounds" in line]
    names = {name for line in at_bounds for name in line.replace(",", "").split()}
    assert names & set(shown) <= {"fp32_unhidden_share"}  # whose bound is near
    found, with_host = (errors_pct(machine, profile) for profile in (profile, host_alone))
    assert fmean(found) < fmean(with_host) / 2
    assert max(found) < min(10, max(with_host))
    assert profile.sources == "microbenchmarks"


def has_recorded(live, machine, software):
    """Leaves what the models take on the machine as the board's record."""
    path = live.suite.path / "golden" / machine.target.hardware / machine.target.label / MODEL_KIND.record
    path.parent.mkdir(parents=True, exist_ok=True)
    about = {**dict.fromkeys(PROVENANCE_KEYS, "synthetic"), "software": software}
    runs_ms = {model.name: (round(machine.latency_ms(lower(op_stream(model))), 5),) for model in MODELS}
    write_record(Record(path, about, runs_ms))


def test_models_that_were_recorded_are_fitted_along_and_the_refit_knows_it(live, capsys):
    machine = Gpu(SMALL)
    alone = profile_after(live, SMALL, "--share", "0.1")
    has_recorded(live, machine, SOFTWARE)
    command = (SMALL, "--device", "cuda", "--share", "0.1")
    capsys.readouterr()
    assert live.calibrate(*command, first=source_of(SMALL)) == 0
    pytest.LineMatcher(capsys.readouterr().out.splitlines()).fnmatch_lines(
        [
            "  calibrated from records and microbenchmarks: 22 models, * micro-benchmarks in 16 chains",
            "  Fitted along: the record in *golden/Jetson-Orin-Nano-8GB/15W-fp32-b1: 22 models",
        ]
    )
    together = read_profile(live.suite.path / "estimator" / "hardware" / f"{SMALL}.toml")
    assert together.sources == "records and microbenchmarks"
    assert fmean(errors_pct(machine, together)) < fmean(errors_pct(machine, alone))
    assert live.calibrate(SMALL, "--check") == 0


def test_recorded_models_are_not_outvoted_by_hundreds_of_micro_benchmarks(gpu):
    machine = gpu(SMALL)
    chains = design(size_of(machine.target))
    times = measure_chains(chains, "cuda", 0.0, lambda *_: None)
    benchmarks = as_evidence(Microbenchmarks({}, timed_blocks(chains, WAYS["cuda"], times.layers_us)))
    streams = {model: lower(op_stream(model)) for model in MODELS}
    slower = [
        Evidence(model.name, "model", model.family, 1600 * machine.latency_ms(ops), MODEL_SPREAD_FLOOR, ops)
        for model, ops in streams.items()
    ]
    fitter = Fitter(replace(machine.target.profile, calibrated_mode=machine.target.mode.name), [*slower, *benchmarks])
    errors = fitter.errors_pct(fitter.fit())
    assert fmean(map(abs, errors[: len(slower)])) < 25 < 100 * (1 - 1 / 1.6)


def test_a_record_of_another_software_is_left_out_and_named(live, capsys):
    has_recorded(live, Gpu(SMALL), SOFTWARE.replace("torch 2.5.0", "torch 2.1.0"))
    profile = profile_after(live, SMALL, "--share", "0.1")
    assert profile.sources == "microbenchmarks"
    pytest.LineMatcher(capsys.readouterr().out.splitlines()).fnmatch_lines(
        ["  The record in *15W-fp32-b1 is left out: it was measured with torch 2.1.0; *--record measures it anew"]
    )


def test_what_an_earlier_version_measured_is_refused_with_the_command_that_measures_anew(live, capsys):
    assert live.calibrate(SMALL, "--device", "cuda", "--share", "0.05", first=source_of(SMALL)) == 0
    path = live.suite.path / "golden" / SMALL / "15W-fp32-b1" / "microbenchmarks.json"
    path.write_text(path.read_text(encoding="utf-8").replace('"provenance"', '"queue": 16,\n "provenance"', 1))
    capsys.readouterr()
    assert live.calibrate(SMALL, "--refit") == 4
    out, error = capsys.readouterr()
    assert (out, error.count("\n")) == ("", 1)
    assert error.endswith(f"an earlier version measured them; to measure anew: python -m estimator calibrate {SMALL}\n")
