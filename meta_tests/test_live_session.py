"""Live sessions on a synthetic CPU: what they run, fail for, say and record. No second is measured, all are given."""

from __future__ import annotations

import json

import pytest

from estimator.files import read_toml
from estimator.measure.device.this_cpu import CpuReader
from estimator.records.kinds import MODEL_KIND, PATTERN_KIND
from estimator.records.record import PROVENANCE_KEYS, Record, write_record
from estimator.subjects.patterns import PATTERNS

SMALL, OTHER = "mobilenet_v3_small", "resnet18"
FIVE = (SMALL, OTHER, "mobilenet_v2", "vgg11", "resnet34")
STATE = CpuReader().read()
HERE = {"board": STATE.name, "mode": STATE.power_mode or "default"}


def estimates_ms(live, *models):
    """What the machine's constants say of these models."""
    live.takes(dict.fromkeys(models, 5.0), "--output", "table.json")
    return {row["model"]: row["est_ms"] for row in json.loads((live.suite.path / "table.json").read_text())}


def failures(run):
    """What the summary says of each test that did not pass, by subject."""
    lines = (
        line.split(" - ", 1)[1].replace("Failed: ", "")
        for line in run.outlines
        if line.startswith(("FAILED ", "ERROR "))
    )
    return dict(line.split(": ", 1) for line in lines)


def test_an_estimate_outside_its_band_fails_and_a_model_that_fails_or_dies_fails_alone(live):
    live.is_calibrated()
    est_ms = estimates_ms(live, *FIVE)
    live.measured()
    times = {**{name: 0.97 * ms for name, ms in est_ms.items()}, OTHER: 0.65 * est_ms[OTHER]}
    run = live.takes(
        {**times, "mobilenet_v2": "MemoryError: no room", "resnet34": "dies"}, "--benchmark-json", "b.json"
    )
    found = failures(run)
    assert set(found) == {OTHER, "mobilenet_v2", "resnet34"}
    assert found[OTHER].startswith("the estimate is +53.")
    assert found["mobilenet_v2"] == "not measured: mobilenet_v2: MemoryError: no room"
    assert found["resnet34"].startswith("not measured: resnet34: the measuring process was killed by SIGKILL")
    assert not any("Traceback" in line or "estimator/suite" in line for line in run.outlines)
    log = live.measured()
    alive = [OTHER, SMALL, "vgg11"]  # in the order of the zoo
    assert [name for name in log if name in alive] == alive * 3  # interleaved rounds
    run.stdout.fnmatch_lines(
        [
            "protocol: * in 1 fresh process",
            "resnet18: the estimate is * off on the live device, outside the band of FAIR",
            "  expected |error| < 50 % (FAIR) + * % of noise",
            "  got *: estimated * ms, measured * ms (median of 1 runs: *; 3 rounds)",
            "  * s of them warm-ups and rounds: overhead * %",
            "  2 threads; at most 7 page faults a forward",
            "  calibrated with 1 threads, 2 are used now: *calibrate local-cpu*",
            "  Found: the estimates of 3 models are off by *",
        ]
    )
    benchmarks = json.loads((live.suite.path / "b.json").read_text())["benchmarks"]
    stats = {bench["param"]: bench["stats"] for bench in benchmarks}
    assert {name: stats[name]["rounds"] for name in alive} == dict.fromkeys(alive, 3)
    assert stats["vgg11"]["min"] == pytest.approx(times["vgg11"] / 1e3)
    assert stats["vgg11"]["max"] == pytest.approx(times["vgg11"] / 1e3)


def test_a_machine_that_drifted_asserts_no_estimate(live):
    live.is_calibrated(reference_ms=0.5)
    run = live.takes({SMALL: 0.5})
    run.assert_outcomes(passed=1, deselected=run.parseoutcomes()["deselected"])
    run.stdout.fnmatch_lines(["*the machine is 100.0 % slower than at its calibration*no estimate is asserted*"])


def test_a_machine_that_is_not_calibrated_measures_without_an_estimate_and_says_how_to_calibrate(live):
    run = live.takes({SMALL: 0.5}, "--runs", "2", "--output", "table.csv")
    run.assert_outcomes(passed=1, deselected=run.parseoutcomes()["deselected"])
    note = "local-cpu is not calibrated on this machine: measured, without an estimate to hold it against; *"
    run.stdout.fnmatch_lines(["protocol: *; each model in 2 fresh processes", note, f"  {note}"])
    assert not any("Found" in line for line in run.outlines)
    assert (live.suite.path / "table.csv").read_text().splitlines()[1].startswith(f"{SMALL},,0.5,,-,")


