"""Where a latency goes: the critical path, its parts, what-if, and the command that shows them."""

import functools
import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from estimator.__main__ import main
from estimator.capture import capture, capture_in_modules
from estimator.explain.breakdown import MEASURING, break_down, critical_path
from estimator.explain.dispatch_free import KERNEL, REPLAY, dispatch_free_ms
from estimator.explain.explanation import explain
from estimator.explain.what_if import CHANGE_PCT, EVIDENCE
from estimator.files import read_toml
from estimator.goldens.repository import Repository
from estimator.hardware.reading import TEMPLATES, read_profile
from estimator.lower import lower
from estimator.lower.fusion import fold_batch_norms
from estimator.pipeline import forward_pass
from estimator.subjects.find import find_named
from estimator.subjects.registry import find_subject
from estimator.subjects.zoo import MODELS, find_models
from estimator.target import calibrated_target, resolve
from meta_tests.estimating import ESTIMATES, op_stream, validate

REPOSITORY = Repository.at(Path(__file__).parents[1])
SOME = ("resnet18", "vgg11", "vit_b_16", "maxvit_t", "deeplabv3_resnet50")
TARGETS = REPOSITORY.targets()
STREAMS = sorted({(target.precision.name, target.batch_size) for target in TARGETS})


def pass_of(name, target):
    ops = op_stream(find_subject(name), target.batch_size, target.precision.name)
    return forward_pass(lower(ops), target)


def on_cpu():
    return calibrated_target(read_profile(TEMPLATES / "local-cpu.toml"))


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
def test_the_critical_path_adds_up_to_the_latency_in_every_configuration(model):
    streams = {at: forward_pass(lower(op_stream(model, at[1], at[0])), resolve()) for at in STREAMS}
    assert len(STREAMS) > 1
    for target in TARGETS:
        stream = streams[target.precision.name, target.batch_size]
        found = stream.with_constants(target, target.profile.values())
        assert critical_path(found).total_us == pytest.approx(1e3 * found.latency_ms, rel=1e-9), target.label


@pytest.mark.parametrize("name", SOME)
@pytest.mark.parametrize("mode", ["15W", "MAXN"])
def test_each_way_to_divide_the_path_adds_up_to_all_of_it(name, mode):
    target = resolve(thermal_profile=mode)
    model = find_subject(name)
    captured = capture_in_modules(model.build(), model.example_input())
    found = forward_pass(lower(captured.ops), target)
    breakdown = break_down(found, captured.modules)
    for parts in (breakdown.stages, breakdown.kinds, breakdown.sides):
        assert sum(part.share_pct for part in parts) == pytest.approx(100)
        assert sum(part.host_us + part.device_us for part in parts) == pytest.approx(1e3 * found.latency_ms)
        assert len({part.name for part in parts}) == len(parts)
    assert breakdown.idle_pct == pytest.approx(100 * (1 - found.device_ms / found.latency_ms))


def test_the_most_expensive_ops_come_first_each_with_its_share_of_the_path():
    found = pass_of("conv_bn_relu", resolve())
    ops = break_down(found, [""] * len(found.lowered)).expensive
    assert len(ops) == len(found.lowered)
    assert sum(op.share_pct for op in ops) == pytest.approx(
        100 * (1 - found.costs.overhead_us / 1e3 / found.latency_ms)
    )
    assert [op.share_pct for op in ops] == sorted((op.share_pct for op in ops), reverse=True)


def test_a_pass_without_kernels_is_its_host_s_path():
    views = [op for op in lower(op_stream(find_subject("view_chain"))) if not op.kernels]
    found = forward_pass(views, resolve())
    assert len(views) > 1
    assert critical_path(found).host_us.tolist() == found.costs.host_us.tolist()


