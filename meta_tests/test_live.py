"""Live runs as a user starts them, on this machine's own CPU with tiny budgets."""

import json
import shutil

import pytest

from estimator.files import read_toml
from estimator.hardware.reading import TEMPLATES
from estimator.measure.device.this_cpu import CpuReader

MODEL = "mobilenet_v3_small"


def is_refused(run, message):
    assert run.ret == pytest.ExitCode.USAGE_ERROR
    run.stderr.fnmatch_lines([f"ERROR: {message}"])


def test_a_live_run_measures_and_says_how(live):
    run = live("--benchmark-json", "b.json", "--benchmark-autosave", "--runs", "2")
    run.assert_outcomes(passed=1, deselected=run.parseoutcomes()["deselected"])
    run.stdout.fnmatch_lines(
        [
            "device: cpu (as asked)",
            "protocol: 1 warm-ups, then 3 rounds, in 3 interleaved rounds; each model in 2 fresh processes",
            "local-cpu is not calibrated on this machine: *",
            "  Model *Meas (ms) *GFLOP *GFLOP/s *Ops *us an op",
            f"    {MODEL} * 0.121 *",
            "  Known without a calibration: latency and work. *",
            "  python -m estimator calibrate local-cpu",
            f"    {MODEL}  *: no baseline",
            "  * s of them warm-ups and rounds: overhead * %",
            "  * threads; at most * page faults a forward",
        ]
    )
    assert not any("/3" in line for line in run.outlines)  # no progress where the output is no terminal
    benchmark_has_the_rounds_and_the_device(live.suite.path)
    assert not live.folder.joinpath("record-models.toml").exists()


def benchmark_has_the_rounds_and_the_device(path):
    data = json.loads((path / "b.json").read_text(encoding="utf-8"))
    assert data["machine_info"]["device"]["hardware"] == "local-cpu"
    (benchmark,) = data["benchmarks"]
    info = benchmark["extra_info"]
    assert benchmark["stats"]["rounds"] == 6
    assert {"est_ms", "error_pct", "rating", "p90_ms", "clocks", "temperature_c"} <= set(info)
    assert benchmark["stats"]["max"] * 1e3 >= info["p90_ms"] * 0.999
    assert list((path / ".benchmarks" / "local-cpu" / "default-fp32-b1").rglob("*.json"))


def test_a_baseline_is_recorded_only_when_asked_for_and_then_judged_by(live):
    before = live.suite.files()
    run = live("--record", models=f"{MODEL},resnet18")
    run.stdout.fnmatch_lines(["*RECORDING the baseline", "  Recorded 2 figures to *record-models.toml"])
    path = live.folder / "record-models.toml"
    record = read_toml(path)
    assert list(record["runs_ms"]) == ["resnet18", MODEL]
    needed = {"board", "mode", "software", "clocks", "temperature", "switches", "variables", "revision", "date"}
    assert needed <= set(record["provenance"])
    assert live.suite.files() == before  # local-cpu's record is not the repository's

    lines = [f"{MODEL} = [0.001, 0.001, 0.001]" if MODEL in line else line for line in path.read_text().splitlines()]
    path.write_text("\n".join(lines), encoding="utf-8")
    slow = live()
    slow.assert_outcomes(failed=1, deselected=slow.parseoutcomes()["deselected"])
    slow.stdout.fnmatch_lines([f"{MODEL}: REGRESSION (+* %, margin * %)", "  baseline 0.001, 0.001, 0.001 ms, *"])
    slow.stdout.fnmatch_lines(
        [
            "*= VERDICT =*",
            "  This suite, since *:",
            "    op streams: the same, 1 of 1",
            "  The board and its software, since the record:",
            "  The same ops were measured: another latency is the doing of the board, its software or the protocol.",
        ]
    )
    slow.stdout.fnmatch_lines(["*Against the last run here: mean |difference| of medians * %, *, 1 models"])


