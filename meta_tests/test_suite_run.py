"""The suite as a user runs it: header, table, summary, selection and output, with and without pytest-xdist."""

import csv
import json
import re
import xml.etree.ElementTree as ET
from importlib import metadata

import pytest
from _pytest.pytester import LineMatcher

from estimator.compare import Comparison
from estimator.report import summarise, summary_lines, terminal_table
from estimator.subjects.zoo import MODELS, find_models
from meta_tests.conftest import SMALL_MODELS, report_lines

OUTPUTS = ("table.csv", "table.md", "table.json")
XDIST_MODES = {"no xdist": ("-p", "no:xdist"), "n0": ("-n0",), "n2": ("-n2",)}


@pytest.fixture(params=XDIST_MODES.values(), ids=XDIST_MODES)
def run(request, suite):
    run = suite.run(*request.param, *(option for name in OUTPUTS for option in ("--output", name)))
    run.suite = suite
    return run


def test_a_run_says_the_same_for_any_number_of_workers(run, request):
    assert run.ret == pytest.ExitCode.OK
    header_says_what_is_estimated_and_with_what(run)
    table_and_summary_are_those_of_the_goldens(run, SMALL_MODELS)
    outputs_hold_one_row_per_model(run)
    the_readme_s_sample_is_what_is_printed(run, (request.config.rootpath / "README.md").read_text(encoding="utf-8"))


def the_readme_s_sample_is_what_is_printed(run, readme):
    """But for the figures, and why nothing is measured."""
    _, *sample = readme.split("```text\n$ pytest")[1].split("```")[0].splitlines()
    patterns = [re.sub(r"[-+]?\d+\.\d+|\.\.\.|\(no .*\)$", "*", line).split() for line in sample]
    assert len(patterns) > 8
    printed = LineMatcher([" ".join(line.split()) for line in run.outlines])
    printed.fnmatch_lines([" ".join(pattern) for pattern in patterns])


def header_says_what_is_estimated_and_with_what(run):
    run.stdout.fnmatch_lines(
        [
            "hardware: Jetson-Orin-AGX, mode 50W, precision fp32, batch 1",
            "record: golden/Jetson-Orin-AGX/50W-fp32-b1/record-models.toml: *: median of 3 recorded runs, *",
            f"software: torch {metadata.version('torch')}, torchvision {metadata.version('torchvision')}, Python 3.*",
        ]
    )


def table_and_summary_are_those_of_the_goldens(run, models):
    rows = [golden_row(run.suite, model) for model in models]
    expected = [*terminal_table(rows), "", *summary_lines(summarise(rows))]
    assert report_lines(run)[1:] == expected
    assert sum(line.startswith("    ") for line in expected) == len(models)


def golden_row(suite, name):
    (model,) = find_models([name])
    known = {"model": name, "family": model.family, **json.loads(suite.golden(name).read_text())}
    return Comparison(**{key: known[key] for key in Comparison.__dataclass_fields__ if key in known})


