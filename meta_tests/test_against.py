"""Other estimators beside this one: how they are named and asked, and what is said of their answers."""

import csv
import importlib.util
import io
import json
import shutil
import sys
from dataclasses import dataclass, fields, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from estimator.against.estimators import KEYWORDS, KNOWN, OtherEstimator, find_estimators
from estimator.compare import Comparison, without_estimate
from estimator.errors import UsageError
from estimator.goldens.repository import Repository
from estimator.hardware.reading import TEMPLATES
from estimator.records.kinds import MODEL_KIND
from estimator.records.record import load_record
from estimator.report.answers import Answer, Beside, Theirs, beside_lines, held_out_notes
from estimator.report.comparisons import FIELDS, FORMATS
from estimator.subjects.custom import OwnModel
from estimator.subjects.registry import find_subject
from estimator.subjects.zoo import MODELS
from estimator.target import PRECISIONS, resolve

ROOT = Path(__file__).parents[1]
MEASURED = ROOT / "golden" / "Jetson-Orin-AGX" / "50W-fp32-b1"
SOME = ("resnet18", "vgg11", "vit_b_16", "maxvit_t", "deeplabv3_resnet50")
RESNET = find_subject("resnet18")
ROWS = [
    Comparison("tiny", "Small", 6.5, 7.0, -7.14, "EXCELLENT", "host", 6.4, 1.0, 5.7),
    Comparison("huge", "Large", 280.0, 250.0, 12.0, "GOOD", "device", 30.0, 279.0, 6.5),
    Comparison("even", "Large", 110.0, 100.0, 10.0, "GOOD", "device", 30.0, 109.0, 6.5),
    Comparison("odd", "Large", 110.0, 100.0, 10.0, "GOOD", "device", 30.0, 109.0, 6.5),
    Comparison("little", "Small", 9.0, None, None, "UNMEASURED", "host", 9.0, 2.0, 8.0),
    without_estimate("broken", "Large", "failed"),
]
THEIRS = Beside(
    "lab:guess",
    {
        "tiny": Answer(3.5),
        "huge": Answer(255.0),
        "even": Answer(90.0),
        "odd": Answer(None, "ValueError: no | such kernel"),
        "little": Answer(9.5),
        "broken": Answer(2.0),
    },
)


def answer_of(function, subject=RESNET, **target):
    return OtherEstimator("lab:guess", function).ask(subject, resolve(**target))


def simple(name, root=ROOT):
    return find_estimators([name], Repository.at(root))[0]


@pytest.mark.parametrize(("name", "column"), [("roofline", "roofline_pct"), ("one-constant-per-op", "per_op_pct")])
def test_a_simple_estimate_errs_as_the_cross_validation_says(name, column):
    errors_pct = json.loads((MEASURED / "cross-validation.json").read_text(encoding="utf-8"))["models"]
    record = load_record(MEASURED / MODEL_KIND.record, [model.name for model in MODELS])
    estimator = simple(name)
    for model in map(find_subject, SOME):
        est_ms = estimator.ask(model, resolve()).est_ms
        error_pct = 100 * (est_ms / record.median_ms(model.name) - 1)
        assert error_pct == pytest.approx(errors_pct[model.name][column], abs=0.11), model.name


def test_the_roofline_follows_mode_precision_and_batch():
    least, most = (simple("roofline").ask(RESNET, resolve(thermal_profile=mode)) for mode in ("15W", "MAXN"))
    half, eight = (
        simple("roofline").ask(RESNET, target) for target in (resolve(precision="fp16"), resolve(batch_size=8))
    )
    now = simple("roofline").ask(RESNET, resolve())
    assert half.est_ms < now.est_ms < eight.est_ms
    assert most.est_ms < now.est_ms < least.est_ms