def test_a_baseline_is_recorded_only_when_asked_for_and_then_judged_by(live):
    before = live.suite.files()
    run = live.takes({SMALL: 12.0, OTHER: 40.0}, "--record")
    run.stdout.fnmatch_lines(["*RECORDING the baseline", "  Recorded 2 figures to *record-models.toml"])
    path = live.folder / MODEL_KIND.record
    record = read_toml(path)
    assert record["runs_ms"] == {OTHER: [40.0], SMALL: [12.0]}
    assert {"software", "clocks", "temperature", "switches", "variables", "revision"} <= set(record["provenance"])
    assert live.suite.files() == before  # local-cpu's record is not the repository's

    text = path.read_text(encoding="utf-8").replace("12.0", "10.0, 10.0, 10.0")
    path.write_text(text, encoding="utf-8")
    slow = live.takes({SMALL: 12.0, OTHER: 40.0})
    assert failures(slow) == {SMALL: "REGRESSION (+20.0 %, margin 3.0 %)"}
    slow.stdout.fnmatch_lines(
        [
            "  baseline 10.0, 10.0, 10.0 ms, *",
            "  If the change is meant: pytest --hardware local-cpu * --record *",
            "  resnet18 * not judged (+0.0 %, margin unknown: one run each, use 3 runs)",
            "*Against the last run here: mean |difference| of medians 0.0 %, *, 2 models",
            "*= VERDICT =*",
            "  This suite, since *:",
            "    op streams: the same, 2 of 2",
            "    nothing that the record says is different",
        ]
    )
    assert path.read_text(encoding="utf-8") == text
    again = live.takes({SMALL: 12.0, OTHER: 40.0}, "--record", "--runs", "2")
    assert again.ret == pytest.ExitCode.OK
    assert read_toml(path)["runs_ms"][SMALL] == [12.0, 12.0]  # while recording the old baseline is not asserted


def test_a_record_that_would_mix_softwares_or_cannot_be_written_or_was_cut_short_is_not_written(live):
    path = live.has_recorded({SMALL: (5.0,), OTHER: (40.0,)}, **HERE, software="torch 1.0")
    text = path.read_text(encoding="utf-8")
    run = live.takes({SMALL: 5.0}, "--record")
    found = "a recording of some models would mix records: software was 'torch 1.0', *"
    run.stdout.fnmatch_lines([f"*{found}"])
    assert run.ret == pytest.ExitCode.TESTS_FAILED
    live.suite.plug_in("import pytest\ndef pytest_runtest_logreport(report):\n    raise KeyboardInterrupt\n")
    assert live.takes(dict.fromkeys(FIVE, 5.0), "--record").ret == pytest.ExitCode.INTERRUPTED
    assert path.read_text(encoding="utf-8") == text


def test_a_folder_that_cannot_be_written_is_one_line_and_a_failure(live):
    live.folder.parent.mkdir(parents=True)
    live.folder.write_text("a file where a folder should be", encoding="utf-8")
    run = live.takes({SMALL: 5.0}, "--record")
    assert run.ret == pytest.ExitCode.TESTS_FAILED
    run.stdout.fnmatch_lines(["  NOT RECORDED: *local-cpu*"])
    assert not any("Traceback" in line or "INTERNALERROR" in line for line in (*run.outlines, *run.errlines))


@pytest.mark.parametrize(
    ("factors", "words"),
    [
        ((1.0,) * 5, None),
        ((1.0, 1.0, 5.0, 1.0, 1.0), "mobilenet_v2: REGRESSION (+"),
        ((5.0,) * 5, "common to models: REGRESSION (+"),
    ],
)
def test_five_models_with_a_baseline_are_judged_together(live, factors, words):
    live.has_recorded(dict.fromkeys(FIVE, (10.0, 10.1)), threads="128")
    run = live.takes({name: 10.0 * factor for name, factor in zip(FIVE, factors)}, "--runs", "2", "-v")
    assert any("test_baseline PASSED" in line for line in run.outlines) == (words is None)
    assert words is None or any(line.startswith(words) for line in run.outlines)
    run.stdout.fnmatch_lines([f"  {SMALL} *; together *", "  common to models * (*%, margin * %)"])
    assert words is None or any("threads: 128 -> 2" in line for line in run.outlines)


