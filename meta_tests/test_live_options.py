"""What the options of measuring ask for, and what cannot go together, without a session of pytest."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from estimator import needed
from estimator.errors import UsageError
from estimator.goldens.repository import Repository
from estimator.measure.device.choice import Choice
from estimator.measure.protocol import Plan, make_protocol
from estimator.suite import live_options
from estimator.suite.live_options import read_plan

DEFAULTS = {
    "hardware": None,
    "device": "auto",
    "record": False,
    "runs": None,
    "rounds": None,
    "warmup": None,
    "calibrate": None,
    "every_configuration": False,
    "numprocesses": None,
    "dist": "no",
    "precision": None,
    "batch_size": None,
    "update_snapshots": False,
}
OF_OTHERS = ("numprocesses", "dist", "update_snapshots")


def plan(without=(), has_zoo=True, **options):
    """The plan of a session with these options, on a machine with the GPU that is named; some are not even known."""
    known = {name: value for name, value in {**DEFAULTS, **options}.items() if name not in without}
    values = {name if name in OF_OTHERS else f"golden_latency_{name}": value for name, value in known.items()}

    def getoption(name, default=ValueError):
        if name not in values and default is ValueError:
            raise ValueError(f"no option named {name!r}")
        return values.get(name, default)

    config = SimpleNamespace(
        getoption=getoption,
        getini=lambda name: [] if name == "latency_hardware" else "",
        option=SimpleNamespace(**values),
    )
    if options.get("worker"):
        config.workerinput = {}
    return read_plan(config, Repository(Path(), has_zoo))


@pytest.fixture(autouse=True)
def gpu(monkeypatch):
    """The GPU of every board is here."""
    chosen = {"auto": "cuda", "recorded": "recorded", "cuda": "cuda", "cpu": "cpu"}
    monkeypatch.setattr(live_options, "choose_device", lambda wanted, board, name: Choice(chosen[wanted], "synthetic"))


def test_a_gpu_has_three_runs_of_a_hundred_rounds_and_a_cpu_one():
    found = plan()
    assert (found.choice.device, found.runs, found.protocol.rounds, found.protocol.warmup) == ("cuda", 3, 100, 50)
    assert not found.record
    found = plan(hardware="local-cpu", device="cpu")
    assert (found.choice.device, found.runs, found.protocol.interleaved) == ("cpu", 1, 3)


def test_pytest_xdist_and_syrupy_need_not_be_there():
    assert plan(("numprocesses", "dist", "update_snapshots")).choice.device == "cuda"


def test_counts_are_those_that_are_given_and_begin_at_1_and_warm_ups_at_0():
    found = plan(device="cuda", runs="2", rounds="7", warmup="0", record=True)
    assert (found.runs, found.protocol.rounds, found.protocol.warmup, found.record) == (2, 7, 0, True)
    found = plan(device="cuda", runs="1", rounds="1", warmup="0")
    assert (found.runs, found.protocol.rounds, found.protocol.warmup) == (1, 1, 0)


def test_where_a_device_would_be_measured_by_itself_other_wishes_make_it_a_replay():
    assert plan(every_configuration=True).choice.device == "recorded"
    for several in ({"numprocesses": 2}, {"dist": "load"}, {"worker": True}):
        choice = plan(**several).choice
        assert (choice.device, choice.why) == ("recorded", "synthetic, but -n cannot share it: leave -n out to measure")
    assert plan(numprocesses=0).choice.device == "cuda"
    assert plan(device="recorded", numprocesses=2, every_configuration=True).choice.device == "recorded"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"device": "cuda", "numprocesses": 2}, "--device cuda cannot be combined with -n"),
        ({"device": "cuda", "every_configuration": True}, "--every-configuration replays records"),
        ({"device": "cuda", "update_snapshots": True}, "--snapshot-update cannot be combined with a live device"),
        ({"device": "recorded", "record": True}, r"--record needs a live device, and this run replays \(synthetic\)"),
        ({"calibrate": "all"}, "--calibrate is a command .* now: python -m estimator calibrate Jetson-Orin-AGX$"),
        ({"calibrate": "test_models"}, "--calibrate is a command .* now: .*Jetson-Orin-AGX$"),
        ({"hardware": "NVIDIA-H100", "calibrate": "host"}, "now: python -m estimator calibrate NVIDIA-H100 --host$"),
        ({"hardware": "local-cpu", "calibrate": "host"}, "now: python -m estimator calibrate local-cpu$"),
        ({"hardware": "local-cpu", "device": "recorded"}, "--hardware local-cpu is only measured: add --device cpu"),
        ({"runs": "0"}, "--runs: must be a whole number from 1 to .*, got '0'"),
        ({"rounds": "0"}, "--rounds: must be a whole number from 1 to .*, got '0'"),
        ({"warmup": "-1"}, "--warmup: must be a whole number from 0 to .*, got '-1'"),
        ({"runs": "1.5"}, "--runs: must be a whole number from 1 to .*, got '1.5'"),
        ({"device": "cuda", "dist": "load"}, "--device cuda cannot be combined with -n: one device, one measurement"),
        ({"device": "cuda", "worker": True}, "--device cuda cannot be combined with -n: one device, one measurement"),
        ({"hardware": "local-cpu", "device": "cpu", "every_configuration": True}, "add --device recorded"),
        ({"hardware": "local-cpu", "numprocesses": 2}, "--hardware local-cpu is only measured: add --device cpu"),
        ({"hardware": "Jetson-Orin-AGX,NVIDIA-H100", "device": "cpu"}, "--device cpu measures one board"),
        ({"hardware": "local-cpu,Jetson-Orin-AGX", "device": "recorded"}, "--device recorded measures one board"),
        ({"device": "cuda", "rounds": ""}, "--rounds: must be a whole number from 1"),
    ],
)
def test_what_cannot_be_is_refused(options, message):
    with pytest.raises(UsageError, match=message):
        plan(**options)


def test_libraries_that_are_missing_are_named(monkeypatch):
    found = needed.importlib.util.find_spec
    monkeypatch.setattr(
        needed.importlib.util, "find_spec", lambda name, *a: None if name == "filelock" else found(name, *a)
    )
    with pytest.raises(UsageError, match="measuring needs filelock: pip install filelock"):
        plan(device="cuda")
    assert plan(device="recorded").choice.device == "recorded"


def test_several_boards_are_estimated_and_none_is_measured():
    both = "Jetson-Orin-AGX,NVIDIA-H100"
    for device in ("auto", "recorded"):
        assert plan(hardware=both, device=device).choice == Choice("recorded", "several boards")
    with pytest.raises(UsageError, match="--device cuda measures one board, and these are several: Jetson-Orin-AGX, N"):
        plan(hardware=both, device="cuda")
    with pytest.raises(UsageError, match="measures one board"):
        plan(hardware="Jetson-Orin-AGX,local-cpu")


def declared(has_zoo=True):
    """What is declared of each option."""
    options = {}
    group = SimpleNamespace(addoption=lambda name, **about: options.update({name: about}))
    live_options.add_live_options(SimpleNamespace(getgroup=lambda *_: group), Repository(Path(), has_zoo))
    return options


def test_each_option_of_measuring_has_help_and_a_default_that_measures_nothing_else():
    assert {name: about.get("default") for name, about in declared().items()} == {
        **{"--device": "auto", "--record": None, "--runs": None, "--rounds": None, "--warmup": None},
        "--calibrate": None,
    }
    assert all(len(about["help"]) > 20 for about in declared().values())
    assert {name for name, about in declared().items() if "metavar" not in about} == {"--record"}
    assert declared()["--record"]["action"] == "store_true"
    assert (declared()["--calibrate"]["nargs"], declared()["--calibrate"]["const"]) == ("?", "all")


def test_a_replay_has_the_protocol_of_a_cpu_and_says_why_it_is_one():
    assert plan(device="recorded") == Plan(Choice("recorded", "synthetic"), make_protocol("cpu"), 1, False)
    why = "--every-configuration holds the records against their goldens"
    assert plan(every_configuration=True).choice == Choice("recorded", why)
    assert plan(device="recorded", every_configuration=True).choice == Choice("recorded", "synthetic")
    assert plan(device="recorded", numprocesses=2, dist="load").choice == Choice("recorded", "synthetic")
