"""Goldens as a user meets them: a constant moves, the diff says what, an update rewrites, nothing else is touched."""

import json
import re

import pytest


def move_constant(suite, name, factor=1.01):
    """Multiplies a calibrated constant in the profile of the copy."""

    def moved(match):
        return f"{match.group(1)}{float(match.group(2)) * factor!r}"

    text, count = re.subn(
        rf"(\[constants\.{name}\]\nvalue = )([0-9.e+-]+)", moved, suite.profile.read_text(encoding="utf-8")
    )
    assert count == 1
    suite.profile.write_text(text, encoding="utf-8")


def changed(before, after):
    return sorted(name.split("/", 2)[-1] for name in {*before, *after} if before.get(name) != after.get(name))


@pytest.mark.parametrize("xdist", [("-p", "no:xdist"), ("-n0",), ("-n2",)], ids=["no xdist", "n0", "n2"])
def test_one_percent_on_a_constant_is_red_and_says_in_short_what_moved(suite, xdist):
    before = suite.files()
    move_constant(suite, "dispatch_kcycles")
    run = suite.run(*xdist, models="resnet18")
    run.assert_outcomes(failed=1)
    run.stdout.fnmatch_lines(
        [
            "resnet18: * -> * ms (+0.* %), EXCELLENT",
            "  most: host_terms_ms.pointwise * -> * (+* %), host_terms_ms.convolution * -> * (+* %)",
            "  -v shows every term, and where each figure is from",
            "FAILED test_models/test_models.py::test_model?resnet18? - resnet18: * -> * ms (+0.* %), EXCELLENT",
        ]
    )
    assert sum("FAILED" in line for line in run.outlines) == 1
    assert suite.files() == before


def test_with_v_a_failure_has_every_term_and_where_each_figure_is_from(suite):
    move_constant(suite, "dispatch_kcycles")
    run = suite.run("-v", models="resnet18")
    run.stdout.fnmatch_lines(
        [
            "  term  *golden  *now  *change",
            "  est_ms  *+*%",
            "  error_pct  *+*pts",
            "  host_ms  *+*%",
            "  host_terms_ms.pointwise  *+*%",
            "  golden:   golden/Jetson-Orin-AGX/50W-fp32-b1/test_models/test_model?resnet18?.json *",
            "  record:   *record-models.toml (median of 7.0, 6.76, 6.71 ms)",
            "  estimate: estimator/hardware/Jetson-Orin-AGX.toml",
        ]
    )
    assert not any("device_ms" in line for line in run.outlines)


def test_an_update_of_one_configuration_rewrites_it_and_says_that_others_are_stale(suite):
    before = suite.files()
    move_constant(suite, "dispatch_kcycles")
    red = suite.run("-v", models="")
    assert red.parseoutcomes()["failed"] > 11
    red.stdout.fnmatch_lines(
        ["golden/*/validation.md: * lines of the table differ", "-| resnet18 | *", "+| resnet18 | *"]
    )
    stale = suite.run("--snapshot-update", models="")
    stale.stdout.fnmatch_lines(
        [
            "the goldens were made from other inputs: dispatch_kcycles",
            "  dispatch_kcycles * -> * kcycle of the CPU per op (+1.0 %), * boards",
            "  not rewritten in this session: Jetson-Orin-AGX *MAXN-fp32-b1",
            "  to rewrite them all: pytest --every-configuration --snapshot-update",
        ]
    )
    names = changed(before, suite.files())
    assert {"validation.md", "test_models/test_model[resnet18].json"} < set(names)
    assert all(name == "validation.md" or name.startswith("test_models/") for name in names)


def test_an_update_of_some_models_leaves_the_others_alone(suite):
    before = suite.files()
    move_constant(suite, "dispatch_kcycles")
    run = suite.run("--snapshot-update", "-k", "not mobilenet_v2", models="resnet18,mobilenet_v2")
    run.assert_outcomes(passed=1)
    assert changed(before, suite.files()) == ["test_models/test_model[resnet18].json"]


def test_an_update_with_workers_is_refused(suite):
    before = suite.files()
    move_constant(suite, "dispatch_kcycles")
    run = suite.run("--snapshot-update", "-n2")
    assert run.ret == pytest.ExitCode.USAGE_ERROR
    run.stderr.fnmatch_lines(["ERROR: --snapshot-update cannot be combined with -n: *"])
    assert suite.files() == before


def test_a_model_without_a_golden_fails_and_an_update_writes_it(suite):
    before = suite.files()
    suite.golden("resnet18").unlink()
    suite.run(models="resnet18").stdout.fnmatch_lines(["resnet18: there is no golden to compare with, * ms now"])
    suite.run("--snapshot-update", models="resnet18").assert_outcomes(passed=1)
    assert suite.files() == before


def test_a_golden_that_was_only_reformatted_says_so(suite):
    golden = suite.golden("resnet18")
    golden.write_text(json.dumps(json.loads(golden.read_text())))
    run = suite.run(models="resnet18")
    run.assert_outcomes(failed=1)
    run.stdout.fnmatch_lines(["resnet18: only the text of its golden differs"])


def test_an_error_outside_the_band_of_the_golden_rating_says_so(suite):
    assert json.loads(suite.golden("resnet18").read_text())["rating"] == "EXCELLENT"
    move_constant(suite, "dispatch_kcycles", factor=1.3)
    suite.run(models="resnet18").stdout.fnmatch_lines(
        [
            "resnet18: * -> * ms (+* %), EXCELLENT -> GOOD",
            "  the error left the band of its golden rating:",
            "  expected |error| < 10 % (EXCELLENT)",
            "  got +* % (GOOD)",
            "  estimated * ms, measured 6.76 ms",
        ]
    )


def test_an_update_keeps_the_golden_of_a_model_that_cannot_be_estimated(suite):
    before = suite.files()
    with open(suite.path / "conftest.py", "a") as conftest:
        conftest.write("from estimator.estimates import Estimates\nEstimates.estimate = None\n")
    suite.run("--snapshot-update", models="resnet18").assert_outcomes(failed=1)
    assert suite.files() == before


FULL_DISK = """
import os

def pytest_sessionstart():
    def full(_):
        raise OSError(28, "No space left on device")

    os.fsync = full
"""


def test_a_golden_that_cannot_be_written_fails_its_test_and_stays(suite):
    before = suite.files()
    move_constant(suite, "dispatch_kcycles")
    suite.plug_in(FULL_DISK)
    run = suite.run("--snapshot-update", models="resnet18,vgg11")
    run.assert_outcomes(failed=2)
    run.stdout.fnmatch_lines(
        [f"{name}: its golden could not be written: *No space left*" for name in ("resnet18", "vgg11")]
    )
    assert not any("INTERNAL" in line or "Traceback" in line for line in (*run.outlines, *run.errlines))
    assert suite.files() == before
