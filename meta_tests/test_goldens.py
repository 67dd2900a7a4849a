import hashlib
import json
import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from estimator.capture import capture
from estimator.compare import Comparison, compare
from estimator.errors import RecordError
from estimator.estimates import Result
from estimator.goldens.content import (
    ESTIMATE_TITLES,
    STREAM_TITLES,
    estimate_row,
    golden_data,
    moved_terms,
    row_data,
    stream_row,
)
from estimator.goldens.extensions import json_text
from estimator.goldens.inputs import (
    INPUT_TITLES,
    check_goldens,
    golden_inputs,
    inputs_now,
    inputs_table,
    with_inputs,
    write_inputs,
)
from estimator.goldens.repository import IN_SAMPLE, Repository, golden_root, is_measured
from estimator.goldens.tables import Table, document_text, with_section
from estimator.hardware.boards import load_profile
from estimator.hardware.profile import Constant, PowerMode, Profile, Quantity
from estimator.hardware.quantities import GPU_CONSTANTS
from estimator.hardware.reading import known_profiles
from estimator.lower import lower
from estimator.opstream import Op, TensorSpec, digest
from estimator.pipeline import estimate_lowered
from estimator.records.kinds import MODEL_KIND, PATTERN_KIND, own_kind
from estimator.report.bars import CROSS_VALIDATION_BARS_PCT
from estimator.subjects.zoo import FAMILIES, MODELS
from estimator.suite.plugin import repository_of
from estimator.target import resolve, tensor_dtype
from meta_tests.estimating import op_stream
from meta_tests.synthetic import TABLE

at = Repository.at

TARGET = resolve("Jetson-Orin-AGX", "50W")
KNOWN = ("tiny", "huge")
UPDATE_ALL = "pytest --every-configuration --snapshot-update"


def result(latency_ms=6.5, **terms):
    fields = {
        "ops": 7,
        "kernels": 6,
        "flops": 1_234_567_890,
        "bytes": 98_765_432,
        "host_terms_ms": {"convolution": 4.00004, "view": 2.4},
        "device_terms_ms": {"convolution": 1.23456},
        "defaulted": (),
        **terms,
    }
    row = Comparison("tiny", "Small", latency_ms, 7.0, -7.14, "EXCELLENT", "host", 6.4, 1.235, 5.7)
    return Result(row, SimpleNamespace(**fields))


@pytest.fixture
def golden(tmp_path):
    folder = golden_root(tmp_path) / TARGET.hardware / TARGET.label
    path = MODEL_KIND.golden_path(folder, "tiny")
    path.parent.mkdir(parents=True)
    path.write_text(json_text(golden_data(result())))
    return path


def loaded(root, target=TARGET):
    return at(root).goldens(target, KNOWN, MODEL_KIND)


def test_a_golden_keeps_plain_values_to_four_digits():
    data = golden_data(result())
    assert (data["est_ms"], data["device_ms"]) == (6.5, 1.235)
    assert data["host_terms_ms"] == {"convolution": 4.0, "view": 2.4}
    assert json.loads(json_text(data)) == data


def test_a_golden_has_a_line_for_each_term():
    lines = json_text(golden_data(result())).splitlines()
    assert '  "est_ms": 6.5,' in lines
    assert len(lines) == len(golden_data(result())) + 2


def test_what_a_model_is_stands_in_its_row_of_op_streams():
    ops = [Op("aten.relu_", (), (), (), False, True), Op("aten.mm", (), (), (), False, False)]
    row = stream_row("tiny", ops, result(defaulted=("aten.cumsum", "aten.erf")))
    assert row == ("tiny", "7", "6", "1.235", "98.77", "aten.cumsum, aten.erf", digest(ops), "mm 1, relu_ 1")


def test_work_and_traffic_of_a_model_are_to_four_digits():
    row = stream_row("tiny", [], result(flops=1_235_500_001, bytes=1_235_501))
    assert row[3:] == ("1.236", "1.236", "-", digest([]), "")


def test_ops_are_counted_by_name():
    names = ("aten.relu", "aten.mm", "aten.relu", "aten.aten.mm")
    row = stream_row("tiny", [Op(name, (), (), (), False, False) for name in names], result())
    assert row[-1] == "aten.mm 1, mm 1, relu 2"


def stream(shape=(2, 3), number=1, fraction=0.1, dtype="float32"):
    spec = TensorSpec(shape, dtype, 4)
    return [Op("aten.relu", (spec, number, fraction), (), (spec,), False, False)]


def test_a_digest_changes_with_shape_dtype_and_whole_numbers_but_not_with_momentum():
    digests = [digest(s) for s in (stream(), stream(shape=(3, 2)), stream(number=2), stream(dtype="float16"))]
    assert len(set(digests)) == 4
    assert digest(stream(fraction=0.99)) == digests[0]


def test_equal_results_have_no_moved_terms():
    assert moved_terms(golden_data(result()), golden_data(result())) == []


