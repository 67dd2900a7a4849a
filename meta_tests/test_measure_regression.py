"""Verdicts on resampled real runs: few false alarms, slower and faster alike, and honest about what they miss."""

import json
import math
import random
import statistics
from pathlib import Path

import pytest

from estimator.measure.regression import (
    FASTER,
    FLOOR_PCT,
    NO_BASELINE,
    REGRESSION,
    SAME,
    UNJUDGED,
    Verdict,
    judge,
    judge_logs,
    log_margin,
    spread,
    spread_pct,
    student_t,
)

RECORD = Path(__file__).parent / "data" / "three-runs.json"
"""The first record of the Jetson, kept as it is: what is said here of a model must not move with a new baseline."""
RUNS_MS = {name: row["runs_ms"] for name, row in json.loads(RECORD.read_text("utf-8")).items()}
SMOOTHING = 0.5

STEADY = ("vgg11", "vgg16", "vgg19", "vit_l_16", "vit_h_14")
"""A 10 % slowdown is found by three runs against the three recorded ones."""
STEADY_AGAINST_TEN = (*STEADY, "vit_b_16", "resnet18", "resnet34", "resnet152")
"""... against a baseline of ten. The others' processes differ by 3 to 20 % of themselves: there it is not found."""


def new_runs(runs_ms, random_source):
    """Draws runs like the recorded ones: a resampled residual, widened for its lost degree of freedom, and smoothed.

    The variance is that of the recorded runs. The baseline is drawn as well: its own luck is part of a false alarm.
    """
    logs = [math.log(ms) for ms in runs_ms]
    mean, spread = statistics.fmean(logs), statistics.stdev(logs)
    residuals = [(x - mean) * math.sqrt(len(logs) / (len(logs) - 1)) for x in logs]
    scale = 1 / math.sqrt(1 + SMOOTHING**2)

    def draw(count, slower=1.0):
        noise = (random_source.choice(residuals) + random_source.gauss(0, SMOOTHING * spread) for _ in range(count))
        return [slower * math.exp(mean + scale * x) for x in noise]

    return draw


def share(model, count, word_of, slower=1.0, baseline=3, live=3):
    draw = new_runs(RUNS_MS[model], random.Random(f"{model} {slower}"))
    return sum(word_of(judge(draw(baseline), draw(live, slower))) for _ in range(count)) / count


@pytest.mark.parametrize("model", RUNS_MS)
def test_false_alarms_are_below_one_percent(model):
    assert share(model, 4000, lambda verdict: verdict.alarms) < 0.01


@pytest.mark.parametrize("model", STEADY)
def test_three_runs_find_a_slowdown_of_ten_percent_of_a_steady_model(model):
    assert share(model, 500, lambda verdict: verdict.word == REGRESSION, slower=1.1) > 0.9


@pytest.mark.parametrize("model", STEADY_AGAINST_TEN)
def test_a_baseline_of_ten_runs_finds_it_in_more_models(model):
    assert share(model, 500, lambda verdict: verdict.word == REGRESSION, slower=1.1, baseline=10) > 0.9


@pytest.mark.parametrize("model", sorted({*RUNS_MS} - {*STEADY_AGAINST_TEN}))
def test_a_model_whose_processes_differ_more_has_a_margin_that_says_so(model):
    verdict = judge(RUNS_MS[model], [1.1 * ms for ms in RUNS_MS[model]])
    assert verdict.word == SAME
    assert verdict.margin_pct > 10
    assert f"margin {verdict.margin_pct:.1f} %" in verdict.text


@pytest.mark.parametrize(
    ("margin_pct", "text"), [(1000.0, "margin 1000.0 %"), (1000.1, "margin above 1000 %: runs this few")]
)
def test_a_margin_that_nothing_could_leave_says_so(margin_pct, text):
    assert text in Verdict(SAME, 2.5, margin_pct).text


@pytest.mark.parametrize(
    ("probability", "freedom", "t"),
    [
        *((0.99, 1, 63.657), (0.99, 2, 9.925), (0.99, 3, 5.841), (0.99, 4, 4.604), (0.99, 10, 3.169)),
        *((0.99, 11, 3.106), (0.5, 1, 1.0), (0.5, 10, 0.69981), (0.1, 2, 0.14213), (1.0, 1, 1e6)),
    ],
)
def test_student_s_t_is_that_of_the_tables(probability, freedom, t):
    assert student_t(probability, freedom) == pytest.approx(t, abs=0.0006)


