from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from estimator.capture import capture
from estimator.cost.columns import Costs, kernel_columns, op_columns
from estimator.cost.gpu import device_us, host_us
from estimator.cost.price import PROCESSORS
from estimator.cost.rates import rates_of
from estimator.goldens.files import every_target, load_goldens
from estimator.hardware.boards import Board, load_profile
from estimator.hardware.quantities import GPU_CONSTANTS
from estimator.lower import lower
from estimator.pipeline import estimate_lowered
from estimator.records.kinds import MODEL_KIND
from estimator.results import validate
from estimator.subjects.all import op_stream
from estimator.subjects.zoo import MODELS, find_models
from estimator.target import calibrated_target, target_on


@pytest.fixture
def profile():
    return load_profile("Jetson-Orin-AGX")


def rates(profile, mode="50W", precision="fp32", **changes):
    target = target_on(Board(profile.name), profile, mode, precision)
    return rates_of(replace(target, mode=replace(target.mode, **changes)), profile.values())


def lowered(layer, *shape):
    return lower(capture(layer, torch.empty(*shape, device="meta")))


def kernel_us(profile, layer, *shape, **case):
    return device_us(kernel_columns(lowered(layer, *shape)), rates(profile, **case))


def dispatch_us(profile, layer, *shape, **case):
    return host_us(op_columns(lowered(layer, *shape)), rates(profile, **case))


def test_the_host_follows_the_clock_of_the_cpu_alone(profile):
    shape = torch.nn.ReLU(), 1, 8
    slow, fast = dispatch_us(profile, *shape, cpu_mhz=1000.0), dispatch_us(profile, *shape, cpu_mhz=2000.0)
    assert slow == pytest.approx(2 * fast)
    assert dispatch_us(profile, *shape, gpu_mhz=100.0, bandwidth_gb_s=1.0) == pytest.approx(
        dispatch_us(profile, *shape)
    )


def test_thirty_watts_dispatch_faster_than_fifty(profile):
    assert dispatch_us(profile, torch.nn.ReLU(), 1, 8, mode="30W") < dispatch_us(profile, torch.nn.ReLU(), 1, 8)


@pytest.mark.parametrize("mode", ["15W", "30W", "50W", "MAXN"])
def test_one_op_between_two_events_takes_what_was_measured_in_every_power_mode(profile, mode):
    published_us = {"15W": 119.0, "30W": 79.8, "50W": 91.8, "MAXN": 61.0}[mode]
    case = rates(profile, mode)
    (op_us,) = host_us(op_columns(lowered(torch.nn.ReLU(), 1)), case)
    assert op_us + case.event_pair_us == pytest.approx(published_us, rel=0.15)


@pytest.mark.parametrize("model", [pytest.param(model, id=model.name) for model in MODELS])
def test_no_kernel_beats_the_peak_of_arithmetic_or_of_memory(profile, model):
    ops = lower(op_stream(model))
    case, kernels = rates(profile), [kernel for op in ops for kernel in op.kernels]
    times = device_us(kernel_columns(ops), case)
    peaks = {
        "product": case.product_flops_per_us_per_sm,
        "convolution": case.convolution_flops_per_us_per_sm,
    }
    for kernel, time_us in zip(kernels, times):
        peak = peaks.get(kernel.kind, case.fp32_flops_per_us_per_sm) * case.sms
        assert time_us > kernel.bytes / case.bytes_per_us
        assert kernel.kind == "stream" or time_us > kernel.flops / peak


def test_a_matrix_vector_product_is_bound_by_the_weights_traffic(profile):
    layer = torch.nn.Linear(25088, 4096, bias=False, device="meta")
    time_us = kernel_us(profile, layer, 1, 25088)[-1]
    assert time_us == pytest.approx(
        4 * 25088 * 4096 / (170.8e3 * profile.values()["weight_stream_efficiency"]), rel=0.02
    )


def test_a_product_pays_for_whole_waves_of_tiles(profile):
    def time_us(rows):
        return kernel_us(profile, torch.nn.Linear(4096, 4096, bias=False, device="meta"), rows, 4096)[-1]

    assert time_us(129) > time_us(128)
    assert time_us(1024) / time_us(512) == pytest.approx(2, rel=0.1)


def test_tensor_cores_make_large_products_faster(profile):
    layer, rows = torch.nn.Linear(4096, 4096, bias=False, device="meta"), 4096
    fp32, tf32 = (kernel_us(profile, layer, rows, 4096, precision=p)[-1] for p in ("fp32", "tf32"))
    assert 2 < fp32 / tf32 < 5


