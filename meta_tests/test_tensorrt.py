"""An engine of a model: its estimate, its interval, its budget and golden, and how a device builds and times it."""

from __future__ import annotations

import json
import re
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from estimator.__main__ import main
from estimator.errors import UsageError
from estimator.hardware.boards import Board, load_profile
from estimator.measure import engines
from estimator.measure.engines import refuse_without_builder
from estimator.measure.protocol import Protocol
from estimator.measure.worker import serve
from estimator.runtimes import tensorrt_constants, with_runtime
from estimator.subjects.registry import find_subject
from estimator.target import parse_label, resolve
from estimator.target_options import target_command
from meta_tests.estimating import ESTIMATES
from meta_tests.test_own_model import repository  # noqa: F401  a fixture

AT_30W = "resnet50", "--runtime", "tensorrt", "--power-mode", "30W"
TINY = Protocol(warmup=1, rounds=2, min_warmup=1, min_rounds=2, budget_s=1.0)
PRECISIONS = ("fp32", "fp16", "int8")
TESTS = """
@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_shipped(latency, precision):
    latency.check(Net(), torch.empty(1, 3, 64, 64), budget_ms={budget}, runtime="tensorrt", precision=precision)
"""
TRTEXEC = """#!/bin/sh
echo "$@" > {said}
for word in "$@"; do
  case "$word" in
    --onnx=*) test -s "${word#--onnx=}" || exit 3 ;;
    --exportTimes=*) echo '[{"computeMs": 2.5}, {"computeMs": 2.25}, {"computeMs": 9}]' > "${word#--exportTimes=}" ;;
  esac
done
"""


def engine(model, precision="fp16", batch=1, hardware="Jetson-Orin-AGX", mode=None):
    return ESTIMATES.estimate(find_subject(model), resolve(hardware, mode, precision, batch, "tensorrt"))


def said(capsys, *words):
    """What a command prints, and its exit code."""
    code = main(words)
    return code, "".join(capsys.readouterr())


def test_the_command_says_the_runtime_the_layers_and_how_sure_it_is(capsys):
    code, text = said(capsys, "estimate", *AT_30W, "--precision", "fp16")
    first, second, third, _ = text.splitlines()
    assert code == 0
    assert first == "resnet50 on Jetson-Orin-AGX, mode 30W, runtime tensorrt, precision fp16, batch 1"
    assert "±" in second
    assert third.startswith("56 layers, ")
    data = json.loads(said(capsys, "estimate", *AT_30W, "--json")[1])
    assert (data["runtime"], data["precision"], data["kernels"]) == ("tensorrt", "fp32", 56)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--runtime", "trt"), "error: unknown runtime 'trt'; known runtimes: eager, tensorrt"),
        (
            ("--runtime", "tensorrt", "--precision", "bf16"),
            "precision 'bf16' of tensorrt; known precisions: fp32, fp16, int8",
        ),
        (("--precision", "int8"), "error: unknown precision 'int8'; known precisions: fp32, tf32, fp16, bf16"),
        (("--runtime", "tensorrt", "--hardware", "local-cpu"), "local-cpu"),
    ],
    ids="runtime precision eager cpu".split(),
)
def test_what_cannot_be_estimated_is_one_line(capsys, words, message):
    code, text = said(capsys, "estimate", "resnet50", *words)
    assert code == 4
    assert message in text
    assert len(text.splitlines()) == 1


@pytest.mark.parametrize("model", ["resnet18", "mobilenet_v2", "vit_b_16", "maxvit_t"])
def test_fewer_bits_are_never_slower_and_an_engine_beats_eager_mode(model):
    eager_ms = ESTIMATES.estimate(find_subject(model), resolve()).latency_ms
    latencies_ms = [engine(model, precision).latency_ms for precision in PRECISIONS]
    assert latencies_ms == sorted(latencies_ms, reverse=True)
    assert latencies_ms[0] < eager_ms


