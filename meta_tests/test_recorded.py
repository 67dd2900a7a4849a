import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from estimator.checked import LATENCY_MS
from estimator.errors import RecordError
from estimator.files import write_atomically
from estimator.records.kinds import KINDS, MODEL_KIND, PATTERN_KIND, kinds_in, own_kind
from estimator.records.record import (
    PROVENANCE_KEYS,
    Record,
    load_record,
    record_text,
    write_record,
)
from estimator.subjects.registry import subject_names
from estimator.subjects.zoo import MODELS

PROVENANCE = {key: f"the {key}" for key in PROVENANCE_KEYS}
KNOWN = ("tiny", "huge")


def record(path, runs_ms=None, provenance=None):
    return Record(path, provenance or PROVENANCE, runs_ms or {"tiny": (7.0, 6.76, 6.71), "huge": (250.0,)})


@pytest.fixture
def path(tmp_path):
    return tmp_path / MODEL_KIND.record


@pytest.fixture
def recorded_path(request):
    return request.config.rootpath / "golden" / "Jetson-Orin-AGX" / "50W-fp32-b1" / MODEL_KIND.record


def test_what_was_written_is_read_again(path):
    write_record(record(path))
    assert load_record(path, KNOWN) == record(path)


def test_the_median_is_taken_over_the_runs(path):
    assert record(path).median_ms("tiny") == 6.76
    assert record(path, {"tiny": (4.0, 1.0), "huge": ()}).median_ms("tiny") == 2.5
    assert record(path).median_ms("nothing") is None


def test_a_configuration_without_a_file_has_no_measurements(path):
    assert load_record(path, KNOWN) == Record(path, {}, {})


DAMAGES = {
    "no TOML": ("tiny = [", "", "no valid TOML"),
    "unknown model": ("huge", "hug", "runs_ms.hug: is not known; known keys: tiny, huge"),
    "no runs": ("[7.0, 6.76, 6.71]", "[]", "runs_ms.tiny: must be a list of some numbers, got []"),
    "no list": ("[7.0, 6.76, 6.71]", "7.0", "runs_ms.tiny: must be a list, got 7.0"),
    "text": ("6.76", "'6.76'", "runs_ms.tiny[1]: must be a finite number from 1e-05 to 1e+08 ms, got '6.76'"),
    "true": ("6.76", "true", "runs_ms.tiny[1]: must be a finite number from 1e-05 to 1e+08 ms, got True"),
    "negative": ("6.76", "-6.76", "runs_ms.tiny[1]: must be a finite number from 1e-05 to 1e+08 ms, got -6.76"),
    "zero": ("6.76", "0", "runs_ms.tiny[1]: must be a finite number from 1e-05 to 1e+08 ms, got 0"),
    "nan": ("6.76", "nan", "runs_ms.tiny[1]: must be a finite number from 1e-05 to 1e+08 ms, got nan"),
    "infinite": ("6.76", "inf", "runs_ms.tiny[1]: must be a finite number from 1e-05 to 1e+08 ms, got inf"),
    "missing key": ('board = "the board"', "", "provenance.board: is missing; required: board, mode"),
    "empty text": ('"the board"', '" "', "provenance.board: must be a text"),
    "missing table": ("[runs_ms]", "[runs]", "runs_ms: is missing; keys here: provenance, runs"),
    "unknown table": ("[runs_ms]", "[more]\n[runs_ms]", "more: is not known; known keys: provenance, runs_ms"),
}


