"""The band that a live estimate has to keep: the promised rating's, widened by the noise of the measurement."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from estimator.compare import Comparison
from estimator.hardware.boards import Board, ThisCpu
from estimator.measure.device.state import DeviceState
from estimator.measure.device_session import Measured
from estimator.measure.process import Run
from estimator.measure.regression import FASTER, REGRESSION, SAME, Verdict
from estimator.measure.together import Together
from estimator.records.record import Record
from estimator.suite.benchmark import extra_info
from estimator.suite.outcomes import COMMON, LiveResult, band_problem, common_problem, verdict_problem
from estimator.suite.summary import live_lines, software_notes
from estimator.target import resolve, target_on
from estimator.target_options import target_command

STATE = DeviceState("synthetic", temperature_c=50.0, power_mode="50W")
RUNS = (Run((9.0, 10.0, 11.0), 0.1, 0.1, 7, True), Run((10.0, 10.5, 11.0), 0.1, 0.1, 9, True))
MEASURED = Measured("resnet18", RUNS, STATE, (), replace(STATE, temperature_c=52.0))
ROW = Comparison("resnet18", "ResNet", 11.0, 10.25, 7.32, "EXCELLENT", "host", 9.0, 5.0, 6.0)
RESULT = LiveResult(ROW, None, MEASURED, Verdict(SAME, 1.0, 5.0), noise_pct=2.5)


def problem(error_pct, rating):
    return band_problem(replace(RESULT, comparison=replace(ROW, error_pct=error_pct)), rating)


@pytest.mark.parametrize(("rating", "band_pct"), [("EXCELLENT", 10.0), ("GOOD", 25.0), ("FAIR", 50.0)])
@pytest.mark.parametrize("sign", [1, -1])
def test_an_estimate_may_be_off_by_less_than_band_and_noise_together(rating, band_pct, sign):
    assert problem(sign * (band_pct + 2.5 - 0.01), rating) is None
    for error_pct in (band_pct + 2.5, band_pct + 2.5 + 0.01, 1000.0):
        assert problem(sign * error_pct, rating) is not None


@pytest.mark.parametrize("rating", [None, "UNMEASURED", "-", "no evidence", "POOR"])
def test_where_nothing_is_promised_no_error_is_too_large(rating):
    assert problem(5000.0, rating) is None


def test_without_an_estimate_there_is_nothing_to_be_off():
    assert problem(None, "EXCELLENT") is None


def test_an_error_that_is_no_number_is_outside_every_band():
    assert problem(math.nan, "FAIR") is not None


def test_a_wrong_estimate_says_what_was_expected_and_what_was_measured():
    found = problem(-13.25, "EXCELLENT")
    assert found.summary == "resnet18: the estimate is -13.2 % off on the live device, outside the band of EXCELLENT"
    expected, got = found.lines
    assert expected == "  expected |error| < 10 % (EXCELLENT) + 2.5 % of noise"
    measured = "10.25 ms (median of 2 runs: 10.0, 10.5; 6 rounds)"
    assert got == f"  got -13.25 %: estimated 11.0 ms, measured {measured}"


def test_a_latency_that_left_its_baseline_says_how_and_what_to_do_if_that_is_meant():
    about = {"date": "2026-01-01", "software": "torch 2.1"}
    baseline = Record(resolve().board.profile_path, about, {"resnet18": (8.0, 8.1)})
    assert verdict_problem(RESULT, baseline, resolve()) is None
    found = verdict_problem(replace(RESULT, verdict=Verdict(REGRESSION, 27.0, 5.0)), baseline, resolve())
    assert found.summary == "resnet18: REGRESSION (+27.0 %, margin 5.0 %)"
    assert found.lines == (
        "  measured 10.25 ms (median of 2 runs: 10.0, 10.5; 6 rounds)",
        f"  baseline 8.0, 8.1 ms, {baseline.path}",
        "  recorded 2026-01-01 with torch 2.1",
        f"  If the change is meant: {target_command(resolve())} --device cuda --record --runs 3",
    )


def test_a_common_speed_that_left_its_baseline_is_a_problem_of_its_own():
    assert common_problem(Verdict(SAME, 1.0, 5.0)) is None
    assert common_problem(Verdict(FASTER, -9.0, 5.0)).summary == f"{COMMON}: FASTER: re-record (-9.0 %, margin 5.0 %)"


def test_each_model_has_its_line_alone_and_beside_what_models_share():
    together = Together(Verdict(SAME, 0.5, 4.0), {"resnet18": Verdict(REGRESSION, 8.0, 3.0)})
    title, rule, alone, last = live_lines([RESULT])
    assert title.split()[:4] == ["Live", "median", "p90", "noise"]
    assert rule == last == "  " + "-" * len(rule.strip())
    assert alone.split() == "resnet18 10.25 11.00 2.5 % 10, 10.5: same (+1.0 %, margin 5.0 %)".split()
    *_, beside, common, _ = live_lines([RESULT], together)
    assert beside == f"{alone}; together REGRESSION (+8.0 %, margin 3.0 %)"
    assert common.split() == f"{COMMON} - - - same (+0.5 %, margin 4.0 %)".split()
    *_, other, _, _ = live_lines([RESULT], replace(together, models={}))
    assert other == alone


def test_what_was_measured_goes_into_the_benchmark_s_file():
    assert extra_info(replace(RESULT, noise_pct=2.504)) == {
        "est_ms": 11.0,
        "error_pct": 7.32,
        "rating": "EXCELLENT",
        "median_ms": 10.25,
        "p90_ms": 11.0,
        "runs_ms": [10.0, 10.5],
        "noise_pct": 2.5,
        "repeatability_pct": None,
        "verdict": "same (+1.0 %, margin 5.0 %)",
        "clocks": "not readable",
        "temperature_c": [50.0, 52.0],
        "power_mode": "50W",
        "page_faults": 9,
    }


def notes(host, device, here, board="Jetson-Orin-AGX"):
    """What is said on a machine with this software of constants that were fitted with those."""
    found = Board(board) if board != "local-cpu" else ThisCpu()
    profile = replace(found.base_profile(), host_software=host, software=device)
    return list(software_notes(target_on(found, profile), here))


OLD, NEW = {"torch": "2.1.0"}, {"torch": "2.6.0", "python": "3.12"}
FIT_HOST = "to fit the host's here: python -m estimator calibrate Jetson-Orin-AGX --host"
FIT_ALL = "to fit all here: python -m estimator calibrate Jetson-Orin-AGX"


def test_the_software_of_the_constants_is_named_where_it_is_another():
    fitted = "another software: the constants were fitted with torch 2.1.0; here torch 2.6.0; "
    assert notes(OLD, OLD, OLD) == notes({}, {}, NEW) == []
    assert notes(OLD, OLD, NEW) == [f"{fitted}intervals allow for it; {FIT_HOST}"]
    (of_cpu,) = notes(OLD, OLD, NEW, "local-cpu")
    assert of_cpu.startswith(f"{fitted}no evidence says what that changes; to fit them here: python -m ")
    (of_device,) = notes(NEW, OLD, NEW)
    assert of_device == (
        "another software: the device's constants were fitted with torch 2.1.0; here torch 2.6.0; the host's are of "
        f"this software; what the device's would be is not known; {FIT_ALL}"
    )
