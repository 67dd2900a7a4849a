from __future__ import annotations

import itertools
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from estimator import UsageError, estimate
from estimator.errors import RecordError
from estimator.hardware.boards import Board, load_profile
from estimator.interval import without_evidence
from estimator.subjects.zoo import FAMILIES, MODELS, find_models
from estimator.target import Target, calibrated_target, parse_label, resolve
from meta_tests.estimating import op_stream

ROUNDING_US = 1e-9


def network():
    layers = torch.nn.Conv2d(3, 8, 3), torch.nn.BatchNorm2d(8), torch.nn.ReLU(), torch.nn.Flatten()
    return torch.nn.Sequential(*layers, torch.nn.Linear(8 * 14 * 14, 5))


def test_an_estimate_is_the_sum_of_its_terms():
    result = estimate(network(), torch.rand(1, 3, 16, 16))
    assert sum(result.host_terms_ms.values()) == pytest.approx(result.host_ms)
    assert sum(result.device_terms_ms.values()) == pytest.approx(result.device_ms)
    assert max(result.host_ms, result.device_ms) < result.latency_ms < result.host_ms + result.device_ms + 0.1
    assert result.ops == len(result.spans) == 6
    assert result.kernels == sum(span.kernels for span in result.spans) == 5
    assert result.defaulted == ()


def test_the_bound_is_the_longer_of_the_two():
    light, heavy = estimate(torch.nn.ReLU(), torch.rand(1, 8)), estimate(torch.nn.ReLU(), torch.empty(64, 10**6))
    assert (light.bound, heavy.bound) == ("host", "device")


def test_spans_run_in_order_on_both_timelines():
    spans = estimate(network(), torch.rand(1, 3, 16, 16)).spans
    for before, after in zip(spans, spans[1:]):
        assert before.host_end_us == pytest.approx(after.host_start_us)
        assert before.host_start_us < before.host_end_us <= before.device_start_us + ROUNDING_US
        assert before.device_start_us <= before.device_end_us
        assert not after.kernels or before.device_end_us <= after.device_start_us + ROUNDING_US


def test_the_named_hardware_mode_and_precision_are_used():
    model, source = network(), torch.rand(1, 3, 16, 16)
    default = estimate(model, source)
    assert estimate(model, source, "Jetson-Orin-AGX", "50W", "fp32") == default
    assert estimate(model, source, thermal_profile="MAXN").host_ms < default.host_ms
    assert estimate(model, source, precision="fp16").bytes * 2 == default.bytes


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"hardware": "Nintendo"}, "unknown hardware 'Nintendo'; known hardware: "),
        ({"thermal_profile": "1W"}, "unknown thermal profile '1W' of Jetson-Orin-AGX; known thermal profiles: 15W"),
        ({"precision": "int8"}, "unknown precision 'int8'; known precisions: fp32, tf32, fp16, bf16"),
    ],
)
def test_unknown_names_come_with_the_known_ones(options, message):
    with pytest.raises(UsageError) as error:
        estimate(network(), torch.rand(1, 3, 16, 16), **options)
    assert str(error.value).startswith(message)


OTHERS = {
    "alexnet": 224,
    "convnext_tiny": 224,
    "densenet121": 224,
    "googlenet": 224,
    "inception_v3": 299,
    "mnasnet1_0": 224,
    "regnet_y_400mf": 224,
    "resnext50_32x4d": 224,
    "shufflenet_v2_x1_0": 224,
    "squeezenet1_1": 224,
    "swin_t": 224,
}


@pytest.mark.parametrize("name", OTHERS)
def test_models_outside_the_zoo_need_no_rule_of_their_own(name):
    from torchvision.models import get_model

    options = {"init_weights": False} if name in ("googlenet", "inception_v3") else {}
    model = get_model(name, weights=None, **options)
    result = estimate(model, torch.empty(1, 3, OTHERS[name], OTHERS[name]))
    assert result.defaulted == ()
    assert 0 < result.latency_ms < 1000