@pytest.mark.parametrize(("old", "new", "message"), DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_record_is_refused_with_file_key_and_choices(path, old, new, message):
    text = record_text(record(path))
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(RecordError) as error:
        load_record(path, KNOWN)
    assert message in str(error.value)
    assert str(path) in str(error.value)


def test_a_record_that_is_no_text_is_refused(path):
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(RecordError, match="cannot be read"):
        load_record(path, KNOWN)


texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(lambda text: text.strip())
latencies_ms = st.floats(LATENCY_MS.lower, LATENCY_MS.upper)


@given(board=texts, note=texts, runs_ms=st.lists(latencies_ms, min_size=1))
def test_any_text_any_key_and_any_latency_survive_the_file(tmp_path_factory, board, note, runs_ms):
    path = tmp_path_factory.getbasetemp() / MODEL_KIND.record
    written = record(path, {"tiny": tuple(runs_ms)}, {**PROVENANCE, "board": board, note: "a note"})
    write_record(written)
    assert load_record(path, KNOWN) == written


@pytest.mark.parametrize("kind", KINDS, ids=[kind.parameter for kind in KINDS])
def test_the_recorded_file_is_as_the_writer_would_write_it(recorded_path, kind):
    path = recorded_path.with_name(kind.record)
    assert record_text(load_record(path, subject_names())) == path.read_text(encoding="utf-8")


def test_the_record_of_the_jetson_has_three_runs_of_every_model(recorded_path):
    measurements = load_record(recorded_path, [model.name for model in MODELS])
    assert {model: len(runs_ms) for model, runs_ms in measurements.runs_ms.items()} == {m.name: 3 for m in MODELS}


def test_a_failed_write_leaves_the_old_file_and_nothing_else(path, monkeypatch):
    write_atomically(path, "old")

    def broken_disk(_):
        raise OSError("no space left")

    monkeypatch.setattr(os, "fsync", broken_disk)
    with pytest.raises(OSError, match="no space left"):
        write_atomically(path, "new")
    assert path.read_text() == "old"
    assert list(path.parent.iterdir()) == [path]


def test_a_record_with_no_known_models_may_be_of_any(path):
    write_record(record(path, {"any": (1.0,), "other": (2.0, 3.0)}))
    assert load_record(path, ()).runs_ms == {"any": (1.0,), "other": (2.0, 3.0)}


@pytest.mark.parametrize(
    ("kind", "row"), [(MODEL_KIND, "model"), (PATTERN_KIND, "pattern"), (own_kind("test_own"), "model")]
)
def test_the_head_of_a_record_says_what_a_row_is(tmp_path, kind, row):
    text = record_text(record(tmp_path / kind.record))
    assert text.startswith(f"# Recorded measurements: one row per {row}, the latency of every run in ms.\n\n[prov")
    assert "\n\n[runs_ms]\ntiny = [7.0, 6.76, 6.71]\nhuge = [250.0]\n" in text


def test_the_notes_of_partial_records_name_their_models(path):
    notes = {"partial_1": "tiny, huge: recorded later: by hand", "partial_2": "vast", "board": "a, b: c"}
    assert record(path, provenance={**PROVENANCE, **notes}).partial == ("tiny", "huge", "vast")
    assert record(path).partial == ()


def test_what_the_tests_of_a_module_check_is_a_model_in_a_folder_of_its_own():
    own = own_kind("test_own")
    places = {
        MODEL_KIND: ("test_models/test_model[tiny].json", "record-models.toml"),
        PATTERN_KIND: ("test_patterns/test_pattern[tiny].json", "record-patterns.toml"),
        own: ("test_own/tiny.json", "record-own.toml"),
        own_kind("checks"): ("checks/tiny.json", "record-checks.toml"),
    }
    for kind, (place, file) in places.items():
        assert kind.golden_path(Path("folder"), "tiny") == Path("folder", place)
        assert kind.name_of(Path("folder", place)) == "tiny"
        assert kind.record == file
    for name in ("tiny.json", "test_model[].json", "test_modelx.json", "test_pattern[tiny].json"):
        assert MODEL_KIND.name_of(Path(name)) == ""


@pytest.mark.parametrize(
    ("folders", "files", "kinds"),
    [
        ((), ("test_models", "notes.toml"), []),
        (("test_patterns", "test_models"), (), [MODEL_KIND, PATTERN_KIND]),
        ((), ("record-patterns.toml", "record-models.toml"), [MODEL_KIND, PATTERN_KIND]),
        (("test_own", "test_ago", "test_patterns"), (), [PATTERN_KIND, own_kind("test_ago"), own_kind("test_own")]),
        (("checks", "test_own"), ("record-checks.toml",), [own_kind("checks"), own_kind("test_own")]),
        ((), ("record-own.toml",), [own_kind("test_own")]),
    ],
)
def test_a_configuration_has_the_kinds_of_its_folders_and_records(tmp_path, folders, files, kinds):
    for name in folders:
        (tmp_path / name).mkdir()
    for name in files:
        (tmp_path / name).touch()
    assert kinds_in(tmp_path) == kinds
    assert {kind.folder for kind in kinds_in(tmp_path, of_zoo=False)} == {kind.folder for kind in kinds}