def test_int8_is_fp16_where_no_tensor_core_takes_it():
    for model, batch in (("resnet50", 1), ("vit_b_16", 32)):
        wide, narrow = (engine(model, precision, batch, "NVIDIA-V100") for precision in ("fp16", "int8"))
        assert narrow.latency_ms == wide.latency_ms


def test_a_batch_takes_longer_and_an_image_of_it_not():
    per_batch_ms = [engine("resnet50", batch=batch, mode="30W").latency_ms for batch in (1, 2, 8, 32)]
    per_image_ms = [ms / batch for ms, batch in zip(per_batch_ms, (1, 2, 8, 32))]
    assert per_batch_ms == sorted(per_batch_ms)
    assert per_image_ms == sorted(per_image_ms, reverse=True)


def test_another_gpu_is_known_less_well():
    assert engine("resnet50").interval_pct < 25
    assert engine("resnet50", hardware="NVIDIA-L4").interval_pct > 51  # 1.28 times what an A100 was off


def test_every_constant_lies_within_its_bounds_and_keeps_its_own_covariance():
    own, profile = tensorrt_constants(), load_profile("Jetson-Orin-AGX")
    merged = with_runtime(profile, "tensorrt")
    names = list(merged.constants)
    assert len(merged.covariance) == len(names)
    for place, (name, constant) in enumerate(own.constants.items()):
        assert constant.lower <= constant.value <= constant.upper
        assert merged.constants[name] is constant
        assert merged.covariance[names.index(name)][names.index(name)] == own.covariance[place][place]
    kept = next(name for name in profile.constants if name not in own.constants)
    place = list(profile.constants).index(kept)
    assert merged.covariance[names.index(kept)][names.index(kept)] == profile.covariance[place][place]


def test_a_configuration_is_named_by_its_runtime_and_found_by_that_name():
    target = resolve("Jetson-Orin-AGX", "30W", "int8", 8, "tensorrt")
    assert target.label == "30W-tensorrt-int8-b8"
    assert target_command(target).endswith("--thermal-profile 30W --runtime tensorrt --precision int8 --batch-size 8")
    found = parse_label(Board(target.hardware), load_profile(target.hardware), target.label)
    assert (found.runtime, found.precision.name, found.batch_size) == ("tensorrt", "int8", 8)
    eager = target.on_runtime("eager", "fp16")
    assert (eager.label, eager.profile.constants) == ("30W-fp16-b8", load_profile(target.hardware).constants)


def test_explain_has_a_row_for_each_precision_of_an_engine_with_its_evidence(capsys):
    data = json.loads(said(capsys, "explain", "resnet50", "--power-mode", "30W", "--json")[1])
    rows = {row["change"]: row for row in data["what_if"]}
    for title, precision in zip(("TensorRT FP32 (TF32)", "TensorRT FP16", "TensorRT INT8"), PRECISIONS):
        found = engine("resnet50", precision, mode="30W")
        assert (rows[title]["latency_ms"], rows[title]["interval_pct"]) == (found.latency_ms, found.interval_pct)
        assert "ArtTRT" in rows[title]["evidence"]
    compiled = rows["torch.compile (default mode)"]
    assert compiled["latency_ms"] is None
    assert compiled["problem"] == "what its compiler fuses is not modelled; nothing measured on this board"


def test_explain_tells_an_engine_by_its_layers(capsys):
    data = json.loads(said(capsys, "explain", *AT_30W, "--precision", "fp16", "--json")[1])
    assert sum(part["share_pct"] for part in data["stages"]) == pytest.approx(100)
    assert {op["module"] for op in data["expensive"]} & {"conv1", "layer4.0.conv2"}
    by_change = {row["change"]: row["evidence"] for row in data["what_if"]}
    assert all("ArtTRT" in by_change[change] for change in ("as it is", "power mode MAXN", "batch 8"))
    assert not any("TensorRT" in row["change"] or "channels_last" in row["change"] for row in data["what_if"])


