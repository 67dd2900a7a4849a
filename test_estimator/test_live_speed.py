"""The machine's speed now beside its calibration, and what a session says it found."""

from __future__ import annotations

from dataclasses import replace

import pytest

from estimator.compare import compare
from estimator.hardware.boards import ThisCpu
from estimator.measure.device.state import DeviceState
from estimator.measure.process import Run
from estimator.measure.session import Measured
from estimator.measure.verdict import NO_BASELINE, Verdict
from estimator.pipeline import estimate_stream
from estimator.subjects.all import op_stream
from estimator.subjects.zoo import find_models
from estimator.suite.calibrate import finding_lines as calibration_lines
from estimator.suite.live_report import LiveResult
from estimator.suite.live_speed import finding_lines, speed_of
from estimator.target import target_on

PROFILE = replace(ThisCpu().base_profile(), anchor_ms=10.0, held_out_spread_pct=5.0)
TARGET = target_on(ThisCpu(), PROFILE)


@pytest.fixture(scope="module")
def estimate():
    (model,) = find_models(["resnet18"])
    return estimate_stream(op_stream(model), TARGET)


def result(estimate, error_pct, slices=(1.0, 1.0, 1.0)):
    """A model whose estimate is off by this much, measured in these slices."""
    meas_ms = estimate.latency_ms / (1 + error_pct / 100)
    state = DeviceState("local cpu: made up")
    run = Run((meas_ms,), 0, 0.0, 0.0, 0.0, 0, True, tuple(meas_ms * part for part in slices))
    measured = Measured("resnet18", (run,), state, (), state)
    return LiveResult(compare("resnet18", "ResNet", estimate, meas_ms), None, measured, Verdict(NO_BASELINE), 0.0)


def found(results, anchors_ms):
    return "\n".join(finding_lines(results, speed_of(PROFILE, anchors_ms), TARGET))


def test_an_estimate_is_for_the_speed_of_now(estimate):
    speed = speed_of(PROFILE, [10.0, 10.4, 10.8])
    assert speed.slowdown == pytest.approx(1.04)
    assert not speed.has_left
    for term in ("latency_ms", "host_ms", "device_ms"):
        assert getattr(speed.applied_to(estimate), term) == pytest.approx(1.04 * getattr(estimate, term))


def test_without_an_anchor_nothing_is_known_and_nothing_moves(estimate):
    for speed in (speed_of(PROFILE, ()), speed_of(replace(PROFILE, anchor_ms=None), [10.0])):
        assert speed.slowdown is None
        assert not speed.has_left
        assert speed.applied_to(estimate) == estimate
    assert "calibration" not in found([result(estimate, 3.0)], ())


def test_a_machine_that_left_its_calibration_says_so_in_one_line_whichever_way_it_went():
    for anchor_ms, words in ((13.0, "30.0 % slower"), (7.0, "30.0 % faster")):
        assert speed_of(PROFILE, [anchor_ms]).has_left
        (line,) = finding_lines((), speed_of(PROFILE, [anchor_ms]), TARGET)
        assert f"the machine is {words} than at its calibration" in line
        assert "more than the interval of 6.4 %, so no estimate is asserted; to calibrate again: pytest" in line


def test_the_last_lines_say_how_well_estimates_hold_and_how_the_machine_repeats(estimate):
    text = found([result(estimate, 4.0, (0.98, 1.0, 1.02))], [10.0])
    assert "the estimates of 1 models are off by 4.0 % on average, by +4.0 % at most (resnet18)" in text
    assert "a model differs from itself by 1.3 %" in text
    assert "They hold what is promised of a calibrated CPU (7 % on average)." in text


@pytest.mark.parametrize(
    ("error_pct", "slices", "anchor_ms", "limit"),
    [
        (12.0, (0.9, 1.0, 1.2), 10.0, "What limits them: the machine itself; no estimate can be shown to be better"),
        (12.0, (1.0, 1.0, 1.0), 10.0, "What limits them: the formulas, which do not know all of this processor"),
        (12.0, (1.0, 1.0, 1.0), 15.0, "What limits them: the machine is not what it was when it was calibrated"),
    ],
)
def test_the_last_line_names_what_limits_the_estimates(estimate, error_pct, slices, anchor_ms, limit):
    assert limit in found([result(estimate, error_pct, slices)], [anchor_ms])


def test_a_calibration_says_what_may_be_expected_of_it():
    quiet, loud = ("\n".join(calibration_lines(6.0, noise_pct)) for noise_pct in (1.0, 4.0))
    assert "to within 6 %" in quiet
    assert "What limits it" not in quiet
    assert "What limits it: the machine; what a pass over all chains takes is known to 4 % only." in loud
