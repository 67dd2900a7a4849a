"""A live session on a device that is made up: what it runs, what it fails for, what it says; no second is measured."""

from __future__ import annotations

import contextlib
import shutil
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from estimator.compare import Comparison
from estimator.errors import CaptureError, MeasurementError
from estimator.goldens.configuration import kind_of, load_configuration
from estimator.goldens.difference import Difference
from estimator.goldens.repository import Repository
from estimator.hardware.boards import Board, ThisCpu
from estimator.hardware.reading import TEMPLATES
from estimator.measure.device.choice import Choice
from estimator.measure.device.state import DeviceState, StateReader
from estimator.measure.process import Run
from estimator.measure.protocol import Plan, make_protocol
from estimator.measure.timers import PRECISION_S
from estimator.page.content import Measurement
from estimator.records.kinds import MODEL_KIND, PATTERN_KIND
from estimator.records.record import PROVENANCE_KEYS, Record, load_record, write_record
from estimator.subjects.custom import OwnModel
from estimator.subjects.patterns import PATTERNS
from estimator.subjects.zoo import MODELS, find_models
from estimator.suite.live import Live, _MeasuredClock
from estimator.suite.live_report import live_lines
from estimator.suite.live_speed import finding_lines
from estimator.suite.options import Options
from estimator.suite.reports import Problem, subjects_of
from estimator.suite.selection import BASELINE, EVERY, INPUTS, WHOLE_ZOO
from estimator.suite.selection import Test as Item
from estimator.suite.session import Asked
from estimator.target import target_on
from meta_tests.estimating import validate

ROOT = Path(__file__).parents[1]
QUICK = find_models(["resnet18", "mobilenet_v3_small"])
FIVE = find_models(["resnet18", "mobilenet_v3_small", "mobilenet_v2", "vgg11", "resnet34"])
ENDED = (pytest.fail.Exception, pytest.skip.Exception)
"""What ends a test that does not pass: one that skips itself would be no failure here."""
ENVIRONMENT = {
    **{"python": "3.8.10", "torch": "2.1.0", "torchvision": "0.16.0", "threads": 2, "name": "a CPU"},
    **{"switches": {"mkldnn": "True"}, "variables": {}},
}


class Machine(StateReader):
    """Processes and the state of their device: each model takes what is given, `contention` uses it meanwhile."""

    pid = None

    def __init__(self, ms, contention=()):
        self.ms, self.contention, self.closed = ms, contention, 0

    def environment(self):
        return ENVIRONMENT

    def reference_ms(self, tick):
        return 1.0

    def measure(self, request, protocol, progress, tick):
        tick()
        if request["model"] not in self.ms:
            raise MeasurementError(f"{request['model']}: no room")
        ms = self.ms[request["model"]]
        return Run((ms,) * protocol.rounds, protocol.warmup, 0.1, 0.2, 7, 0.3, True)

    def forget(self):
        pass

    def close(self):
        self.closed += 1

    def read(self, own_pids=()):
        return DeviceState("local cpu: made up", others=self.contention)


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A cache of one's own, in which this machine's CPU is calibrated as every CPU is before a measurement."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    folder = tmp_path / "golden-latency" / "local-cpu"
    folder.mkdir(parents=True)
    shutil.copy(TEMPLATES / "local-cpu.toml", folder)
    return folder


def recorded(home, runs_ms, **about):
    path = home / "default-fp32-b1" / MODEL_KIND.record
    path.parent.mkdir(exist_ok=True)
    write_record(Record(path, {**dict.fromkeys(PROVENANCE_KEYS, "made up"), **about}, runs_ms))
    return path


def live(home, ms, models=QUICK, record=False, runs=1, rounds=6, contention=()):
    """A session on this machine's CPU, which takes these milliseconds for these models."""
    board = ThisCpu()
    target = target_on(board, board.profile() if board.is_calibrated else board.base_profile())
    options = Options((target,), tuple(models), (), False, False)
    plan = Plan(Choice("cpu", "as asked"), make_protocol("cpu", 1, rounds), runs, record)
    plugins = SimpleNamespace(hasplugin=lambda _: False, get_plugin=lambda _: None)
    config = SimpleNamespace(option=SimpleNamespace(verbose=0), pluginmanager=plugins)
    session = Live(config, options, load_configuration(Repository.at(ROOT), target), plan)
    machine = Machine(ms, contention)
    session.measuring.processes, session.measuring._reader = [machine] * runs, machine
    session.measuring._lock = SimpleNamespace(release=lambda: None)
    return session