def test_moved_terms_name_what_came_what_went_and_what_changed():
    before = golden_data(result())
    now = golden_data(result(latency_ms=6.6, host_terms_ms={"convolution": 4.0, "copy": 0.5}))
    assert moved_terms(before, now) == [
        ("est_ms", 6.5, 6.6),
        ("host_terms_ms.copy", None, 0.5),
        ("host_terms_ms.view", 2.4, None),
    ]


def test_goldens_are_loaded_by_model(tmp_path, golden):
    assert loaded(tmp_path) == {"tiny": golden_data(result())}


def test_a_configuration_without_goldens_has_none(tmp_path):
    assert loaded(tmp_path) == {}
    assert at(tmp_path).targets() == []


def in_a_table(root, *rows):
    path = at(root).estimates_path(TARGET.hardware)
    path.parent.mkdir(parents=True, exist_ok=True)
    table = Table(ESTIMATE_TITLES, {row[0]: row for row in rows})
    path.write_text(document_text("# Head", {TARGET.label: table}))
    return path


def test_a_configuration_without_a_folder_has_its_goldens_in_its_boards_table(tmp_path):
    in_a_table(tmp_path, estimate_row(result()))
    expected = {key: golden_data(result())[key] for key in ("est_ms", "host_ms", "device_ms", "bound", "interval_pct")}
    assert loaded(tmp_path) == {"tiny": expected}
    assert [target.label for target in at(tmp_path).targets()] == [TARGET.label]


def test_a_folder_goes_before_a_section_and_an_update_drops_the_section(tmp_path, golden):
    path = in_a_table(tmp_path, estimate_row(result(latency_ms=1.0)))
    assert loaded(tmp_path) == {"tiny": golden_data(result())}
    assert list(at(tmp_path).labels(TARGET.hardware)) == [TARGET.label]
    at(tmp_path).drop_section(TARGET)
    assert at(tmp_path).document(path) == {}


def test_a_row_says_what_it_was_made_of():
    row = estimate_row(result(latency_ms=1234.0))
    assert row == ("tiny", "1234", "6.4", "1.235", "host", "± 5.7 %")
    assert row_data(dict(zip(ESTIMATE_TITLES, row)))["interval_pct"] == 5.7


def test_a_row_is_read_by_the_keys_of_a_golden():
    cells = dict(zip(ESTIMATE_TITLES, ("tiny", "6.5", "6.4", "0", "device", "± 5.7 %")))
    data = {"est_ms": 6.5, "host_ms": 6.4, "device_ms": 0.0, "bound": "device", "interval_pct": 5.7}
    assert row_data(cells) == data
    columns = "columns must be Model, Est (ms), Host (ms), Device (ms), Bound, 80% within"
    for others in ({**cells, "Note": "more"}, {title: cells[title] for title in reversed(ESTIMATE_TITLES)}):
        with pytest.raises(ValueError, match=re.escape(columns)):
            row_data(others)


@pytest.mark.parametrize(
    ("title", "text", "message"),
    [
        ("Est (ms)", "0", "Est (ms): must be a finite number from 1e-05 to 1e+08 ms, got '0'"),
        ("Host (ms)", "-1", "Host (ms): must be a finite number from 0 to 1e+08 ms, got '-1'"),
        ("Device (ms)", "-1", "Device (ms): must be a finite number from 0 to 1e+08 ms, got '-1'"),
        ("80% within", "± 10001 %", "80% within: must be a finite number from 0 to 10000 %, got '10001'"),
    ],
)
def test_a_cell_of_a_row_is_refused_with_its_title(title, text, message):
    cells = dict(zip(ESTIMATE_TITLES, estimate_row(result())))
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        row_data({**cells, title: text})


TABLE_DAMAGES = {
    "conflict": ("| tiny |", "<<<<<<< HEAD\n| tiny |", "must be a row of a table, got '<<<<<<< HEAD'"),
    "cells": ("| host |", "|", "a row must have 6 cells"),
    "rule": ("| --- |", "| tiny |", "the line below the titles must be"),
    "twice": ("| tiny |", "| tiny | 1 | 1 | 1 | host | ± 1 % |\n| tiny |", "two rows of one name"),
    "figure": ("| 6.5 |", "| many |", "row tiny: Est (ms): must be a finite number from 1e-05 to 1e+08 ms, got 'many'"),
    "infinite": ("| 6.5 |", "| inf |", "row tiny: Est (ms): must be a finite number from 1e-05 to 1e+08 ms, got 'inf'"),
    "bound": ("| host |", "| disk |", "row tiny: Bound: unknown 'disk'; known: host, device"),
    "stranger": ("| tiny |", "| gone |", "row gone: belongs to no model, delete it; known models: tiny, huge"),
}


@pytest.mark.parametrize(("old", "new", "message"), TABLE_DAMAGES.values(), ids=TABLE_DAMAGES)
def test_a_damaged_table_is_refused_with_file_section_and_row(tmp_path, old, new, message):
    path = in_a_table(tmp_path, estimate_row(result()))
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(RecordError) as error:
        loaded(tmp_path)
    assert message in str(error.value)
    assert str(path) in str(error.value)