def outputs_hold_one_row_per_model(run):
    with open(run.suite.path / "table.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["model"] for row in rows] == list(SMALL_MODELS)
    assert rows[0]["meas_ms"] == "6.76"
    as_json = json.loads((run.suite.path / "table.json").read_text())
    assert [{key: "" if value is None else str(value) for key, value in row.items()} for row in as_json] == rows
    assert {(row["hardware"], row["configuration"]) for row in rows} == {("Jetson-Orin-AGX", "50W-fp32-b1")}
    markdown = (run.suite.path / "table.md").read_text()
    assert all(f"| {row['model']} | {float(row['est_ms']):.2f} | " in markdown for row in rows)
    run.stdout.fnmatch_lines([f"*Table written to *{name}" for name in OUTPUTS])


def test_what_is_skipped_or_deselected_is_not_in_the_table(suite):
    run = suite.run("--skip", "vgg11", "-k", "not mobilenet_v2")
    run.suite = suite
    run.assert_outcomes(passed=1, deselected=run.parseoutcomes()["deselected"])
    table_and_summary_are_those_of_the_goldens(run, ["resnet18"])
    assert not any("unused" in line for line in run.outlines)


def test_a_test_can_be_deselected_by_its_id(suite):
    run = suite.run("--deselect", "test_models/test_models.py::test_model[resnet18]", models="resnet18,vgg11")
    run.suite = suite
    run.assert_outcomes(passed=1, deselected=run.parseoutcomes()["deselected"])
    table_and_summary_are_those_of_the_goldens(run, ["vgg11"])


def test_the_whole_zoo_is_judged_by_the_bars_and_its_report(suite):
    run = suite.run(models="")
    run.assert_outcomes(passed=len(MODELS) + 2, deselected=2)
    lines = [line.split() for line in run.outlines]
    assert any(line[:5] == ["Models", "EXCELLENT:", str(len(MODELS)), "of", str(len(MODELS))] for line in lines)
    for bar in (["Mean", "|error|:"], ["Max", "|error|:"], ["Leave", "one", "model"], ["Leave", "one", "family"]):
        assert any(line[: len(bar)] == bar and "bar" in line for line in lines)


def test_a_model_that_cannot_be_estimated_fails_alone(suite):
    breaking = (
        "from estimator.estimates import Estimates",
        "from estimator.errors import CaptureError",
        "estimate = Estimates.estimate",
        "def fail_large(estimates, subject, target):",
        "    ops = estimates.ops(subject, target)",
        "    if sum(op.name == 'aten.convolution' for op in ops) == 8:",
        "        raise CaptureError('aten.item needs the values of a tensor')",
        "    return estimate(estimates, subject, target)",
        "Estimates.estimate = fail_large",
    )
    with open(suite.path / "conftest.py", "a") as conftest:
        conftest.write("\n".join(breaking) + "\n")
    run = suite.run("--output", "table.csv", "--junitxml", "junit.xml")
    run.assert_outcomes(passed=2, failed=1)
    run.stdout.fnmatch_lines(["vgg11: no estimate: aten.item needs the values of a tensor"])
    lines = [" ".join(line.split()) for line in report_lines(run)]
    assert any(line.startswith("vgg11 - - - FAILED -") for line in lines)
    assert "Failed/Skipped: 1" in lines
    assert any(line.startswith("vgg11,,,,FAILED,,,") for line in (suite.path / "table.csv").read_text().splitlines())
    junit_carries_the_figures(suite.path / "junit.xml")


def junit_carries_the_figures(path):
    case = next(case for case in ET.parse(path).iter("testcase") if case.get("name") == "test_model[resnet18]")
    (subject,) = (json.loads(each.get("value")) for each in case.iter("property") if each.get("name") == "subject")
    assert (subject["name"], subject["row"]["meas_ms"]) == ("resnet18", 6.76)


def test_a_configuration_without_measurements_is_estimated_and_not_judged(suite):
    before = suite.files()
    update = suite.run("--batch-size", "2", "--snapshot-update", models="resnet18")
    assert update.ret == pytest.ExitCode.OK
    after = suite.files()
    written = {name for name in after if after[name] != before.get(name)}
    assert written == {"Jetson-Orin-AGX/estimates.md", "op-streams.md"}
    for name in written:
        assert set(before[name].splitlines()) < set(after[name].splitlines())
    run = suite.run("--batch-size", "2", models="resnet18")
    run.assert_outcomes(passed=1)
    run.stdout.fnmatch_lines(["Not measured: there is no record for Jetson-Orin-AGX 50W-fp32-b2."])
    words = next(line.split() for line in run.outlines if line.startswith("    resnet18"))
    assert words[2:6] == ["-", "-", "UNMEASURED", "host"]


def test_neither_torch_nor_torchvision_is_imported_to_collect_or_to_refuse(suite):
    with open(suite.path / "conftest.py", "a") as conftest:
        conftest.write("import sys\nfor name in ('torch', 'torchvision'):\n    sys.modules[name] = None\n")
    assert suite.run("--collect-only").ret == pytest.ExitCode.OK
    assert suite.run("--thermal-profile", "60W").ret == pytest.ExitCode.USAGE_ERROR
