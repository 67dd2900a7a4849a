import json
from dataclasses import replace
from types import SimpleNamespace

import pytest

from estimator.compare import Comparison, compare
from estimator.errors import RecordError
from estimator.hardware.profile import CONSTANTS, load_profile
from estimator.lower import lower
from estimator.pipeline import Configuration, estimate_lowered
from estimator.subjects.zoo import FAMILIES, MODELS, op_stream
from estimator.suite.goldens import (
    MODEL_KIND,
    golden_data,
    load_goldens,
    load_held_out_means_pct,
    moved_terms,
)
from estimator.suite.results import Result

CONFIGURATION = Configuration("Jetson-Orin-AGX", "50W")
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
        "transferred_from": "",
        **terms,
    }
    row = Comparison("tiny", "Small", latency_ms, 7.0, -7.14, "EXCELLENT", "host", 6.4, 1.235, 5.7)
    return Result(row, SimpleNamespace(**fields))


@pytest.fixture
def golden(tmp_path):
    path = MODEL_KIND.golden_path(tmp_path, "tiny")
    path.parent.mkdir()
    path.write_text(json.dumps(golden_data(result())))
    return path


def test_a_golden_keeps_plain_values_to_four_digits():
    data = golden_data(result())
    assert (data["gflop"], data["mb"], data["ops"]) == (1.235, 98.77, 7)
    assert data["host_terms_ms"] == {"convolution": 4.0, "view": 2.4}
    assert json.loads(json.dumps(data)) == data


def test_ops_priced_by_default_are_named_in_the_golden():
    assert golden_data(result(defaulted=("aten.erf", "aten.cumsum")))["priced_by_default"] == [
        "aten.cumsum",
        "aten.erf",
    ]


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
    assert load_goldens(tmp_path, KNOWN) == {"tiny": golden_data(result())}


def test_a_configuration_without_goldens_has_none(tmp_path):
    assert load_goldens(tmp_path, KNOWN) == {}


DAMAGES = {
    "no JSON": (lambda text: text[:-5], "no valid JSON"),
    "conflict": (lambda text: "<<<<<<< HEAD\n" + text, "no valid JSON"),
    "list": (lambda text: f"[{text}]", "must be a JSON object, got list"),
    "missing": (lambda text: text.replace('"rating"', '"note"'), "missing key 'rating'; required: est_ms"),
    "rating": (lambda text: text.replace("EXCELLENT", "SUPERB"), "rating must be one of EXCELLENT, GOOD"),
    "list for rating": (lambda text: text.replace('"EXCELLENT"', "[]"), "rating must be one of EXCELLENT, GOOD"),
    "bound": (lambda text: text.replace('"bound": "host"', '"bound": "disk"'), "bound must be one of host, device"),
    "nan": (
        lambda text: text.replace('"est_ms": 6.5', '"est_ms": NaN'),
        "est_ms must be a finite number",
    ),
    "text": (
        lambda text: text.replace('"est_ms": 6.5', '"est_ms": "6"'),
        "est_ms must be a finite number of ms, got",
    ),
    "negative": (lambda text: text.replace('"meas_ms": 7.0', '"meas_ms": -7'), "meas_ms must be a finite number"),
}


@pytest.mark.parametrize(("damage", "message"), DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_golden_is_refused_with_file_key_and_choices(tmp_path, golden, damage, message):
    text = golden.read_text()
    assert damage(text) != text
    golden.write_text(damage(text))
    with pytest.raises(RecordError) as error:
        load_goldens(tmp_path, KNOWN)
    assert message in str(error.value)
    assert str(golden) in str(error.value)
    assert "pytest --snapshot-update" in str(error.value)


@pytest.mark.parametrize("name", ["test_model[gone].json", "tiny.json"])
def test_a_golden_of_no_model_is_refused(tmp_path, golden, name):
    golden.rename(golden.with_name(name))
    with pytest.raises(RecordError, match="belongs to no model, delete it; known models: tiny, huge"):
        load_goldens(tmp_path, KNOWN)


PARTS = ("4", "{}", '{"mean_abs_error_pct": NaN}', '{"mean_abs_error_pct": "4"}')


def test_held_out_means_are_read_where_there_are_any(tmp_path):
    assert load_held_out_means_pct(tmp_path) == {}
    kinds = {kind: {"mean_abs_error_pct": 3.5} for kind in ("leave_one_model_out", "leave_one_family_out")}
    (tmp_path / "cross-validation.json").write_text(json.dumps(kinds))
    assert load_held_out_means_pct(tmp_path) == {"leave_one_model_out": 3.5, "leave_one_family_out": 3.5}


@pytest.mark.parametrize(
    "content", ["{}", '{"leave_one_model_out": 4}', '{"leave_one_model_out": {"mean_abs_error_pct": NaN}}']
)
def test_a_damaged_cross_validation_is_refused(tmp_path, content):
    (tmp_path / "cross-validation.json").write_text(content)
    with pytest.raises(RecordError, match=r"leave_one_model_out\.mean_abs_error_pct must be a finite number"):
        load_held_out_means_pct(tmp_path)


@pytest.fixture(scope="module")
def one_model_per_family():
    models = [next(model for model in MODELS if model.family == family) for family in FAMILIES]
    return {model: lower(op_stream(model)) for model in models}


@pytest.mark.parametrize("constant", CONSTANTS)
def test_one_percent_on_any_constant_moves_a_golden(one_model_per_family, constant):
    profile = load_profile(CONFIGURATION.hardware)
    moved = replace(profile.constants[constant], value=1.01 * profile.constants[constant].value)
    moved_profile = replace(profile, constants={**profile.constants, constant: moved})
    assert any(
        golden_of(model, ops, profile, precision) != golden_of(model, ops, moved_profile, precision)
        for precision in ("fp32", "tf32")
        for model, ops in one_model_per_family.items()
    )


def golden_of(model, ops, profile, precision):
    estimate = estimate_lowered(ops, profile, replace(CONFIGURATION, precision=precision))
    return golden_data(Result(compare(model.name, model.family, estimate, None), estimate))
