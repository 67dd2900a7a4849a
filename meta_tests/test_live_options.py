"""What the options of measuring ask for, and what cannot go together, without a session of pytest."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from estimator import needed
from estimator.errors import UsageError
from estimator.measure.device.choice import Choice
from estimator.measure.plan import Plan
from estimator.measure.protocol import make_protocol
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
    "calibration_share": "1",
    "every_configuration": False,
    "numprocesses": None,
    "dist": "no",
    "precision": None,
    "batch_size": None,
    "update_snapshots": False,
}


def plan(without=(), **options):
    """The plan of a session with these options, on a machine with the GPU that is named; some are not even known."""
    values = {name: value for name, value in {**DEFAULTS, **options}.items() if name not in without}

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
    return read_plan(config)


@pytest.fixture(autouse=True)
def gpu(monkeypatch):
    """The GPU of every board is here."""
    chosen = {"auto": "cuda", "recorded": "recorded", "cuda": "cuda", "cpu": "cpu"}
    monkeypatch.setattr(live_options, "choose_device", lambda wanted, board: Choice(chosen[wanted], "made up"))


def test_a_gpu_has_three_runs_of_a_hundred_rounds_and_a_cpu_one():
    found = plan()
    assert (found.choice.device, found.runs, found.protocol.rounds, found.protocol.warmup) == ("cuda", 3, 100, 50)
    assert (found.record, found.calibration_share, found.host_alone) == (False, 0.0, False)
    found = plan(hardware="local-cpu", device="cpu")
    assert (found.choice.device, found.runs, found.protocol.turns) == ("cpu", 1, 3)


def test_pytest_xdist_and_syrupy_need_not_be_there():
    assert plan(("numprocesses", "dist", "update_snapshots")).choice.device == "cuda"


def test_counts_are_those_that_are_given():
    found = plan(device="cuda", runs="2", rounds="7", warmup="0", record=True)
    assert (found.runs, found.protocol.rounds, found.protocol.warmup, found.record) == (2, 7, 0, True)


def test_a_calibration_measures_its_share():
    found = plan(device="cuda", calibrate="host", calibration_share="0.5")
    assert (found.calibration_share, found.host_alone) == (0.5, True)
    assert plan(device="cuda", calibrate="all").calibration_share == 1.0
    assert not plan(device="cuda", calibrate="all").host_alone


def test_where_a_device_would_be_measured_by_itself_other_wishes_make_it_a_replay():
    assert plan(every_configuration=True).choice.device == "recorded"
    for several in ({"numprocesses": 2}, {"dist": "load"}, {"worker": True}):
        choice = plan(**several).choice
        assert (choice.device, choice.why) == ("recorded", "made up, but -n cannot share it: leave -n out to measure")
    assert plan(numprocesses=0).choice.device == "cuda"
    assert plan(device="recorded", numprocesses=2, every_configuration=True).choice.device == "recorded"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"device": "cuda", "numprocesses": 2}, "--device cuda cannot be combined with -n"),
        ({"device": "cuda", "every_configuration": True}, "--every-configuration replays records"),
        ({"device": "cuda", "update_snapshots": True}, "--snapshot-update cannot be combined with a live device"),
        ({"device": "recorded", "record": True}, r"--record needs a live device, and this run replays \(made up\)"),
        ({"device": "recorded", "calibrate": "all"}, "--calibrate needs a live device"),
        ({"hardware": "local-cpu", "device": "recorded"}, "--hardware local-cpu is only measured: add --device cpu"),
        ({"calibrate": "some"}, "--calibrate some: must be all or host"),
        ({"hardware": "local-cpu", "device": "cpu", "calibrate": "host"}, "on local-cpu host and device are one"),
        ({"device": "cuda", "calibrate": "all", "record": True}, "--calibrate cannot be combined with --record"),
        ({"device": "cuda", "calibrate": "all", "precision": "fp16"}, "--calibrate measures at --precision fp32"),
        ({"device": "cuda", "calibrate": "all", "batch_size": "2"}, "--calibrate measures at --batch-size 1"),
        ({"runs": "0"}, "--runs: must be a whole number from 1 to .*, got '0'"),
        ({"rounds": "0"}, "--rounds: must be a whole number from 1 to .*, got '0'"),
        ({"warmup": "-1"}, "--warmup: must be a whole number from 0 to .*, got '-1'"),
        ({"runs": "1.5"}, "--runs: must be a whole number from 1 to .*, got '1.5'"),
    ],
)
def test_what_cannot_be_is_refused(options, message):
    with pytest.raises(UsageError, match=message):
        plan(**options)


@pytest.mark.parametrize("share", ["0", "-0.1", "1.01", "half", "nan"])
def test_a_share_is_a_number_above_0_at_most_1(share):
    with pytest.raises(
        UsageError, match=f"--calibration-share: must be a finite number from 0.001 to 1, got '{share}'"
    ):
        plan(device="cuda", calibrate="all", calibration_share=share)
    assert plan(device="cuda", calibration_share=share).calibration_share == 0.0


@pytest.mark.parametrize(
    ("missing", "options", "message"),
    [
        ("filelock", {}, "measuring needs filelock: pip install filelock"),
        ("scipy", {"calibrate": "all"}, "--calibrate needs scipy: pip install scipy"),
    ],
)
def test_libraries_that_are_missing_are_named(monkeypatch, missing, options, message):
    found = needed.importlib.util.find_spec
    monkeypatch.setattr(
        needed.importlib.util, "find_spec", lambda name, *a: None if name == missing else found(name, *a)
    )
    with pytest.raises(UsageError, match=message):
        plan(device="cuda", **options)
    assert plan(device="recorded").choice.device == "recorded"


def test_several_boards_are_estimated_and_none_is_measured():
    both = "Jetson-Orin-AGX,NVIDIA-H100"
    for device in ("auto", "recorded"):
        assert plan(hardware=both, device=device).choice == Choice("recorded", "several boards")
    with pytest.raises(UsageError, match="--device cuda measures one board, and these are several: Jetson-Orin-AGX, N"):
        plan(hardware=both, device="cuda")
    with pytest.raises(UsageError, match="measures one board"):
        plan(hardware="Jetson-Orin-AGX,local-cpu")


def declared():
    """What is declared of each option."""
    options = {}
    group = SimpleNamespace(addoption=lambda name, **about: options.update({name: about}))
    live_options.add_live_options(SimpleNamespace(getgroup=lambda name: group))
    return options


def test_each_option_of_measuring_has_help_and_a_default_that_measures_nothing_else():
    assert {name: about.get("default") for name, about in declared().items()} == {
        **{"--device": "auto", "--record": None, "--runs": None, "--rounds": None, "--warmup": None},
        **{"--calibrate": None, "--calibration-share": "1"},
    }
    assert all(len(about["help"]) > 20 for about in declared().values())
    assert {name for name, about in declared().items() if "metavar" not in about} == {"--record"}
    assert declared()["--record"]["action"] == "store_true"
    assert (declared()["--calibrate"]["nargs"], declared()["--calibrate"]["const"]) == ("?", "all")


def test_counts_begin_at_1_and_warm_ups_at_0():
    found = plan(device="cuda", runs="1", rounds="1", warmup="0")
    assert (found.runs, found.protocol.rounds, found.protocol.warmup) == (1, 1, 0)
    least = plan(device="cuda", calibrate="all", calibration_share="0.001")
    assert least.calibration_share == 0.001


def test_a_replay_has_the_protocol_of_a_cpu_and_says_why_it_is_one():
    assert plan(device="recorded") == Plan(Choice("recorded", "made up"), make_protocol("cpu"), 1, False)
    why = "--every-configuration holds the records against their goldens"
    assert plan(every_configuration=True).choice == Choice("recorded", why)
    assert plan(device="recorded", every_configuration=True).choice == Choice("recorded", "made up")
    assert plan(device="recorded", numprocesses=2, dist="load").choice == Choice("recorded", "made up")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"device": "cuda", "dist": "load"}, "--device cuda cannot be combined with -n: one device, one measurement"),
        ({"device": "cuda", "worker": True}, "--device cuda cannot be combined with -n: one device, one measurement"),
        ({"hardware": "local-cpu", "device": "cpu", "every_configuration": True}, "add --device recorded"),
        ({"hardware": "local-cpu", "numprocesses": 2}, "--hardware local-cpu is only measured: add --device cpu"),
        ({"hardware": "Jetson-Orin-AGX,NVIDIA-H100", "device": "cpu"}, "--device cpu measures one board"),
        ({"hardware": "local-cpu,Jetson-Orin-AGX", "device": "recorded"}, "--device recorded measures one board"),
        ({"calibrate": "all", "numprocesses": 2}, r"--calibrate needs a live device, .* leave -n out to measure\)"),
        ({"device": "cuda", "rounds": ""}, "--rounds: must be a whole number from 1"),
    ],
)
def test_what_cannot_be_measured_so_is_refused_with_what_to_do(options, message):
    with pytest.raises(UsageError, match=message):
        plan(**options)


def test_a_calibration_may_name_the_precision_and_batch_that_it_has_anyway():
    found = plan(device="cuda", calibrate="all", precision="fp32", batch_size="1")
    assert (found.calibration_share, found.record, found.host_alone) == (1.0, False, False)
