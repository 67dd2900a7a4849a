"""The loop of `python -m bench.local_cpu` on a machine that is synthetic: no second is measured, all are given."""

from __future__ import annotations

import itertools
import math
import random
import time
from dataclasses import replace

import pytest

from bench.end_to_end import read_door
from bench.interleaved import LEAST_ROUNDS, measure, slice_ms
from bench.local_cpu import Priced, bar_lines, calibrated, holds, price_model, table_lines
from estimator.calibration.design import CPU, design
from estimator.calibration.fit import Fitter
from estimator.calibration.microbenchmarks import Microbenchmarks, as_evidence, timed_blocks
from estimator.hardware.boards import find_board
from estimator.subjects.zoo import MODELS

SHARE = 0.05
NAMES = ("mobilenet_v3_small", "resnet18", "squeezenet1_1")


def benchmarks(**errors_pct):
    """What pytest-benchmark keeps of a session."""
    facts = {name: {"error_pct": pct, "repeatability_pct": abs(pct) / 2} for name, pct in errors_pct.items()}
    return {"benchmarks": [{"name": f"test_model[{name}]", "extra_info": info} for name, info in facts.items()]}


GOOD = read_door(benchmarks(resnet18=4.0, vgg11=-2.0), 80.0, 120.0)._replace(refused=())


@pytest.fixture(scope="module")
def machine():
    """The profile of a CPU whose constants are far from those that a calibration starts from."""
    profile, factors = find_board("local-cpu").base_profile(), random.Random(3)
    return replace(
        profile,
        constants={
            name: replace(c, value=min(max(c.prior * math.exp(factors.gauss(0, c.prior_sigma)), c.lower), c.upper))
            for name, c in profile.constants.items()
        },
    )


def chains_on(machine):
    """The us of each layer of the chains, as that machine would take them."""
    chains = design(CPU, SHARE)
    shape = [[[[1.0] * len(block.layers)] for block in chain] for chain in chains]
    evidence = as_evidence(Microbenchmarks({}, timed_blocks(chains, ("in chain",), shape)))
    us = iter(Fitter(machine, evidence).latencies_us(machine.values()).tolist())
    return [[[[next(us) for _ in layers] for layers in block] for block in chain] for chain in shape]


def test_chains_price_models_that_the_fit_has_not_seen(machine, tmp_path):
    turns_ms = {name: [price_model(name, machine, {name: [1.0]}).est_ms] for name in NAMES}
    times = {"layers_us": chains_on(machine), "turns_ms": turns_ms, "threads": 3}
    profile = calibrated(times, SHARE, tmp_path)
    priced = [price_model(name, profile, turns_ms) for name in NAMES]
    assert (profile.processor, profile.mode().threads) == ("cpu", 3)
    assert [found.name for found in priced] == list(NAMES)
    assert max(abs(found.error_pct) for found in priced) < 10
    assert (
        max(abs(price_model(name, find_board("local-cpu").base_profile(), turns_ms).error_pct) for name in NAMES) > 20
    )
    text = "\n".join((*table_lines(profile, [GOOD], priced[:2], priced[2:], 1), *bar_lines([GOOD], priced, priced)))
    assert all(f"| {name} | " in text for name in NAMES)
    assert "| 1 | 3.0 | 4.0 | resnet18 | 1.5 | 80 | 120 | - |" in text
    assert text.count("  met") == 4


def test_a_try_end_to_end_is_read_from_what_the_benchmarks_kept():
    door = read_door(benchmarks(resnet18=4.0, vgg11=-2.0), 80.0, 120.0)
    assert (door.mean_pct, door.max_pct, door.worst, door.repeatability_pct) == (3.0, 4.0, "resnet18", 1.5)
    assert len(door.refused) == len(MODELS) - 2  # nothing is said of models that were not measured
    assert not holds(door)


def test_three_tries_of_four_end_to_end_have_to_hold():
    wild = GOOD._replace(errors_pct={"resnet18": 26.0, **dict.fromkeys("abcdefgh", 0.0)})
    slow = GOOD._replace(errors_pct={"resnet18": 7.1})
    assert [holds(door) for door in (GOOD, wild, slow)] == [True, False, False]
    rows = [Priced("resnet18", 1.0, 1.0, 0.0)]
    for doors, met in (((GOOD, GOOD, GOOD, wild), True), ((GOOD, GOOD, slow, wild), False)):
        assert next(bar_lines(doors, rows, rows)).endswith("  met") is met


class TickingClock:
    """Any of the clocks of `time`: it ticks whenever somebody looks."""

    def __init__(self, tick):
        self._ticks = itertools.count(0, tick)

    def __call__(self):
        return next(self._ticks)


def test_chains_and_models_are_measured_in_turns(monkeypatch):
    monkeypatch.setattr(time, "perf_counter", TickingClock(0.125))
    monkeypatch.setattr(time, "perf_counter_ns", TickingClock(2000))
    times = measure(2, 0.01, ["mobilenet_v3_small", "squeezenet1_1:64"])
    assert times["turns_ms"] == {"mobilenet_v3_small": [125.0] * 2, "squeezenet1_1": [125.0] * 2}
    assert {us for chain in times["layers_us"] for block in chain for layers in block for us in layers} == {2.0}
    assert [[len(layers) for (layers,) in chain] for chain in times["layers_us"]] == [
        [len(block.layers) for block in chain] for chain in design(CPU, 0.01)
    ]


def test_a_slow_model_gets_the_fewest_forwards(monkeypatch):
    forwards = []
    monkeypatch.setattr(time, "perf_counter", TickingClock(10.0))
    assert slice_ms(forwards.append, "x") == 10_000
    assert len(forwards) == 1 + LEAST_ROUNDS