def test_a_budget_of_what_is_shipped_has_a_golden_that_says_the_runtime(repository):  # noqa: F811
    repository.has_tests(TESTS)
    repository.run("--snapshot-update").assert_outcomes(passed=2)
    folders = [f"15W-tensorrt-{precision}-b1" for precision in ("fp16", "int8")]
    goldens = [name for name in repository.goldens() if name.endswith(".json")]
    assert [name.split("/")[1] for name in goldens] == folders
    golden = json.loads((repository.path / "golden" / goldens[0]).read_text())
    assert golden["runtime"] == "tensorrt"
    assert len(golden["runtime_constants"]) == 12
    repository.run().assert_outcomes(passed=2)
    repository.has_tests(TESTS, budget=0.001)
    run = repository.run()
    run.assert_outcomes(failed=2)
    run.stdout.fnmatch_lines(["*test_shipped*: * ms estimated, * over the budget of 0.001 ms*"])


def test_what_moved_an_engine_is_said_by_verdict_and_review(repository):  # noqa: F811
    """Its constants are not those of its board's table of inputs, which are eager PyTorch's."""
    repository.has_tests(TESTS)
    repository.run("--snapshot-update")
    before = repository.path / "before"
    shutil.copytree(repository.path / "golden", before / "golden")
    golden = next(repository.path.glob("golden/*/15W-tensorrt-fp16-b1/*/*.json"))
    text = golden.read_text()
    golden.write_text(re.sub('("runtime_constants": )"[0-9a-f]*"', r'\1"000000000000"', text))
    red = repository.run()
    red.stdout.fnmatch_lines(["*: the constants of the engine (estimator/cost/tensorrt.toml) did, in * terms alone"])
    red.stdout.no_fnmatch_line("*code did*")
    for changed in (golden.read_text(), re.sub(' *"runtime": .*\n', "", text), text + "\n"):
        golden.write_text(changed)
        review = repository.command("review", str(before), str(repository.path))
        review.no_fnmatch_line("*Nothing changed*")
        review.no_fnmatch_line("*made by other code*")
    golden.write_text(text)
    repository.command("review", str(before), str(repository.path)).fnmatch_lines(["*Nothing changed*"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--runtime", "tensorrt", "--precision", "int8", "--compare", "eager,tensorrt"), "--compare eager: *'int8'*"),
        (("--precision", "bf16", "--compare", "tensorrt"), "--compare tensorrt: unknown precision 'bf16' of tensorrt*"),
        (("--runtime", ""), "unknown runtime ''; known runtimes: eager, tensorrt"),
        (("--runtime", "tensorrt", "--hardware", "local-cpu"), "local-cpu is no GPU and runs no engine of tensorrt*"),
    ],
    ids="compared comparing empty cpu".split(),
)
def test_a_runtime_that_does_not_go_with_the_rest_is_one_line(suite, options, message):
    run = suite.run_here(*options)
    assert run.ret == pytest.ExitCode.USAGE_ERROR
    assert [line for line in run.errlines if line.strip()][-1].startswith("ERROR: ")
    run.stderr.fnmatch_lines([f"ERROR: {message}"])


def test_goldens_of_an_engine_leave_those_of_eager_mode_alone(suite):
    options = ("--models", "resnet18,vit_b_16", "--precision", "fp16")
    update = suite.run(*options, "--runtime", "tensorrt", "--snapshot-update")
    update.assert_outcomes(passed=2, deselected=update.parseoutcomes()["deselected"])
    for runtime in ("eager", "tensorrt"):
        again = suite.run(*options, "--runtime", runtime)
        again.assert_outcomes(passed=2, deselected=again.parseoutcomes()["deselected"])


def test_all_tests_of_a_session_may_be_of_an_engine(repository):  # noqa: F811
    repository.has_tests()
    run = repository.run("--latency-runtime", "tensorrt", "--latency-precision", "fp16", "--snapshot-update")
    run.assert_outcomes(passed=3)
    run.stdout.fnmatch_lines(["hardware: *, mode 15W, runtime tensorrt, precision fp16, batch 1*"])


