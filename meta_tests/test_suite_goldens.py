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


@pytest.mark.parametrize("xdist", [("-p", "no:xdist"), ("-n2",)], ids=["no xdist", "n2"])
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
            "    1 of 1 estimates moved by +0.*",
            "    mean |error| *, 1 models",
        ]
    )
    assert sum("FAILED" in line for line in run.outlines) == 1
    assert suite.files() == before


def test_with_v_a_failure_has_every_term_where_each_figure_is_from_and_the_band_that_was_left(suite):
    assert json.loads(suite.golden("resnet18").read_text())["rating"] == "EXCELLENT"
    move_constant(suite, "dispatch_kcycles", factor=1.3)
    run = suite.run("-v", models="resnet18")
    run.stdout.fnmatch_lines(
        [
            "resnet18: * -> * ms (+* %), EXCELLENT -> GOOD",
            "  the error left the band of its golden rating:",
            "  expected |error| < 10 % (EXCELLENT)",
            "  got +* % (GOOD)",
            "  estimated * ms, measured 6.76 ms",
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
    part = suite.run("-k", "test_inputs", "--snapshot-update", models="")
    assert part.ret == pytest.ExitCode.TESTS_FAILED
    assert suite.files() == before  # inputs would be newer than the goldens made from them
    stale = suite.run("--snapshot-update", models="")
    stale.stdout.fnmatch_lines(
        [
            "the goldens were made from other inputs: dispatch_kcycles, convolution_extra_kcycles",
            "  dispatch_kcycles * -> * kcycle of the CPU per op (+1.0 %), * boards",
            "  not rewritten in this session: Jetson-Orin-AGX *MAXN-fp32-b1",
            "  to rewrite them all: pytest --every-configuration --snapshot-update",
        ]
    )
    names = changed(before, suite.files())
    assert {"validation.md", "test_models/test_model[resnet18].json"} < set(names)
    assert all(name == "validation.md" or name.startswith(("test_models/", "test_patterns/")) for name in names)


def test_a_missing_or_reformatted_golden_is_said_and_an_update_of_some_models_leaves_the_others_alone(suite):
    before = suite.files()
    suite.golden("resnet18").unlink()
    vgg = suite.golden("vgg11")
    vgg.write_text(json.dumps(json.loads(vgg.read_text())))
    run = suite.run(models="resnet18,vgg11")
    run.assert_outcomes(failed=2)
    run.stdout.fnmatch_lines(
        ["resnet18: there is no golden to compare with, * ms now", "vgg11: only the text of its golden differs"]
    )
    suite.run("--snapshot-update", models="resnet18,vgg11").assert_outcomes(passed=2)
    assert suite.files() == before
    move_constant(suite, "dispatch_kcycles")
    update = suite.run("--snapshot-update", "-k", "not mobilenet_v2", models="resnet18,mobilenet_v2")
    update.assert_outcomes(passed=1)
    assert changed(before, suite.files()) == ["test_models/test_model[resnet18].json"]


FULL_DISK = """
import os

def pytest_sessionstart():
    def full(_):
        raise OSError(28, "No space left on device")

    os.fsync = full
"""


def test_a_file_that_cannot_be_written_is_said_and_what_was_there_stays(suite):
    before = suite.files()
    move_constant(suite, "dispatch_kcycles")
    suite.plug_in(FULL_DISK)
    run = suite.run("--snapshot-update", "--output", "table.csv", models="resnet18,vgg11")
    run.assert_outcomes(failed=2)
    run.stdout.fnmatch_lines(
        [
            "resnet18: its golden could not be written: *No space left*",
            "vgg11: its golden could not be written: *No space left*",
            "  Table NOT WRITTEN to *table.csv: No space left on device",
        ]
    )
    assert not any("INTERNAL" in line or "Traceback" in line for line in (*run.outlines, *run.errlines))
    assert suite.files() == before


def test_what_ends_an_update_is_said_too_where_it_cannot_be_written(suite):
    tests = suite.path / "golden" / "tests.md"
    tests.write_text(tests.read_text(encoding="utf-8").replace("::test_baseline", "::test_of_old"), encoding="utf-8")
    suite.plug_in(FULL_DISK)
    last = suite.run("--snapshot-update", models="")
    assert last.ret == pytest.ExitCode.TESTS_FAILED
    last.stdout.fnmatch_lines(["FAILED could not be written: */golden/tests.md: No space left on device"])
    move_constant(suite, "dispatch_kcycles")
    every = suite.run("--every-configuration", "--snapshot-update", "-k", "test_inputs or Xavier", models="")
    every.assert_outcomes(failed=3, deselected=every.parseoutcomes()["deselected"])
    every.stdout.fnmatch_lines_random(
        ["*Xavier 15W-fp16-b1: goldens could not be written 22", "*No space left on device*"]
    )
    for run in (last, every):
        assert not any("INTERNAL" in line or "Traceback" in line for line in (*run.outlines, *run.errlines))


def test_another_rootdir_changes_neither_the_goldens_nor_what_is_collected(suite, tmp_path_factory):
    before, folder = suite.files(), tmp_path_factory.mktemp("rootdir")
    for name in ("meta_tests", "examples"):
        (suite.path / name).mkdir()
        (suite.path / name / "test_own.py").write_text("raise ImportError")
    suite.golden("vgg11").unlink()
    run = suite.run(str(suite.path), "--rootdir", str(folder), "--snapshot-update", models="vgg11")
    run.assert_outcomes(passed=1)
    assert suite.files() == before
    assert not (folder / "golden").exists()


def test_every_configuration_is_held_against_its_goldens_and_updated_in_one_run(two_configurations):
    suite = two_configurations
    move_constant(suite, "dispatch_kcycles")
    red = suite.run("--every-configuration", "-v", models="")
    assert red.parseoutcomes()["failed"] == 4
    red.stdout.fnmatch_lines(["*test_configuration?Jetson-Orin-AGX/50W-fp32-b1? FAILED*"])
    red.stdout.fnmatch_lines(["FAILED *NVIDIA-H100* - NVIDIA-H100 default-fp32-b1: goldens differ *"])
    red.stdout.fnmatch_lines(["hardswish: * -> * ms (*"])
    update = suite.run("--every-configuration", "--snapshot-update", models="")
    update.assert_outcomes(passed=4, deselected=update.parseoutcomes()["deselected"])
    green = suite.run("--every-configuration", models="")
    green.assert_outcomes(passed=4, deselected=green.parseoutcomes()["deselected"])