def test_the_roofline_of_this_cpu_is_that_of_its_calibration(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    target = SimpleNamespace(hardware="local-cpu", mode=SimpleNamespace(name=None), precision=PRECISIONS["fp32"])
    target.batch_size = 1
    assert simple("roofline").ask(RESNET, target).problem.startswith("local-cpu is not calibrated on this machine")
    calibrated_here(tmp_path)
    assert simple("roofline").ask(RESNET, resolve("local-cpu")).est_ms > 0


def test_one_constant_is_taken_to_other_modes_and_boards_as_it_is():
    estimator = simple("one-constant-per-op")
    targets = (resolve(), resolve(thermal_profile="15W"), resolve("NVIDIA-H100"), resolve(batch_size=8))
    assert len({estimator.ask(RESNET, target).est_ms for target in targets}) == 1


def test_without_a_record_there_is_no_constant_and_the_line_names_the_file(tmp_path):
    found = simple("one-constant-per-op", tmp_path).ask(RESNET, resolve())
    assert found.est_ms is None
    assert found.problem.endswith("record-models.toml: no recorded models to fit the constant to")


@dataclass
class Estimated:
    latency_ms: float


@pytest.mark.parametrize(
    "given", [7, 7.0, np.float32(7), np.float64(7), np.int64(7), Estimated(7.0), Estimated(np.float32(7))], ids=repr
)
def test_an_answer_is_a_number_of_ms_or_an_object_that_has_one(given):
    assert answer_of(lambda **_: given) == Answer(7.0)
    assert answer_of(lambda **_: 1.234567) == Answer(1.235)


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        (None, "returned None, which is no number of ms"),
        ("7", "returned '7', which is no number of ms"),
        (True, "returned True, which is no number of ms"),
        (Estimated(None), "returned None, which is no number of ms"),
        (float("nan"), "returned nan ms, which is no latency"),
        (float("inf"), "returned inf ms, which is no latency"),
        (-1, "returned -1.0 ms, which is no latency"),
        (0.0, "returned 0.0 ms, which is no latency"),
    ],
    ids=repr,
)
def test_what_is_no_latency_is_a_problem_that_says_what_it_is(given, problem):
    assert answer_of(lambda **_: given) == Answer(None, problem)


@pytest.mark.parametrize("error", [ValueError, SystemExit, AssertionError])
def test_what_another_estimator_raises_is_its_answer(error):
    def failing(**_):
        raise error("no such\n  kernel")

    assert answer_of(failing) == Answer(None, f"{error.__name__}: no such kernel")


def test_a_long_problem_is_cut_to_one_line():
    def failing(**_):
        raise ValueError("\n".join(["many words"] * 100))

    problem = answer_of(failing).problem
    assert len(problem) == 200
    assert "\n" not in problem
    assert problem.endswith(" ...")


def test_another_estimator_is_given_the_module_and_inputs_on_the_meta_device_and_three_names():
    given = {}

    def asked(**keywords):
        given.update(keywords)
        return 1.0

    answer_of(asked, thermal_profile="MAXN", precision="fp16", batch_size=4)
    assert tuple(given) == KEYWORDS
    assert (given["hardware"], given["mode"], given["precision"]) == ("Jetson-Orin-AGX", "MAXN", "fp16")
    assert given["example_inputs"].shape == (4, 3, 224, 224)
    tensors = [given["example_inputs"], *given["model"].parameters(), *given["model"].buffers()]
    assert {tensor.device.type for tensor in tensors} == {"meta"}
    assert {parameter.dtype for parameter in given["model"].parameters()} == {torch.float32}
    assert not given["model"].training


def test_a_module_of_ones_own_is_handed_out_as_a_copy_without_data():
    module = torch.nn.Sequential(torch.nn.Linear(8, 8), torch.nn.BatchNorm1d(8)).train()
    module.append(module[0])
    given = {}

    def halving(model, example_inputs, **_):
        given.update(model=model, inputs=example_inputs)
        model.half()
        return 1.0

    own = OwnModel("own", "test_own", module, {"input": torch.rand(2, 8), "scale": 3})
    assert answer_of(halving, own, batch_size=2) == Answer(1.0)
    tensors = [given["inputs"]["input"], *given["model"].parameters(), *given["model"].buffers()]
    assert {tensor.device.type for tensor in tensors} == {"meta"}
    assert given["inputs"]["input"].shape == (4, 8)
    assert given["inputs"]["scale"] == 3
    assert given["model"][0] is given["model"][2]
    assert not given["model"].training
    assert module.training
    assert {(parameter.device.type, parameter.dtype) for parameter in module.parameters()} == {("cpu", torch.float32)}


def test_what_another_estimator_does_to_its_module_nobody_else_sees():
    seen = []

    def halving(model, **_):
        seen.append(next(model.parameters()).dtype)
        model.half()
        return 1.0

    before = simple("roofline").ask(RESNET, resolve())
    for _ in range(2):
        answer_of(halving)
    assert seen == [torch.float32, torch.float32]
    assert simple("roofline").ask(RESNET, resolve()) == before


