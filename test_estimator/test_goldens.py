import json
import re
from dataclasses import replace
from types import SimpleNamespace

import pytest

from estimator.compare import Comparison, compare
from estimator.errors import RecordError
from estimator.goldens.content import (
    ESTIMATE_TITLES,
    estimate_row,
    golden_data,
    moved_terms,
    row_data,
    stream_row,
)
from estimator.goldens.extensions import json_text
from estimator.goldens.files import (
    IN_SAMPLE,
    document_head,
    drop_section,
    estimates_path,
    every_target,
    golden_root,
    golden_streams,
    labels_of,
    load_goldens,
    load_held_out_means_pct,
    read_cross_validation,
)
from estimator.goldens.inputs import golden_inputs, inputs_now, inputs_table, with_inputs
from estimator.goldens.root import repository_root
from estimator.goldens.tables import Document, Table, document_text, parse_document, read_document, table_text
from estimator.hardware.boards import load_profile
from estimator.hardware.quantities import GPU_CONSTANTS
from estimator.hardware.reading import known_profiles
from estimator.lower import lower
from estimator.opstream import Op, TensorSpec, digest
from estimator.pipeline import estimate_lowered
from estimator.records.kinds import MODEL_KIND
from estimator.report import CROSS_VALIDATION_BARS_PCT
from estimator.results import Result, validate
from estimator.subjects.all import op_stream
from estimator.subjects.zoo import FAMILIES, MODELS
from estimator.target import resolve

TARGET = resolve("Jetson-Orin-AGX", "50W")
KNOWN = ("tiny", "huge")


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
    return load_goldens(root, target, KNOWN, MODEL_KIND)


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
    assert every_target(tmp_path) == []


def in_a_table(root, *rows):
    path = estimates_path(root, TARGET.hardware)
    path.parent.mkdir(parents=True, exist_ok=True)
    table = Table(ESTIMATE_TITLES, {row[0]: row for row in rows})
    path.write_text(document_text("# Head", Document({TARGET.label: table})))
    return path


def test_a_configuration_without_a_folder_has_its_goldens_in_its_boards_table(tmp_path):
    in_a_table(tmp_path, estimate_row(result()))
    expected = {key: golden_data(result())[key] for key in ("est_ms", "host_ms", "device_ms", "bound", "interval_pct")}
    assert loaded(tmp_path) == {"tiny": expected}
    assert [target.label for target in every_target(tmp_path)] == [TARGET.label]


def test_a_folder_goes_before_a_section_and_an_update_drops_the_section(tmp_path, golden):
    path = in_a_table(tmp_path, estimate_row(result(latency_ms=1.0)))
    assert loaded(tmp_path) == {"tiny": golden_data(result())}
    assert list(labels_of(tmp_path, TARGET.hardware)) == [TARGET.label]
    drop_section(tmp_path, TARGET)
    assert read_document(path) == Document()


def test_a_row_says_what_it_was_made_of():
    row = estimate_row(result(latency_ms=1234.0))
    assert row == ("tiny", "1234", "6.4", "1.235", "host", "± 5.7 %")
    assert row_data(dict(zip(ESTIMATE_TITLES, row)))["interval_pct"] == 5.7


TABLE = Table(("Model", "Est (ms)", "Note"), {"b": ("b", "1.5", ""), "a": ("a", "20", "new")})


def test_a_document_is_read_as_it_was_written():
    document = Document({"Inputs": TABLE, "50W-fp32-b4": TABLE})
    assert parse_document(document_text("# Head\n", document)) == document


def test_numbers_stand_to_the_right():
    assert table_text(TABLE).splitlines()[1] == "| --- | ---: | --- |"


def test_sections_are_sorted_by_size_and_inputs_come_first():
    document = Document()
    for title in ("MAXN-fp32-b1", "50W-fp32-b16", "Inputs", "50W-fp32-b4", "15W-fp32-b1"):
        document = document.with_section(title, TABLE)
    assert list(document.sections) == ["Inputs", "15W-fp32-b1", "50W-fp32-b4", "50W-fp32-b16", "MAXN-fp32-b1"]


def test_rows_put_in_keep_their_order_and_their_neighbours():
    table = TABLE.with_rows({"c": ("c", "3", ""), "a": ("a", "21", "")}, order=("a", "c"))
    assert list(table.rows.items()) == [("a", ("a", "21", "")), ("c", ("c", "3", "")), ("b", ("b", "1.5", ""))]


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
    assert float(rows["constant.dispatch_kcycles"][1]) == profile.constants["dispatch_kcycles"].value
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


