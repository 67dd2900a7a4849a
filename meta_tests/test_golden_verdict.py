"""What a red session says changed, and what it did, from differences of goldens at hand."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from types import SimpleNamespace

import pytest

from estimator.goldens.difference import Difference
from estimator.goldens.repository import Repository
from estimator.records.kinds import MODEL_KIND, PATTERN_KIND
from estimator.review.verdict import golden_verdict_lines
from meta_tests.estimating import ESTIMATES

at = Repository.at

CONFIGURATIONS = (
    SimpleNamespace(
        where=("Jetson-Orin-AGX", "50W-fp32-b1"),
        goldens={
            MODEL_KIND: {
                "resnet18": {"est_ms": 10.0, "error_pct": -1.0, "rating": "EXCELLENT"},
                "vgg11": {"est_ms": 20.0, "error_pct": 3.0, "rating": "EXCELLENT"},
            },
            PATTERN_KIND: {"hardswish": {"est_ms": 1.0, "error_pct": 40.0, "rating": "FAIR"}},
        },
    ),
    SimpleNamespace(
        where=("NVIDIA-H100", "default-fp32-b1"), goldens={MODEL_KIND: {"resnet18": {"est_ms": 2.0, "error_pct": None}}}
    ),
)
MOVED = Difference(
    *("Jetson-Orin-AGX", "50W-fp32-b1", "model", "resnet18"),
    {"est_ms": 10.0, "meas_ms": 10.1, "error_pct": -1.0, "rating": "EXCELLENT"},
    {"est_ms": 10.5, "meas_ms": 10.1, "error_pct": 4.0, "rating": "EXCELLENT"},
)


@pytest.fixture
def said(request):
    """Returns what is said of these differences in this repository, whose inputs are as its goldens say."""

    def lines(*differences, judged=None):
        return list(
            golden_verdict_lines(
                at(request.config.rootpath), CONFIGURATIONS, judged, differences, "pytest --something", ESTIMATES
            )
        )

    return lines


def test_where_nothing_differs_nothing_is_said(said):
    assert said() == []


def test_a_difference_without_another_input_is_the_code(said):
    lines = said(MOVED)
    assert lines[0] == "  What changed:"
    assert lines[1].startswith("    no input changed: the code did, in resnet18 by ")
    assert any(line.startswith("    1 of 4 estimates moved by +5.0 %") for line in lines)
    assert "    mean |error| 2.0 -> 3.5 %, largest 3.0 -> 4.0 %, 2 models" in lines
    assert "  To accept it:    pytest --every-configuration --snapshot-update" in lines
    assert lines[-1] == "  To look closer:  pytest --something -v, or once accepted: python -m estimator review"


def test_errors_are_those_of_measured_models_alone(said):
    lines = said(MOVED, judged=["resnet18", "hardswish", "unknown"])
    assert "    mean |error| 1.0 -> 4.0 %, largest 1.0 -> 4.0 %, 1 models" in lines


def test_a_golden_that_is_new_is_accepted_by_the_session_s_own_command(said):
    new = replace(MOVED, before={})
    assert "  To accept it:    pytest --something --snapshot-update" in said(new)
    assert "  To accept it:    pytest --every-configuration --snapshot-update" in said(new, MOVED)


def test_goldens_are_those_that_were_judged_or_all(said):
    for judged, total in ((None, 4), (["resnet18", "vgg11"], 3), (["resnet18", "unknown"], 2)):
        assert any(line.startswith(f"    1 of {total} estimates moved by ") for line in said(MOVED, judged=judged))


def test_an_input_that_moved_no_golden_is_named_all_the_same(request, tmp_path):
    shutil.copytree(request.config.rootpath / "golden", tmp_path / "golden")
    path = tmp_path / "golden" / "Jetson-Orin-AGX" / "estimates.md"
    row = r"(\| constant.dispatch_kcycles \| )[0-9.]+"
    path.write_text(re.sub(row, r"\g<1>1.0", path.read_text("utf-8")), encoding="utf-8")
    lines = list(golden_verdict_lines(at(tmp_path), CONFIGURATIONS, ["vgg11"], (), "pytest --something", ESTIMATES))
    assert any(line.startswith("    dispatch_kcycles 1 -> ") for line in lines)
    assert f"  To accept it:    {at(tmp_path).update_command}" in lines
    assert "--something" not in at(tmp_path).update_command