@pytest.fixture
def lab(tmp_path, monkeypatch):
    (tmp_path / "lab.py").write_text(
        "calls = []\n"
        "def guess(model, example_inputs, hardware, mode, precision):\n    return 5.0\n"
        "def open_to_all(**keywords):\n    return 5.0\n"
        "class Fitted:\n    def __call__(self, *, model, example_inputs, hardware, mode, precision, scale=1):\n"
        "        return 5.0\n"
        "fitted = Fitted()\n"
        "def positional(model, example_inputs):\n    return 5.0\n"
        "number = 5.0\n"
    )
    (tmp_path / "leaving_lab.py").write_text("raise SystemExit(3)\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield
    sys.modules.pop("lab", None)


@pytest.mark.usefixtures("lab")
@pytest.mark.parametrize("name", [*KNOWN, "lab:guess", "lab:open_to_all", "lab:fitted"])
def test_an_estimator_is_a_simple_one_or_whatever_takes_the_keywords(name):
    found = find_estimators([name, name], Repository.at(ROOT))
    assert [estimator.name for estimator in found] == [name]
    assert found[0].ask(RESNET, resolve()).est_ms > 0


@pytest.mark.usefixtures("lab")
@pytest.mark.parametrize(
    ("name", "words"),
    [
        (
            "rooflines",
            "--against rooflines: unknown estimator; known: roofline, one-constant-per-op; or package.module:",
        ),
        ("nowhere:guess", "nowhere:guess: cannot import nowhere: ModuleNotFoundError: No module named 'nowhere'"),
        ("leaving_lab:guess", "leaving_lab:guess: cannot import leaving_lab: SystemExit: 3"),
        ("lab:missing", "lab:missing: lab has no function 'missing'; the form is package.module:function"),
        ("lab:number", "lab:number: lab has no function 'number'"),
        (
            "lab:positional",
            "must take the keywords model, example_inputs, hardware, mode, precision: got an unexpected",
        ),
    ],
)
def test_a_name_that_is_no_estimator_is_one_line(name, words):
    with pytest.raises(UsageError) as refused:
        find_estimators([name], Repository.at(ROOT))
    assert words in str(refused.value)
    assert "\n" not in str(refused.value)


def test_nobody_is_asked_where_no_configuration_is_compared(suite):
    refused = suite.run_here("--every-configuration", "--against", "roofline")
    assert refused.ret == pytest.ExitCode.USAGE_ERROR
    refused.stderr.fnmatch_lines(["ERROR: --against compares *: leave --every-configuration out"])


def test_a_measured_model_without_our_estimate_shows_their_error():
    uncalibrated = Comparison("tiny", "Small", None, 7.0, None, "-", None, None, None, None)
    lines = [line.strip() for line in beside_lines([uncalibrated], replace(THEIRS, notes=("in-sample",)))]
    assert "Models that lab:guess estimates, and ours does not, and that were measured: 1" in lines
    assert "tiny 7.00 - - 3.50 -50.0% POOR -".split() in map(str.split, lines)
    assert not any(line.startswith("ours") or line == "in-sample" for line in lines)


def test_the_table_shows_both_sides_and_below_it_who_is_nearer():
    texts = list(beside_lines(ROWS, THEIRS))
    lines = [line.split() for line in texts]
    assert lines[3] == "tiny 7.00 6.50 -7.1% 3.50 -50.0% POOR ours".split()
    assert "little - 9.00 - 9.50 - UNMEASURED -".split() in lines
    assert "odd 100.00 110.00 +10.0% - - NO ESTIMATE ValueError: no | such kernel".split() in lines
    assert "ours 9.7% 12.0% 1 2 0 0 1".split() in lines
    assert "lab:guess 20.7% 50.0% 1 1 0 1 1".split() in lines
    assert "Models that both estimate and that were measured: 3".split() in lines
    assert "as far off on either side: 1".split() in lines
    assert lines[-1] == "1 of 6 without an estimate of lab:guess: their lines say why".split()
    assert texts[0].index("Rating") == texts[3].index("POOR")
    assert texts[0].index("Nearer") == texts[3].index("ours")


def test_without_a_measurement_nobody_is_nearer():
    assert list(beside_lines(ROWS[4:5], THEIRS))[-1].strip() == (
        "lab:guess: no model that it estimates was measured: nothing says who is nearer"
    )


def test_the_figures_say_that_ours_are_of_models_that_the_fit_has_seen():
    notes = tuple(held_out_notes({"leave_one_model_out": 2.8, "leave_one_family_out": 4.0}))
    beside = Beside("lab:guess", THEIRS.answers, notes)
    said = "mean |error| over its models when a fit has not seen them 2.8%, their family 4.0%"
    assert any(line.endswith(said) for line in beside_lines(ROWS, beside))
    assert said.replace("|", "\\|") in FORMATS[".md"](ROWS, [beside])
    assert not any("has not seen" in line for line in beside_lines(ROWS[4:5], beside))
    assert list(held_out_notes({})) == []


THEIR_FIELDS = tuple(field.name for field in fields(Theirs))


def test_csv_has_a_column_for_each_estimator_and_field():
    other = Beside("roofline", {row.model: Answer(1.0) for row in ROWS})
    rows = list(csv.DictReader(io.StringIO(FORMATS[".csv"](ROWS, [THEIRS, other]))))
    names = [f"against.{name}.{field}" for name in ("lab:guess", "roofline") for field in THEIR_FIELDS]
    assert list(rows[0]) == [*FIELDS, *names]
    assert (rows[0]["against.lab:guess.est_ms"], rows[0]["against.lab:guess.nearer"]) == ("3.5", "ours")
    assert rows[3]["against.lab:guess.problem"] == "ValueError: no | such kernel"
    assert rows[5]["against.roofline.error_pct"] == ""


def test_json_has_the_answers_by_estimator():
    rows = json.loads(FORMATS[".json"](ROWS, [THEIRS]))
    assert tuple(rows[0]) == (*FIELDS, "against")
    theirs = dict(zip(THEIR_FIELDS, (3.5, -50.0, "POOR", "ours", "")))
    assert rows[0]["against"] == {"lab:guess": theirs}
    assert rows[3]["against"]["lab:guess"]["est_ms"] is None


def test_markdown_has_four_columns_for_each_estimator_and_the_figures_below():
    lines = FORMATS[".md"](ROWS, [THEIRS, Beside("roofline", {})]).splitlines()
    table = lines[: lines.index("")]
    assert {line.replace("\\|", "").count("|") for line in table} == {7 + 2 * 4 + 1}
    assert "| tiny | 6.50 | 7.00 | -7.1% | EXCELLENT | host | ± 5.7% | 3.50 | -50.0% | POOR | ours |" in table[3]
    assert "ValueError: no \\| such kernel" in table[8]
    assert "| lab:guess | 20.7% | 50.0% | 1 | 1 | 0 | 1 | 1 |" in lines
    assert lines[-1].startswith("roofline: no model that it estimates was measured")


def test_markdown_has_a_table_and_figures_for_each_board():
    boards = [replace(row, hardware=board, configuration="50W-fp32-b1") for board in ("A", "B") for row in ROWS[:2]]
    beside = Beside("lab:guess", {row.key: Answer(7.0 if row.hardware == "A" else 70.0) for row in boards})
    lines = FORMATS[".md"](boards, [beside]).splitlines()
    assert [line for line in lines if line.startswith("#")] == ["## A 50W-fp32-b1", "## B 50W-fp32-b1"]
    tiny, figures = ([line for line in lines if line.startswith(f"| {name} ")] for name in ("tiny", "lab:guess"))
    assert ["| 7.00 | +0.0% |" in line for line in tiny] == [True, False]
    assert ["| 70.00 | +900.0% |" in line for line in tiny] == [False, True]
    assert len(set(figures)) == 2


needs_torch_2_6 = pytest.mark.skipif(
    importlib.util.find_spec("torch.distributed._tools") is None
    or importlib.util.find_spec("torch.distributed._tools.runtime_estimator") is None,
    reason="needs torch.distributed._tools.runtime_estimator, which torch has from 2.6 on",
)


@needs_torch_2_6
def test_pytorchs_own_estimator_is_asked_about_the_board_and_not_about_this_machine():
    (estimator,) = find_estimators(["examples.torch_runtime_estimator:estimate"], Repository.at(ROOT))
    targets = {
        "least": resolve(thermal_profile="15W"),
        "now": resolve(),
        "half": resolve(precision="fp16"),
        "eight": resolve(batch_size=8),
    }
    found = {name: estimator.ask(find_subject("vgg11"), target) for name, target in targets.items()}
    assert {answer.problem for answer in found.values()} == {""}
    assert found["half"].est_ms < found["now"].est_ms < min(found["least"].est_ms, found["eight"].est_ms)


@needs_torch_2_6
def test_pytorchs_own_estimator_takes_positional_and_keyword_inputs():
    from examples.torch_runtime_estimator import estimate

    linear, source = torch.nn.Linear(64, 64, device="meta"), torch.empty(8, 64, device="meta")
    names = ("Jetson-Orin-AGX", "50W", "fp32")
    times_ms = {estimate(linear, inputs, *names) for inputs in (source, (source,), {"input": source})}
    assert len(times_ms) == 1
    assert times_ms.pop() > 0


LAB = """
def halved(model, example_inputs, hardware, mode, precision):
    if type(model).__name__ == "VGG":
        raise ValueError("no VGG here")
    return 0.5 * example_inputs.shape[-1] / 224 * {"50W": 14, "15W": 40}[mode]

def constant(**keywords):
    return 5.0
"""


def calibrated_here(cache):
    """Leaves what is believed of any CPU as the profile of this one."""
    profile = cache / "golden-latency" / "local-cpu" / "local-cpu.toml"
    profile.parent.mkdir(parents=True)
    shutil.copy(TEMPLATES / "local-cpu.toml", profile)


def test_another_estimator_stands_below_the_table_of_each_board_whichever_process_asked_it(suite):
    (suite.path / "lab.py").write_text(LAB, encoding="utf-8")
    boards = ("--hardware", "Jetson-Orin-Nano-8GB,Jetson-Orin-AGX")
    written = ("--output", "table.json", "--report", "page.html")
    run = suite.run(*boards, "--against", "lab:halved", "--against", "roofline", "-n", "2", *written)
    assert run.ret == 0
    run.stdout.fnmatch_lines(["against: lab:halved", "against: roofline"])
    run.stdout.fnmatch_lines(
        [
            "*= AGAINST lab:halved - Jetson-Orin-AGX (50W) =*",
            "    resnet18 * 6.76 * 7.00 * +3.5% EXCELLENT * ours",
            "    vgg11 * ValueError: no VGG here",
            "  Models that both estimate and that were measured: 2",
            "  ours was fitted to the record; *",
            "  1 of 3 without an estimate of lab:halved: their lines say why",
            "*= AGAINST roofline - Jetson-Orin-AGX (50W) =*",
        ]
    )
    run.stdout.fnmatch_lines(
        [
            "*= AGAINST lab:halved - Jetson-Orin-Nano-8GB (15W), transferred from Jetson-Orin-AGX =*",
            "    resnet18 * - * 20.00 * - UNMEASURED *",
            "  lab:halved: no model that it estimates was measured: nothing says who is nearer",
        ]
    )
    rows = json.loads((suite.path / "table.json").read_text())
    answers = {(row["hardware"], row["model"]): row["against"] for row in rows}
    assert answers["Jetson-Orin-AGX", "resnet18"]["lab:halved"]["est_ms"] == 7.0
    assert answers["Jetson-Orin-Nano-8GB", "resnet18"]["lab:halved"]["est_ms"] == 20.0
    assert answers["Jetson-Orin-AGX", "vgg11"]["lab:halved"]["problem"] == "ValueError: no VGG here"
    page = (suite.path / "page.html").read_text(encoding="utf-8")
    assert all(words in page for words in ("lab:halved: estimate (ms)", "ValueError: no VGG here", "roofline, nearer"))


def test_on_the_device_both_are_held_against_what_was_measured_now(live):
    (live.suite.path / "lab.py").write_text(LAB, encoding="utf-8")
    calibrated_here(live.suite.path / "cache")
    options = ("--against", "lab:constant", "--against", "roofline", "--output", "table.json")
    run = live.takes({"mobilenet_v3_small": 6.0}, *options)
    run.stdout.fnmatch_lines(["*= AGAINST lab:constant - local-cpu (default) =*", "*= AGAINST roofline - local-cpu*"])
    (row,) = json.loads((live.suite.path / "table.json").read_text())
    theirs = row["against"]
    assert theirs["lab:constant"]["error_pct"] == round(100 * (5.0 / row["meas_ms"] - 1), 2)
    assert theirs["lab:constant"]["nearer"] in ("ours", "theirs")
    assert theirs["roofline"]["error_pct"] == round(100 * (theirs["roofline"]["est_ms"] / row["meas_ms"] - 1), 2)