DAMAGES = {
    "no JSON": (lambda text: text[:-5], "no valid JSON"),
    "conflict": (lambda text: "<<<<<<< HEAD\n" + text, "no valid JSON"),
    "list": (lambda text: f"[{text}]", "document: must be a table, got ["),
    "missing": (lambda text: text.replace('"rating"', '"note"'), "rating: is missing; required: est_ms"),
    "rating": (lambda text: text.replace("EXCELLENT", "SUPERB"), "rating: unknown 'SUPERB'; known: EXCELLENT, GOOD"),
    "list for rating": (lambda text: text.replace('"EXCELLENT"', "[]"), "rating: unknown []; known: EXCELLENT, GOOD"),
    "bound": (
        lambda text: text.replace('"bound": "host"', '"bound": "disk"'),
        "bound: unknown 'disk'",
    ),
    "nan": (
        lambda text: text.replace('"est_ms": 6.5', '"est_ms": NaN'),
        "est_ms: must be a finite number from 1e-05 to 1e+08 ms, got nan",
    ),
    "text": (
        lambda text: text.replace('"est_ms": 6.5', '"est_ms": "6"'),
        "est_ms: must be a finite number from 1e-05 to 1e+08 ms, got '6'",
    ),
    "negative": (
        lambda text: text.replace('"meas_ms": 7.0', '"meas_ms": -7'),
        "meas_ms: must be a finite",
    ),
    "terms that are none": (
        lambda text: re.sub(r'"host_terms_ms": [{].*?[}]', '"host_terms_ms": 5', text),
        "host_terms_ms: must be an object, got 5",
    ),
    "a term that is no number": (
        lambda text: re.sub(r'"device_terms_ms": [{].*?[}]', '"device_terms_ms": {"copy": "1"}', text),
        "device_terms_ms: must be a finite number from 0 to 1e+08 ms, got '1'",
    ),
    "an interval below nothing": (
        lambda text: re.sub(r'"interval_pct": [0-9.]+', '"interval_pct": -1', text),
        "interval_pct: must be a finite number from 0 to 10000",
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
    with pytest.raises(RecordError, match=f"{re.escape(name)}: belongs to no model, delete it"):
        loaded(tmp_path)


ERRORS = {
    kind: {"mean_abs_error_pct": 3.5, "max_abs_error_pct": 9.0} for kind in (IN_SAMPLE, *CROSS_VALIDATION_BARS_PCT)
}


def test_held_out_means_are_read_where_there_are_any(tmp_path):
    assert load_held_out_means_pct(tmp_path) == {}
    (tmp_path / "cross-validation.json").write_text(json.dumps(ERRORS))
    assert load_held_out_means_pct(tmp_path) == {"leave_one_model_out": 3.5, "leave_one_family_out": 3.5}
    assert read_cross_validation(tmp_path)["in_sample"] == (3.5, 9.0)


@pytest.mark.parametrize("damage", [None, 4, {"mean_abs_error_pct": float("nan")}, {"mean_abs_error_pct": "4"}])
def test_a_damaged_cross_validation_is_refused(tmp_path, damage):
    (tmp_path / "cross-validation.json").write_text(json.dumps({**ERRORS, "leave_one_model_out": damage}))
    with pytest.raises(RecordError, match=r"leave_one_model_out(\.mean_abs_error_pct)?: must be a (table|finite)"):
        load_held_out_means_pct(tmp_path)


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


@pytest.mark.parametrize("constant", GPU_CONSTANTS)
def test_one_percent_on_any_constant_moves_a_golden(one_model_per_family, constant):
    profile = load_profile()
    moved = replace(profile.constants[constant], value=1.01 * profile.constants[constant].value)
    moved_profile = replace(profile, constants={**profile.constants, constant: moved})
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
    paths = tables_of(request.config.rootpath)
    assert len(paths) == 1 + len(known_profiles())
    for path in paths:
        assert document_text(document_head(path), read_document(path)) == path.read_text(encoding="utf-8"), path
    for path in sorted((request.config.rootpath / "golden").rglob("test_model*.json")):
        text = path.read_text(encoding="utf-8")
        assert json_text(json.loads(text)) == text, path


def test_tables_of_another_repository_speak_of_inputs_alone_and_of_its_own_update(tmp_path):
    head = document_head(tmp_path / "golden" / "Jetson-Orin-AGX" / "estimates.md")
    assert "<!-- pytest --snapshot-update -->" in head
    assert "# Estimates for Jetson-Orin-AGX" in head
    assert "that nobody has measured" not in head
    assert "# Op streams" in document_head(tmp_path / "golden" / "op-streams.md")


def test_rows_of_the_repository_are_those_of_the_models_now(request):
    root, target = request.config.rootpath, resolve("Jetson-AGX-Xavier", "15W")
    rows = read_document(estimates_path(root, target.hardware)).sections[target.label].rows
    streams = golden_streams(root, target.stream_label).rows
    assert list(load_goldens(root, target, None, MODEL_KIND)) == [model.name for model in MODELS] == list(rows)
    for model in (MODELS[0], MODELS[6]):
        found = validate(model, target, None)
        assert estimate_row(found) == rows[model.name]
        assert stream_row(model.name, found.ops, found) == streams[model.name]


@pytest.mark.parametrize("hardware", known_profiles())
def test_the_inputs_of_the_repository_are_those_of_the_profiles_now(request, hardware):
    root = request.config.rootpath
    now = inputs_now(root, hardware)
    assert now.rows == golden_inputs(root, hardware).rows
    assert any(name.startswith("held_out.") for name in now.rows) == (hardware == "Jetson-Orin-AGX")


def test_the_jetson_was_cross_validated_and_no_other_board(request):
    folder = golden_root(request.config.rootpath) / "Jetson-Orin-AGX" / "50W-fp32-b1"
    data = json.loads((folder / "cross-validation.json").read_text(encoding="utf-8"))
    for kind in (IN_SAMPLE, *CROSS_VALIDATION_BARS_PCT):
        figures = data[kind]["mean_abs_error_pct"], data[kind]["max_abs_error_pct"]
        assert read_cross_validation(folder)[kind] == figures
    assert IN_SAMPLE not in load_held_out_means_pct(folder)
    assert read_cross_validation(folder.parent) == {}


def root_of(tmp_path, plugins):
    """The repository of a session with these plugins, whose rootdir pytest takes for another folder."""
    manager = SimpleNamespace(get_plugins=lambda: [object(), *plugins])
    return repository_root(SimpleNamespace(rootpath=tmp_path / "elsewhere", pluginmanager=manager))


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