class Request:
    """The request of a test's fixture."""

    def __init__(self, session):
        self.config = session.config
        self.node = SimpleNamespace(user_properties=[], funcargs={}, nodeid="test_x.py::test_model")


def failure_of(session, subject, *budget_ms):
    """Returns what the subject's test fails or is skipped with, empty where it passes."""
    request = Request(session)
    try:
        session.prepare(request, subject)
        session.check(request, Asked(subject, session.configuration, *budget_ms))
    except ENDED as ended:
        return str(ended)
    return ""


def estimates_ms(session, models=QUICK):
    return {m.name: validate(m, session.options.target, None).comparison.est_ms for m in models}


def item(*fixtures):
    return SimpleNamespace(fixturenames=fixtures)


def collected(*subjects):
    roles = BASELINE, WHOLE_ZOO, INPUTS, EVERY
    return [Item(item("latency"), subject, None) for subject in subjects] + [Item(item(), None, role) for role in roles]


def selected(session, *subjects):
    return [test.subject or test.role for test in session.select(collected(*subjects))]


def test_a_session_runs_the_models_that_are_asked_for_and_patterns_only_without_any(home):
    session = live(home, {}, models=MODELS)
    assert selected(session, *QUICK, PATTERNS[0]) == list(QUICK)
    assert selected(session, PATTERNS[0]) == [PATTERNS[0]]
    some = live(home, {}, models=QUICK[:1])
    assert selected(some, *QUICK, PATTERNS[0]) == list(QUICK[:1])
    assert selected(some, PATTERNS[0]) == []


def test_modules_of_one_s_own_run_unless_models_are_selected_and_other_tests_always(home):
    own, other = Item(item("latency"), None, None), Item(item("tmp_path"), None, None)
    assert live(home, {}, models=MODELS).select([own, other]) == [own, other]
    assert live(home, {}, models=QUICK).select([own, other]) == [other]


@pytest.mark.parametrize(("count", "record", "judged"), [(5, False, True), (4, False, False), (5, True, False)])
def test_five_models_with_a_baseline_are_judged_together_unless_they_record(home, count, record, judged):
    recorded(home, {model.name: (10.0,) for model in FIVE[:count]})
    session = live(home, {}, models=FIVE, record=record)
    assert selected(session, *FIVE) == [*FIVE, *([BASELINE] if judged else [])]


def test_a_right_estimate_of_a_model_that_is_as_recorded_passes(home):
    session = live(home, {})
    expected_ms = estimates_ms(session)
    session = live(home, expected_ms, record=False)
    for model in QUICK:
        assert failure_of(session, model) == ""


@pytest.mark.parametrize(("factor", "fails"), [(0.68, False), (0.65, True), (1.9, False), (2.1, True)])
def test_an_estimate_outside_the_band_fails_and_one_inside_passes(home, factor, fails):
    (model,) = QUICK[:1]
    ms = factor * estimates_ms(live(home, {}))[model.name]
    session = live(home, {model.name: ms}, models=[model])
    assert ("outside the band of FAIR" in failure_of(session, model)) == fails


@pytest.mark.parametrize(("reference_ms", "asserted"), [(0.5, False), (1.0, True)])
def test_a_machine_that_is_not_what_it_was_asserts_no_estimate(home, reference_ms, asserted):
    path = home / "local-cpu.toml"
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("[calibration]", f"[calibration]\nreference_ms = {reference_ms}"), encoding="utf-8")
    session = live(home, {QUICK[0].name: 0.5})
    assert ("outside the band of FAIR" in failure_of(session, QUICK[0])) == asserted


def test_a_pattern_alone_is_measured_and_its_estimate_not_asserted(home):
    pattern = PATTERNS[0]
    session = live(home, {pattern.name: 1000.0}, models=MODELS)
    session.start_measuring = lambda subjects: None
    session.start(collected(pattern))
    assert failure_of(session, pattern) == ""
    assert any("a pattern alone runs hot" in line for line in session.summary())


def test_a_latency_that_left_its_baseline_fails_and_while_recording_it_does_not(home):
    (model,) = QUICK[:1]
    ms = estimates_ms(live(home, {}))[model.name]
    recorded(home, {model.name: (ms / 1.2, ms / 1.2, ms / 1.2)}, board="local cpu: made up", mode="default")
    assert "REGRESSION (+20.0 %" in failure_of(live(home, {model.name: ms}, models=[model]), model)
    assert failure_of(live(home, {model.name: ms}, models=MODELS, record=True), model) == ""


