"""Power modes, batches, precisions and boards as a user meets them."""

import json
import shutil

import pytest

from estimator.report import FIELDS
from estimator.subjects.patterns import PATTERNS
from meta_tests.test_suite_goldens import move_constant


def estimates_ms(suite, *options):
    suite.run("--output", "table.json", *options).assert_outcomes(passed=3)
    rows = json.loads((suite.path / "table.json").read_text())
    assert set(rows[0]) == set(FIELDS)
    return {row["model"]: row["est_ms"] for row in rows}


@pytest.mark.parametrize("option", ["--thermal-profile", "--power-mode"])
def test_the_power_mode_has_two_names(suite, option):
    run = suite.run(option, "MAXN", models="resnet18")
    run.assert_outcomes(passed=1)
    run.stdout.fnmatch_lines(["hardware: Jetson-Orin-AGX, mode MAXN, precision fp32, batch 1"])


def test_batch_and_precision_have_goldens_of_their_own(suite):
    batch = suite.run("--batch-size", "16", models="resnet18")
    half = suite.run("--precision", "fp16", models="resnet18")
    for run, case in ((batch, "precision fp32, batch 16"), (half, "precision fp16, batch 1")):
        run.assert_outcomes(passed=1)
        run.stdout.fnmatch_lines([f"hardware: Jetson-Orin-AGX, mode 50W, {case}", "    resnet18 * - * UNMEASURED *"])


def test_a_host_bound_model_follows_the_cpu_and_a_device_bound_one_the_gpu(suite):
    fifty, thirty = (estimates_ms(suite, "--power-mode", mode) for mode in ("50W", "30W"))
    assert thirty["resnet18"] < fifty["resnet18"]
    assert thirty["vgg11"] > fifty["vgg11"]


def test_modes_side_by_side_show_where_fewer_watts_are_faster(suite):
    run = suite.run("--compare", "30W,50W,MAXN")
    run.stdout.fnmatch_lines(
        [
            "  Est (ms) by power mode * 30W * 50W * MAXN",
            "    resnet18 *[*]",
            "    vgg11 *[*]",
            "  [*] fastest",
            "  30W is faster than 50W for 2 of 3 models: resnet18, mobilenet_v2",
        ]
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--batch-size", "0"), "--batch-size: must be a whole number from 1 to 1048576, got '0'*"),
        (("--batch-size", "many"), "--batch-size: must be a whole number from 1 to 1048576, got 'many'*"),
        (("--precision", "int8"), "unknown precision 'int8'; known precisions: fp32, tf32, fp16, bf16"),
        (("--compare", "50W,60W"), "unknown thermal profile '60W' of Jetson-Orin-AGX; known thermal profiles: 15W, *"),
        (("--power-mode", "60W"), "unknown thermal profile '60W' of Jetson-Orin-AGX; known thermal profiles: 15W, *"),
    ],
)
def test_bad_names_and_numbers_end_in_one_line(suite, options, message):
    before = suite.files()
    run = suite.run(*options)
    assert run.ret == pytest.ExitCode.USAGE_ERROR
    run.stderr.fnmatch_lines([f"ERROR: {message}"])
    assert suite.files() == before


def test_a_board_that_was_not_calibrated_says_from_whom_its_constants_are(suite):
    run = suite.run("--hardware", "NVIDIA-H100", models="resnet18")
    run.assert_outcomes(passed=1)
    run.stdout.fnmatch_lines(
        [
            "hardware: NVIDIA-H100, mode default, precision fp32, batch 1, transferred from Jetson-Orin-AGX",
            "*NVIDIA-H100 (default), transferred from Jetson-Orin-AGX*",
        ]
    )
    text = (suite.path / "golden" / "NVIDIA-H100" / "estimates.md").read_text(encoding="utf-8")
    assert "| calibration.constants_of | Jetson-Orin-AGX | board |" in text
    assert "| resnet18 | " in text


def test_every_configuration_is_held_against_its_goldens_in_one_run(two_configurations):
    run = two_configurations.run("--every-configuration", "-v", models="")
    run.assert_outcomes(passed=3, deselected=run.parseoutcomes()["deselected"])
    run.stdout.fnmatch_lines(["*test_configuration?Jetson-Orin-AGX/50W-fp32-b1? PASSED*"])


def test_an_update_of_every_configuration_makes_them_all_green(two_configurations):
    suite = two_configurations
    move_constant(suite, "dispatch_kcycles")
    red = suite.run("--every-configuration", "-v", models="")
    red.assert_outcomes(failed=3, deselected=red.parseoutcomes()["deselected"])
    red.stdout.fnmatch_lines(["FAILED *NVIDIA-H100* - NVIDIA-H100 default-fp32-b1: goldens differ *"])
    red.stdout.fnmatch_lines(["hardswish: * -> * ms (*"])
    update = suite.run("--every-configuration", "--snapshot-update", models="")
    update.assert_outcomes(passed=3, deselected=update.parseoutcomes()["deselected"])
    green = suite.run("--every-configuration", models="")
    green.assert_outcomes(passed=3, deselected=green.parseoutcomes()["deselected"])


def test_patterns_have_a_table_and_goldens_where_some_are_recorded(suite, request):
    shutil.copytree(request.config.rootpath / "test_patterns", suite.path / "test_patterns")
    run = suite.run("test_patterns", models="")
    run.assert_outcomes(passed=len(PATTERNS), deselected=1)
    run.stdout.fnmatch_lines(["*PATTERNS - Jetson-Orin-AGX*", "    hardswish *EXCELLENT*", "  Mean |error| *"])
    assert suite.run("test_patterns", "--power-mode", "MAXN", models="").parseoutcomes() == {
        "deselected": len(PATTERNS) + 1
    }
