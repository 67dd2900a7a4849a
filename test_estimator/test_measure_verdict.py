"""Verdicts on resampled real runs: few false alarms, slower and faster alike, and honest about what they miss."""

import json
import math
import random
import statistics
from pathlib import Path

import pytest

from estimator.measure.verdict import (
    FASTER,
    FLOOR_PCT,
    NO_BASELINE,
    REGRESSION,
    SAME,
    UNJUDGED,
    judge,
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


def test_the_verdict_has_two_sides():
    baseline = RUNS_MS["vgg16"]
    assert judge(baseline, [1.1 * ms for ms in baseline]).word == REGRESSION
    assert judge(baseline, [0.9 * ms for ms in baseline]).word == FASTER
    assert judge(baseline, baseline).word == SAME


def test_no_margin_is_below_the_floor():
    verdict = judge([10.0, 10.0, 10.0], [10.2, 10.2, 10.2])
    assert (verdict.word, verdict.margin_pct) == (SAME, pytest.approx(FLOOR_PCT))


def test_one_run_against_one_is_not_judged():
    verdict = judge([10.0], [12.0])
    assert (verdict.word, verdict.margin_pct) == (UNJUDGED, None)
    assert "one run each, use --runs 3" in verdict.text


def test_without_a_baseline_there_is_no_verdict():
    assert judge([], [1.0]).text == NO_BASELINE


@pytest.mark.parametrize(("freedom", "t"), [(1, 63.657), (2, 9.925), (3, 5.841), (4, 4.604), (10, 3.169), (11, 3.106)])
def test_student_s_t_is_that_of_the_tables(freedom, t):
    assert student_t(0.99, freedom) == pytest.approx(t, abs=0.001)
