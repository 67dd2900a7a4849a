"""The interval's arithmetic, on latencies that are formulas of two constants."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from torch import nn

from estimator import estimate
from estimator.interval import (
    EXTRAPOLATION,
    MODEL_UNCERTAINTY,
    QUANTILE,
    extrapolated,
    extrapolation_variance,
    interval_pct,
    without_evidence,
)
from estimator.target import resolve

HOME = resolve("Jetson-Orin-AGX", "50W")
HOST, DEVICE = "dispatch_kcycles", "stream_efficiency"
SPREAD_PCT = 3.0


def home(covariance=(), **changes):
    """The calibrated configuration with two constants, one of the host and one of the device."""
    constants = {name: HOME.profile.constants[name] for name in (HOST, DEVICE)}
    profile = replace(HOME.profile, constants=constants, covariance=covariance, held_out_spread_pct=SPREAD_PCT)
    return replace(HOME, profile=profile, **changes)


def of_host(values):
    return 2.0 * values[HOST]


def of_device(values):
    return 5.0 / values[DEVICE]


def of_both(values):
    return values[HOST] ** 2 / values[DEVICE]


def width(*variances):
    return pytest.approx(100 * QUANTILE * math.sqrt(sum(variances)), rel=1e-9)


UNEXPLAINED = (SPREAD_PCT / 100) ** 2


def test_eighty_percent_of_a_normal_distribution_lie_within_so_many_standard_deviations():
    assert math.erf(QUANTILE / math.sqrt(2)) == pytest.approx(0.8, abs=1e-4)


def test_without_a_covariance_an_interval_is_what_held_out_models_differ_by():
    assert interval_pct(of_both, home()) == width(UNEXPLAINED)


def test_a_constant_s_variance_counts_as_often_as_the_latency_follows_it():
    assert interval_pct(of_both, home(((0.01, 0.0), (0.0, 0.0)))) == width(UNEXPLAINED, 2**2 * 0.01)
    assert interval_pct(of_both, home(((0.0, 0.0), (0.0, 0.04)))) == width(UNEXPLAINED, 0.04)
    assert interval_pct(of_host, home(((0.0, 0.0), (0.0, 0.04)))) == width(UNEXPLAINED)


def test_constants_that_err_against_each_other_cancel():
    together = 4 * 0.01 + 0.04 - 2 * 2 * 0.015
    assert interval_pct(of_both, home(((0.01, 0.015), (0.015, 0.04)))) == width(UNEXPLAINED, together)


def test_what_the_model_is_unsure_of_is_added():
    assert interval_pct(of_both, home(), other_variance=0.01) == width(UNEXPLAINED, 0.01)


@pytest.mark.parametrize(
    ("changes", "what", "host", "device"),
    [
        ({}, (), 0.0, 0.0),
        ({"mode": HOME.profile.modes["30W"], "same_software": True}, ("power mode",), 0.02, 0.0),
        ({"batch_size": 2, "same_software": True}, ("batch",), 0.0, 0.0),
        ({"precision": resolve(precision="fp16").precision, "same_software": True}, ("fp16",), 0.0, 0.08),
        ({"same_software": False}, ("software",), 0.3, 0.18),
        ({"batch_size": 2}, ("batch", "software"), 0.3, 0.18),
        ({"mode": HOME.profile.modes["30W"]}, ("power mode", "software"), math.hypot(0.02, 0.3), 0.18),
    ],
    ids="home mode batch half software batch-elsewhere mode-elsewhere".split(),
)
def test_what_an_estimate_was_extrapolated_over_widens_what_follows_host_or_device(changes, what, host, device):
    target = home(**changes)
    assert extrapolated(target) == what
    assert interval_pct(of_host, target) == width(UNEXPLAINED, host**2)
    assert interval_pct(of_device, target) == width(UNEXPLAINED, device**2)


def test_a_latency_that_follows_the_host_half_way_is_half_as_uncertain_of_it():
    assert extrapolation_variance(["software"], lambda factor: (1 + factor) / 2) == pytest.approx(0.15**2 + 0.09**2)
    assert extrapolation_variance(["fp16"], lambda factor: (1 + factor) / 2) == pytest.approx(0.04**2)
    assert extrapolation_variance(["fp16", "software"], lambda factor: factor) == pytest.approx(0.3**2)
    assert extrapolation_variance([], lambda factor: factor) == 0


@pytest.mark.parametrize(
    ("sources", "processor", "what"),
    [
        ("records", "gpu", ()),
        ("records and microbenchmarks", "gpu", ()),
        ("microbenchmarks", "gpu", ("micro-benchmarks",)),
        ("microbenchmarks", "cpu", ()),
    ],
)
def test_of_a_gpu_that_has_seen_no_model_little_is_known(sources, processor, what):
    profile = replace(HOME.profile, sources=sources, processor=processor)
    assert extrapolated(replace(HOME, profile=profile)) == what


def test_each_extrapolation_says_its_evidence_and_is_a_few_percent_but_for_software_and_micro_benchmarks():
    assert {name: (u.host, u.device) for name, u in EXTRAPOLATION.items()} == {
        "power mode": (0.02, 0.0),
        "batch": (0.0, 0.0),
        "fp16": (0.0, 0.08),
        "software": (0.3, 0.18),
        "micro-benchmarks": (0.58, 0.58),
        "tensorrt elsewhere": (0.4, 0.4),
    }
    assert all(len(u.evidence) > 20 for u in EXTRAPOLATION.values())


def test_a_model_without_ops_takes_what_measuring_adds_and_is_sure_of_it():
    import torch

    found = estimate(nn.Identity(), torch.empty(1, 3))
    assert (found.ops, found.kernels, found.flops, found.bytes, found.spans) == (0, 0, 0, 0, ())
    assert (found.host_ms, found.device_ms, found.bound) == (0.0, 0.0, "host")
    assert 0 < found.latency_ms < 0.1
    assert 0 < found.interval_pct < 20


def test_a_constant_is_moved_by_one_percent():
    values = home().profile.values()

    def bent(values_there):
        return values[HOST] + values_there[HOST]  # half of it follows the constant, and less so the larger it is

    slope = math.log(2.01 / 2) / math.log(1.01)
    assert interval_pct(bent, home(((0.01, 0.0), (0.0, 0.0)))) == width(UNEXPLAINED, slope**2 * 0.01)
    share_of_device = 1 - (1.01**2 - 1) / 0.01
    assert extrapolation_variance(["fp16"], lambda factor: factor**2) == pytest.approx((share_of_device * 0.08) ** 2)


def test_one_standard_deviation_of_each_penalty_is_tried():
    found = extrapolation_variance(["power mode", "software"], lambda factor: factor**2)
    of_device = (1 - (1.01**2 - 1) / 0.01) * 0.18
    assert found == pytest.approx((1.02**2 - 1) ** 2 + (1.3**2 - 1) ** 2 + of_device**2)
    assert extrapolation_variance(["micro-benchmarks"], lambda factor: factor) == pytest.approx(0.58**2)
    assert extrapolation_variance(["micro-benchmarks"], lambda factor: 1.0) == pytest.approx(0.58**2)


def test_only_constants_in_cycles_of_the_host_are_the_host_s():
    def of_others(values):
        return 1.0 / values[DEVICE]

    away = home(same_software=False)
    assert interval_pct(of_others, away) == width(UNEXPLAINED, 0.18**2)
    assert interval_pct(lambda values: 3.0 + 0 * values[HOST], away) == width(UNEXPLAINED, 0.18**2)
    assert interval_pct(of_both, away) == width(UNEXPLAINED, (1.3**2 - 1) ** 2, (1.01 * 0.18) ** 2)


def test_each_uncertainty_of_the_model_says_its_evidence_and_how_much_it_is():
    assert {name: (known.host, known.device) for name, known in MODEL_UNCERTAINTY.items()} == {
        "no rule": (0.4, 0.84),
        "recurrent": (0.4, 0.5),
        "fused attention": (0.2, 0.6),
    }
    assert all(len(known.evidence) > 20 for known in MODEL_UNCERTAINTY.values())


AWAY = {"mode": HOME.profile.modes["30W"]}


@pytest.mark.parametrize(
    ("processor", "transferred_from", "changes", "what"),
    [
        ("gpu", "", {}, ()),
        ("gpu", "another", {}, ("software",)),
        ("gpu", "another", {"same_software": True}, ()),
        ("gpu", "", AWAY, ("power mode", "software")),
        ("gpu", "", {**AWAY, "same_software": True}, ("power mode",)),
        ("gpu", "", {"batch_size": 8, "same_software": False}, ("batch", "software")),
        ("cpu", "", {}, ()),
        ("cpu", "another", {}, ()),
        ("cpu", "", AWAY, ()),
        ("cpu", "", {"batch_size": 2}, ("batch",)),
        ("cpu", "", {"same_software": False}, ("software",)),
        ("cpu", "", {"same_software": True}, ()),
    ],
)
def test_what_counts_as_extrapolated_hangs_on_the_kind_of_processor(processor, transferred_from, changes, what):
    about = {"processor": processor, "transferred_from": transferred_from, "transferred_facts": HOME.profile.facts}
    target = replace(HOME, profile=replace(HOME.profile, **about), **changes)
    assert extrapolated(target) == what
    assert without_evidence(target) == (() if processor == "gpu" else what)


@pytest.mark.parametrize("arithmetic", ["fp32", "tf32", "fp16"])
def test_sms_that_compute_another_number_of_flop_a_clock_are_other_sms(arithmetic):
    name, facts = f"{arithmetic}_flops_per_clock_per_sm", HOME.profile.facts
    others = {**facts, name: replace(facts[name], value=facts[name].value + 1)}
    without = {key: fact for key, fact in facts.items() if key != name}
    for there, differ in ((others, True), (without, True), (facts, False)):
        moved = replace(HOME.profile, transferred_from="another", transferred_facts=there)
        assert extrapolated(replace(HOME, profile=moved, same_software=True)) == (("other SMs",) if differ else ())
    neither = replace(HOME.profile, facts=without, transferred_from="another", transferred_facts=without)
    assert extrapolated(replace(HOME, profile=neither, same_software=True)) == ()