def folder_of(root, label=TARGET.label):
    folder = golden_root(root) / TARGET.hardware / label
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.mark.parametrize("kind", [MODEL_KIND, PATTERN_KIND])
def test_a_configuration_of_the_zoo_is_measured_where_it_has_a_record_or_goldens(tmp_path, kind):
    assert not is_measured(folder_of(tmp_path))
    (folder_of(tmp_path) / "test_own").mkdir()
    assert not is_measured(folder_of(tmp_path))
    record = folder_of(tmp_path) / kind.record
    record.touch()
    assert is_measured(folder_of(tmp_path))
    record.unlink()
    (folder_of(tmp_path) / kind.folder).mkdir()
    assert is_measured(folder_of(tmp_path))


def test_boards_with_goldens_have_configurations(tmp_path):
    assert at(tmp_path).boards() == ()
    (folder_of(tmp_path) / "test_own").mkdir()
    in_a_table(tmp_path)
    for name in ("Empty", "Another"):
        (golden_root(tmp_path) / name).mkdir()
    (golden_root(tmp_path) / "op-streams.md").touch()
    table = document_text("# Head", {"Inputs": TABLE})
    (golden_root(tmp_path) / "Empty" / "estimates.md").write_text(table)
    (golden_root(tmp_path) / "Another" / "estimates.md").write_text(table + "\n## 15W-fp32-b1\n\n| A |\n| --- |\n")
    assert at(tmp_path).boards() == ("Another", TARGET.hardware)


def test_a_board_s_configurations_are_those_of_its_folders_then_those_of_its_tables(tmp_path):
    path = in_a_table(tmp_path)
    document = at(tmp_path).document(path)
    for title in ("15W-fp32-b1", "MAXN-fp32-b1", "Inputs"):
        document = with_section(document, title, Table(ESTIMATE_TITLES, {}))
    path.write_text(document_text("# Head", document))
    (folder_of(tmp_path, "MAXN-fp32-b1") / "test_models").mkdir()
    (folder_of(tmp_path, "30W-fp32-b1") / "test_own").mkdir()
    folder_of(tmp_path, "30W-fp16-b1")
    assert list(at(tmp_path).labels(TARGET.hardware)) == [
        "30W-fp32-b1",
        "MAXN-fp32-b1",
        "15W-fp32-b1",
        "50W-fp32-b1",
    ]
    assert [target.label for target in at(tmp_path).targets()] == [
        "MAXN-fp32-b1",
        "15W-fp32-b1",
        "50W-fp32-b1",
    ]


def test_a_configuration_of_no_power_mode_is_refused_with_its_place(tmp_path):
    folder = folder_of(tmp_path, "60W-fp32-b1")
    (folder / "test_models").mkdir()
    with pytest.raises(RecordError, match=rf"^{re.escape(str(folder))}: '60W-fp32-b1' is no name"):
        at(tmp_path).targets()
    (folder / "test_models").rmdir()
    path = in_a_table(tmp_path)
    path.write_text(path.read_text().replace("50W", "60W"))
    with pytest.raises(RecordError, match=rf"^{re.escape(str(path))}: '60W-fp32-b1' is no name"):
        at(tmp_path).targets()


def test_without_a_section_there_is_nothing_to_drop(tmp_path):
    at(tmp_path).drop_section(TARGET)
    assert list(tmp_path.iterdir()) == []
    path = in_a_table(tmp_path)
    path.write_text(path.read_text().replace("50W", "15W"))
    before = path.read_text()
    at(tmp_path).drop_section(TARGET)
    assert path.read_text() == before


def test_where_only_tests_know_the_names_goldens_of_any_are_loaded(tmp_path, golden):
    golden.rename(golden.with_name("test_model[gone].json"))
    assert at(tmp_path).goldens(TARGET, None, MODEL_KIND) == {"gone": golden_data(result())}


def test_a_table_has_rows_of_models_alone(tmp_path):
    path = in_a_table(tmp_path, estimate_row(result()))
    for kind in (PATTERN_KIND, own_kind("test_own")):
        assert list(at(tmp_path).read_goldens(TARGET.hardware, TARGET.label, kind)) == []
    assert list(at(tmp_path).read_goldens(TARGET.hardware, "15W-fp32-b1", MODEL_KIND)) == []
    ((where, name, data),) = at(tmp_path).read_goldens(TARGET.hardware, TARGET.label, MODEL_KIND)
    assert (where, name, data["est_ms"]) == (f"{path}: section 50W-fp32-b1, row tiny", "tiny", 6.5)