def test_what_was_recorded_by_itself_or_too_few_models_are_not_judged_together(live):
    live.has_recorded(dict.fromkeys(FIVE, (10.0, 10.1)), partial_2026=f"{SMALL}: clocks: others")
    run = live.takes(dict.fromkeys(FIVE, 50.0), "--runs", "2")
    assert not any("; together" in line for line in run.outlines)
    assert run.parseoutcomes()["failed"] == 5


def test_patterns_run_where_no_model_does_run_hot_and_are_judged_by_their_own_record(live):
    live.is_calibrated()
    path = live.has_recorded(dict.fromkeys(FIVE, (10.0, 10.1))).with_name(PATTERN_KIND.record)
    names = [pattern.name for pattern in PATTERNS]
    about = dict.fromkeys(PROVENANCE_KEYS, "synthetic")
    write_record(Record(path, about, dict.fromkeys(names[1:], (1000.0, 1001.0))))
    run = live.takes({**dict.fromkeys(names, 1000.0), names[2]: 2000.0}, "test_patterns", "--runs", "2")
    assert list(failures(run)) == [names[2]]
    run.stdout.fnmatch_lines(["  a pattern alone runs hot in a CPU's caches; *"])
    assert not any("Found" in line for line in run.outlines)


CROWDED = """
import pytest


@pytest.hookimpl(trylast=True)
def pytest_configure():
    from dataclasses import replace
    from estimator.measure.device.this_cpu import CpuReader

    read = CpuReader.read
    CpuReader.unchecked = "it is blind"
    CpuReader.read = lambda *arguments: replace(read(*arguments), {})
"""


@pytest.mark.parametrize(
    ("state", "words"),
    [("throttled=('hot',)", "it is throttled: hot"), ("others=('sort (7)',)", "another process uses it: sort (7)")],
)
def test_a_device_that_throttles_or_is_shared_is_an_error_with_the_reason_and_is_not_recorded(live, state, words):
    live.suite.plug_in(CROWDED.replace("{}", state))
    run = live.takes({SMALL: 5.0}, "--record")
    run.assert_outcomes(errors=1, deselected=run.parseoutcomes()["deselected"])
    run.stdout.fnmatch_lines([f"{SMALL}: not measured, refused: {words}"])
    assert not live.folder.joinpath(MODEL_KIND.record).exists()


def test_what_cannot_be_checked_of_a_device_is_said_and_an_estimate_that_fails_is_no_missing_measurement(live):
    live.is_calibrated()
    live.suite.plug_in(CROWDED.replace("{}", ""))
    with open(live.suite.path / "conftest.py", "a") as conftest:
        conftest.write("from estimator.errors import CaptureError\nfrom estimator.estimates import Estimates\n")
        conftest.write("def fail(*_):\n    raise CaptureError('no stream')\n\nEstimates.estimate = fail\n")
    run = live.takes({SMALL: 5.0})
    assert failures(run) == {SMALL: "no estimate: no stream"}


def test_without_the_plugin_of_benchmarks_all_else_is_measured_and_judged(live):
    run = live.takes({"mobilenet_v3_small": 1.0}, "-p", "no:benchmark")
    run.assert_outcomes(passed=1, deselected=run.parseoutcomes()["deselected"])
    assert {*live.measured()} == {"mobilenet_v3_small"}


def test_a_check_for_another_board_is_skipped_and_says_which_is_measured(live):
    source = (
        "import torch\n\ndef test_mine(latency):\n    latency.check(torch.nn.ReLU(), torch.empty(1), hardware={!r})\n"
    )
    (live.suite.path / "test_models" / "test_mine.py").write_text(source.format("Jetson-Orin-AGX"))
    run = live.takes({}, "-k", "test_mine", "-rs")
    run.assert_outcomes(skipped=1, deselected=run.parseoutcomes()["deselected"])
    run.stdout.fnmatch_lines(["SKIPPED *: for Jetson-Orin-AGX 50W-fp32-b1; local-cpu default-fp32-b1 is measured"])
