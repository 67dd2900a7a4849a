"""CONTRIBUTING.md's recipes, each done in a copy of the repository with the commands of the text."""

import json
import re
import shutil
import textwrap

import pytest

from estimator.__main__ import main
from estimator.hardware.boards import load_profile
from estimator.hardware.reading import TEMPLATES, read_profile
from estimator.records.record import PROVENANCE_KEYS, Record, write_record
from estimator.subjects.zoo import MODELS
from meta_tests.test_suite_goldens import move_constant

UPDATE_ALL = ("--every-configuration", "--snapshot-update")
BOARD = "NVIDIA-GeForce-RTX-4090"


class Recipes:
    """The recipes of CONTRIBUTING.md: their text, and the words behind `pytest` of each line of their commands."""

    def __init__(self, text):
        self._sections = {part.split("\n")[0]: part for part in text.split("\n## ")}

    def text(self, title):
        return self._sections[title]

    def __call__(self, title):
        blocks = re.findall(r"```sh\n(.*?)```", self.text(title), flags=re.DOTALL)
        lines = [line for block in blocks for line in re.split(r"\n\s*| && ", block)]
        return [tuple(line.split()[1:]) for line in lines if "pytest" in line]


@pytest.fixture
def recipe(request):
    return Recipes((request.config.rootpath / "CONTRIBUTING.md").read_text(encoding="utf-8"))


@pytest.fixture
def home(two_configurations):
    return two_configurations


def is_green(run):
    assert run.ret == pytest.ExitCode.OK
    assert run.parseoutcomes().keys() <= {"passed", "deselected"}


def test_a_model_is_one_line_and_one_update(home, recipe):
    assert UPDATE_ALL in recipe("Add a model")
    zoo = home.path / "estimator" / "subjects" / "zoo.py"
    line = '    ZooModel("maxvit_t", "MaxViT"),\n'
    text = zoo.read_text(encoding="utf-8")
    assert line in text
    zoo.write_text(text.replace(line, line + '    ZooModel("squeezenet1_1", "SqueezeNet"),\n'), encoding="utf-8")
    is_green(home.run(*UPDATE_ALL, models=""))
    run = home.run(models="")
    is_green(run)
    run.stdout.fnmatch_lines(
        [
            "    squeezenet1_1 * UNMEASURED *",
            f"  Models EXCELLENT: *{len(MODELS)} of {len(MODELS)} * met",
            "  Mean |error|: * met",
        ]
    )
    row = next(line for line in (home.path / "golden/op-streams.md").read_text().splitlines() if "squeezenet" in line)
    assert "| - |" in row  # every op has a rule


def test_a_board_is_ten_lines_then_its_own_constants_then_a_record(home, recipe):
    assert ("--hardware", "NAME", "--snapshot-update") in recipe("Add a board")
    profile = home.path / "estimator" / "hardware" / f"{BOARD}.toml"
    shutil.copy(TEMPLATES / "gpu.toml", profile)
    is_green(home.run("--hardware", BOARD, "--snapshot-update", models=""))
    is_green(home.run("--hardware", BOARD, models=""))
    tables = home.path / "golden" / BOARD / "estimates.md"
    assert "## default-fp32-b1" in tables.read_text(encoding="utf-8")

    give_constants_of_its_own(profile)
    record = home.path / "golden" / BOARD / "default-fp32-b1" / "record-models.toml"
    record.parent.mkdir()
    about = dict.fromkeys(PROVENANCE_KEYS, "made up")
    write_record(Record(record, about, {model.name: (10.0, 10.1, 9.9) for model in MODELS}))
    is_green(home.run("--hardware", BOARD, "--device", "recorded", "--snapshot-update", models=""))
    is_green(home.run("--hardware", BOARD, "--device", "recorded", models=""))
    assert "## default-fp32-b1" not in tables.read_text(encoding="utf-8")
    golden = json.loads((record.parent / "test_models" / "test_model[vgg11].json").read_text(encoding="utf-8"))
    assert golden["meas_ms"] == 10.0


def give_constants_of_its_own(path):
    """What a calibration does to a profile: constants instead of the name of another board."""
    origin = load_profile().path.read_text(encoding="utf-8")
    calibrated = origin[origin.index("\n[calibration]") :].replace('power_mode = "50W"', 'power_mode = "default"')
    text = path.read_text(encoding="utf-8")
    path.write_text(text[: text.index("\n[calibration]")] + calibrated, encoding="utf-8")
    assert read_profile(path).transferred_from == ""


def test_an_op_rule_is_one_decorated_function_and_one_line_of_a_test(home, recipe, request):
    root = request.config.rootpath
    (function,) = re.findall(r"```python\n(.*?)```", recipe.text("Add an op rule"), flags=re.DOTALL)
    with open(home.path / "estimator" / "lower" / "stream.py", "a", encoding="utf-8") as module:
        module.write("\n\n" + textwrap.dedent(function))
    (command,) = [words for words in recipe("Add an op rule") if "meta_tests/test_rules.py" in words]
    for name in ("meta_tests/__init__.py", *command):
        (home.path / name).parent.mkdir(exist_ok=True)
        shutil.copy(root / name, home.path / name)
    assert "cumprod" in home.run(*command, models="").stdout.str()  # a rule without its line is red
    rules = home.path / "meta_tests" / "test_rules.py"
    line = '    ("cumprod", (X, 1), (X,), "reduction", (48,)),\n'
    rules.write_text(rules.read_text(encoding="utf-8").replace("CALLS = (\n", "CALLS = (\n" + line), encoding="utf-8")
    is_green(home.run(*command, models=""))
    before = home.files()
    is_green(home.run(*UPDATE_ALL, models=""))
    assert home.files() == before  # no model calls the op


@pytest.mark.parametrize("name", ["tensor_core_product_efficiency", "view_kcycles"])
def test_one_percent_on_a_constant_turns_the_default_session_red_for_every_board(home, recipe, name):
    assert recipe("Change a constant")[-1] == UPDATE_ALL
    move_constant(home, name)
    red = home.run("-k", "test_inputs", models="")
    red.assert_outcomes(failed=1, deselected=red.parseoutcomes()["deselected"])
    red.stdout.fnmatch_lines([f"  {name} * -> * (+1.0 %), 2 boards"])


def test_a_constant_that_moved_is_updated_and_then_reviewed(home, recipe, monkeypatch, capsysbinary):
    assert "python -m estimator review" in recipe.text("Change a constant")
    shutil.copytree(home.path / "golden", home.path / "before" / "golden")
    move_constant(home, "view_kcycles")
    is_green(home.run(*UPDATE_ALL, models=""))
    monkeypatch.chdir(home.path)
    assert main(["review", "before", "."]) == 0
    text = capsysbinary.readouterr().out.decode()
    assert "  view_kcycles (2 boards)" in text


def test_a_fact_that_only_another_board_has_turns_the_default_session_red(home):
    profile = home.path / "estimator" / "hardware" / "NVIDIA-H100.toml"
    text = profile.read_text(encoding="utf-8")
    clock = re.search(r"gpu_mhz = ([\d.]+)", text)
    moved = f"gpu_mhz = {float(clock.group(1)) * 1.01!r}"
    profile.write_text(text.replace(clock.group(0), moved, 1), encoding="utf-8")
    red = home.run("-k", "test_inputs", models="")
    red.assert_outcomes(failed=1, deselected=red.parseoutcomes()["deselected"])
    red.stdout.fnmatch_lines(["  mode.default.gpu_mhz * -> * MHz (+1.0 %), NVIDIA-H100"])