def test_goldens_of_a_repository_s_own_tests_have_a_folder_in_any_configuration(tmp_path):
    in_a_table(tmp_path, estimate_row(result()))
    own = own_kind("test_own")
    for name in ("second", "first"):
        path = own.golden_path(folder_of(tmp_path), name)
        path.parent.mkdir(exist_ok=True)
        path.write_text(json_text(golden_data(result())))
    found = [(where, name) for where, name, _ in at(tmp_path).read_goldens(TARGET.hardware, TARGET.label, own)]
    assert found == [(str(path.with_name(f"{name}.json")), name) for name in ("first", "second")]


@pytest.mark.parametrize(
    "changes",
    [
        {"meas_ms": None, "error_pct": None, "rating": "UNMEASURED"},
        {"interval_pct": None, "host_terms_ms": {}},
        {"host_ms": 0, "device_ms": 0, "interval_pct": 0, "error_pct": -100},
        {"note": "a text", "flag": True, "nothing": None, "more": {"a": 1, "b": None, "c": "text", "d": False}},
    ],
)
def test_a_golden_may_leave_out_what_was_not_measured_and_hold_more(tmp_path, golden, changes):
    data = {**golden_data(result()), **changes}
    golden.write_text(json_text(data))
    assert loaded(tmp_path) == {"tiny": data}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"error_pct": -101}, "error_pct: must be a finite number from -100 to 1e+15 %, got -101"),
        ({"meas_ms": 0}, "meas_ms: must be a finite number from 1e-05"),
        ({"host_ms": -1}, "host_ms: must be a finite number from 0 to 1e+08 ms, got -1"),
        ({"device_ms": None}, "device_ms: must be a finite number from 0 to 1e+08 ms, got None"),
        ({"rating": None}, "rating: unknown None; known: EXCELLENT, GOOD, FAIR, POOR, UNMEASURED"),
        ({"host_terms_ms": {"copy": -1}}, "host_terms_ms: must be a finite number from 0 to 1e+08 ms, got -1"),
        ({"note": [1]}, "note: must be a finite number, got [1]"),
        ({"note": {"a": "text", "b": [1]}}, "note: must be a finite number, got [1]"),
        ({"rating": "SUPERB"}, "rating: unknown 'SUPERB'; known: EXCELLENT, GOOD"),
        ({"rating": []}, "rating: unknown []; known: EXCELLENT, GOOD"),
        ({"bound": "disk"}, "bound: unknown 'disk'"),
        ({"est_ms": "6"}, "est_ms: must be a finite number from 1e-05 to 1e+08 ms, got '6'"),
        ({"host_terms_ms": 5}, "host_terms_ms: must be an object, got 5"),
        ({"device_terms_ms": {"copy": "1"}}, "device_terms_ms: must be a finite number from 0 to 1e+08 ms, got '1'"),
        ({"interval_pct": -1}, "interval_pct: must be a finite number from 0 to 10000"),
    ],
)
def test_a_golden_holds_what_can_be_compared_and_printed(tmp_path, golden, changes, message):
    golden.write_text(json_text({**golden_data(result()), **changes}))
    with pytest.raises(RecordError) as refused:
        loaded(tmp_path)
    assert str(refused.value).startswith(f"{golden}: {message}")


def test_op_streams_have_their_columns(tmp_path):
    assert at(tmp_path).streams("fp32-b1") == Table(STREAM_TITLES, {})
    path = golden_root(tmp_path) / "op-streams.md"
    path.parent.mkdir()
    row = stream_row("tiny", [], result())
    path.write_text(document_text("# Head", {"fp32-b1": Table(STREAM_TITLES, {"tiny": row}), "b4": TABLE}))
    assert at(tmp_path).streams("fp32-b1").rows == {"tiny": row}
    assert at(tmp_path).streams("fp16-b1") == Table(STREAM_TITLES, {})
    with pytest.raises(RecordError) as refused:
        at(tmp_path).streams("b4")
    message = f"{path}: section b4: columns must be {', '.join(STREAM_TITLES)}; restore it with git, or delete it"
    assert str(refused.value).startswith(message)
    with pytest.raises(RecordError, match="section b4: columns must be"):
        check_goldens(at(tmp_path))


def test_two_sections_of_one_name_are_refused(tmp_path):
    path = in_a_table(tmp_path, estimate_row(result()))
    text = path.read_text()
    path.write_text(text + text[text.index("## ") :])
    with pytest.raises(RecordError, match="there are two sections '50W-fp32-b1'"):
        loaded(tmp_path)


@pytest.mark.parametrize("name", known_profiles())
def test_inputs_hold_every_constant_fact_and_mode_by_value(name):
    profile = load_profile(name)
    rows = inputs_table(profile, {"leave_one_model_out": 2.77}).rows
    assert {f"constant.{constant}" for constant in profile.constants} < set(rows)
    assert {f"fact.{fact}" for fact in profile.facts} < set(rows)
    assert all(f"mode.{mode}.bandwidth_gb_s" in rows for mode in profile.modes)
    dispatch = profile.constants["dispatch_kcycles"].value
    assert float(rows["constant.dispatch_kcycles"][1]) == pytest.approx(dispatch, rel=1e-11)
    assert rows["held_out.leave_one_model_out"][1] == "2.77"