def test_a_subset_however_selected_is_not_mixed_into_the_record_of_another_software(live):
    state = CpuReader().read()
    here = {"board": state.name, "mode": state.power_mode or "default"}
    path = live.has_recorded({MODEL: (10.0,), "resnet18": (40.0,)}, **here, software="torch 1.0")
    text = path.read_text(encoding="utf-8")
    run = live("--record", "-k", MODEL, models="")
    assert run.ret == pytest.ExitCode.TESTS_FAILED
    run.stdout.fnmatch_lines(["  NOT RECORDED: --record of some models would mix records: software was 'torch 1.0', *"])
    assert path.read_text(encoding="utf-8") == text


def test_a_record_that_cannot_be_written_is_one_line_and_a_failure(live):
    live.folder.parent.parent.mkdir(parents=True)
    live.folder.parent.write_text("a file where a folder should be", encoding="utf-8")
    run = live("--record")
    assert run.ret == pytest.ExitCode.TESTS_FAILED
    run.stdout.fnmatch_lines(["  NOT RECORDED: *local-cpu*"])
    assert not any("Traceback" in line or "INTERNALERROR" in line for line in (*run.outlines, *run.errlines))


def test_a_benchmark_can_be_compared_with_the_last_one(live):
    live("--benchmark-autosave")
    run = live("--benchmark-compare")
    run.assert_outcomes(passed=1, deselected=run.parseoutcomes()["deselected"])
    run.stdout.fnmatch_lines(["*0001_*"])


# A baseline of 10 ns in five runs is left by any machine, however its other users disturb the two runs now.
SEVERAL = (MODEL, "mobilenet_v2", "mobilenet_v3_large", "efficientnet_b0", "resnet18")


def test_models_with_a_baseline_are_judged_together(live):
    live.has_recorded({**dict.fromkeys(SEVERAL, (10.0, 11.0, 10.0, 11.0, 10.0)), MODEL: (1e-5,) * 5}, threads="128")
    run = live("--runs", "2", "-v", models=",".join(SEVERAL))
    run.stdout.fnmatch_lines(
        [
            "*_ test_baseline _*",
            f"{MODEL}: REGRESSION (+* %, margin * %)",
            "  baseline 1e-05, 1e-05, 1e-05, 1e-05, 1e-05 ms, *",
            "  If the change is meant: pytest --hardware local-cpu * --record *",
            f"    {MODEL}  *: REGRESSION *; together REGRESSION *",
            "    common to models  * (*%, margin * %)",
            "    software: made up -> Python *",
            "    threads: * -> *",
        ]
    )


OFF = """
from dataclasses import replace

ERRORS_PCT = {"mobilenet_v3_small": 51.99, "resnet18": -52.01}


def pytest_configure():
    from estimator.suite.live import Live

    result = Live._result

    def off(session, subject):
        found = result(session, subject)
        row = replace(found.comparison, error_pct=ERRORS_PCT[subject.name])
        return replace(found, comparison=row, noise_pct=2.0)

    Live._result = off
"""


def test_a_run_on_this_machine_fails_on_a_wrong_estimate_and_on_no_other(live):
    profile = live.suite.path / "cache" / "golden-latency" / "local-cpu" / "local-cpu.toml"
    profile.parent.mkdir(parents=True)
    shutil.copy(TEMPLATES / "local-cpu.toml", profile)
    live.suite.plug_in(OFF)
    run = live("--benchmark-disable", models="mobilenet_v3_small,resnet18")
    run.assert_outcomes(passed=1, failed=1, deselected=run.parseoutcomes()["deselected"])
    run.stdout.fnmatch_lines(
        [
            "resnet18: the estimate is -52.0 % off on the live device, outside the band of FAIR",
            "  expected |error| < 50 % (FAIR) + 2.0 % of noise",
            "  got -52.01 %: estimated * ms, measured * ms (median of 1 runs: *; 3 rounds)",
        ]
    )


