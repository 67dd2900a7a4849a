"""The end of a red session as a user meets it: a line for each failure, the cause, what it did, how to go on."""

from __future__ import annotations

import fnmatch
import json
import re

import pytest

from estimator.records.kinds import MODEL_KIND
from meta_tests.test_suite_goldens import move_constant


def verdict(run):
    lines = run.outlines
    start = next(i for i, line in enumerate(lines) if "= VERDICT =" in line)
    return lines[start + 1 : -1]


def test_a_moved_constant_is_named_in_at_most_a_hundred_lines(suite):
    move_constant(suite, "dispatch_kcycles")
    red = suite.run("-n2", models="")
    assert red.parseoutcomes()["failed"] > 40
    assert len(red.outlines) <= 100
    pytest.LineMatcher(verdict(red)).fnmatch_lines(
        [
            "  What changed:",
            "    dispatch_kcycles * -> * kcycle of the CPU per op (+1.0 %), * boards: moves * estimates by *",
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
    assert (names[0], names[-1]) == ("resnet18", "fcn_resnet50")


WRONG = """
from dataclasses import replace

from estimator import estimates, pipeline

COUNTS = {}  # ops of a model
estimate, lower, schedule = estimates.Estimates.estimate, pipeline.lower, pipeline.schedule


def estimate_wrong(of, subject, target):
    found = estimate(of, subject, target)
    if subject.name == "resnet18":
        return replace(found, latency_ms=1.03 * found.latency_ms)
    return replace(found, interval_pct=1.1 * found.interval_pct) if subject.name == "resnet50" else found


def lower_wrong(ops, *rules):
    lowered = lower(ops, *rules)
    first = next(i for i, op in enumerate(lowered) if op.kernels)
    without = [*lowered[:first], replace(lowered[first], kernels=()), *lowered[first + 1 :]]
    return without if len(ops) == COUNTS["mobilenet_v2"] else lowered


def schedule_wrong(host_us, device_us, *others):
    found = schedule(host_us, device_us, *others)
    return replace(found, end_us=found.end_us + device_us.sum()) if len(host_us) == COUNTS["vgg11"] else found


estimates.Estimates.estimate, pipeline.lower, pipeline.schedule = estimate_wrong, lower_wrong, schedule_wrong
"""
RED = {
    "resnet18": "* -> * ms (+3.0 %), *",
    "resnet34": "measured * -> * ms, *",
    "resnet50": "* ms as before; interval_pct * -> * (+* pts)",
    "mobilenet_v2": "*device_ms * -> * (-* %)*",
    "vgg11": "* -> * ms (+* %), *",
}
GREEN = ("mobilenet_v3_small", "vit_b_32")


def ops_of(suite, name):
    """How many ops a model has, as its table of op streams says."""
    rows = (line.split(" | ") for line in (suite.path / "golden/op-streams.md").read_text("utf-8").splitlines())
    return next(int(row[1]) for row in rows if row[0] == f"| {name}")


def shift_record(suite, model, factor):
    """Lets every run of the model in the copy's record have taken so many times as long."""
    path = suite.folder / MODEL_KIND.record

    def shifted(row):
        return f"{model} = [{', '.join(f'{factor * float(ms):.4g}' for ms in row.group(1).split(','))}]"

    text, count = re.subn(rf"^{model} = \[(.*)\]", shifted, path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert count == 1
    path.write_text(text, encoding="utf-8")


def test_each_layer_made_wrong_in_one_model_is_red_in_its_own_words_and_the_rest_is_green(suite):
    counts = {name: ops_of(suite, name) for name in RED}
    assert len({*counts.values(), *(ops_of(suite, name) for name in GREEN)}) == len(RED) + len(GREEN)
    suite.plug_in(WRONG.replace("COUNTS = {}", f"COUNTS = {counts}"))
    shift_record(suite, "resnet34", 1.1)
    run = suite.run(models=",".join((*RED, *GREEN)))
    run.assert_outcomes(failed=len(RED) + 1, passed=len(GREEN), deselected=run.parseoutcomes()["deselected"])
    failed = (line.split(" - ", 1)[1] for line in run.outlines if line.startswith("FAILED "))
    found = dict(line.split(": ", 1) for line in failed)
    assert found.pop("a whole session is not what was last reviewed").endswith("record-models.toml is another one")
    assert set(found) == set(RED)
    assert [model for model, words in RED.items() if not fnmatch.fnmatchcase(found[model], words)] == []
    pytest.LineMatcher(verdict(run)).fnmatch_lines(
        [
            "  What changed:",
            "    record of resnet34: other runs were measured",
            "    the code did, in resnet18, resnet50, mobilenet_v2, vgg11 by +* to +* %, *",
            "  What that did:",
            "    * of 7 estimates moved by +* to +* %, *",
            "    mean |error| * -> * %, largest * -> * %, 7 models",
        ]
    )


ONE_OP_LESS = """
from estimator.subjects.streams import Streams

whole = Streams.ops


def one_less(streams, subject, *what):
    ops = whole(streams, subject, *what)
    return (*ops[:2], *ops[3:]) if subject.name == "resnet18" else ops


Streams.ops = one_less
"""


def test_op_streams_records_and_refits_that_changed_are_causes(suite):
    suite.plug_in(ONE_OP_LESS)
    shift_record(suite, "vgg11", 1.5)
    path = suite.folder / "cross-validation.json"
    data = json.loads(path.read_text(encoding="utf-8"))
    before_pct = data["leave_one_model_out"]["mean_abs_error_pct"]
    data["leave_one_model_out"]["mean_abs_error_pct"] = 3.5
    path.write_text(json.dumps(data), encoding="utf-8")
    run = suite.run(models="resnet18,vgg11")
    lines = verdict(run)
    assert any(line.startswith("    op stream of resnet18: relu_ 17 -> 16 (") for line in lines)
    assert "    record of vgg11: other runs were measured" in lines
    assert f"    held-out mean |error|, Jetson-Orin-AGX: a model left out {before_pct} -> 3.5 %" in lines
    run.stdout.fnmatch_lines(["vgg11: measured * -> * ms, *"])