def test_a_profile_is_made_again_from_its_inputs():
    profile = load_profile()
    rows = inputs_table(profile, {}).rows
    changes = {"constant.dispatch_kcycles": "100.0", "fact.l2_mib": "8.0", "mode.30W.sms": "4", "constant.gone": "1.0"}
    moved = with_inputs(profile, {**{name: row[1] for name, row in rows.items()}, **changes})
    now = inputs_table(moved, {}).rows
    assert {name: row[1] for name, row in now.items() if row != rows[name]} == {
        name: value for name, value in changes.items() if name != "constant.gone"
    }


MADE_UP = Profile(
    name="Made-Up",
    path=Path("Made-Up.toml"),
    board={},
    facts={"l2_mib": Quantity("l2_mib", 4.0, "MiB", "synthetic", 0.25, 256.0)},
    modes={"fast": PowerMode("fast", 2000.0, 1000.0, 8, 100.5)},
    default_mode="fast",
    calibrated_mode="fast",
    constants={"view_kcycles": Constant("view_kcycles", 2.5, "kcycle", "synthetic", 1.0, 5.0, 2.0, 0.5, 3.0)},
    covariance=((0.25,),),
    held_out_spread_pct=4.5,
)


def test_inputs_stand_in_order_with_their_units():
    rows = (
        ("calibration.constants_of", "Made-Up", "board"),
        ("calibration.power_mode", "fast", "mode"),
        ("calibration.held_out_spread", "4.5", "%"),
        ("calibration.covariance", hashlib.sha256(b"((0.25,),)").hexdigest()[:12], "digest"),
        ("constant.view_kcycles", "2.5", "kcycle"),
        ("fact.l2_mib", "4.0", "MiB"),
        ("mode.fast.cpu_mhz", "2000.0", "MHz"),
        ("mode.fast.gpu_mhz", "1000.0", "MHz"),
        ("mode.fast.sms", "8", "SMs"),
        ("mode.fast.bandwidth_gb_s", "100.5", "GB/s"),
        ("held_out.leave_one_model_out", "2.5", "% mean error"),
    )
    table = inputs_table(MADE_UP, {"leave_one_model_out": 2.5})
    assert table.titles == ("Input", "Value", "Unit")
    assert [(name, *row[1:]) for name, row in table.rows.items()] == list(table.rows.values()) == list(rows)


def test_inputs_that_a_profile_has_no_name_for_are_left_out():
    inputs = {"constant.l2_mib": "1", "fact.view_kcycles": "1", "other.l2_mib": "1", "other.view_kcycles": "1"}
    inputs.update(
        {"mode.slow.sms": "4", "mode.fast.volts": "5", "calibration.power_mode": "slow", "other.fast.sms": "4"}
    )
    same = with_inputs(MADE_UP, inputs)
    assert (same.constants, same.facts, same.modes) == (MADE_UP.constants, MADE_UP.facts, MADE_UP.modes)
    moved = with_inputs(MADE_UP, {"constant.view_kcycles": "3", "fact.l2_mib": "8", "mode.fast.sms": "4"})
    assert (moved.values(), moved.fact("l2_mib")) == ({"view_kcycles": 3.0}, 8.0)
    assert moved.mode() == PowerMode("fast", 2000.0, 1000.0, 4, 100.5)
    with pytest.raises(ValueError, match=r"from 0\.25 to 256 MiB, got '0'"):
        with_inputs(MADE_UP, {"fact.l2_mib": "0"})


def with_input(root, name, text):
    path = at(root).estimates_path("Made-Up")
    path.parent.mkdir(parents=True, exist_ok=True)
    table = Table(INPUT_TITLES, {name: (name, text, "unit")})
    path.write_text(document_text("# Head", {"Inputs": table}))
    return path


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("calibration.constants_of", "Made-Up"),
        ("held_out.leave_one_model_out", "none"),
        ("constant.view_kcycles", "1e-12"),
        ("constant.l2_mib", "1e9"),
        ("constant.sms", "0.5"),
        ("fact.l2_mib", "0.25"),
        ("fact.gone", "0"),
        ("mode.fast.sms", "1024"),
        ("mode.fast.cpu_mhz", "100.5"),
        ("mode.slow.er.gpu_mhz", "50"),
        ("mode.fast.volts", "5000.5"),
    ],
)
def test_inputs_are_read_as_they_were_written(tmp_path, name, text):
    with_input(tmp_path, name, text)
    assert golden_inputs(at(tmp_path), "Made-Up") == Table(INPUT_TITLES, {name: (name, text, "unit")})
    check_goldens(at(tmp_path))


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("constant.view_kcycles", "0", "must be a finite number from 1e-12 to 1e+09, got '0'"),
        ("constant.l2_mib", "1.1e9", "must be a finite number from 1e-12 to 1e+09, got '1.1e9'"),
        ("fact.l2_mib", "0.2", "must be a finite number from 0.25 to 256 MiB, got '0.2'; "),
        ("fact.gone", "-1", "must be a finite number from 0 to 1e+09, got '-1'; "),
        ("mode.fast.sms", "4.5", "must be a whole number from 1 to 1024 SMs, got '4.5'"),
        ("mode.fast.sms", "0", "must be a whole number from 1 to 1024 SMs, got '0'"),
        ("mode.fast.cpu_mhz", "1.5", "must be a finite number from 100 to 10000 MHz, got '1.5'"),
        ("mode.slow.er.gpu_mhz", "1.5", "must be a finite number from 50 to 5000 MHz, got '1.5'"),
        ("mode.fast.volts", "many", "must be a finite number from 1e-12 to 1e+09, got 'many'"),
    ],
)
def test_an_input_that_cannot_be_true_is_refused_with_file_section_and_row(tmp_path, name, text, message):
    path = with_input(tmp_path, name, text)
    for ask in (
        lambda: golden_inputs(at(tmp_path), "Made-Up"),
        lambda: check_goldens(at(tmp_path)),
    ):
        with pytest.raises(RecordError) as refused:
            ask()
        assert str(refused.value).startswith(f"{path}: section Inputs, row {name}: {message}")
        assert str(refused.value).endswith(at(tmp_path).repair)


