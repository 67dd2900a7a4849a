"""All models judged together, on resampled real runs: what three runs find once the common speed is out."""

import json
import math
import random
import statistics
from pathlib import Path

import pytest

from estimator.measure.regression import FASTER, REGRESSION, SAME, Verdict, judge, log_margin
from estimator.measure.together import LEAST_SHARING, judge_together

RECORD = json.loads((Path(__file__).parent / "data" / "three-runs.json").read_text("utf-8"))
RUNS_MS = {name: row["runs_ms"] for name, row in RECORD.items()}
HOST_BOUND = [name for name, row in RECORD.items() if row["bound"] == "host"]
LOGS = {name: [math.log(ms) for ms in runs] for name, runs in RUNS_MS.items()}
SMOOTHING, DRAWS = 0.5, 8000

FOUND = (
    *("resnet50", "resnet101", "efficientnet_b2", "vgg11", "vgg16", "vgg19"),
    *("vit_l_16", "vit_l_32", "vit_h_14", "maxvit_t"),
)
"""A 10 % slowdown of one of these alone is found by three runs against the three recorded ones."""
FOUND_AGAINST_TEN = (
    *FOUND,
    "vit_b_16",
    "resnet18",
    "resnet34",
    "resnet152",
    "mobilenet_v2",
    "mobilenet_v3_large",
    "vit_b_32",
)
"""... against a baseline of ten. What is left of the others differs by 3 to 20 % between processes: not found."""


def deviations(logs):
    """Of three runs from their mean, widened for the lost degree of freedom."""
    return [(x - statistics.fmean(logs)) * math.sqrt(len(logs) / (len(logs) - 1)) for x in logs]


DEVIATIONS = {name: deviations(logs) for name, logs in LOGS.items()}
COMMON = [statistics.median(DEVIATIONS[name][run] for name in HOST_BOUND) for run in range(3)]
OWN = {name: [x - (y if name in HOST_BOUND else 0.0) for x, y in zip(DEVIATIONS[name], COMMON)] for name in DEVIATIONS}

COMMON_SPREAD, OWN_SPREAD = statistics.pstdev(COMMON), {name: statistics.pstdev(OWN[name]) for name in OWN}
MEAN = {name: statistics.fmean(logs) for name, logs in LOGS.items()}


def draw(source, count):
    """Draws whole runs like the recorded ones: of all models the same run, smoothed in common and one by one."""
    drawn = {name: [] for name in LOGS}
    for _ in range(count):
        run, common = source.randrange(3), source.gauss(0, SMOOTHING * COMMON_SPREAD)
        for name in LOGS:
            noise = DEVIATIONS[name][run] + source.gauss(0, SMOOTHING * OWN_SPREAD[name])
            noise += common if name in HOST_BOUND else 0.0
            drawn[name].append(math.exp(MEAN[name] + noise / math.sqrt(1 + SMOOTHING**2)))
    return drawn


def false_alarms(baseline):
    """How often each model alarms, alone or together, and the common speed, when nothing changed."""
    source, found, common = random.Random(baseline), dict.fromkeys(LOGS, 0), 0
    for _ in range(DRAWS):
        before, now = draw(source, baseline), draw(source, 3)
        verdicts = judge_together(before, now, HOST_BOUND)
        common += verdicts.common.alarms
        for name in LOGS:
            found[name] += verdicts.models[name].alarms or judge(before[name], now[name]).alarms
    return {name: count / DRAWS for name, count in found.items()}, common / DRAWS


def found(model, baseline, slower=1.1, draws=200):
    """How often three runs find that this model alone became slower."""
    source, hits = random.Random(f"{model} {baseline}"), 0
    for _ in range(draws):
        before, now = draw(source, baseline), draw(source, 3)
        now[model] = [slower * ms for ms in now[model]]
        hits += judge_together(before, now, HOST_BOUND).models[model].word == REGRESSION
    return hits / draws


def test_false_alarms_are_below_one_percent_for_every_model_and_for_the_common_speed():
    of_models, common = false_alarms(3)
    assert {name: share for name, share in of_models.items() if share >= 0.01} == {}
    assert set(of_models) == set(RUNS_MS)
    assert common < 0.01


@pytest.mark.parametrize("model", FOUND)
def test_three_runs_find_a_slowdown_of_ten_percent(model):
    assert found(model, baseline=3) > 0.9


@pytest.mark.parametrize("model", FOUND_AGAINST_TEN)
def test_against_ten_runs_they_find_it_in_more_models(model):
    assert found(model, baseline=10) > 0.9


def test_half_of_what_differs_between_runs_is_common_to_the_host_bound_models():
    ratios = [statistics.pstdev(OWN[name]) / statistics.pstdev(DEVIATIONS[name]) for name in HOST_BOUND]
    assert statistics.median(ratios) < 0.6


def alarms(found):
    """The models that left the baseline."""
    return [name for name, verdict in found.models.items() if verdict.alarms]


