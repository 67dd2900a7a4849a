"""Recording: whole or not at all, whoever kills it; some rows or all; never two devices or softwares in one file."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from estimator.errors import MeasurementRefused
from estimator.measure.baseline import calibration_provenance, merge, refuse_mixing
from estimator.measure.device.environment import VARIABLES, describe_environment
from estimator.measure.device.state import DeviceState
from estimator.records.record import Record, load_record, record_text, write_record
from estimator.subjects.zoo import MODELS

NAMES = [model.name for model in MODELS]
PROVENANCE = {
    "board": "a board",
    "mode": "50W",
    "software": "torch 2.1.0",
    "protocol": "p",
    "clocks": "gpu 816 MHz",
    "date": "2026-01-01T00:00:00Z",
    "source": "s",
}


def baseline(path, ms, names=NAMES, **provenance):
    return Record(path, {**PROVENANCE, **provenance}, dict.fromkeys(names, (ms, ms + 1)))


def test_some_models_replace_their_rows_only_and_say_so(tmp_path):
    old = baseline(tmp_path / "record-models.toml", 1.0)
    new = {**PROVENANCE, "date": "2026-02-02T00:00:00Z", "clocks": "gpu 810 MHz"}
    merged = merge(old, new, {"vgg11": (5.0,)})
    write_record(merged)
    read = load_record(merged.path, NAMES)
    assert read.runs_ms == {**old.runs_ms, "vgg11": (5.0,)}
    assert list(read.runs_ms) == NAMES
    assert read.provenance["date"] == PROVENANCE["date"]
    note = read.provenance["partial_2026_02_02T00_00_00Z"]
    assert note == "vgg11: clocks: gpu 810 MHz; date: 2026-02-02T00:00:00Z"


def test_a_whole_recording_replaces_the_whole_file(tmp_path):
    merged = merge(baseline(tmp_path, 1.0), {**PROVENANCE, "date": "now"}, dict.fromkeys(NAMES, (2.0,)))
    assert merged.provenance == {**PROVENANCE, "date": "now"}
    assert set(merged.runs_ms.values()) == {(2.0,)}


def test_rows_of_another_software_do_not_stay(tmp_path):
    merged = merge(baseline(tmp_path, 1.0), {**PROVENANCE, "software": "torch 2.5.0"}, {"vgg11": (2.0,)})
    assert merged.runs_ms == {"vgg11": (2.0,)}


def test_some_models_of_another_software_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("estimator.measure.baseline._identity", lambda _: {**PROVENANCE, "software": "torch 2.5.0"})
    with pytest.raises(MeasurementRefused, match=r"software was 'torch 2.1.0', is 'torch 2.5.0'; record all models"):
        refuse_mixing(None, baseline(tmp_path, 1.0))
    refuse_mixing(None, Record(tmp_path, {}, {}))


@pytest.mark.parametrize(
    ("variables", "text"),
    [
        ({}, "none of those that matter is set"),
        ({"OMP_NUM_THREADS": "2"}, "OMP_NUM_THREADS=2"),
        ({"OMP_NUM_THREADS": "2", "LD_PRELOAD": ""}, "OMP_NUM_THREADS=2, LD_PRELOAD="),
    ],
    ids="none one two".split(),
)
def test_variables_that_matter_are_kept_where_they_are_set(monkeypatch, tmp_path, variables, text):
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    for name, value in {**variables, "NOTHING_OF_THE_KIND": "1"}.items():
        monkeypatch.setenv(name, value)
    environment = describe_environment("cpu")
    assert environment["variables"] == variables
    session = SimpleNamespace(
        environment=lambda: environment,
        state=lambda: DeviceState("local cpu: synthetic"),
        measured={},
        target=SimpleNamespace(mode=SimpleNamespace(name="default")),
        plan=SimpleNamespace(choice=SimpleNamespace(device="cpu")),
    )
    about = calibration_provenance(session, tmp_path)
    assert about["variables"] == text
    assert (about["board"], about["mode"]) == ("local cpu: synthetic", "default")
    assert about["software"].startswith("Python 3.")
    assert about["software"].endswith(", driver none")
    assert about["threads"] == str(environment["threads"])
    assert about["revision"] == "unknown"


RECORDER = """
import sys
from pathlib import Path
from meta_tests.test_measure_recording import baseline
from estimator.records.record import write_record
print("ready", flush=True)
for ms in range(2, 1000000):
    write_record(baseline(Path(sys.argv[1]), float(ms)))
"""


def test_a_recording_killed_at_any_moment_leaves_the_old_baseline_or_the_new_one(tmp_path):
    path, moments = tmp_path / "record-models.toml", random.Random(20)
    write_record(baseline(path, 1.0))
    seen = set()
    for _ in range(20):
        seen.add(kill_a_recording(path, moments.uniform(0, 0.05)))
        left = load_record(path, NAMES)
        (ms,) = {runs[0] for runs in left.runs_ms.values()}  # rows of one recording, not of two
        assert path.read_text(encoding="utf-8") == record_text(baseline(path, ms))
    assert seen == {-signal.SIGKILL}


def kill_a_recording(path, after_s):
    root = str(Path(__file__).parents[1])
    command, environment = [sys.executable, "-c", RECORDER, str(path)], {**os.environ, "PYTHONPATH": root}
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, cwd=path.parent) as process:
        process.stdout.readline()
        time.sleep(after_s)
        process.kill()
    return process.returncode