def test_inputs_have_their_columns(tmp_path):
    assert golden_inputs(at(tmp_path), "Made-Up") == Table(INPUT_TITLES, {})
    path = with_input(tmp_path, "fact.l2_mib", "4")
    path.write_text(path.read_text().replace("| Unit |", "| In |"))
    with pytest.raises(RecordError) as refused:
        golden_inputs(at(tmp_path), "Made-Up")
    assert str(refused.value).startswith(f"{path}: section Inputs: columns must be Input, Value, Unit; restore it")


def test_inputs_of_a_board_that_borrows_its_constants_know_of_no_cross_validation(tmp_path):
    for hardware, has_held_out in (("Jetson-Orin-AGX", True), ("NVIDIA-H200", False)):
        profile = load_profile(hardware)
        folder = golden_root(tmp_path) / hardware / f"{profile.calibrated_mode}-fp32-b1"
        folder.mkdir(parents=True)
        (folder / "cross-validation.json").write_text(json.dumps(ERRORS))
        held_out = dict.fromkeys(CROSS_VALIDATION_BARS_PCT, 3.5) if has_held_out else {}
        assert inputs_now(at(tmp_path), hardware) == inputs_table(profile, held_out)


def test_inputs_are_written_beside_what_is_there(tmp_path):
    path = at(tmp_path).estimates_path("NVIDIA-H200")
    write_inputs(at(tmp_path), "NVIDIA-H200")
    assert golden_inputs(at(tmp_path), "NVIDIA-H200") == inputs_now(at(tmp_path), "NVIDIA-H200")
    document = with_section(at(tmp_path).document(path), "Inputs", TABLE)
    document = with_section(document, "default-fp32-b1", TABLE)
    path.write_text(document_text("# Old head", document))
    write_inputs(at(tmp_path), "NVIDIA-H200")
    expected = {"Inputs": inputs_now(at(tmp_path), "NVIDIA-H200"), "default-fp32-b1": TABLE}
    assert path.read_text(encoding="utf-8") == at(tmp_path).document_text(path, expected)


DAMAGES = {
    "no JSON": (lambda text: text[:-5], "no valid JSON"),
    "conflict": (lambda text: "<<<<<<< HEAD\n" + text, "no valid JSON"),
    "list": (lambda text: f"[{text}]", "document: must be a table, got ["),
    "missing": (lambda text: text.replace('"rating"', '"note"'), "rating: is missing; required: est_ms"),
    "nan": (
        lambda text: text.replace('"est_ms": 6.5', '"est_ms": NaN'),
        "est_ms: must be a finite number from 1e-05 to 1e+08 ms, got nan",
    ),
}


