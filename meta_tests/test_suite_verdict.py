"""The end of a red session as a user meets it: a line for each failure, the cause, what it did, how to go on."""

import json
import re
import shutil

import pytest

from estimator.records.kinds import MODEL_KIND
from meta_tests.test_suite_goldens import move_constant

DISPATCH = "    dispatch_kcycles * -> * kcycle of the CPU per op (+1.0 %), * boards: moves * estimates by *"


def verdict(run):
    lines = run.outlines
    start = next(i for i, line in enumerate(lines) if "= VERDICT =" in line)
    return lines[start + 1 : -1]


@pytest.fixture(params=[("-n0",), ("-n2",)], ids=["n0", "n2"])
def red(request, suite):
    """A session of all models and patterns after one constant was moved by hand."""
    shutil.copytree(request.config.rootpath / "test_patterns", suite.path / "test_patterns")
    move_constant(suite, "dispatch_kcycles")
    return suite.run(*request.param, models="")


def test_a_moved_constant_is_named_in_at_most_a_hundred_lines(red):
    assert red.parseoutcomes()["failed"] > 40
    assert len(red.outlines) <= 100
    pytest.LineMatcher(verdict(red)).fnmatch_lines(
        [
            "  What changed:",
            DISPATCH,
            "  What that did:",
            "    * of * estimates moved by *; *",
            "    mean |error| * -> * %, largest * -> * %, * models",
            "    held-out error: as before, for no refit was recorded (python -m estimator calibrate --refit)",
            "  To accept it:    pytest --every-configuration --snapshot-update",
            "  To look closer:  pytest --hardware Jetson-Orin-AGX --thermal-profile 50W -v, *",
        ]
    )
    failed = [line for line in red.outlines if line.startswith("FAILED ")]
    assert len(failed) == red.parseoutcomes()["failed"]
    names = [line.split("[")[1].split("]")[0] for line in failed if "test_model[" in line]
    assert names[0] == "resnet18"
    assert names[-1] == "fcn_resnet50"


def test_the_verdict_speaks_of_what_was_judged_alone(suite):
    move_constant(suite, "dispatch_kcycles")
    run = suite.run(models="resnet18")
    assert any(line.startswith("    1 of 1 estimates moved by +0.") for line in verdict(run))
    assert any(line.endswith("%, 1 models") for line in verdict(run))


def test_a_refit_says_its_held_out_errors_before_and_now(suite):
    path = suite.folder / "cross-validation.json"
    data = json.loads(path.read_text(encoding="utf-8"))
    before_pct = data["leave_one_model_out"]["mean_abs_error_pct"]
    data["leave_one_model_out"]["mean_abs_error_pct"] = 3.5
    path.write_text(json.dumps(data), encoding="utf-8")
    run = suite.run("-k", "test_inputs", models="")
    assert f"    held-out mean |error|, Jetson-Orin-AGX: a model left out {before_pct} -> 3.5 %" in verdict(run)


def test_a_record_that_changed_is_the_cause(suite):
    path = suite.folder / MODEL_KIND.record
    text = path.read_text(encoding="utf-8")
    line = next(line for line in text.splitlines() if line.startswith("resnet18 = "))
    path.write_text(text.replace(line, "resnet18 = [8.0, 8.1, 8.2]"), encoding="utf-8")
    run = suite.run(models="resnet18")
    run.stdout.fnmatch_lines(["resnet18: measured 6.76 -> 8.1 ms, EXCELLENT -> GOOD"])
    assert verdict(run)[1] == "    record of resnet18: other runs were measured"


ONE_OP_LESS = """
def pytest_configure():
    from estimator.subjects.streams import Streams

    whole = Streams.ops
    Streams.ops = lambda streams, *what: tuple(op for i, op in enumerate(whole(streams, *what)) if i != 2)
"""


def test_an_op_stream_that_changed_is_the_cause(suite):
    suite.plug_in(ONE_OP_LESS)
    run = suite.run(models="resnet18")
    assert verdict(run)[1].startswith("    op stream of resnet18: relu_ 17 -> 16 (")


TWO_KERNELS = """
def pytest_configure():
    from estimator.lower import registry
    from estimator.lower.stream import stream_kernel

    def twice(op, *_, **__):
        return registry.Lowered(op, "pointwise", 0, (stream_kernel(op), stream_kernel(op)))

    registry._RULES["aten.relu_"] = twice
"""


def test_a_rule_that_changed_is_the_code(suite):
    suite.plug_in(TWO_KERNELS)
    run = suite.run(models="resnet18")
    assert verdict(run)[1].startswith("    no input changed: the code did, in resnet18")


def test_a_new_configuration_is_accepted_by_its_own_command(suite):
    run = suite.run("--batch-size", "2", models="resnet18")
    assert "    no golden yet: resnet18" in verdict(run)
    command = "pytest --hardware Jetson-Orin-AGX --thermal-profile 50W --batch-size 2 --snapshot-update"
    assert f"  To accept it:    {command}" in verdict(run)


def test_an_update_of_a_part_leaves_the_inputs_alone(suite):
    before = suite.files()
    move_constant(suite, "dispatch_kcycles")
    run = suite.run("-k", "test_inputs", "--snapshot-update", models="")
    assert run.ret == pytest.ExitCode.TESTS_FAILED
    assert suite.files() == before


def test_a_damaged_table_of_another_board_ends_the_session_in_one_line(suite):
    path = suite.path / "golden" / "NVIDIA-H100" / "estimates.md"
    row = r"(\| constant.dispatch_kcycles \| )[0-9.]+"
    path.write_text(re.sub(row, r"\g<1>11x6.1", path.read_text(encoding="utf-8")), encoding="utf-8")
    run = suite.run(models="resnet18")
    assert run.ret == pytest.ExitCode.USAGE_ERROR
    (line,) = filter(None, run.errlines)
    assert f"{path}: section Inputs, row constant.dispatch_kcycles: must be a finite number" in line


def test_new_goldens_alone_cannot_be_asked_for(suite):
    run = suite.run("--snapshot-update-new-only", models="resnet18")
    assert run.ret == pytest.ExitCode.USAGE_ERROR


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
