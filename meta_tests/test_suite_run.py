"""The suite as a user runs it: header, table, summary, selection, output, boards and modes, with and without xdist."""

import csv
import json
import re
import xml.etree.ElementTree as ET
from importlib import metadata

import pytest
from _pytest.pytester import LineMatcher

from estimator.subjects.patterns import PATTERNS
from estimator.subjects.zoo import MODELS
from meta_tests.conftest import SMALL_MODELS, report_lines

OUTPUTS = ("table.csv", "table.md", "table.json")


def table(run):
    """The words of each model's row in the table of a run."""
    lines = [line.split() for line in report_lines(run) if line.startswith("    ")]
    return {words[0]: words[1:] for words in lines}


@pytest.mark.parametrize("xdist", [("-p", "no:xdist"), ("-n2",)], ids=["no xdist", "n2"])
def test_a_run_says_the_same_for_any_number_of_workers(suite, xdist, request):
    run = suite.run(*xdist, *(option for name in OUTPUTS for option in ("--output", name)))
    assert run.ret == pytest.ExitCode.OK
    run.stdout.fnmatch_lines(
        [
            "hardware: Jetson-Orin-AGX, mode 50W, precision fp32, batch 1",
            "record: golden/Jetson-Orin-AGX/50W-fp32-b1/record-models.toml: *: median of 3 recorded runs, *",
            f"software: torch {metadata.version('torch')}, torchvision {metadata.version('torchvision')}, Python 3.*",
            *[f"*Table written to *{name}" for name in OUTPUTS],
        ]
    )
    goldens = {name: json.loads(suite.golden(name).read_text()) for name in SMALL_MODELS}
    figures = {name: (f"{of['est_ms']:.2f}", f"{of['meas_ms']:.2f}", of["rating"]) for name, of in goldens.items()}
    assert {name: (words[0], words[1], words[3]) for name, words in table(run).items()} == figures
    outputs_hold_one_row_per_model(suite, figures)
    the_readme_s_sample_is_what_is_printed(run, (request.config.rootpath / "README.md").read_text(encoding="utf-8"))