def test_a_margin_is_so_many_standard_errors_of_the_runs():
    before, now = [10.0, 10.2, 10.4], [11.0, 11.1, 11.2]
    deviations = [math.log(ms) - statistics.fmean(map(math.log, runs)) for runs in (before, now) for ms in runs]
    spread = math.sqrt(sum(x * x for x in deviations) / 4)
    verdict = judge(before, now)
    assert verdict.margin_pct == pytest.approx(100 * math.expm1(9.1257 * spread * math.sqrt(2 / 3)), rel=1e-4)
    change = statistics.fmean(map(math.log, now)) - statistics.fmean(map(math.log, before))
    assert verdict.change_pct == pytest.approx(100 * math.expm1(change))
    assert spread_pct(before, now) == pytest.approx(100 * spread)


def test_a_spread_is_that_within_the_groups():
    assert spread([0.0, 0.2], [5.0, 5.2]) == pytest.approx(math.sqrt(4 * 0.01 / 2))
    assert spread([0.0], [5.0, 5.2]) == pytest.approx(math.sqrt(2 * 0.01))
    assert spread([0.0], [5.0]) is None
    assert spread_pct([10.0], []) is None
    assert spread_pct([], [10.0, 10.0]) == 0


def test_more_runs_make_a_smaller_margin():
    assert log_margin(0.1, 3, 3) == pytest.approx(9.1257 * 0.1 * math.sqrt(2 / 3), rel=1e-4)
    assert log_margin(0.1, 10, 3) == pytest.approx(4.5726 * 0.1 * math.sqrt(1 / 10 + 1 / 3), rel=1e-4)
    assert log_margin(0.1, 3, 3, alpha=0.0015) == pytest.approx(7.7412 * 0.1 * math.sqrt(2 / 3), rel=1e-4)
    assert log_margin(0.0, 3, 3) == pytest.approx(math.log(1.03))


@pytest.mark.parametrize(("change", "word"), [(1.0299, SAME), (1.0301, REGRESSION), (1 / 1.0299, SAME), (0.97, FASTER)])
def test_a_change_beyond_the_margin_is_a_verdict(change, word):
    verdict = judge([10.0, 10.0], [10.0 * change, 10.0 * change])
    assert (verdict.word, verdict.alarms) == (word, word != SAME)


def test_a_change_as_large_as_the_margin_is_within_it():
    floor = math.log1p(FLOOR_PCT / 100)
    assert judge_logs([0.0, 0.0], [floor, floor]).word == SAME
    assert judge_logs([floor, floor], [0.0, 0.0]).word == SAME
    assert judge_logs([0.0, 0.0], [1.0001 * floor] * 2).word == REGRESSION


def test_a_verdict_on_single_runs_has_its_change_alone():
    assert judge([10.0], [10.5]) == Verdict(UNJUDGED, pytest.approx(5.0), None)
    assert "one run each, use 3 runs" in judge([10.0], [10.5]).text
    assert judge([], [1.0]) == Verdict(NO_BASELINE)
    assert judge([10.0], [9.5, 9.5]).word == FASTER


@pytest.mark.parametrize(
    ("verdict", "text"),
    [
        (Verdict(REGRESSION, 12.34, 5.67), "REGRESSION (+12.3 %, margin 5.7 %)"),
        (Verdict(FASTER, -12.34, 5.67), "FASTER: re-record (-12.3 %, margin 5.7 %)"),
        (Verdict(SAME, 0.0, 3.0), "same (+0.0 %, margin 3.0 %)"),
        (Verdict(NO_BASELINE), "no baseline"),
        (Verdict(UNJUDGED, 3.0), "not judged (+3.0 %, margin unknown: one run each, use 3 runs)"),
    ],
)
def test_a_verdict_in_words_has_its_figures(verdict, text):
    assert verdict.text == text
    assert verdict.alarms == text.startswith(("REGRESSION", "FASTER"))
