"""CONTRIBUTING.md's recipes, each done in a copy of the repository with the commands of the text."""

import json
import re
import shutil
import textwrap

import pytest

from estimator.hardware.boards import load_profile
from estimator.hardware.reading import TEMPLATES
from estimator.records.record import PROVENANCE_KEYS, Record, write_record
from estimator.subjects.zoo import MODELS
from meta_tests.test_suite_goldens import move_constant

BOARD = "NVIDIA-GeForce-RTX-4090"


def is_green(run):
    assert run.ret == pytest.ExitCode.OK
    assert run.parseoutcomes().keys() <= {"passed", "deselected"}


def test_a_model_is_one_line_and_one_update(two_configurations):
    home = two_configurations
    zoo = home.path / "estimator" / "subjects" / "zoo.py"
    line = '    ZooModel("maxvit_t", "MaxViT"),\n'
    text = zoo.read_text(encoding="utf-8")
    assert line in text
    zoo.write_text(text.replace(line, line + '    ZooModel("squeezenet1_1", "SqueezeNet"),\n'), encoding="utf-8")
    is_green(home.run("--every-configuration", "--snapshot-update", models=""))
    run = home.run(models="")
    is_green(run)
    run.stdout.fnmatch_lines(["    squeezenet1_1 * UNMEASURED *", "  Mean |error|: * met"])
    row = next(line for line in (home.path / "golden/op-streams.md").read_text().splitlines() if "squeezenet" in line)
    assert "| - |" in row  # every op has a rule


def test_a_board_is_ten_lines_then_its_own_constants_then_a_record(two_configurations):
    home = two_configurations
    profile = home.path / "estimator" / "hardware" / f"{BOARD}.toml"
    shutil.copy(TEMPLATES / "gpu.toml", profile)
    is_green(home.run("--hardware", BOARD, "--snapshot-update", models=""))
    tables = home.path / "golden" / BOARD / "estimates.md"
    assert "## default-fp32-b1" in tables.read_text(encoding="utf-8")

    facts, calibrated = (path.read_text(encoding="utf-8") for path in (profile, load_profile().path))
    constants = calibrated[calibrated.index("\n[calibration]") :].replace('"50W"', '"default"', 1)
    profile.write_text(facts[: facts.index("\n[calibration]")] + constants, encoding="utf-8")
    record = home.path / "golden" / BOARD / "default-fp32-b1" / "record-models.toml"
    record.parent.mkdir()
    about = dict.fromkeys(PROVENANCE_KEYS, "synthetic")
    write_record(Record(record, about, {model.name: (10.0, 10.1, 9.9) for model in MODELS}))
    is_green(home.run("--hardware", BOARD, "--device", "recorded", "--snapshot-update", models=""))
    is_green(home.run("--hardware", BOARD, "--device", "recorded", models=""))
    assert "## default-fp32-b1" not in tables.read_text(encoding="utf-8")
    golden = json.loads((record.parent / "test_models" / "test_model[vgg11].json").read_text(encoding="utf-8"))
    assert golden["meas_ms"] == 10.0


def test_an_op_rule_is_one_decorated_function_and_one_line_of_a_test(suite, request):
    command = ("meta_tests/test_rules.py", "meta_tests/test_lower.py")
    text = (request.config.rootpath / "CONTRIBUTING.md").read_text(encoding="utf-8")
    (function,) = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    with open(suite.path / "estimator" / "lower" / "stream.py", "a", encoding="utf-8") as module:
        module.write("\n\n" + textwrap.dedent(function))
    (suite.path / "meta_tests").mkdir()
    for name in ("meta_tests/__init__.py", "meta_tests/estimating.py", *command):
        shutil.copy(request.config.rootpath / name, suite.path / name)
    chosen = (*command, "-k", "cumprod or stands_in_the_table")  # of 400 tests, those that know the op
    assert "cumprod" in suite.run(*chosen, models="").stdout.str()  # a rule without its line is red
    rules = suite.path / "meta_tests" / "test_rules.py"
    line = '    ("cumprod", (X, 1), (X,), "reduction", (48,)),\n'
    rules.write_text(rules.read_text(encoding="utf-8").replace("CALLS = (\n", "CALLS = (\n" + line), encoding="utf-8")
    is_green(suite.run(*chosen, models=""))


def test_a_constant_or_fact_of_any_board_turns_the_default_session_red(two_configurations):
    home = two_configurations
    for name in ("tensor_core_product_efficiency", "view_kcycles"):
        move_constant(home, name)
    profile = home.path / "estimator" / "hardware" / "NVIDIA-H100.toml"
    text = profile.read_text(encoding="utf-8")
    clock = re.search(r"gpu_mhz = ([\d.]+)", text)
    moved = f"gpu_mhz = {float(clock.group(1)) * 1.01!r}"
    profile.write_text(text.replace(clock.group(0), moved, 1), encoding="utf-8")
    red = home.run("-k", "test_inputs", models="")
    assert red.parseoutcomes()["failed"] == 1
    red.stdout.fnmatch_lines_random(
        [
            "  tensor_core_product_efficiency * -> * (+1.0 %)*",
            "  view_kcycles * -> * (+1.0 %)*",
            "  mode.default.gpu_mhz * -> * MHz (+1.0 %), NVIDIA-H100",
        ]
    )