def test_a_host_bound_models_path_is_the_hosts_and_a_device_bound_ones_the_devices():
    target = resolve()
    host_bound, device_bound = (critical_path(pass_of(name, target)) for name in ("mobilenet_v3_small", "vit_h_14"))
    assert host_bound.host_us.sum() > 100 * host_bound.device_us.sum()
    assert device_bound.device_us.sum() > 100 * device_bound.host_us.sum()


@pytest.mark.parametrize("name", [*SOME, "view_chain", "large_copy"])
def test_no_time_passes_between_the_steps_of_the_path(name):
    found = pass_of(name, resolve())
    path = critical_path(found)
    ends_us, starts_us = found.timeline.kernel_end_us, found.timeline.kernel_start_us
    on_device, on_host = np.flatnonzero(path.device_us), np.flatnonzero(path.host_us)
    assert list(on_host) == list(range(len(on_host)))
    if len(on_device):
        assert list(on_device) == list(range(on_device[0], len(ends_us)))
        assert starts_us[on_device[1:]] == pytest.approx(ends_us[on_device[:-1]])
        assert starts_us[on_device[0]] == pytest.approx(found.timeline.issue_end_us[on_host[-1]])


def test_on_one_processor_everything_is_on_the_path():
    found = pass_of("resnet18", on_cpu())
    path = critical_path(found)
    assert path.total_us == pytest.approx(1e3 * found.latency_ms)
    assert (path.device_us > 0).sum() == (found.costs.device_us > 0).sum() > 0


def test_stages_are_cut_finer_where_one_takes_more_than_half():
    target = resolve()
    assert {"features.0", "features.1"} <= names_of(stages_of("vgg11", target))
    assert {"encoder.layers.encoder_layer_0", "heads"} <= names_of(stages_of("vit_b_16", target))
    assert {"layer1", "layer4", "fc", MEASURING} <= names_of(stages_of("resnet18", target))
    assert all(len(stages_of(name, target)) <= 41 for name in SOME)


def stages_of(name, target):
    return explained(name, target.hardware).breakdown.stages


def names_of(parts):
    return {part.name for part in parts}


@pytest.mark.parametrize("precision", ["fp32", "tf32", "fp16"])
@pytest.mark.parametrize("name", SOME)
def test_no_kernel_is_faster_than_what_bounds_it(name, precision):
    for target in (resolve(precision=precision), on_cpu()):
        found = pass_of(name, target)
        assert all(found.costs.device_us >= 0.999 * found.costs.limits().least_us)


@functools.lru_cache(maxsize=None)
def explained(name, hardware="Jetson-Orin-AGX", batch_size=1):
    return explain(find_named(name), resolve(hardware, batch_size=batch_size), REPOSITORY, ESTIMATES)


def rows_of(name, *target):
    return {row.change: row for row in explained(name, *target).what_if}


@pytest.mark.parametrize("name", ["resnet18", "vit_b_32"])
@pytest.mark.parametrize("hardware", ["Jetson-Orin-AGX", "Jetson-AGX-Xavier"])
def test_power_modes_precisions_and_batches_are_the_suites_own_estimates_to_the_digit(name, hardware):
    target = resolve(hardware)
    rows = rows_of(name, hardware)
    (model,) = find_models([name])
    for mode in target.profile.modes.values():
        is_estimate(rows[f"power mode {mode.name}"], model, replace(target, mode=mode))
    is_estimate(rows["everything in FP16"], model, resolve(hardware, precision="fp16"))
    is_estimate(rows["products in TF32"], model, resolve(hardware, precision="tf32"))
    is_estimate(rows["batch 16"], model, resolve(hardware, batch_size=16))
    is_estimate(rows["as it is"], model, target)


def is_estimate(row, model, target):
    estimate = validate(model, target, None).estimate
    assert (row.latency_ms, row.interval_pct) == (estimate.latency_ms, estimate.interval_pct)
    assert row.per_image_ms == estimate.latency_ms / target.batch_size