def test_the_models_of_a_family_stand_together_in_the_order_of_the_report():
    families = ["ResNet", "MobileNet", "EfficientNet", "VGG", "ViT", "MaxViT", "Segmentation"]
    assert [family for family in FAMILIES if family in families] == families
    assert [family for family, _ in itertools.groupby(m.family for m in MODELS)] == list(FAMILIES)


@pytest.mark.parametrize(("name", "input_px"), [("resnet18", 224), ("efficientnet_b1", 240), ("efficientnet_b2", 260)])
def test_a_model_gets_the_input_that_it_was_measured_with(name, input_px):
    (model,) = find_models([name])
    assert model.example_input(2).shape == (2, 3, input_px, input_px)


def test_a_stream_is_captured_once():
    assert op_stream(MODELS[0]) is op_stream(MODELS[0])


def test_nobody_but_the_zoo_knows_a_model():
    names = {model.name for model in MODELS} | {"resnet", "vgg", "mobilenet", "efficientnet", "maxvit", "deeplab"}
    package = Path(sys.modules["estimator"].__file__).parent
    for path in sorted(package.rglob("*.py")):
        if path != package / "subjects" / "zoo.py":
            text = path.read_text(encoding="utf-8").lower()
            assert [name for name in names if name in text] == [], path


@pytest.mark.parametrize("label", ["50W-fp32-b1", "MAXN-fp16-b32", "30W-tensorrt-int8-b1"])
def test_a_configuration_is_known_by_its_label(label):
    assert parse_label(Board("Jetson-Orin-AGX"), load_profile(), label).label == label


@pytest.mark.parametrize(
    "label", ["50W", "50W-fp32", "50W-tensorrt-bf16-b1", "50W-trt-fp16-b1", "50W-int8-b1", "50W-fp32-b", "50W-fp32-x1"]
)
def test_a_folder_that_is_no_configuration_is_refused(label):
    with pytest.raises(RecordError, match="one is 50W-fp32-b1"):
        parse_label(Board("Jetson-Orin-AGX"), load_profile(), label)


def test_importing_the_package_does_not_import_torch():
    program = "import sys, estimator.suite.plugin; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True)


def test_torchvision_can_be_imported_after_the_estimator():
    subprocess.run([sys.executable, "-c", "from estimator import estimate; import torchvision.models"], check=True)


def test_an_80_percent_interval_holds_70_to_90_percent_of_models_that_the_fit_has_not_seen():
    import json

    from estimator.lower import lower
    from estimator.pipeline import estimate_lowered

    root = Path(sys.modules["estimator"].__file__).parent.parent
    held_out = json.loads((root / "golden/Jetson-Orin-AGX/50W-fp32-b1/cross-validation.json").read_text())["models"]
    target = calibrated_target(load_profile())
    inside = [
        abs(held_out[model.name]["without_family_pct"])
        <= estimate_lowered(lower(op_stream(model)), target).interval_pct
        for model in MODELS
    ]
    assert 0.70 <= sum(inside) / len(inside) <= 0.90


def interval_of(target):
    from estimator.lower import lower
    from estimator.pipeline import estimate_lowered

    subject = MODELS[0]
    return estimate_lowered(lower(op_stream(subject, target.batch_size, target.precision.name)), target).interval_pct


@pytest.mark.parametrize(
    ("target", "what"),
    [
        (resolve("Jetson-Orin-AGX", "50W"), ()),
        (resolve("Jetson-Orin-AGX", "MAXN", "fp16", 8), ()),
        (resolve("Jetson-Orin-AGX", "50W", "tf32"), ("tf32",)),
        (resolve("Jetson-Orin-AGX", "50W", "bf16"), ("bf16",)),
        (resolve("Jetson-Orin-Nano-8GB", "7W"), ()),
        (resolve("Jetson-AGX-Xavier", "15W"), ("other SMs",)),
        (resolve("NVIDIA-H100"), ()),
        (resolve("NVIDIA-H100", None, "fp16", 8), ()),
    ],
    ids=lambda case: case.hardware + "-" + case.label if isinstance(case, Target) else "",
)
def test_where_nothing_was_measured_there_is_no_interval(target, what):
    assert without_evidence(target) == what
    assert (interval_of(target) is None) == bool(what)