def test_a_part_of_the_models_may_be_measured_beside_a_record_of_another_software_but_not_recorded(home):
    (model,) = QUICK[:1]
    ms = estimates_ms(live(home, {}))[model.name]
    recorded(home, {model.name: (ms, ms, ms), "vgg11": (9.0,)}, software="torch 1.0")
    assert failure_of(live(home, {model.name: ms}, models=[model]), model) == ""
    refused = failure_of(live(home, {model.name: ms}, models=[model], record=True), model)
    assert "--record of some models would mix records: board was 'made up', is 'local cpu: made up'" in refused
    assert failure_of(live(home, {model.name: ms}, models=MODELS, record=True), model) == ""


def test_a_budget_is_kept_or_not_with_the_noise_of_what_was_measured(home):
    (model,) = QUICK[:1]
    ms = estimates_ms(live(home, {}))[model.name]
    session = live(home, {model.name: ms}, models=[model])
    assert failure_of(session, model, 2 * ms) == ""
    assert f"{model.name}: " in failure_of(session, model, ms / 2)


def test_a_model_that_fails_and_a_device_that_is_shared_are_told_apart(home):
    session = live(home, {}, models=QUICK)
    assert failure_of(session, QUICK[0]) == "resnet18: not measured: resnet18: no room"
    shared = live(home, {QUICK[0].name: 5.0}, contention=("sort (7)",))
    assert failure_of(shared, QUICK[0]) == "resnet18: not measured, refused: another process uses it: sort (7)"
    assert set(shared.measuring.refused) == {"resnet18"}


def test_a_test_for_another_configuration_is_skipped(home):
    session = live(home, {QUICK[0].name: 5.0})
    board = Board("NVIDIA-H100")
    other = load_configuration(Repository.at(ROOT), target_on(board, board.profile()))
    with pytest.raises(pytest.skip.Exception, match="for NVIDIA-H100 default-fp32-b1; local-cpu default-fp32-b1 is me"):
        session.check(Request(session), Asked(QUICK[0], other))


def measured_together(home, factors, record=False):
    """A session that measured five models, each so many times as long as its baseline."""
    recorded(home, {model.name: (10.0, 10.1) for model in FIVE})
    models = MODELS if record else FIVE  # a part of the zoo would not be recorded beside another software's
    session = live(home, {m.name: 10.0 * f for m, f in zip(FIVE, factors)}, models=models, runs=2, record=record)
    for model in FIVE:
        failure_of(session, model)
    try:
        session.check_baselines(Request(session))
    except pytest.fail.Exception as failed:
        return session, str(failed)
    return session, ""


def test_models_that_are_all_as_recorded_pass_together(home):
    assert measured_together(home, [1.0] * 5)[1] == ""


def test_one_model_that_left_fails_together_by_its_name(home):
    session, message = measured_together(home, [1.0, 1.0, 5.0, 1.0, 1.0])
    assert message.startswith(f"{FIVE[2].name}: REGRESSION (+")
    assert "common to models" not in message
    found = session.measurements()[FIVE[2].name]
    assert found.verdict.count("REGRESSION") == 2
    assert any(f"    {FIVE[2].name}" in line and "; together REGRESSION" in line for line in session.summary())


def test_a_machine_that_left_fails_in_common_and_no_model_beside_it(home):
    _, message = measured_together(home, [5.0] * 5)
    assert message.startswith("common to models: REGRESSION (+")
    assert not any(f"{model.name}: " in message for model in FIVE)


def test_a_model_that_was_recorded_by_itself_is_not_judged_with_the_others(home):
    about = {"partial_2026": f"{FIVE[0].name}: clocks: others"}
    recorded(home, {model.name: (10.0, 10.1) for model in FIVE}, **about)
    session = live(home, {model.name: 50.0 for model in FIVE}, models=FIVE, runs=2)
    for model in FIVE:
        failure_of(session, model)
    session.check_baselines(Request(session))  # of four that are left nothing is common
    assert session.measurements()[FIVE[1].name].verdict.count("REGRESSION") == 1


def test_models_that_the_speed_of_the_host_does_not_move_have_nothing_in_common(home, monkeypatch):
    monkeypatch.setattr(ThisCpu, "shares_speed", lambda board, bound: False)
    assert measured_together(home, [5.0] * 5)[1] == ""


def test_too_few_models_have_nothing_to_fail_together(home):
    recorded(home, {model.name: (10.0, 10.1) for model in QUICK})
    session = live(home, {model.name: 50.0 for model in QUICK}, runs=2)
    for model in QUICK:
        failure_of(session, model)
    session.check_baselines(Request(session))
    assert "together" not in "\n".join(session.summary())