def test_a_speed_up_is_per_image_and_against_the_model_as_it_is():
    rows = rows_of("resnet18", "Jetson-Orin-AGX", 2)
    assert rows["batch 2"].speed_up == rows["as it is"].speed_up == 1
    assert rows["batch 32"].speed_up == rows["as it is"].per_image_ms / (rows["batch 32"].latency_ms / 32)


def test_each_row_says_what_was_measured_of_it():
    rows = rows_of("resnet18")
    assert (rows["as it is"].measured_ms, rows["power mode 50W"].measured_ms) == (6.76, 6.76)
    assert rows["power mode MAXN"].measured_ms is None
    assert "0.029 ms as a graph" in rows["dispatch free (CUDA graph)"].evidence
    assert all(row.evidence for row in rows.values())
    elsewhere = rows_of("resnet18", "Jetson-Orin-NX-16GB")
    assert {row.evidence for row in elsewhere.values()} == {"nothing measured on this board"}


def test_every_text_of_evidence_is_some_rows():
    for hardware, texts in read_toml(EVIDENCE).items():
        shown = {row.evidence for row in rows_of("se_block", hardware).values()}
        assert texts
        assert set(texts.values()) <= shown


def test_without_dispatch_a_graphs_replay_is_what_was_published():
    """The two published figures, at the clock that they were taken for."""
    target = resolve(thermal_profile="30W")
    for kernels, published_ms in ((1, 0.0287), (5, 0.088)):
        layers = torch.nn.Sequential(*[torch.nn.ReLU()] * kernels)
        found = forward_pass(lower(capture(layers, torch.rand(4))), target)
        assert dispatch_free_ms(found, target) == pytest.approx(published_ms, rel=0.01)
    assert REPLAY.unit.endswith("per replay")
    assert KERNEL.unit.endswith("per kernel")


def test_the_interval_without_dispatch_has_the_uncertainty_of_small_kernels_in_it():
    small, large = (rows_of(name)["dispatch free (CUDA graph)"].interval_pct for name in ("tiny_chain", "large_copy"))
    least_pct = 1.2816 * CHANGE_PCT
    assert small > 1.2816 * math.hypot(CHANGE_PCT, 0.9 * KERNEL.uncertainty_pct)
    assert least_pct < large < 0.8 * small


@pytest.mark.parametrize("name", SOME)
def test_without_dispatch_no_model_is_slower_than_it_is(name):
    assert 1 <= rows_of(name)["dispatch free (CUDA graph)"].speed_up < 10


def test_folding_leaves_the_ops_of_the_folded_module():
    layers = (torch.nn.Conv2d(3, 8, 3, bias=False), torch.nn.BatchNorm2d(8), torch.nn.ReLU(), torch.nn.BatchNorm2d(8))
    model = torch.nn.Sequential(*layers).eval()
    fused = torch.nn.Sequential(torch.nn.utils.fuse_conv_bn_eval(model[0], model[1]), model[2], model[3])
    x = torch.rand(1, 3, 16, 16)
    assert fold_batch_norms(capture_in_modules(model, x)) == capture(fused, x)


