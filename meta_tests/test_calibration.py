from __future__ import annotations

import json
import re

import numpy as np
import pytest

from estimator.__main__ import main
from estimator.calibration import evidence as evidence_module
from estimator.calibration.evidence import SYNCHRONISED, load_evidence
from estimator.calibration.fit import Fitter, indices
from estimator.errors import CalibrationError
from estimator.hardware.boards import load_profile
from estimator.records.record import Record, load_record
from estimator.subjects.patterns import PATTERNS
from estimator.subjects.zoo import FAMILIES, MODELS

FOLDER = "golden/Jetson-Orin-AGX/50W-fp32-b1"


@pytest.fixture(scope="module")
def records(request):
    folder = request.config.rootpath / FOLDER
    models = load_record(folder / "record-models.toml", [model.name for model in MODELS])
    return models, load_record(folder / "record-patterns.toml", [pattern.name for pattern in PATTERNS])


@pytest.fixture(scope="module")
def evidence(records):
    return load_evidence("Jetson-Orin-AGX", *records)


@pytest.fixture
def refit(request, monkeypatch, capsys):
    """Returns exit code and lines of errors of `python -m estimator calibrate` with these options."""
    monkeypatch.chdir(request.config.rootpath)

    def run(*options):
        exit_code = main(["calibrate", *options])
        return exit_code, capsys.readouterr().err.splitlines()

    return run


def test_the_evidence_is_models_patterns_and_long_kernels(records, evidence):
    models, patterns = records
    groups = [item.group for item in evidence]
    assert groups.count("model") == len(models.runs_ms) == len(MODELS)
    assert groups.count("pattern") == len(patterns.runs_ms) > 0
    assert set(groups) == {"model", "pattern", "convolution", "product"}
    assert all(item.latency_us > 1000 for item in evidence if item.timed == SYNCHRONISED)


def test_a_product_in_fp16_is_priced_in_fp16(evidence):
    (fp32,) = [item for item in evidence if item.name == "product 4096x4096x4096 b1"]
    (fp16,) = [item for item in evidence if item.name == "product 4096x4096x4096 b1 fp16"]
    profile = load_profile()
    estimated_us = Fitter(profile, [fp16, fp32]).latencies_us(profile.values(), 550.0)
    assert estimated_us == pytest.approx([fp16.latency_us, fp32.latency_us], rel=0.25)
    assert fp32.latency_us > 8 * fp16.latency_us


def test_a_family_is_left_out_whole(evidence):
    assert sorted(i for family in FAMILIES for i in indices(evidence, family)) == list(range(len(MODELS)))
    names = [evidence[i].name for i in indices(evidence, "VGG")]
    assert names == [model.name for model in MODELS if model.family == "VGG"]


def test_the_fit_finds_constants_that_made_the_evidence(evidence):
    from dataclasses import replace

    profile = load_profile()
    truth = {name: min(1.1 * constant.prior, 0.99 * constant.upper) for name, constant in profile.constants.items()}
    latencies_us = Fitter(profile, evidence).latencies_us(truth, 450.0)
    made = [replace(item, latency_us=float(us), spread=0.001) for item, us in zip(evidence, latencies_us)]
    fit = Fitter(profile, made).fit()
    known = [name for name, of in profile.constants.items() if fit.uncertainty_pct[name] < 100 * of.prior_sigma / 4]
    assert len(known) > len(truth) / 3
    assert np.median([abs(fit.constants[name] / truth[name] - 1) for name in known]) < 0.01


def test_without_recorded_models_there_is_nothing_to_calibrate_from(records):
    empty = Record(records[0].path, {}, {})
    with pytest.raises(CalibrationError, match="no recorded models"):
        load_evidence("Jetson-Orin-AGX", empty, empty)


def test_a_damaged_row_of_evidence_is_one_line(refit, tmp_path, monkeypatch):
    name = "Jetson-Orin-AGX.toml"
    text = (evidence_module._FOLDER / name).read_text(encoding="utf-8")
    assert "[3, 64, 224, 3," in text
    (tmp_path / name).write_text(text.replace("[3, 64, 224, 3,", "[3, 64, 224,", 1), encoding="utf-8")
    monkeypatch.setattr(evidence_module, "_FOLDER", tmp_path)
    exit_code, errors = refit("--refit", "--fit-only")
    assert exit_code == 4
    assert [name in line for line in errors] == [True]


def test_a_refit_gives_the_profile_and_the_cross_validation_digit_for_digit(refit):
    assert refit("--check") == (0, [])


def test_a_constant_that_no_refit_gives_is_found_and_mended(refit, tmp_path, monkeypatch):
    path = tmp_path / "Jetson-Orin-AGX.toml"
    before = load_profile("Jetson-Orin-AGX").path.read_text(encoding="utf-8")
    pattern = r"(\[constants\.dispatch_kcycles\]\nvalue = )[0-9.]+"
    path.write_text(re.sub(pattern, r"\g<1>117.0", before), encoding="utf-8")
    monkeypatch.setattr("estimator.hardware.boards.PROFILES", tmp_path)
    exit_code, errors = refit("--check", "--fit-only")
    assert exit_code == 1
    assert ["differs from what a refit gives" in line for line in errors] == [True]
    assert refit("--refit", "--fit-only") == (0, [])
    assert path.read_text(encoding="utf-8") == before


def test_the_bars_of_held_out_models_are_met(request):
    golden = json.loads((request.config.rootpath / FOLDER / "cross-validation.json").read_text(encoding="utf-8"))
    assert golden["in_sample"]["mean_abs_error_pct"] <= 2.5
    assert golden["in_sample"]["max_abs_error_pct"] < 8
    assert golden["leave_one_model_out"]["mean_abs_error_pct"] <= 4
    assert golden["leave_one_family_out"]["mean_abs_error_pct"] <= 7
    for baseline in ("one_constant_per_op", "plain_roofline"):
        assert golden[baseline]["mean_abs_error_pct"] > 20