def test_the_summary_has_runs_costs_and_page_faults(home):
    session = live(home, {model.name: 5.0 for model in QUICK})
    assert list(session.summary()) == []
    for model in QUICK:
        failure_of(session, model)
    lines = list(session.summary())
    assert any(line.split()[:3] == ["resnet18", "5.00", "5.00"] for line in lines)
    assert "  2 threads; at most 7 page faults a forward" in lines
    assert any("s of them warm-ups and rounds: overhead" in line for line in lines)
    assert any("Found: the estimates of 2 models" in line for line in lines)
    assert not any("None" in line or "ecorded" in line for line in lines)
    session.measuring._reader.unchecked = "it is blind"
    assert "  it is blind" in list(session.summary())
    assert any(line.startswith("  calibrated with 1 threads, 2 are used now: python -m ") for line in lines)
    session.measuring.close()


def test_what_an_op_without_a_rule_takes_is_kept_for_the_table(home):
    import torch

    class Inverse(torch.nn.Module):
        def forward(self, x):
            return torch.linalg.inv(x)

    session = live(home, {"mine": 5.0}, models=MODELS)
    request = Request(session)
    own = OwnModel("mine", "test_mine", Inverse(), torch.rand(3, 3))
    session._kinds["mine"] = kind_of(own)
    session._outcomes["mine"] = session._result(own)
    with contextlib.suppress(pytest.fail.Exception):
        session.check(request, Asked(own, session.configuration))
    (said,) = subjects_of(request.node)
    kept = said["defaulted_share_pct"]
    assert "aten.linalg_inv_ex" in kept


def test_a_record_is_written_at_the_end_and_only_if_the_session_ended(home):
    def recording():
        session = live(home, {model.name: 5.0 for model in QUICK}, models=MODELS, record=True)
        for model in QUICK:
            failure_of(session, model)
        return session

    path = home / "default-fp32-b1" / MODEL_KIND.record
    for session, ended in ((recording(), False), (live(home, {QUICK[0].name: 5.0}), True)):
        failure_of(session, QUICK[0])
        assert session.finish(ended)
        assert not path.exists()
        assert session.measuring.processes[0].closed == 1
    session = recording()
    assert session.finish(True)
    assert load_record(path, [model.name for model in MODELS]).runs_ms == {
        "resnet18": (5.0,),
        "mobilenet_v3_small": (5.0,),
    }
    assert any("Recorded 2 figures to" in line for line in session.summary())
    assert "together" not in "\n".join(session.summary())


def test_a_record_that_cannot_be_written_is_said_and_fails(home):
    session = live(home, {QUICK[0].name: 5.0}, models=MODELS, record=True)
    failure_of(session, QUICK[0])
    (home / "default-fp32-b1").write_text("a file where a folder should be", encoding="utf-8")
    assert not session.finish(True)
    assert any("NOT RECORDED: " in line for line in session.summary())


def test_an_uncalibrated_machine_measures_without_an_estimate_and_says_how_to_calibrate(home):
    (home / "local-cpu.toml").unlink()
    session = live(home, {QUICK[0].name: 5.0})
    assert failure_of(session, QUICK[0]) == ""
    note = "local-cpu is not calibrated on this machine: measured, without an estimate to hold it against; "
    assert any(line.startswith(note) for line in session.header())
    lines = list(session.summary())
    assert any(line.startswith(f"  {note}") for line in lines)
    assert not any("Found" in line for line in lines)


def test_the_header_says_how_it_is_measured(home):
    assert next(live(home, {}).header()).endswith("in 3 interleaved rounds; in 1 fresh process")
    assert next(live(home, {}, runs=2, record=True).header()).endswith(
        "each model in 2 fresh processes, RECORDING the baseline"
    )


def test_a_verdict_is_on_what_was_measured(home):
    recorded(home, {"resnet18": (5.0,)}, software="torch 1.0")
    session = live(home, {QUICK[0].name: 5.0})
    assert list(session.verdict([], [])) == []
    failure_of(session, QUICK[0])
    lines = list(session.verdict([], ["resnet18"]))
    assert any(line.startswith("    software: torch 1.0 -> Python 3.8.10, torch 2.1.0") for line in lines)