@pytest.mark.parametrize(("damage", "message"), DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_golden_is_refused_with_file_key_and_choices(tmp_path, golden, damage, message):
    text = golden.read_text()
    assert damage(text) != text
    golden.write_text(damage(text))
    with pytest.raises(RecordError) as error:
        loaded(tmp_path)
    assert message in str(error.value)
    assert str(golden) in str(error.value)
    assert "pytest --snapshot-update" in str(error.value)


@pytest.mark.parametrize("name", ["test_model[gone].json", "tiny.json"])
def test_a_golden_of_no_model_is_refused(tmp_path, golden, name):
    golden.rename(golden.with_name(name))
    for known in (KNOWN, None) if name == "tiny.json" else (KNOWN,):
        with pytest.raises(RecordError, match=f"{re.escape(name)}: belongs to no model, delete it"):
            at(tmp_path).goldens(TARGET, known, MODEL_KIND)


ERRORS = {
    kind: {"mean_abs_error_pct": 3.5, "max_abs_error_pct": 9.0} for kind in (IN_SAMPLE, *CROSS_VALIDATION_BARS_PCT)
}


def test_held_out_means_are_read_where_there_are_any(tmp_path):
    assert at(tmp_path).held_out_means_pct(tmp_path) == {}
    (tmp_path / "cross-validation.json").write_text(json.dumps(ERRORS))
    assert at(tmp_path).held_out_means_pct(tmp_path) == {
        "leave_one_model_out": 3.5,
        "leave_one_family_out": 3.5,
    }
    assert at(tmp_path).cross_validation(tmp_path)["in_sample"] == (3.5, 9.0)


def test_errors_of_each_model_are_those_that_the_cross_validation_has(tmp_path):
    assert at(tmp_path).held_out_pct(tmp_path) == {}
    path = tmp_path / "cross-validation.json"
    path.write_text(json.dumps(ERRORS))
    assert at(tmp_path).held_out_pct(tmp_path) == {}
    models = {
        "tiny": {"without_model_pct": -3.5, "without_family_pct": 4.0, "in_sample_pct": 1.0},
        "huge": {"without_family_pct": 2},
    }
    path.write_text(json.dumps({**ERRORS, "models": models}))
    assert at(tmp_path).held_out_pct(tmp_path) == {
        "tiny": {"without_model_pct": -3.5, "without_family_pct": 4.0},
        "huge": {"without_family_pct": 2.0},
    }
    path.write_text(json.dumps({"models": {"tiny": {"without_model_pct": -101}}}))
    with pytest.raises(RecordError, match=r"models\.tiny\.without_model_pct: must be a finite number from -100"):
        at(tmp_path).held_out_pct(tmp_path)


@pytest.mark.parametrize("damage", [None, 4, {"mean_abs_error_pct": float("nan")}, {"mean_abs_error_pct": "4"}])
def test_a_damaged_cross_validation_is_refused(tmp_path, damage):
    (tmp_path / "cross-validation.json").write_text(json.dumps({**ERRORS, "leave_one_model_out": damage}))
    with pytest.raises(RecordError, match=r"leave_one_model_out(\.mean_abs_error_pct)?: must be a (table|finite)"):
        at(tmp_path).held_out_means_pct(tmp_path)


def test_a_row_without_evidence_for_an_interval_is_read_as_none():
    found = replace(result(), comparison=replace(result().comparison, interval_pct=None))
    row = estimate_row(found)
    assert row[-1] == "no evidence"
    assert row_data(dict(zip(ESTIMATE_TITLES, row)))["interval_pct"] is None
    assert golden_data(found)["interval_pct"] is None


@pytest.fixture(scope="module")
def one_model_per_family():
    models = [next(model for model in MODELS if model.family == family) for family in FAMILIES]
    return {model: lower(op_stream(model)) for model in models}


ROWS, TOKENS = (4096, 4096), (4, 2**20)
NOT_IN_MODELS = {
    "softmax_efficiency": ("Jetson-Orin-AGX", "fp32", [(nn.Softmax(-1), ROWS)]),
    "norm_l2_share": (
        "Jetson-Orin-AGX",
        "fp32",
        [(nn.LayerNorm(width, device="meta"), (4096, width)) for width in (1024, 2048, 4096, 8192)],
    ),
    "norm_block_bytes_per_clock": ("Jetson-Orin-AGX", "fp32", [(nn.LayerNorm(2**20, device="meta"), TOKENS)]),
    "fp32_watts_per_tflop": ("NVIDIA-L4", "fp32", [(nn.Linear(4096, 4096, device="meta"), ROWS)]),
    "tensor_core_watts_per_tflop": ("NVIDIA-L4", "fp16", [(nn.Linear(4096, 4096, device="meta"), ROWS)]),
}
"""What no model of the suite shows on the Orin: long rows, rows on few blocks, and power that clocks do not keep to."""


def moved_by_one_percent(profile, constant):
    moved = replace(profile.constants[constant], value=1.01 * profile.constants[constant].value)
    return replace(profile, constants={**profile.constants, constant: moved})


@pytest.mark.parametrize("constant", NOT_IN_MODELS)
def test_one_percent_on_a_constant_that_no_model_shows_moves_a_layer(constant):
    hardware, precision, layers = NOT_IN_MODELS[constant]
    target = resolve(hardware, None, precision)
    moved = replace(target, profile=moved_by_one_percent(target.profile, constant))
    dtype = tensor_dtype(precision)
    lowered = [lower(capture(layer, torch.empty(*shape, device="meta"), dtype)) for layer, shape in layers]
    assert any(estimate_lowered(ops, target) != estimate_lowered(ops, moved) for ops in lowered)


@pytest.mark.parametrize("constant", [name for name in GPU_CONSTANTS if name not in NOT_IN_MODELS])
def test_one_percent_on_any_constant_moves_a_golden(one_model_per_family, constant):
    profile = load_profile()
    moved_profile = moved_by_one_percent(profile, constant)
    assert any(
        golden_of(model, ops, profile, *case) != golden_of(model, ops, moved_profile, *case)
        for case in (("fp32", "50W"), ("tf32", "50W"), ("fp32", "15W"))
        for model, ops in one_model_per_family.items()
    )


def golden_of(model, ops, profile, precision, mode):
    target = replace(resolve(thermal_profile=mode, precision=precision), profile=profile)
    estimate = estimate_lowered(ops, target)
    return golden_data(Result(compare(model.name, model.family, estimate, None), estimate))


def tables_of(root):
    return sorted((root / "golden").rglob("op-streams.md")) + sorted((root / "golden").rglob("estimates.md"))


def test_the_tables_of_the_repository_are_as_the_suite_would_write_them(request):
    paths, repository = tables_of(request.config.rootpath), at(request.config.rootpath)
    assert len(paths) == 1 + len(known_profiles())
    for path in paths:
        assert repository.document_text(path, repository.document(path)) == path.read_text(encoding="utf-8"), path
    for path in sorted((request.config.rootpath / "golden").rglob("test_model*.json")):
        text = path.read_text(encoding="utf-8")
        assert json_text(json.loads(text)) == text, path


def test_tables_of_another_repository_speak_of_inputs_alone_and_of_its_own_update(tmp_path):
    repository = at(tmp_path)
    head = repository.document_text(repository.estimates_path("Jetson-Orin-AGX"), {})
    assert "<!-- pytest --snapshot-update -->" in head
    assert "# Estimates for Jetson-Orin-AGX" in head
    assert "that nobody has measured" not in head
    assert at(tmp_path).update_command == "pytest --snapshot-update"
    lines = head.splitlines()
    assert lines[:4] == ["<!-- written by golden-latency -->", "<!-- pytest --snapshot-update -->", "", lines[3]]
    assert repository.document_text(repository.streams_path, {}).splitlines()[:4] == [
        *lines[:3],
        "# Op streams",
    ]


def test_tables_of_the_repository_are_rewritten_for_every_configuration(request):
    root = request.config.rootpath
    assert at(root).update_command == UPDATE_ALL
    repository = at(root)
    paths = repository.streams_path, repository.estimates_path("Made-Up")
    heads = [repository.document_text(path, {}) for path in paths]
    assert all(f"<!-- {UPDATE_ALL} -->\n\n# " in head for head in heads)
    assert "# Estimates for Made-Up" in heads[1]
    assert "that nobody has measured" not in heads[0]
    assert "that nobody has measured" in " ".join(heads[1].split())


def test_the_jetson_was_cross_validated_and_no_other_board(request):
    folder = golden_root(request.config.rootpath) / "Jetson-Orin-AGX" / "50W-fp32-b1"
    data = json.loads((folder / "cross-validation.json").read_text(encoding="utf-8"))
    for kind in (IN_SAMPLE, *CROSS_VALIDATION_BARS_PCT):
        figures = data[kind]["mean_abs_error_pct"], data[kind]["max_abs_error_pct"]
        assert at(folder).cross_validation(folder)[kind] == figures
    assert IN_SAMPLE not in at(folder).held_out_means_pct(folder)
    assert at(folder.parent).cross_validation(folder.parent) == {}


def root_of(tmp_path, plugins):
    """The repository of a session with these plugins, whose rootdir pytest takes for another folder."""
    manager = SimpleNamespace(get_plugins=lambda: [object(), *plugins])
    return repository_of(SimpleNamespace(rootpath=tmp_path / "elsewhere", pluginmanager=manager)).root


def test_goldens_belong_to_the_repository_whose_conftest_loads_the_suite(tmp_path):
    inner = tmp_path / "repository" / "tests"
    inner.mkdir(parents=True)
    for named in (("other", "estimator.suite.plugin"), "estimator.suite.plugin"):
        ours = SimpleNamespace(__file__=str(inner / "conftest.py"), pytest_plugins=named)
        assert root_of(tmp_path, [ours]) == inner
    (tmp_path / "repository" / "setup.cfg").touch()
    assert root_of(tmp_path, [ours]) == tmp_path / "repository"
    (inner / "pytest.ini").touch()
    assert root_of(tmp_path, [ours]) == inner


def test_a_session_without_such_a_conftest_has_pytest_s_own_folder(tmp_path):
    for about in (
        {"__file__": str(tmp_path / "conftest.py"), "pytest_plugins": ("another.plugin",)},
        {"__file__": str(tmp_path / "conftest.py"), "pytest_plugins": ()},
        {"__file__": str(tmp_path / "conftest.py"), "pytest_plugins": None},
        {"__file__": str(tmp_path / "module.py"), "pytest_plugins": "estimator.suite.plugin"},
        {"__file__": None, "pytest_plugins": "estimator.suite.plugin"},
    ):
        assert root_of(tmp_path, [SimpleNamespace(**about)]) == tmp_path / "elsewhere"
