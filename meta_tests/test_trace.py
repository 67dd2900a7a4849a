"""The timeline that `explain --trace` writes, held against the rules of the Trace Event format."""

import json
from pathlib import Path

import pytest

from estimator.__main__ import main
from estimator.estimates import Estimates
from estimator.explain.explanation import explain
from estimator.explain.trace import trace_text
from estimator.goldens.repository import Repository
from estimator.subjects.find import find_named
from estimator.target import resolve

REPOSITORY = Repository.at(Path(__file__).parents[1])
PHASES = {"M": {"name", "args"}, "X": {"name", "cat", "ts", "dur"}, "s": {"ts", "id"}, "f": {"ts", "id", "bp"}}


@pytest.fixture(scope="module", params=["resnet18", "vit_b_32", "maxvit_t"])
def found(request):
    return explain(find_named(request.param), resolve(), REPOSITORY, Estimates())


@pytest.fixture(scope="module")
def events(found):
    return json.loads(trace_text(found))["traceEvents"]


def of_phase(events, phase, category=None):
    return [e for e in events if e["ph"] == phase and category in (None, e.get("cat"))]


def test_every_event_has_what_its_phase_asks_for(events):
    for event in events:
        assert PHASES[event["ph"]] <= set(event)
        assert {"ph", "pid", "tid", "name"} <= set(event)
        assert isinstance(event["name"], str)
        assert all(isinstance(event[key], int) for key in ("pid", "tid"))
        assert all(event[key] >= 0 for key in ("ts", "dur") if key in event)


def test_process_and_lanes_have_names(events, found):
    names = {(e["name"], e["tid"]): e["args"] for e in of_phase(events, "M")}
    assert found.subject in names["process_name", 0]["name"]
    used = {e["tid"] for e in of_phase(events, "X")}
    assert {names["thread_name", tid]["name"].split(":")[0] for tid in used} == {"host", "device"}


def test_slices_of_a_lane_are_nested_or_apart(events):
    for lane in (1, 2):
        open_until = []
        slices = sorted(
            (e for e in of_phase(events, "X") if e["tid"] == lane), key=lambda e: (e["ts"], -e["dur"], e["cat"] == "op")
        )
        for event in slices:
            while open_until and open_until[-1] <= event["ts"]:
                open_until.pop()
            end = event["ts"] + event["dur"]
            assert not open_until or end <= open_until[-1]
            open_until.append(end)


def test_kernels_run_one_after_another_until_the_latency_is_over(events, found):
    kernels = of_phase(events, "X", "kernel")
    assert len(kernels) == found.estimate.kernels
    for before, after in zip(kernels, kernels[1:]):
        assert before["ts"] + before["dur"] <= after["ts"]
    ops = of_phase(events, "X", "op")
    assert len(ops) == found.estimate.ops
    end_us = max(e["ts"] + e["dur"] for e in (*kernels, *ops))
    assert end_us == pytest.approx(1e3 * found.estimate.latency_ms - found.forward.costs.overhead_us, abs=0.01)


def test_each_kernel_is_tied_to_the_op_that_launches_it(events, found):
    starts, ends = of_phase(events, "s"), of_phase(events, "f")
    assert [e["id"] for e in starts] == [e["id"] for e in ends] == list(range(found.estimate.kernels))
    ops = of_phase(events, "X", "op")
    for start, end, op in zip(starts, ends, found.forward.kernels.op.tolist()):
        assert ops[op]["ts"] <= start["ts"] <= ops[op]["ts"] + ops[op]["dur"]
        assert start["ts"] <= end["ts"]


def test_names_and_module_paths_are_in_it(events, found):
    assert [e["args"]["module"] for e in of_phase(events, "X", "op")] == list(found.modules)
    assert {e["name"] for e in of_phase(events, "X", "op")} == {lowered.op.name for lowered in found.forward.lowered}
    around = {e["args"]["module"] for e in of_phase(events, "X", "module")}
    assert around >= {module for module in found.modules if module}


def test_a_module_that_runs_twice_has_two_slices():
    events = json.loads(trace_text(explain(find_named("resnet18"), resolve(), REPOSITORY, Estimates())))["traceEvents"]
    runs = [e for e in of_phase(events, "X", "module") if e["args"]["module"] == "layer1.0.relu"]
    assert len(runs) == 2


def test_the_command_writes_the_file(tmp_path, capsys):
    assert main(["explain", "resnet18", "--trace", str(tmp_path / "trace.json")]) == 0
    trace = json.loads((tmp_path / "trace.json").read_text(encoding="utf-8"))
    assert trace["otherData"] == {"model": "resnet18", "configuration": "Jetson-Orin-AGX 50W-fp32-b1"}
    assert capsys.readouterr().out.startswith("resnet18 on ")