def test_a_module_of_one_s_own_is_found_by_the_processes_in_its_test(home):
    import torch

    own = OwnModel("mine", "test_mine", torch.nn.ReLU(), torch.rand(1, 3))
    session = live(home, {"mine": 5.0}, models=MODELS)
    request = Request(session)
    request.config.inipath, request.config.rootpath = home / "tox.ini", home
    request.node.path, request.node.nodeid = home / "test_mine.py", "test_mine.py::test_it"
    with pytest.raises(pytest.fail.Exception):
        session.check(request, Asked(own, session.configuration))
    place = session.measuring.tests["mine"]
    assert place.node == f"{home / 'test_mine.py'}::test_it"
    assert place.options[:3] == (f"--rootdir={home}", "-c", str(home / "tox.ini"))
    assert place.options[3:] == (
        *("--hardware", "local-cpu", "--power-mode", "default"),
        *("--precision", "fp32", "--batch-size", "1"),
    )
    zoo = live(home, estimates_ms(session))
    zoo.check(Request(zoo), Asked(QUICK[0], zoo.configuration))
    assert zoo.measuring.tests == {}


def own_model():
    import torch

    return OwnModel("mine", "test_mine", torch.nn.ReLU(), torch.rand(1, 3))


class Benchmark:
    """What a test has of pytest-benchmark: it keeps what it is given to run."""

    def __init__(self):
        self._precisions, self.extra_info, self.given = {}, {}, []

    def pedantic(self, once, **how):
        self.given.append((once, how))


def handed(session, plugin="benchmark", **funcargs):
    """What pytest-benchmark has once a model was measured, and the markers that its test has got."""
    benchmark, markers = Benchmark(), []
    session.config.pluginmanager.hasplugin = lambda name: name == plugin
    request = Request(session)
    request.node.funcargs, request.node.add_marker = funcargs, markers.append
    request.getfixturevalue = {"benchmark": benchmark}.__getitem__
    session.prepare(request, QUICK[0])
    return benchmark, markers


def test_pytest_benchmark_is_handed_the_rounds_that_were_measured(home):
    session = live(home, {QUICK[0].name: 5.0}, rounds=6)
    benchmark, (marker,) = handed(session)
    ((once, how),) = benchmark.given
    assert how == {"rounds": 6, "iterations": 1}
    timer = marker.kwargs["timer"]
    assert (marker.name, marker.kwargs) == ("benchmark", {"timer": timer, "disable_gc": False})
    assert benchmark._precisions == {timer: PRECISION_S["cpu"]}
    assert benchmark.extra_info["median_ms"] == 5.0
    times_s = []
    for _ in range(7):  # pytest-benchmark calls once more after the last round
        begin_s = timer()
        once()
        times_s.append(timer() - begin_s)
    assert times_s == pytest.approx([0.005] * 6 + [0.0])


def test_a_clock_tells_each_round_s_own_time_in_order():
    clock = _MeasuredClock((1.0, 2.5))
    times_s = [clock.now_s()]
    for _ in range(3):
        clock.next_round()
        times_s.append(clock.now_s())
    assert [now_s - times_s[0] for now_s in times_s] == pytest.approx([0.0, 0.001, 0.0035, 0.0035])


@pytest.mark.parametrize(("plugin", "funcargs"), [("xdist", {}), ("benchmark", {"benchmark": object()})])
def test_without_pytest_benchmark_or_where_a_test_has_used_it_nothing_is_handed_over(home, plugin, funcargs):
    benchmark, markers = handed(live(home, {QUICK[0].name: 5.0}), plugin, **funcargs)
    assert (benchmark.given, markers) == ([], [])


def shown_frames(failed):
    """The functions that a traceback shows below the test's own."""
    return [entry.name for entry in failed.traceback[1:] if not entry.ishidden(failed)]


def test_a_failure_is_shown_where_the_test_is_and_not_inside_the_suite(home):
    session = live(home, {QUICK[1].name: 0.001}, models=MODELS)
    with pytest.raises(pytest.fail.Exception) as failed:
        session.check(Request(session), Asked(QUICK[0], session.configuration))
    assert shown_frames(failed) == []
    with pytest.raises(pytest.fail.Exception) as failed:
        session.check(Request(session), Asked(QUICK[1], session.configuration))
    assert shown_frames(failed) == []
    shared = live(home, {QUICK[0].name: 5.0, "mine": 5.0}, models=MODELS, contention=("sort (7)",))
    with pytest.raises(pytest.fail.Exception) as failed:
        shared.prepare(Request(shared), QUICK[0])
    assert shown_frames(failed) == []
    request = Request(shared)
    request.config.inipath, request.config.rootpath, request.node.path = None, home, home / "test_mine.py"
    with pytest.raises(pytest.fail.Exception) as failed:
        shared.check(request, Asked(own_model(), shared.configuration))
    assert shown_frames(failed) == []
    assert shared.measuring.tests["mine"].options[:2] == (f"--rootdir={home}", "--hardware")
    together = failing_together(home)
    assert shown_frames(together) == []


