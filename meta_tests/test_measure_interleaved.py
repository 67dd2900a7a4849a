"""Models in interleaved rounds, on a machine whose drift is given; no second is measured."""

from __future__ import annotations

from dataclasses import replace

import pytest

from estimator.errors import MeasurementError, MeasurementRefused
from estimator.hardware.boards import ThisCpu
from estimator.measure.device.choice import Choice
from estimator.measure.device.state import DeviceState, StateReader
from estimator.measure.device_session import MeasuringSession
from estimator.measure.interleaved import measure_models
from estimator.measure.process import Run
from estimator.measure.progress import Progress
from estimator.measure.protocol import Plan, make_protocol
from estimator.target import target_on

MODELS = ("quick", "slow")
MS = {"quick": 10.0, "slow": 100.0}


class Machine(StateReader):
    """A process and the state of its device: each part is a bit slower than the one before."""

    pid = None

    def __init__(self, drift=0.0, contention=(), failing=()):
        self.drift, self.contention, self.failing = drift, list(contention), failing
        self.measured, self.looks = [], []

    def environment(self):
        return {}

    def reference_ms(self, tick):
        return 1.0

    def measure(self, request, protocol, progress, tick):
        assert request["keep"] == (protocol.rounds > 1)  # of one part nothing has to stay
        model = request["model"]
        self.measured.append(model)
        if model in self.failing:
            raise MeasurementError(f"{model}: no room")
        ms = MS[model] * (1 + self.drift * (len(self.measured) - 1))
        tick()
        return Run((ms,) * protocol.rounds, 0.1, 0.2, 0, True)

    def read(self, own_pids=()):
        others = self.contention.pop(0) if self.contention and self.looks and self.looks[-1] == "began" else ()
        self.looks.append("read")
        return DeviceState("local cpu: synthetic", others=others)

    def begin(self, look_s=0.0):
        self.looks.append("began")


def measured(machine, runs=1, rounds=6):
    board = ThisCpu()
    plan = Plan(Choice("cpu", "as asked"), make_protocol("cpu", 1, rounds), runs, record=False)
    session = MeasuringSession(target_on(board, board.base_profile()), None, plan, Progress(None))
    session.processes, session.reader, session.lock = [machine] * runs, machine, object()
    return session, measure_models(session, MODELS)


def test_all_other_models_are_between_two_parts_of_one():
    machine = Machine()
    measured(machine)
    assert machine.measured == ["quick", "slow"] * 3


def test_a_model_is_the_median_of_its_parts_and_says_how_it_repeats():
    session, outcomes = measured(Machine(drift=0.01))
    quick = outcomes["quick"]
    assert quick.runs_ms == (10.2,)  # of 10, 10.2 and 10.4
    assert quick.repeatability_pct == pytest.approx(100 * (0.2 + 0 + 0.2) / 3 / 10.2)
    assert len(quick.samples_ms) == 6
    assert session.measured == outcomes
    assert session.references_ms == [1.0] * 6


def test_each_run_is_a_process_of_its_own():
    _, outcomes = measured(Machine(), runs=2)
    assert [len(outcomes[model].runs) for model in MODELS] == [2, 2]


def test_a_part_with_contention_is_measured_again():
    machine = Machine(contention=[("sort (process 7)",)])
    session, outcomes = measured(machine)
    assert machine.looks.count("began") == 7  # six parts, and one of them twice
    assert len(session.references_ms) == 6
    assert outcomes["quick"].median_ms == 10.0
    assert not any(state.others for state in (outcomes["quick"].before, *outcomes["quick"].during))


def test_contention_that_stays_is_named_and_the_model_refused():
    machine = Machine(contention=[("sort (process 7)",)] * 100)
    session, outcomes = measured(machine)
    assert isinstance(outcomes["quick"], MeasurementRefused)
    assert "another process uses it: sort (process 7)" in str(outcomes["quick"])
    assert not session.measured


def test_a_model_that_fails_is_not_asked_again_and_the_others_go_on():
    machine = Machine(failing=("quick",))
    _, outcomes = measured(machine)
    assert str(outcomes["quick"]) == "quick: no room"
    assert outcomes["slow"].median_ms == 100.0
    assert machine.measured.count("quick") == 1


def test_in_one_part_there_is_nothing_to_repeat():
    _, outcomes = measured(Machine(), rounds=1)
    assert outcomes["quick"].repeatability_pct is None
    assert replace(outcomes["quick"].runs[0], parts_ms=()).latency_ms == 10.0
