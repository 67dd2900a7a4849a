"""The machine's speed now beside its calibration, and what a session says it found."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest

from estimator.calibration.on_board import finding_lines as calibration_lines
from estimator.hardware.boards import ThisCpu
from estimator.lower import lower
from estimator.measure.speed import Speed, speed_of
from estimator.pipeline import estimate_lowered
from estimator.report.bars import MICROBENCHMARK_BARS
from estimator.subjects.zoo import find_models
from estimator.suite.summary import finding_lines
from estimator.target import target_on
from meta_tests.estimating import op_stream

PROFILE = replace(ThisCpu().base_profile(), reference_ms=10.0, held_out_spread_pct=5.0)
TARGET = target_on(ThisCpu(), PROFILE)


def test_an_estimate_is_for_the_speed_of_now():
    estimate = estimate_lowered(lower(op_stream(*find_models(["resnet18"]))), TARGET)
    speed = speed_of(PROFILE, [10.0, 10.4, 10.8])
    assert speed.slowdown == pytest.approx(1.04)
    assert not speed.drifted
    for term in ("latency_ms", "host_ms", "device_ms"):
        assert getattr(speed.applied_to(estimate), term) == pytest.approx(1.04 * getattr(estimate, term))


def test_without_a_reference_nothing_is_known_and_nothing_moves():
    estimate = estimate_lowered(lower(op_stream(*find_models(["resnet18"]))), TARGET)
    for speed in (speed_of(PROFILE, ()), speed_of(replace(PROFILE, reference_ms=None), [10.0])):
        assert speed.slowdown is None
        assert not speed.drifted
        assert speed.applied_to(estimate) == estimate


def test_a_machine_that_left_its_calibration_says_so_in_one_line_whichever_way_it_went():
    for reference_ms, words in ((13.0, "30.0 % slower"), (7.0, "30.0 % faster")):
        assert speed_of(PROFILE, [reference_ms]).drifted
        (line,) = finding_lines((), speed_of(PROFILE, [reference_ms]), TARGET)
        assert f"the machine is {words} than at its calibration" in line
        assert "more than the interval of 6.4 %, so no estimate is asserted; to calibrate again: python -m" in line


def test_a_calibration_says_what_may_be_expected_of_it():
    quiet, loud = ("\n".join(calibration_lines(6.0, noise_pct)) for noise_pct in (1.0, 4.0))
    assert "to within 6 %" in quiet
    assert "What limits it" not in quiet
    assert "What limits it: the machine; what a pass over all chains takes is known to 4 % only." in loud


@pytest.mark.parametrize(
    ("slowdown", "interval_pct", "drifted"),
    [
        *((1.0999, 10.0, False), (1.1001, 10.0, True), (1 / 1.0999, 10.0, False), (1 / 1.1001, 10.0, True)),
        *((1.0, 0.0, False), (None, 0.0, False)),
    ],
)
def test_a_machine_drifted_where_it_differs_by_more_than_an_estimate_may(slowdown, interval_pct, drifted):
    assert Speed(slowdown, 0.0, interval_pct).drifted is drifted


def test_the_speed_is_that_of_the_median_reference_and_varies_by_the_mean_from_it():
    profile = replace(PROFILE, reference_ms=8.0, held_out_spread_pct=10.0)
    assert speed_of(profile, [12.0, 9.0, 10.0]) == Speed(1.25, pytest.approx(10.0), pytest.approx(12.8155, abs=1e-3))
    assert speed_of(profile, []) == Speed(None, 0.0, pytest.approx(12.8155, abs=1e-3))


def measured(model, error_pct, repeats_pct):
    row = SimpleNamespace(model=model, error_pct=error_pct)
    return SimpleNamespace(comparison=row, measured=SimpleNamespace(repeatability_pct=repeats_pct))


def said(speed, *results):
    return list(finding_lines(results, speed, TARGET))


UNKNOWN = Speed(None, 0.0, 5.0)
BAR_PCT = MICROBENCHMARK_BARS["cpu"].mean_pct
HELD = f"  They hold what is promised of a calibrated CPU ({BAR_PCT:.0f} % on average)."


def test_what_was_found_is_the_mean_and_the_largest_error_whichever_sign_it_has():
    results = measured("a", 2.0, None), measured("b", -6.0, 0.5), measured("c", 1.0, 1.5), measured("d", None, 1.0)
    assert said(UNKNOWN, *results) == [
        "",
        "  Found: the estimates of 3 models are off by 3.0 % on average, by -6.0 % at most (b).",
        "  Measured again within this session, a model differs from itself by 1.0 %.",
        HELD,
    ]
    assert said(UNKNOWN, *results[:1]) == [
        "",
        "  Found: the estimates of 1 models are off by 2.0 % on average, by +2.0 % at most (a).",
    ]
    assert said(UNKNOWN, results[-1]) == said(UNKNOWN) == []


@pytest.mark.parametrize(
    ("slowdown", "line"),
    [
        (1.04, "the machine is 4.0 % slower than at its calibration, by a reference workload beside each model"),
        (0.97, "the machine is 3.0 % faster than at its calibration, by a reference workload beside each model"),
        (1.0, "the machine is 0.0 % faster than at its calibration, by a reference workload beside each model"),
    ],
)
def test_the_speed_of_now_and_how_it_varies_are_said(slowdown, line):
    rest = "(which varies by 0.7 %); the estimates are for the speed of now"
    assert said(Speed(slowdown, 0.7, 5.0)) == [f"  {line} {rest}"]


@pytest.mark.parametrize(
    ("error_pct", "repeats_pct", "words"),
    [
        (10.0, 7.0, "the machine itself"),
        (10.0, 6.99, "the formulas"),
        (BAR_PCT, 0.0, "They hold"),
        (BAR_PCT + 0.01, 0.0, "the formulas"),
        (-BAR_PCT - 0.01, 0.0, "the formulas"),
    ],
)
def test_what_limits_estimates_is_named_on_either_side_of_each_limit(error_pct, repeats_pct, words):
    assert words in said(UNKNOWN, measured("a", error_pct, repeats_pct))[-1]
    assert "calibrate again." in said(Speed(2.0, 0.0, 5.0), measured("a", error_pct, repeats_pct))[-1]