def failing_together(home):
    recorded(home, {model.name: (10.0, 10.1) for model in FIVE})
    session = live(home, {model.name: 50.0 for model in FIVE}, models=FIVE, runs=2)
    for model in FIVE:
        failure_of(session, model)
    with pytest.raises(pytest.fail.Exception) as failed:
        session.check_baselines(Request(session))
    return failed


def test_what_has_no_estimate_is_not_said_to_be_not_measured(home, monkeypatch):
    def fail(*_):
        raise CaptureError("it cannot be captured")

    monkeypatch.setattr("estimator.suite.live.estimated", fail)
    session = live(home, {QUICK[0].name: 5.0})
    assert failure_of(session, QUICK[0]) == "resnet18: no estimate: it cannot be captured"
    assert session.measuring.refused == {"resnet18": "it cannot be captured"}


def logged(session):
    """The models that the first process measures from now on, in order."""
    process, log = session.measuring.processes[0], []
    measure = process.measure

    def measure_and_log(request, *about):
        log.append(request["model"])
        return measure(request, *about)

    process.measure = measure_and_log
    return log


def test_on_a_cpu_the_models_of_a_session_are_interleaved_before_the_first_has_a_result(home):
    session = live(home, {model.name: 5.0 for model in FIVE})
    session.start_measuring = lambda subjects: None
    session.start(collected(*QUICK))
    log = logged(session)
    session.prepare(Request(session), QUICK[0])
    assert log == [model.name for model in QUICK] * 3
    session.prepare(Request(session), QUICK[1])
    assert len(log) == 6
    other = next(model for model in FIVE if model not in QUICK)
    session.prepare(Request(session), other)  # nobody knew of it: it is measured alone
    assert log[6:] == [other.name] * 3
    assert set(session.measuring.measured) == {*(model.name for model in QUICK), other.name}


def jetson(ms):
    """A session on a board with goldens, which takes these milliseconds for these models."""
    board = Board("Jetson-Orin-AGX")
    target = replace(target_on(board, board.profile()), same_software=False)
    plan = Plan(Choice("cuda", "as asked"), make_protocol("cuda", 1, 6), 1, False)
    config = SimpleNamespace(
        option=SimpleNamespace(verbose=0),
        pluginmanager=SimpleNamespace(hasplugin=lambda _: False, get_plugin=lambda _: None, get_plugins=lambda: []),
        rootpath=ROOT,
    )
    options = Options((target,), tuple(QUICK), (), False, False)
    session = Live(config, options, load_configuration(Repository.at(ROOT), target), plan)
    machine = Machine(ms)
    machine.read = lambda own_pids=(): DeviceState("NVIDIA Jetson AGX Orin", memory_gib=61.0)
    session.measuring.power_mode, session.measuring.processes, session.measuring._reader = None, [machine], machine
    session.measuring._lock = SimpleNamespace(release=lambda: None)
    return session


def as_recorded(model):
    return jetson({}).configuration.record.median_ms(model.name)


@pytest.fixture
def kept(monkeypatch):
    """What is held against goldens, each of which says that it differs where `differs` is set."""
    found = SimpleNamespace(asked=[], differs=False)

    class Kept:
        def __init__(self, configuration, snapshot, updating):
            found.asked.append((configuration.name, snapshot, updating))

        def problem(self, subject, result):
            found.asked.append((subject.name, result))
            return Problem("its golden differs") if found.differs else None

    monkeypatch.setattr("estimator.suite.live.Goldens", Kept)
    return found


def failure_on_board(session, model):
    request = Request(session)
    request.getfixturevalue = lambda name: name
    try:
        session.prepare(request, model)
        session.check(request, Asked(model, session.configuration))
    except ENDED as ended:
        return str(ended)
    return ""


def test_on_a_board_the_estimate_is_held_against_its_golden_as_reviewed(kept):
    (model,) = QUICK[:1]
    session = jetson({model.name: as_recorded(model)})
    log = logged(session)
    session._subjects = [subject.name for subject in QUICK]
    assert failure_on_board(session, model) == ""
    assert log == [model.name]  # in one go, and no other model before it has a result
    (about, (name, result)) = kept.asked
    assert about == ("Jetson-Orin-AGX 50W-fp32-b1", "snapshot", False)
    reviewed = validate(model, replace(session.options.target, same_software=None), as_recorded(model))
    assert (name, result.estimate, result.comparison) == (model.name, reviewed.estimate, reviewed.comparison)
    assert result.estimate != session._outcomes[name].recorded.estimate  # of another software the interval is wider
    kept.differs = True
    assert failure_on_board(session, model) == "its golden differs"