DEADLY = """
import os

from estimator.measure import build

build_model = build.build_model


def build_or_die(model, *options):
    if model.name == "vgg11":
        os.kill(os.getpid(), 9)
    if model.name == "resnet18":
        raise MemoryError("no room")
    return build_model(model, *options)


build.build_model = build_or_die
"""


def test_a_model_that_fails_or_dies_fails_alone(live):
    live.suite.run_first(DEADLY)
    run = live(models=f"resnet18,{MODEL},vgg11")
    run.assert_outcomes(passed=1, failed=2, deselected=run.parseoutcomes()["deselected"])
    run.stdout.fnmatch_lines(
        [
            "resnet18: not measured: resnet18: MemoryError: no room",
            "vgg11: not measured: vgg11: the measuring process was killed by SIGKILL (out of memory?)*",
        ]
    )


HOT = """
from dataclasses import replace


def pytest_configure():
    from estimator.measure.device.this_cpu import CpuReader

    read = CpuReader.read
    CpuReader.read = lambda *arguments: replace(read(*arguments), throttled=("hot",))
"""


def test_a_device_that_throttles_is_an_error_with_the_reason_and_is_not_recorded(live):
    live.suite.plug_in(HOT)
    run = live("--record")
    run.assert_outcomes(errors=1, deselected=run.parseoutcomes()["deselected"])
    run.stdout.fnmatch_lines([f"{MODEL}: not measured, refused: it is throttled: hot"])
    assert not live.folder.joinpath("record-models.toml").exists()


CROWDED = """
import pytest


@pytest.hookimpl(trylast=True)
def pytest_configure():
    from estimator.measure.device import contention, this_cpu

    contention.MOST_CPUS, this_cpu.LOOK_S = -1.0, 0.0
"""


def test_a_model_is_refused_where_others_use_the_cpu(live):
    live.suite.plug_in(CROWDED)
    run = live()
    run.assert_outcomes(errors=1, deselected=run.parseoutcomes()["deselected"])
    run.stdout.fnmatch_lines([f"{MODEL}: not measured, refused: another process use* it*: *"])


BLIND = """
def pytest_configure():
    from estimator.measure.device.this_cpu import CpuReader

    CpuReader.unchecked = "it is blind"
"""


def test_what_cannot_be_checked_of_a_device_is_said(live):
    live.suite.plug_in(BLIND)
    run = live()
    run.assert_outcomes(passed=1, deselected=run.parseoutcomes()["deselected"])
    run.stdout.fnmatch_lines(["  it is blind"])


REFUSED = {
    "workers": (("--device", "cpu", "-n2"), "--device cpu cannot be combined with -n: *; leave -n out, or replay *"),
    "update": (("--device", "cpu", "--snapshot-update"), "--snapshot-update cannot be combined with a live device: *"),
    "rounds": (("--device", "cpu", "--rounds", "0"), "--rounds: must be a whole number from 1 to 1000000, got '0'*"),
    "runs": (("--device", "cpu", "--runs", "x"), "--runs: must be a whole number from 1 to 1000000, got 'x'*"),
    "replay": (("--device", "recorded"), "--hardware local-cpu is *: add --device cpu"),
    "mode": (("--device", "cpu", "--thermal-profile", "50W"), "unknown thermal profile '50W' of local-cpu; *"),
}


@pytest.mark.parametrize(("options", "message"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_measured_is_refused(suite, options, message, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(suite.path / "cache"))
    is_refused(suite.run("--hardware", "local-cpu", *options, models=MODEL), message)


def test_recording_needs_a_device(suite):
    is_refused(suite.run("--device", "recorded", "--record"), "--record needs a live device, *")


def test_the_cpu_is_not_a_jetson(suite):
    is_refused(suite.run("--device", "cpu"), "--device cpu measures this machine's own CPU, not Jetson-Orin-AGX: *")


def test_a_replay_says_that_it_is_one(suite):
    run = suite.run("--device", "recorded", models="resnet18")
    run.assert_outcomes(passed=1, deselected=run.parseoutcomes()["deselected"])
    run.stdout.fnmatch_lines(["device: recorded (as asked)"])