def test_a_batch_norm_waits_for_memory_where_sms_are_many_and_for_the_sms_where_they_are_few(profile):
    shape = torch.nn.BatchNorm2d(64, device="meta").eval(), 32, 64, 56, 56
    for mode, what_decides in (("MAXN", "bandwidth_gb_s"), ("30W", "gpu_mhz")):
        before, clock = kernel_us(profile, *shape, mode=mode), getattr(profile.mode(mode), what_decides)
        assert kernel_us(profile, *shape, mode=mode, **{what_decides: 1.1 * clock}) < before / 1.09


def test_an_activation_waits_for_memory_in_every_mode(profile):
    shape = torch.nn.ReLU(), 32, 64, 56, 56
    for mode in profile.modes.values():
        faster = kernel_us(profile, *shape, mode=mode.name, bandwidth_gb_s=1.1 * mode.bandwidth_gb_s)
        assert faster == pytest.approx(kernel_us(profile, *shape, mode=mode.name) / 1.1, rel=0.01)


def test_a_tap_of_a_small_depthwise_window_costs_more_than_one_of_a_large_window(profile):
    def per_tap_us(side):
        layer = torch.nn.Conv2d(64, 64, side, padding=side // 2, groups=64, bias=False, device="meta")
        return kernel_us(profile, layer, 64, 64, 56, 56)[-1] / side**2

    published_us = {3: 3627.8, 5: 7681.7}  # branes-ai/graphs b6c5e82, some 515 of it launch and synchronisation
    ratio = (published_us[3] - 515) / 9 / ((published_us[5] - 515) / 25)
    assert per_tap_us(3) / per_tap_us(5) == pytest.approx(ratio, rel=0.05)


def test_memory_and_arithmetic_of_a_convolution_overlap_in_part(profile):
    layer = torch.nn.Conv2d(256, 256, 1, bias=False, device="meta")
    columns = kernel_columns(lowered(layer, 64, 256, 28, 28))

    def time_us(**changes):
        return device_us(columns, replace(rates(profile), **changes))[-1]

    both, endless = time_us(), 1e12
    only_memory, only_arithmetic = time_us(convolution_flops_per_us_per_sm=endless), time_us(bytes_per_us=endless)
    assert max(only_memory, only_arithmetic) < both < only_memory + only_arithmetic
    published_us = 1641.6 - 515  # branes-ai/graphs b6c5e82, less launch and synchronisation
    assert both == pytest.approx(published_us, rel=0.15)


@pytest.fixture
def without_tf32():
    profile = load_profile("Jetson-AGX-Xavier")
    assert profile.fact("tf32_flops_per_clock_per_sm") == profile.fact("fp32_flops_per_clock_per_sm")
    return profile


def convolution_us(profile, channels, mode, batch=64, px=28, **changes):
    layer = torch.nn.Conv2d(channels, channels, **{"kernel_size": 3, "bias": False, "device": "meta", **changes})
    return kernel_us(profile, layer, batch, channels, px, px, mode=mode)[-1]


@pytest.mark.parametrize("channels", [64, 128, 256, 512])
def test_without_tf32_a_3x3_window_that_moves_by_one_runs_as_winograd(without_tf32, channels):
    plain = convolution_us(without_tf32, channels, "30W", padding=1)
    assert 1.3 < convolution_us(without_tf32, channels, "30W", padding=2, dilation=2) / plain < 2.25
    assert 1.3 < 4 * convolution_us(without_tf32, channels, "30W", padding=1, stride=2) / plain < 2.6


def test_without_tf32_a_batch_of_one_pays_for_the_transform_of_its_weights(without_tf32):
    alone, of_64 = (convolution_us(without_tf32, 512, "30W", batch, 7, padding=1) for batch in (1, 64))
    assert alone > 2 * of_64 / 64


def test_a_board_with_tf32_runs_no_winograd(profile):
    plain, dilated = (convolution_us(profile, 256, "30W", padding=d, dilation=d) for d in (1, 2))
    assert dilated > 2.3 * plain  # tensor cores are further ahead than 2.25 fewer products would be


def test_without_tf32_no_convolution_beats_the_peak_by_more_than_winograd_saves(without_tf32):
    case = rates(without_tf32, "30W")
    peak = case.sms * case.fp32_flops_per_us_per_sm
    for model in find_models(["resnet34", "vgg16", "mobilenet_v2", "fcn_resnet50"]):
        columns = kernel_columns(lower(op_stream(model, batch_size=32)))
        assert np.all(device_us(columns, case) > columns.flops / (2.25 * peak))


def test_a_convolution_of_many_channels_takes_the_widest_tile_even_if_few_sms_get_one(profile):
    narrow, wide = (
        kernel_us(profile, torch.nn.Conv2d(512, n, 3, padding=1, bias=False, device="meta"), 1, 512, 7, 7)[-1]
        for n in (128, 256)
    )
    assert wide > 1.3 * narrow  # though both have fewer blocks than there are SMs
    published_us = 920.4 - 515  # 512 to 512 channels, batch 4, which batch 1 does not beat (branes-ai/graphs b6c5e82)
    layer = torch.nn.Conv2d(512, 512, 3, padding=1, bias=False, device="meta")
    assert kernel_us(profile, layer, 1, 512, 7, 7)[-1] == pytest.approx(published_us, rel=0.25)


def test_a_conversion_of_layouts_waits_for_the_sms_where_they_are_few(profile):
    layer = torch.nn.Conv2d(64, 64, 3, padding=1, bias=False, device="meta")

    def conversion_us(mode, **changes):
        columns, case = kernel_columns(lowered(layer, 32, 64, 56, 56)), rates(profile, mode, **changes)
        without = replace(case, constants={**case.constants, "layout_passes": 0.0})
        return (device_us(columns, case) - device_us(columns, without))[-1]

    assert conversion_us("MAXN", bandwidth_gb_s=100.0) > 1.2 * conversion_us("MAXN", bandwidth_gb_s=189.5)
    assert conversion_us("15W", bandwidth_gb_s=100.0) == pytest.approx(conversion_us("15W"))


def test_nothing_costs_nothing(profile):
    assert host_us(op_columns(()), rates(profile)).size == 0
    assert device_us(kernel_columns(()), rates(profile)).size == 0


def moves(profile, constant, layer, *shape):
    case = rates(profile)
    more = replace(case, constants={**case.constants, constant: 2 * case.constants[constant]})
    columns = kernel_columns(lowered(layer, *shape))
    return not np.array_equal(device_us(columns, case), device_us(columns, more))


@pytest.mark.parametrize(
    ("layer", "tensor_cores", "changes_layout"),
    [
        (torch.nn.Conv2d(512, 512, 3, bias=False, device="meta"), True, True),
        (torch.nn.Conv2d(512, 512, 1, bias=False, device="meta"), True, False),
        (torch.nn.Conv2d(512, 512, 1, 2, bias=False, device="meta"), True, True),
        (torch.nn.Conv2d(512, 512, 3, dilation=2, bias=False, device="meta"), False, False),
        (torch.nn.Conv2d(510, 512, 3, bias=False, device="meta"), False, False),
        (torch.nn.Conv2d(512, 512, 3, groups=512, bias=False, device="meta"), False, False),
    ],
    ids=["3x3", "1x1", "1x1 with stride", "dilated", "unaligned channels", "depthwise"],
)
def test_the_shape_of_a_convolution_decides_what_runs_it(profile, layer, tensor_cores, changes_layout):
    shape = layer, 8, layer.in_channels, 56, 56
    assert moves(profile, "tensor_core_convolution_efficiency", *shape) == tensor_cores
    assert moves(profile, "layout_passes", *shape) == changes_layout


def test_a_third_kind_of_processor_needs_no_more_than_the_columns_have(profile, monkeypatch):
    def costs(ops, kernels, *_):
        us = np.where(kernels.computes("relu"), kernels.elements, kernels.by_function({"convolution": 7.0}))
        return Costs(np.zeros(len(ops.kind)), us, overhead_us=0.0, one_clock=False)

    monkeypatch.setitem(PROCESSORS, "npu", costs)
    ops = lowered(torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3, device="meta"), torch.nn.ReLU()), 1, 3, 12, 12)
    result = estimate_lowered(ops, calibrated_target(replace(profile, processor="npu")))
    assert result.device_ms == pytest.approx((7.0 + 0.0 + 400.0) / 1e3)