def test_a_board_s_summary_says_nothing_of_a_calibration_on_this_machine(kept):
    (model,) = QUICK[:1]
    session = jetson({model.name: as_recorded(model)})
    failure_on_board(session, model)
    *_, threads = session.summary()
    assert threads == "  2 threads; at most 7 page faults a forward"
    assert len(list(session.header())) == 1


def test_a_red_session_says_what_changed_in_the_goldens_and_what_of_the_device(kept):
    (model,) = QUICK[:1]
    session = jetson({model.name: as_recorded(model)})
    moved = Difference(
        *("Jetson-Orin-AGX", "50W-fp32-b1", "model", model.name),
        {"est_ms": 10.0, "meas_ms": 10.1, "error_pct": -1.0, "rating": "EXCELLENT"},
        {"est_ms": 10.5, "meas_ms": 10.1, "error_pct": 4.0, "rating": "EXCELLENT"},
    )
    lines = list(session.verdict([moved], [model.name]))
    assert lines[0] == "  What changed:"
    assert any(line.startswith("    1 of 1 estimates moved by +5.0 %") for line in lines)
    assert any("--device cuda -v, or once accepted" in line for line in lines)
    assert not any("since the record" in line for line in lines)
    assert list(session.verdict([], [model.name])) == []
    failure_on_board(session, model)
    assert any("op streams: the same, 1 of 1" in line for line in session.verdict([], [model.name]))


def test_a_verdict_is_on_each_kind_that_was_measured_by_itself(home):
    session = live(home, {QUICK[0].name: 5.0, PATTERNS[0].name: 1.0}, models=MODELS)
    for subject in (QUICK[0], own_model(), PATTERNS[0]):
        failure_of(session, subject)
    assert "mine" in session.measuring.refused
    lines = list(session.verdict([], []))
    assert [line.strip() for line in lines if "op streams" in line] == [
        "op streams: the same, 1 of 1",
        "op streams: the same, 1 of 1",
    ]


def test_each_kind_of_subject_has_a_record_of_its_own(home):
    session = live(home, {QUICK[0].name: 5.0, "mine": 3.0}, models=MODELS, record=True)
    own = own_model()
    for subject in (QUICK[0], own):
        failure_of(session, subject)
    assert session.finish(True) is True
    folder = session.configuration.folder
    assert load_record(folder / MODEL_KIND.record, ()).runs_ms == {"resnet18": (5.0,)}
    assert load_record(folder / kind_of(own).record, ()).runs_ms == {"mine": (3.0,)}
    *_, line = session.summary()
    assert line.count("Recorded 1 figures to") == 2
    assert "; Recorded" in line


def test_a_session_that_measured_nothing_records_nothing_and_fails_nothing_together(home):
    session = live(home, {}, models=MODELS, record=True)
    session.check_baselines(Request(session))
    assert failure_of(session, QUICK[0]) != ""
    assert session.finish(True) is True
    assert session._recorded_line is None
    assert not (home / "default-fp32-b1").exists()


def test_whether_a_session_ended_well_is_yes_or_no(home):
    session = live(home, {QUICK[0].name: 5.0}, models=MODELS, record=True)
    failure_of(session, QUICK[0])
    (home / "default-fp32-b1").write_text("a file where a folder should be", encoding="utf-8")
    assert session.finish(True) is False
    assert session.measuring.processes[0].closed == 1
    assert session.finish(False) is True


def test_patterns_are_judged_together_with_the_record_of_patterns(home):
    patterns = PATTERNS[:5]
    path = recorded(home, {model.name: (10.0, 10.1) for model in FIVE}).parent / PATTERN_KIND.record
    write_record(Record(path, dict.fromkeys(PROVENANCE_KEYS, "made up"), {p.name: (10.0, 10.1) for p in patterns}))
    session = live(home, {p.name: 50.0 for p in patterns}, models=MODELS, runs=2)
    for pattern in patterns:
        failure_of(session, pattern)
    assert all("; together " in found.verdict for found in session.measurements().values())
    with pytest.raises(pytest.fail.Exception, match="common to models: REGRESSION"):
        session.check_baselines(Request(session))


def test_while_recording_nothing_is_said_of_models_together(home):
    session, _ = measured_together(home, [5.0] * 5, record=True)
    assert "together" not in "\n".join(session.summary())
    found = session.measurements()
    assert list(found) == [model.name for model in FIVE]
    verdict = session._outcomes[FIVE[0].name].verdict.text
    assert found[FIVE[0].name] == Measurement((50.0,) * 12, (50.0, 50.0), verdict)