@pytest.fixture
def builders(monkeypatch, tmp_path):
    """What builds engines on this machine: nothing, or what a test asks for."""
    monkeypatch.setattr(engines, "_ON_JETSON", str(tmp_path / "nowhere"))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=":")
    (tmp_path / "bin").mkdir()

    def export(module, args, path, **_):
        Path(path).write_bytes(b"a network")

    def is_here(name, **functions):
        module = SimpleNamespace(__spec__=SimpleNamespace(name=name), **functions)
        monkeypatch.setitem(sys.modules, name, module)

    monkeypatch.setattr(torch.onnx, "export", export)
    for name in ("onnx", "torch_tensorrt"):
        monkeypatch.setitem(sys.modules, name, None)

    def install(trtexec=None, torch_tensorrt=None):
        if trtexec is not None:
            program = tmp_path / "bin" / "trtexec"
            program.write_text(trtexec.replace("{said}", str(tmp_path / "said.txt")))
            program.chmod(0o755)
            is_here("onnx")
        if torch_tensorrt is not None:
            is_here("torch_tensorrt", compile=torch_tensorrt)
        return tmp_path / "said.txt"

    return install


def measured(precision, model="conv_relu"):
    """The answer of the process that measures, for an engine on this machine."""
    answers = []
    request = json.dumps({"model": model, "batch_size": 1, "protocol": vars(TINY)})
    serve("cpu", precision, [request], answers.append, "tensorrt")
    return [answer for answer in answers if answer["kind"] != "progress"][-1]


def test_without_a_builder_one_line_says_what_to_install(builders):
    with pytest.raises(UsageError, match=r"pip install torch-tensorrt.* or trtexec .*apt install tensorrt"):
        refuse_without_builder("fp16")
    builders(torch_tensorrt=lambda module, **_: module)
    refuse_without_builder("fp16")
    with pytest.raises(UsageError, match=r"int8 needs trtexec"):
        refuse_without_builder("int8")
    builders(trtexec=TRTEXEC)
    refuse_without_builder("int8")


def test_torch_tensorrt_compiles_the_module_that_is_measured(builders):
    compiled = []

    def compile(module, inputs, enabled_precisions):
        compiled.append((len(inputs), {str(dtype) for dtype in enabled_precisions}))
        return module

    builders(torch_tensorrt=compile)
    answer = measured("fp32")
    assert (answer["kind"], len(answer["samples_ms"]), answer["finite"]) == ("done", 2, True)
    assert compiled == [(1, {"torch.float32"})]


def test_trtexec_builds_and_times_the_exported_module(builders):
    words = builders(trtexec=TRTEXEC)
    answer = measured("int8")
    assert (answer["kind"], answer["samples_ms"], answer["finite"]) == ("done", (2.5, 2.25), True)
    assert {"--int8", "--fp16", "--iterations=2", "--noDataTransfers"} <= set(words.read_text().split())


@pytest.mark.parametrize(
    ("program", "message"),
    [
        ("#!/bin/sh\necho no such layer >&2\nexit 1\n", "trtexec ended with exit code 1: no such layer"),
        ("#!/bin/sh\nexit 0\n", "trtexec wrote no times that can be read"),
    ],
    ids=["fails", "writes nothing"],
)
def test_a_builder_that_fails_is_an_answer_in_one_line(builders, program, message):
    builders(trtexec=program)
    answer = measured("int8")
    assert answer["kind"] == "error"
    assert message in answer["message"]
    assert "\n" not in answer["message"]


def test_what_torch_tensorrt_refuses_is_an_answer_in_one_line(builders):
    def refuse(module, **_):
        raise RuntimeError("no converter\nfor aten::x")

    builders(torch_tensorrt=refuse)
    assert measured("fp32")["message"].endswith("torch_tensorrt builds no engine: no converter for aten::x")


def test_an_engine_of_another_process_gets_its_runtime():
    from estimator.measure.process import MeasuringProcess

    process = MeasuringProcess("cuda", "fp16", "tensorrt")
    assert process._command[-2:] == ["--runtime", "tensorrt"]
    assert replace(resolve(), runtime="eager").label == "50W-fp32-b1"