@pytest.mark.parametrize("name", GPU_CONSTANTS)
def test_every_constant_matters_to_some_model(profile, name):
    values = profile.values()
    moved = {**values, name: 1.01 * values[name]}
    models = find_models(["mobilenet_v3_small", "vgg11", "vit_b_16", "fcn_resnet50"])
    changed = [
        not np.array_equal(cost(columns, case), cost(columns, replace(case, constants=moved)))
        for case in (rates(profile), rates(profile, precision="tf32"), rates(profile, "15W"))
        for ops in (lower(op_stream(model)) for model in models)
        for cost, columns in ((host_us, op_columns(ops)), (device_us, kernel_columns(ops)))
    ]
    assert any(changed)


OF_EVERY_KIND = ("mobilenet_v3_small", "vgg11", "vit_b_32", "fcn_resnet50")


def test_models_of_every_kind_take_in_every_configuration_what_its_golden_says(request):
    root = request.config.rootpath
    targets = every_target(root)
    assert len({target.hardware for target in targets}) > 5
    for target in targets:
        goldens = load_goldens(root, target, None, MODEL_KIND)
        for model in find_models(OF_EVERY_KIND):
            row, golden = validate(model, target, None).comparison, goldens[model.name]
            said = {key: golden[key] for key in ("est_ms", "host_ms", "device_ms", "bound", "interval_pct")}
            assert {key: getattr(row, key) for key in said} == said, (model.name, target.hardware, target.label)