def test_a_batch_norm_is_not_folded_where_the_convolution_is_read_once_more():
    class Residual(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.convolution, self.norm = torch.nn.Conv2d(3, 8, 3), torch.nn.BatchNorm2d(8)

        def forward(self, x):
            y = self.convolution(x)
            return y + self.norm(y)

    captured = capture_in_modules(Residual(), torch.rand(1, 3, 16, 16))
    assert fold_batch_norms(captured) == captured.ops


def test_nothing_is_folded_where_there_is_no_batch_norm():
    rows = rows_of("vit_b_32")
    assert rows["BatchNorm folded into convolutions"].latency_ms == rows["as it is"].latency_ms


def test_on_a_cpu_there_are_no_rows_for_tensor_cores():
    rows = {row.change: row for row in explain(find_named("resnet18"), on_cpu(), REPOSITORY, ESTIMATES).what_if}
    assert not {"everything in FP16", "products in TF32"} & set(rows)
    assert rows["BatchNorm folded into convolutions"].speed_up > 1


def test_the_text_says_all_that_was_asked_for(capsys):
    assert main(["explain", "resnet18"]) == 0
    text = capsys.readouterr().out
    first, second = text.splitlines()[:2]
    assert first == "resnet18 on Jetson-Orin-AGX, mode 50W, precision fp32, batch 1"
    pytest.LineMatcher([second]).fnmatch_lines(["* ms ± * %, host-bound: host alone * ms, device alone * ms"])
    for words in (
        "by stage",
        "by kind of op",
        "by side",
        "layer4",
        "idle device: ",
        "no kernel runs",
        "memory",
    ):
        assert words in text
    assert text.count("  together ") == text.count("  100.0 %\n") == 3
    assert text.count("layer") > 10


def test_json_has_the_same_figures(capsys):
    assert main(["explain", "vgg11", "--json", "--power-mode", "MAXN", "--precision", "fp16", "--batch-size", "2"]) == 0
    data = json.loads(capsys.readouterr().out)
    estimate = validate(find_models(["vgg11"])[0], resolve("Jetson-Orin-AGX", "MAXN", "fp16", 2), None).estimate
    assert data["latency_ms"] == estimate.latency_ms
    assert sum(part["share_pct"] for part in data["stages"]) == pytest.approx(100)
    assert len(data["expensive"]) == 10
    assert all(op["module"] for op in data["expensive"])


OWN = """
import torch

def small():
    return torch.nn.Sequential(torch.nn.Linear(8, 8), torch.nn.ReLU()), torch.rand(1, 8)

def two_inputs():
    class Both(torch.nn.Module):
        def forward(self, x, y):
            return x + y
    return Both(), (torch.rand(2, 3), torch.rand(2, 3))

def one_batch():
    class Fixed(torch.nn.Module):
        def forward(self, x):
            return x.reshape(1, 8)
    return Fixed(), torch.rand(1, 8)

def no_module():
    return 3

def failing():
    raise ValueError("no weights here")
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    (tmp_path / "own_models.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))


@pytest.mark.usefixtures("own")
@pytest.mark.parametrize("function", ["small", "two_inputs"])
def test_a_module_of_ones_own_is_explained_from_the_current_folder(function, capsys):
    assert main(["explain", f"own_models:{function}", "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["latency_ms"] > 0
    assert {row["change"]: row["problem"] for row in data["what_if"]}["batch 32"] == ""


@pytest.mark.usefixtures("own")
def test_a_batch_that_a_module_does_not_take_is_a_row_that_says_so(capsys):
    assert main(["explain", "own_models:one_batch"]) == 0
    text = capsys.readouterr().out
    assert "batch 2 " in text
    assert "no estimate: cannot capture the op stream of Fixed: RuntimeError: " in text


@pytest.mark.usefixtures("own")
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["resnet19"], ["unknown model 'resnet19'", "resnet18", "se_block", "package.module:function"]),
        (["nowhere:f"], ["cannot import nowhere", "ModuleNotFoundError"]),
        (["own_models:missing"], ["own_models has no function 'missing'"]),
        (["own_models:no_module"], ["must return a module and its example inputs, got int"]),
        (["own_models:failing"], ["own_models:failing() failed: ValueError: no weights here"]),
        (["resnet18", "--hardware", "Jetson"], ["unknown hardware 'Jetson'", "Jetson-Orin-AGX"]),
        (["resnet18", "--trace", "nowhere/trace.json"], ["--trace nowhere/trace.json", "no folder nowhere"]),
    ],
)
def test_what_is_bad_is_one_line_and_exit_code_4(arguments, words, capsys):
    assert main(["explain", *arguments]) == 4
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.count("\n") == 1
    assert all(word in printed.err for word in words)