def started(session, *tests):
    """How many subjects the processes are started for, none where they are not started."""
    counts = []
    session.start_measuring = counts.append
    session.start(tests)
    return counts


def test_processes_are_started_for_subjects_and_modules_of_one_s_own_alone(home):
    own, other, role = Item(item("latency"), None, None), Item(item("tmp_path"), None, None), Item(item(), None, INPUTS)
    model, pattern = (Item(item("latency"), subject, None) for subject in (QUICK[0], PATTERNS[0]))
    assert started(live(home, {}), model, own, other, role) == [2]
    assert started(live(home, {}), pattern, pattern, role) == [2]
    assert started(live(home, {}), other, role) == started(live(home, {})) == []


@pytest.mark.parametrize("with_own", [False, True])
def test_patterns_alone_run_hot_and_beside_a_module_of_one_s_own_they_say_nothing_of_it(home, with_own):
    pattern = PATTERNS[0]
    session = live(home, {pattern.name: 1.0}, models=MODELS)
    started(session, Item(item("latency"), pattern, None), *([Item(item("latency"), None, None)] if with_own else []))
    failure_of(session, pattern)
    text = "\n".join(session.summary())
    assert ("runs hot" in text) == (not with_own)
    assert ("Found: " in text) == with_own


THREADS = "  calibrated with 1 threads, 2 are used now: python -m estimator calibrate local-cpu"


def with_software(session, host_software, here):
    """The session with constants that were fitted with this software, on a machine with that."""
    target = session.options.target
    target = replace(target, profile=replace(target.profile, host_software=host_software))
    session.options = replace(session.options, targets=(target,), software=here)
    return session


def test_the_summary_is_the_table_costs_circumstances_and_findings_in_this_order(home):
    session = with_software(live(home, {m.name: 5.0 for m in QUICK}), {"torch": "2.1.0"}, {"torch": "2.6.0"})
    (note,) = list(session.header())[1:]
    assert note.startswith("another software: the constants were fitted with torch 2.1.0; here torch 2.6.0; ")
    for model in QUICK:
        failure_of(session, model)
    lines = list(session.summary())
    assert lines[:6] == ["", *live_lines(session._results), ""]
    assert "s of them warm-ups and rounds: overhead" in lines[6]
    assert lines[7:10] == ["  2 threads; at most 7 page faults a forward", f"  {note}", THREADS]
    assert lines[10:] == list(finding_lines(session._results, session.speed, session.options.target))
    assert any("Against the last run here: " in line for line in session.summary())


def test_the_most_page_faults_and_the_threads_of_the_calibration_are_said(home, monkeypatch):
    monkeypatch.setitem(ENVIRONMENT, "threads", 1)
    session = live(home, {model.name: 5.0 for model in QUICK})
    measure = session.measuring.processes[0].measure
    faults = {QUICK[0].name: 3, QUICK[1].name: 12}
    session.measuring.processes[0].measure = lambda request, *about: replace(
        measure(request, *about), page_faults=faults[request["model"]]
    )
    for model in QUICK:
        failure_of(session, model)
    lines = list(session.summary())
    assert "  1 threads; at most 12 page faults a forward" in lines
    assert not any("calibrated with" in line for line in lines)


def test_a_subject_is_measured_once_and_has_a_row_before_and_after_its_check(home):
    session = live(home, {QUICK[0].name: 5.0})
    request = Request(session)
    session.prepare(request, QUICK[0])
    row = session._outcomes[QUICK[0].name].comparison
    assert [said["row"] for said in subjects_of(request.node)] == [asdict(row)]
    with contextlib.suppress(pytest.fail.Exception):
        session.check(request, Asked(QUICK[0], session.configuration, 100.0))
    (said,) = subjects_of(request.node)
    assert said["row"] == asdict(replace(row, budget_ms=100.0, budget=said["row"]["budget"]))


def test_an_uncalibrated_machine_has_no_software_to_compare(home):
    (home / "local-cpu.toml").unlink()
    session = with_software(live(home, {QUICK[0].name: 5.0}), {"torch": "2.1.0"}, {"torch": "2.6.0"})
    note = session._uncalibrated_note
    assert list(session.header())[1:] == [note]
    failure_of(session, QUICK[0])
    assert list(session.summary())[-2:] == ["  2 threads; at most 7 page faults a forward", f"  {note}"]
    row = session._outcomes[QUICK[0].name].comparison
    assert row == Comparison(
        *("resnet18", "ResNet", None, 5.0, None, "-"), *(None, None, None, None), *("local-cpu", "default-fp32-b1")
    )