def outputs_hold_one_row_per_model(suite, figures):
    with open(suite.path / "table.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["model"] for row in rows] == list(SMALL_MODELS)
    assert rows[0]["meas_ms"] == "6.76"
    as_json = json.loads((suite.path / "table.json").read_text())
    assert [{key: "" if value is None else str(value) for key, value in row.items()} for row in as_json] == rows
    assert {(row["hardware"], row["configuration"]) for row in rows} == {("Jetson-Orin-AGX", "50W-fp32-b1")}
    markdown = (suite.path / "table.md").read_text()
    assert all(f"| {name} | {est_ms} | " in markdown for name, (est_ms, _, _) in figures.items())


def the_readme_s_sample_is_what_is_printed(run, readme):
    """But for the figures, and why nothing is measured."""
    _, *sample = readme.split("```text\n$ pytest")[1].split("```")[0].splitlines()
    patterns = [re.sub(r"[-+]?\d+\.\d+|\.\.\.|\(no .*\)$", "*", line).split() for line in sample]
    assert len(patterns) > 8
    printed = LineMatcher([" ".join(line.split()) for line in run.outlines])
    printed.fnmatch_lines([" ".join(pattern) for pattern in patterns])


def test_what_is_skipped_or_deselected_is_not_in_the_table(suite):
    options = ("--models", "resnet18,resnet34,vgg11,mobilenet_v2", "--skip", "vgg11", "-k", "not mobilenet_v2")
    run = suite.run_here(*options, "--deselect", "test_models/test_models.py::test_model[resnet34]")
    run.assert_outcomes(passed=1, deselected=run.parseoutcomes()["deselected"])
    assert set(table(run)) == {"resnet18"}
    assert not any("unused" in line for line in run.outlines)


def test_the_whole_zoo_is_judged_by_the_bars_and_its_report(suite):
    run = suite.run_here()
    run.assert_outcomes(passed=len(MODELS) + len(PATTERNS) + 2, deselected=run.parseoutcomes()["deselected"])
    lines = [line.split() for line in run.outlines]
    assert any(line[:5] == ["Models", "EXCELLENT:", str(len(MODELS)), "of", str(len(MODELS))] for line in lines)
    for bar in (["Mean", "|error|:"], ["Max", "|error|:"], ["Leave", "one", "model"], ["Leave", "one", "family"]):
        assert any(line[: len(bar)] == bar and "bar" in line for line in lines)


BREAKING = """
from estimator.errors import CaptureError
from estimator.estimates import Estimates

estimate = Estimates.estimate


def fail(estimates, subject, target):
    if subject.name == "vgg11":
        raise CaptureError("aten.item needs the values of a tensor")
    return estimate(estimates, subject, target)


Estimates.estimate = fail
"""


def test_a_model_that_cannot_be_estimated_fails_alone_and_an_update_keeps_its_golden(suite):
    before = suite.files()
    suite.plug_in(BREAKING)
    run = suite.run("--output", "table.csv", "--junitxml", "junit.xml", "--snapshot-update")
    run.assert_outcomes(passed=2, failed=1)
    run.stdout.fnmatch_lines(["vgg11: no estimate: aten.item needs the values of a tensor"])
    assert table(run)["vgg11"] == ["-", "-", "-", "FAILED", "-", "-"]
    assert "Failed/Skipped: 1" in [" ".join(line.split()) for line in report_lines(run)]
    assert any(line.startswith("vgg11,,,,FAILED,,,") for line in (suite.path / "table.csv").read_text().splitlines())
    cases = ET.parse(suite.path / "junit.xml").iter("testcase")
    case = next(case for case in cases if case.get("name") == "test_model[resnet18]")
    properties = " ".join(item.get("value") for item in case.iter("property"))
    assert "resnet18" in properties
    assert "6.76" in properties
    assert suite.files() == before


DEADLY = """
import os

import pytest


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_call(item):
    if "vgg11" in item.nodeid:
        os._exit(1)
"""


def test_a_model_whose_worker_died_has_not_passed(suite):
    suite.plug_in(DEADLY)
    run = suite.run("-n2", "--output", "table.csv")
    assert any(line.startswith("vgg11,,,,UNFINISHED") for line in (suite.path / "table.csv").read_text().splitlines())
    assert run.ret != pytest.ExitCode.OK


def test_a_configuration_without_measurements_is_estimated_and_not_judged(suite):
    before = suite.files()
    red = suite.run_here("--batch-size", "2", "--models", "resnet18")
    red.assert_outcomes(failed=1, passed=1, deselected=red.parseoutcomes()["deselected"])
    command = "pytest --hardware Jetson-Orin-AGX --thermal-profile 50W --batch-size 2 --snapshot-update"
    about = "has no goldens: nobody has reviewed it"
    red.stdout.fnmatch_lines(
        ["    resnet18 *", f"FAILED Jetson-Orin-AGX 50W-fp32-b2 - * {about}; {command} writes them"]
    )
    update = suite.run_here("--batch-size", "2", "--snapshot-update", "--models", "resnet18")
    assert update.ret == pytest.ExitCode.OK
    after = suite.files()
    written = {name for name in after if after[name] != before.get(name)}
    assert written == {"Jetson-Orin-AGX/estimates.md", "op-streams.md", "tests.md"}
    for name in written:
        assert set(before[name].splitlines()) < set(after[name].splitlines())
    run = suite.run_here("--batch-size", "2", "--models", "resnet18")
    run.assert_outcomes(passed=1)
    run.stdout.fnmatch_lines(["Not measured: there is no record for Jetson-Orin-AGX 50W-fp32-b2."])
    run.stdout.fnmatch_lines(["    resnet18 * - * - UNMEASURED host *"])


def test_modes_precisions_and_boards_have_goldens_of_their_own(suite):
    half = suite.run_here("--precision", "fp16", "--power-mode", "50W", "--models", "resnet18")
    half.assert_outcomes(passed=1)
    half.stdout.fnmatch_lines(
        ["hardware: Jetson-Orin-AGX, mode 50W, precision fp16, batch 1", "    resnet18 * UNMEASURED *"]
    )
    modes = suite.run_here("--thermal-profile", "MAXN", "--compare", "30W,50W,MAXN", "--models", ",".join(SMALL_MODELS))
    modes.assert_outcomes(passed=3)
    modes.stdout.fnmatch_lines(
        [
            "hardware: Jetson-Orin-AGX, mode MAXN, precision fp32, batch 1",
            "  Est (ms) * 30W * 50W * MAXN",
            "  resnet18 *[*]",
            "  vgg11 *[*]",
            "  [*] fastest",
            "  30W is faster than 50W for 2 of 3 models: resnet18, mobilenet_v2",
        ]
    )
    other = suite.run_here("--hardware", "NVIDIA-H100", "--models", "resnet18")
    other.assert_outcomes(passed=1)
    other.stdout.fnmatch_lines(
        [
            "hardware: NVIDIA-H100, mode default, precision fp32, batch 1, transferred from public-GPUs",
            "*NVIDIA-H100 (default), transferred from public-GPUs*",
        ]
    )


def test_patterns_have_a_table_and_goldens_where_some_are_recorded(suite):
    run = suite.run_here("test_patterns")
    run.assert_outcomes(passed=len(PATTERNS))
    run.stdout.fnmatch_lines(["*PATTERNS - Jetson-Orin-AGX*", "    hardswish *EXCELLENT*", "  Mean |error| *"])
    other = suite.run_here("test_patterns", "--power-mode", "MAXN")
    assert other.parseoutcomes() == {"deselected": len(PATTERNS)}


def test_neither_torch_nor_torchvision_is_imported_to_collect_or_to_refuse(suite):
    with open(suite.path / "conftest.py", "a") as conftest:
        conftest.write("import sys\nfor name in ('torch', 'torchvision'):\n    sys.modules[name] = None\n")
    assert suite.run("--collect-only").ret == pytest.ExitCode.OK
    assert suite.run("--thermal-profile", "60W").ret == pytest.ExitCode.USAGE_ERROR
