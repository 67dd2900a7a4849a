"""The gate itself: a copy in which each layer is wrong in one model, and what a session says of it.

That the untouched copy is green test_suite_run.py says of the whole zoo, test_suite_modes.py of every configuration.
"""

from __future__ import annotations

import fnmatch
import re

import pytest

from estimator.records.kinds import MODEL_KIND
from meta_tests.test_suite_verdict import verdict

WRONG = """
from dataclasses import replace


def pytest_configure():
    from estimator import pipeline, results

    about = [""]

    def wrong(module, name, model, change):
        right = getattr(module, name)

        def either(*arguments):
            found = right(*arguments)
            return change(found, *arguments) if about[0] == model else found

        setattr(module, name, either)

    def estimate(subject, target, right=results._estimate):
        about[0] = subject.name
        return right(subject, target)

    def three_percent_more(costs, *_):
        return replace(costs, host_us=1.03 * costs.host_us, device_us=1.03 * costs.device_us)

    def first_kernel_dropped(lowered, *_):
        first = next(i for i, op in enumerate(lowered) if op.kernels)
        return [*lowered[:first], replace(lowered[first], kernels=()), *lowered[first + 1 :]]

    def added(timeline, host_us, device_us, *_):
        return replace(timeline, end_us=host_us.sum() + device_us.sum())

    results._estimate = estimate
    wrong(pipeline, "price", "resnet18", three_percent_more)
    wrong(pipeline, "lower", "mobilenet_v2", first_kernel_dropped)
    wrong(pipeline, "schedule", "vgg11", added)
    wrong(pipeline, "interval_pct", "resnet50", lambda width_pct, *_: width_pct and 1.1 * width_pct)
"""
RED = {
    "resnet18": "* -> * ms (+3.0 %), *",
    "resnet34": "measured * -> * ms, *",
    "resnet50": "* ms as before; interval_pct * -> * (+* pts)",
    "mobilenet_v2": "*device_ms * -> * (-* %)*",
    "vgg11": "* -> * ms (+* %), *",
}
GREEN = ("mobilenet_v3_small", "vit_b_32")


def shift_record(suite, model, factor):
    """Lets every run of the model in the copy's record have taken so many times as long."""
    path = suite.folder / MODEL_KIND.record

    def shifted(row):
        return f"{model} = [{', '.join(f'{factor * float(ms):.4g}' for ms in row.group(1).split(','))}]"

    text, count = re.subn(rf"^{model} = \[(.*)\]", shifted, path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert count == 1
    path.write_text(text, encoding="utf-8")


def failures(run):
    """What the summary says of each test that failed."""
    lines = (line for line in run.outlines if line.startswith("FAILED "))
    return dict(line.split(" - ", 1)[1].split(": ", 1) for line in lines)


def test_each_layer_made_wrong_in_one_model_is_red_in_its_own_words_and_the_rest_is_green(suite):
    suite.plug_in(WRONG)
    shift_record(suite, "resnet34", 1.1)
    run = suite.run(models=",".join((*RED, *GREEN)))
    run.assert_outcomes(failed=len(RED), passed=len(GREEN), deselected=run.parseoutcomes()["deselected"])
    assert run.ret == pytest.ExitCode.TESTS_FAILED
    found = failures(run)
    assert set(found) == set(RED)
    assert [model for model, words in RED.items() if not fnmatch.fnmatchcase(found[model], words)] == []
    pytest.LineMatcher(verdict(run)).fnmatch_lines(
        [
            "  What changed:",
            "    record of resnet34: other runs were measured",
            "    the code did, in resnet18, resnet50, mobilenet_v2, vgg11 by +3.0 to +* %, *",
            "  What that did:",
            "    2 of 7 estimates moved by +3.0 to +* %, *",
            "    mean |error| * -> * %, largest * -> * %, 7 models",
        ]
    )


def test_every_configuration_that_a_wrong_layer_reaches_is_red_and_names_its_models(two_configurations):
    two_configurations.plug_in(WRONG)
    run = two_configurations.run("--every-configuration", "-v", models="")
    run.assert_outcomes(failed=2, passed=1, deselected=run.parseoutcomes()["deselected"])
    found = failures(run)
    assert set(found) == {"Jetson-Orin-AGX 50W-fp32-b1", "NVIDIA-H100 default-fp32-b1"}
    assert all(fnmatch.fnmatchcase(words, "goldens differ *, estimates moved *") for words in found.values())
    changed = "    no input changed: the code did, in resnet18, resnet50, mobilenet_v2, vgg11 by *"
    pytest.LineMatcher(verdict(run)).fnmatch_lines(["  What changed:", changed, "  What that did:"])