def test_what_slows_every_host_bound_model_alike_is_the_common_speed():
    now = {name: [1.3 * ms if name in HOST_BOUND else ms for ms in runs] for name, runs in RUNS_MS.items()}
    verdicts = judge_together(RUNS_MS, now, HOST_BOUND)
    assert verdicts.common.word == REGRESSION
    assert verdicts.common.change_pct == pytest.approx(30)
    assert alarms(verdicts) == []


@pytest.mark.parametrize(("baseline", "least"), [(3, 0.6), (10, 0.99)])
def test_a_fifth_more_in_all_host_bound_models_alarms_somewhere(baseline, least):
    source, hits = random.Random(baseline), 0
    for _ in range(200):
        before, now = draw(source, baseline), draw(source, 3)
        now = {name: [1.2 * ms for ms in runs] if name in HOST_BOUND else runs for name, runs in now.items()}
        verdicts = judge_together(before, now, HOST_BOUND)
        alone = any(judge(before[name], now[name]).alarms for name in LOGS)
        hits += alone or verdicts.common.alarms or bool(alarms(verdicts))
    assert hits / 200 > least


def test_one_model_does_not_move_the_common_speed():
    now = {**RUNS_MS, "maxvit_t": [0.8 * ms for ms in RUNS_MS["maxvit_t"]]}
    verdicts = judge_together(RUNS_MS, now, HOST_BOUND)
    assert alarms(verdicts) == ["maxvit_t"]
    assert verdicts.models["maxvit_t"].word == FASTER
    assert verdicts.common.word == SAME


def test_a_model_recorded_by_itself_is_left_out():
    before = {**RUNS_MS, "resnet18": RUNS_MS["resnet18"][:1]}
    assert "resnet18" not in judge_together(before, RUNS_MS, HOST_BOUND).models
    assert len(judge_together(before, RUNS_MS, HOST_BOUND).models) == len(RUNS_MS) - 1


def test_too_few_models_have_nothing_in_common():
    assert LEAST_SHARING == 5
    few, enough = ({name: RUNS_MS[name] for name in HOST_BOUND[:count]} for count in (4, 5))
    assert judge_together(RUNS_MS, few, HOST_BOUND) is None
    assert set(judge_together(RUNS_MS, enough, HOST_BOUND).models) == set(enough)
    assert judge_together({}, RUNS_MS, HOST_BOUND) is None


HOSTED = ("a", "b", "c", "d", "e")


def runs(**factors):
    """Two runs of each of five models at the speed of their host, and of one other, given how the host's speed was."""
    speeds = factors.pop("speeds")
    own = {**dict.fromkeys(HOSTED, 1.0), "other": 1.0, **factors}
    return {name: [10.0 * own[name] * (speed if name in HOSTED else 1.0) for speed in speeds] for name in own}


def test_what_is_left_of_a_model_is_beside_the_speed_of_its_run():
    before, now = runs(speeds=(1.0, 1.2)), runs(speeds=(1.5, 1.1), c=1.1, other=0.9)
    found = judge_together(before, now, HOSTED)
    floor = pytest.approx(3.0)
    change = math.log(1.5 * 1.1 / 1.2) / 2
    spread = math.sqrt((math.log(1.2) ** 2 / 2 + math.log(1.5 / 1.1) ** 2 / 2) / 2)
    margin = log_margin(spread, 2, 2, alpha=0.0015)
    assert found.common == Verdict(
        SAME, pytest.approx(100 * math.expm1(change)), pytest.approx(100 * math.expm1(margin))
    )
    assert dict(found.models) == {
        **{name: Verdict(SAME, pytest.approx(0.0, abs=1e-9), floor) for name in ("a", "b", "d", "e")},
        "c": Verdict(REGRESSION, pytest.approx(10.0), floor),
        "other": Verdict(FASTER, pytest.approx(-10.0), floor),
    }
    assert alarms(found) == ["c", "other"]


def test_the_common_speed_is_the_median_of_how_far_models_are_from_their_own_baseline():
    before = {name: [10.0**place] * 2 for place, name in enumerate(HOSTED)}
    factors = dict(zip(HOSTED, (1.0, 1.02, 1.2, 1.3, 1.4)))
    found = judge_together(before, {name: [factors[name] * ms for ms in before[name]] for name in HOSTED}, HOSTED)
    assert found.common == Verdict(REGRESSION, pytest.approx(20.0), pytest.approx(3.0))
    assert found.models["b"].change_pct == pytest.approx(100 * (1.02 / 1.2 - 1))


def test_models_with_the_usual_number_of_runs_are_judged_and_models_without_a_baseline_are_not():
    before, now = runs(speeds=(1.0, 1.0, 1.0)), runs(speeds=(1.0, 1.0))
    before["other"], now["new"] = [10.0], [10.0, 10.0]
    before["gone"], before["none"], now["none"] = [10.0] * 3, [], [10.0, 10.0]
    assert list(judge_together(before, now, HOSTED).models) == list(HOSTED)
    now["a"] = [10.0]
    assert judge_together(before, now, HOSTED) is None
