from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from estimator.capture import capture
from estimator.cost import recurrence
from estimator.cost.columns import HOST_KINDS, Costs, kernel_columns, op_columns
from estimator.cost.gpu import costs, device_us, host_us
from estimator.cost.price import PROCESSORS
from estimator.cost.rates import rates_of
from estimator.hardware.boards import Board, load_profile
from estimator.lower import Lowered, lower
from estimator.pipeline import estimate_lowered
from estimator.subjects.zoo import MODELS, find_models
from estimator.target import calibrated_target, target_on
from meta_tests import synthetic
from meta_tests.estimating import op_stream


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
        from_dram = kernel.bytes if kernel.bytes - kernel.cold_bytes > case.l2_bytes else kernel.cold_bytes
        assert time_us > from_dram / case.bytes_per_us
        assert kernel.kind == "stream" or time_us > kernel.flops / peak


def test_a_batch_norm_waits_for_memory_where_sms_are_many_and_for_the_sms_where_they_are_few(profile):
    shape = torch.nn.BatchNorm2d(64, device="meta").eval(), 32, 64, 56, 56
    for mode, what_decides in (("MAXN", "bandwidth_gb_s"), ("30W", "sms")):
        before, of_mode = kernel_us(profile, *shape, mode=mode), getattr(profile.mode(mode), what_decides)
        assert kernel_us(profile, *shape, mode=mode, **{what_decides: 1.1 * of_mode}) < before / 1.09


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


def test_nothing_costs_nothing(profile):
    assert host_us(op_columns(()), rates(profile)).size == 0
    assert device_us(kernel_columns(()), rates(profile)).size == 0


def test_a_third_kind_of_processor_needs_no_more_than_the_columns_have(profile, monkeypatch):
    def priced(ops, kernels, *_):
        us = np.where(kernels.computes("relu"), kernels.elements, kernels.by_function({"convolution": 7.0}))
        return Costs(np.zeros(len(ops.kind)), us, overhead_us=0.0, one_clock=False)

    monkeypatch.setitem(PROCESSORS, "npu", priced)
    ops = lowered(torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3, device="meta"), torch.nn.ReLU()), 1, 3, 12, 12)
    result = estimate_lowered(ops, calibrated_target(replace(profile, processor="npu")))
    assert result.device_ms == pytest.approx((7.0 + 0.0 + 400.0) / 1e3)


WAVE_US = {
    **{(128, 128): 51.2, (128, 64): 28.16, (64, 64): 15.36},
    **{(128, 32): 16.64, (64, 32): 8.96, (32, 32): 5.12},
}
"""What a wave of such tiles takes the made-up GPU for each element of the reduction, at 800 FLOP per us and SM.

A tile of 128 x 128 has an operand reuse of 64, which 16 more take down to 80 % of the rate: 2 x 128 x 128 / 640.
"""
BOTH_WAYS = [pair for tile in WAVE_US for pair in {tile, tile[::-1]}]
FOR_TENSOR_CORES = [tile for tile in BOTH_WAYS if min(tile) >= 64]


def wave_us(m, n, waves=1, fill=0.125):
    """So many waves, and what fills the pipeline: a share of a wave of 128 x 128, whatever the tile."""
    return (waves + fill * 128 * 128 / (m * n)) * WAVE_US[max(m, n), min(m, n)]


def on_tensor_cores_us(m, n, rate, waves=1):
    return wave_us(m, n, waves, fill=0.1) * 800 / rate


synthetic_us = synthetic.device_us


def exactly(us):
    return pytest.approx(us, rel=1e-9)


@pytest.mark.parametrize("tile", BOTH_WAYS, ids=str)
def test_a_product_takes_the_tile_that_it_fills(tile):
    kernel = synthetic.product(*tile, k=10, batch=4)
    assert synthetic_us(kernel, "fp32", synthetic.NO_TF32) == exactly(wave_us(*tile) * 10)


@pytest.mark.parametrize(("batch", "waves"), [(2, 1), (4, 1), (5, 2), (8, 2), (9, 3)])
def test_blocks_run_in_whole_waves_and_a_share_of_one_fills_the_pipeline(batch, waves):
    for kernel in (synthetic.product(128, 128, 10, batch), synthetic.product(97, 127, 10, batch)):
        assert synthetic_us(kernel) == exactly(wave_us(128, 128, waves) * 10)


@pytest.mark.parametrize("tile", FOR_TENSOR_CORES, ids=str)
@pytest.mark.parametrize(("precision", "dtype", "rate"), [("tf32", "float32", 2000), ("fp16", "float16", 4000)])
def test_a_deep_product_fills_tensor_cores_along_its_reduction_too(tile, precision, dtype, rate):
    kernel = synthetic.product(*tile, k=1000, batch=4, dtype=dtype)
    assert synthetic_us(kernel, precision) == exactly(on_tensor_cores_us(*tile, rate) * (1000 + 50))


def test_a_product_that_is_shallow_or_may_not_take_tensor_cores_takes_the_others():
    kernel = synthetic.product(128, 128, k=10, batch=4)
    assert synthetic_us(kernel, "tf32") == synthetic_us(kernel, "fp32") == exactly(wave_us(128, 128) * 10)
    deep = synthetic.product(128, 128, k=1000, batch=4)
    assert synthetic_us(deep, tensor_core_product_efficiency=1.0) == exactly(wave_us(128, 128) * 1000)


@pytest.mark.parametrize(
    ("precision", "tiled_us"),
    [("fp32", wave_us(128, 32, 2) * 100), ("tf32", on_tensor_cores_us(128, 32, 2000, 2) * 150)],
)
@pytest.mark.parametrize("way", [slice(None), slice(None, None, -1)], ids=["rows", "columns"])
def test_up_to_sixteen_rows_or_columns_waste_no_tile(way, precision, tiled_us):
    skinny, tiled = synthetic.product(*(16, 1024)[way], k=100), synthetic.product(*(17, 1024)[way], k=100)
    assert synthetic_us(skinny, precision) == exactly(2 * 16 * 1024 * 100 / (4 * 1000 * 0.8))
    assert synthetic_us(tiled, precision) == exactly(tiled_us)


MOVED = {"read_bytes": 4_800_000, "write_bytes": 3_200_000}
"""Much more than the L2 has: 10,000 us at 800 bytes per us."""


def test_traffic_takes_bytes_over_the_bandwidth_that_streams_and_weights_reach():
    assert synthetic_us(synthetic.stream(**MOVED)) == exactly(10_000)
    assert synthetic_us(synthetic.stream(cold_bytes=10_000)) == exactly(20)
    assert synthetic_us(synthetic.stream(cold_bytes=10_000, **MOVED)) == exactly(10_020)
    target = synthetic.gpu()
    of_nothing = costs(op_columns([]), synthetic.columns(synthetic.stream()), target, target.profile.values())
    assert list(of_nothing.device_us) == [4 / 0.5]


def test_a_product_takes_the_longer_of_traffic_and_arithmetic_that_it_hides_behind_each_other():
    kernel = synthetic.product(128, 128, 10, 4, cold_bytes=10_000)
    assert synthetic_us(kernel, unhidden_share=0.0) == exactly(wave_us(128, 128) * 10)
    assert synthetic_us(replace(kernel, **MOVED), unhidden_share=0.0) == exactly(10_020)


@pytest.mark.parametrize(
    ("function", "elements_decide"),
    [
        ("native_batch_norm", True),
        ("_native_batch_norm_legit_no_training", True),
        ("cudnn_batch_norm", True),
        ("native_layer_norm", False),
        ("relu", False),
    ],
)
def test_a_batch_norm_passes_so_many_elements_a_clock_and_sm(function, elements_decide):
    few, many = (synthetic.stream(function, elements=n, cold_bytes=10_000, **MOVED) for n in (4000, 80_000_000))
    assert synthetic_us(few) == exactly(10_020)
    assert synthetic_us(many) == exactly(20 + (80_000_000 / (500 * 4 * 2) if elements_decide else 10_000))


@pytest.mark.parametrize("tile", FOR_TENSOR_CORES, ids=str)
def test_a_convolution_on_tensor_cores_is_a_deeper_product_and_halves_are_padded_to_eight_channels(tile):
    kernel = synthetic.convolution(*tile, 4, groups=4)
    assert synthetic_us(kernel) == exactly(on_tensor_cores_us(*tile, 1000) * (36 + 50))
    assert synthetic_us(replace(kernel, dtype="float16"), "fp16") == exactly(
        on_tensor_cores_us(*tile, 2000) * (72 + 50)
    )


@pytest.mark.parametrize(("n", "groups", "tile"), [(128, 2, (128, 64)), (129, 2, (128, 128)), (129, 1, (128, 128))])
def test_a_convolution_of_more_than_128_channels_takes_the_widest_tile(n, groups, tile):
    assert synthetic_us(synthetic.convolution(128, n, 4, groups=groups)) == exactly(
        on_tensor_cores_us(*tile, 1000) * 86
    )


@pytest.mark.parametrize(
    ("capability", "arithmetic_us", "unhidden"),
    [("8.7", on_tensor_cores_us(64, 64, 1000) * 86, 0.25), (synthetic.NO_TF32, wave_us(64, 64) * 800 / 500 * 86, 0.5)],
    ids=["tensor cores", "fp32 cores"],
)
def test_of_the_shorter_of_traffic_and_arithmetic_a_share_is_not_hidden(capability, arithmetic_us, unhidden):
    for read_bytes, write_bytes in ((320_000, 0), (1_200_000, 2_000_000)):
        moved = {"read_bytes": read_bytes, "write_bytes": write_bytes, "channels_last": True}
        memory_us = 320_000 / 2000 if write_bytes == 0 else 3_200_000 / 800
        longer, shorter = max(memory_us, arithmetic_us), min(memory_us, arithmetic_us)
        found = synthetic_us(synthetic.convolution(64, 64, 4, groups=4, **moved), "fp32", capability)
        assert found == exactly(longer + unhidden * shorter)


@pytest.mark.parametrize(
    ("sides", "stride", "channels_last", "dtype", "clocked", "layout_us"),
    [
        ((3, 3), 1, False, "float32", 2.0, 1.5 * 320_000 / 800),
        ((3, 3), 1, False, "float32", 0.02, 1.5 * 320_000 / 8 / 40),
        ((3, 3), 1, False, "float16", 0.02, 1.5 * 320_000 / 4 / 40),
        ((3, 3), 1, True, "float32", 2.0, 0),
        ((1, 1), 1, False, "float32", 2.0, 0),
        ((1, 1), 2, False, "float32", 2.0, 1.5 * 320_000 / 800),
    ],
    ids=["traffic", "few sms", "half", "channels last", "1x1", "1x1 with stride"],
)
def test_a_conversion_of_layouts_is_two_passes_one_element_at_a_time(
    sides, stride, channels_last, dtype, clocked, layout_us
):
    of = {"read_bytes": 320_000, "dtype": dtype, "channels_last": channels_last}
    kernel = synthetic.convolution(64, 64, 4, sides, stride, groups=4, **of)
    precision = "fp16" if dtype == "float16" else "fp32"
    without, with_it = (
        synthetic_us(kernel, precision, layout_passes=passes, memory_latency_ns=3072 / clocked - 768)
        for passes in (0.0, 1.5)
    )
    assert with_it - without == pytest.approx(layout_us)


@pytest.mark.parametrize(
    ("m", "n", "k", "starved_rows"),
    [(64, 128, 2052, 64), (3000, 128, 2052, 15 * 128), (3000, 129, 2052, 7 * 128), (3000, 128, 2048, None)],
)
def test_rows_of_a_convolution_starve_where_its_weights_outgrow_the_cache_and_its_blocks_are_few(m, n, k, starved_rows):
    convolution = synthetic.convolution(m, n, k, (1, 1))
    found = synthetic_us(convolution, facts={"cudnn": 8.6}, fp32_convolution_share=1e-4)
    if starved_rows is None:
        assert found == exactly(on_tensor_cores_us(128, 128, 1000, waves=6) * (k + 50))
    else:
        assert found == exactly(2 * starved_rows * n * (k + 50) / (4 * 1000 * 0.8 * 1e-4 * 0.8))
        assert synthetic_us(convolution, facts={"cudnn": 8.9}, fp32_convolution_share=1e-4) < found


STORED_US = 4 * 64 * 64 / (500 * 4 * 2)
"""Of four blocks of 64 x 64, one element at a time."""


@pytest.mark.parametrize(
    ("changes", "cudnn_release", "tensor_cores"),
    [
        ({"channels": 4}, 8.6, True),
        ({"channels": 6}, 9.0, False),
        ({"channels": 4, "dilation": 2}, 8.6, False),
        ({"channels": 4, "dilation": 2}, 8.9, True),
        ({"channels": 4, "dilation": 2}, None, True),
    ],
    ids=["fits", "unaligned", "dilated in 8.6", "dilated in 8.9", "dilated in a release that nobody says"],
)
def test_what_does_not_fit_tensor_cores_runs_without(changes, cudnn_release, tensor_cores):
    kernel = synthetic.convolution(64, 64, groups=4, **changes)
    facts = {} if cudnn_release is None else {"cudnn": cudnn_release}
    found = synthetic_us(kernel, facts=facts)
    if tensor_cores:
        assert found == exactly(on_tensor_cores_us(64, 64, 1000) * 86)
        return
    evenly_us = 2 * 4 * 64 * 64 * (kernel.product.k + 50) / (4 * 1000 * 0.5 * 0.8)
    assert found == exactly(evenly_us + 0.5 * STORED_US)
    assert synthetic_us(replace(kernel, read_bytes=8_000_000), facts=facts) == exactly(10_000 + 0.5 * evenly_us)


DIRECT_US, WINOGRAD_US = wave_us(32, 32) * 800 / 500, wave_us(32, 32, waves=4) * 800 / 500
"""For each element of the reduction: 4 blocks of 32 x 32, or 16 times one, because a quarter of 125 rows fills one."""


@pytest.mark.parametrize(
    ("changes", "fits"),
    [
        ({}, True),
        ({"sides": (9, 1)}, False),
        ({"sides": (3, 2)}, False),
        ({"stride": 2}, False),
        ({"dilation": 2}, False),
        ({"groups": 2}, False),
    ],
    ids=["3x3", "9x1", "3x2", "stride", "dilated", "groups"],
)
def test_without_tf32_winograd_takes_what_it_fits(changes, fits):
    kernel = synthetic.convolution(125, 32, 400, **changes)
    groups = changes.get("groups", 1)  # 4 blocks of 64 x 32, which make one wave, too
    direct_us = wave_us(64, 32) * 800 / 500 if groups == 2 else DIRECT_US
    stored_us = 125 * 32 * groups / (4 * 2048 / 1.536)  # of capability 7.2 an SM has 2048 threads
    us = WINOGRAD_US * 450 if fits else direct_us * (kernel.product.k + 50) + 0.5 * stored_us
    assert synthetic_us(kernel, "fp32", synthetic.NO_TF32) == exactly(us)


def test_winograd_moves_its_weights_transformed_where_that_takes_no_longer():
    kernel = synthetic.convolution(125, 32, 400, cold_bytes=90_000)
    memory_us = 90_000 / 500 + 90_000 * 2 * 16 / 9 / 500
    assert synthetic_us(kernel, "fp32", synthetic.NO_TF32) == exactly(WINOGRAD_US * 450 + 0.25 * memory_us)
    kernel = replace(kernel, cold_bytes=12_000_000)
    assert synthetic_us(kernel, "fp32", synthetic.NO_TF32) == exactly(DIRECT_US * 3650 + 0.5 * 24_000)


@pytest.mark.parametrize(("dtype", "precision", "rate"), [("float32", "fp32", 1000), ("float16", "fp16", 5000)])
def test_a_depthwise_convolution_computes_its_taps_and_where_they_are(dtype, precision, rate):
    kernel = synthetic.product(1, 1, 1, kind="depthwise", dtype=dtype, elements=100_000, flops=1_800_000)
    assert synthetic_us(kernel, precision) == exactly((1_800_000 + 2 * 100_000 * 6) / (4 * rate * 0.25))
    assert synthetic_us(replace(kernel, read_bytes=8_000_000), precision) == exactly(10_000)


@pytest.mark.parametrize(
    ("kernel", "precision", "as_if"),
    [
        (synthetic.product(64, 64, 1000, 4, dtype="float16"), "fp32", "fp16"),
        (synthetic.product(64, 64, 1000, 4, dtype="bfloat16"), "tf32", "fp16"),
        (synthetic.product(64, 64, 1000, 4), "fp16", "fp32"),
        (synthetic.product(64, 64, 1000, 4), "bf16", "fp32"),
        (synthetic.convolution(64, 64, 4, groups=4, dtype="float16"), "fp32", "fp16"),
        (synthetic.convolution(64, 64, 4, groups=4), "fp16", "fp32"),
        (synthetic.product(64, 64, 1000, 4, function="rnn_inputs"), "fp32", "tf32"),
        (synthetic.product(64, 64, 1000, 4, function="rnn_step"), "fp32", "tf32"),
        (synthetic.product(64, 64, 1000, 4, function="rnn_projection"), "fp16", "tf32"),
        (synthetic.product(64, 64, 1000, 4, function="rnn_step", dtype="float16"), "fp32", "fp16"),
    ],
    ids=lambda value: value if isinstance(value, str) else f"{value.function} of {value.dtype}",
)
def test_each_kernel_computes_in_the_type_of_its_tensors_and_cudnn_in_that_of_its_convolutions(
    kernel, precision, as_if
):
    among = (
        synthetic.stream(),
        replace(synthetic.stream(), dtype="float16"),
        kernel,
        synthetic.product(64, 64, 1000, 4),
    )
    target = synthetic.gpu(precision)
    device = costs(op_columns([]), synthetic.columns(*among), target, target.profile.values()).device_us
    plain = replace(kernel, function="mm")
    assert device[2] - synthetic.LATENCY_US == exactly(synthetic_us(plain, as_if))
    own = precision if precision in ("fp32", "tf32") else "fp32"
    assert list(device[[0, 1, 3]]) == pytest.approx([8, 8, 8 + synthetic_us(among[3], own)])


OF_THE_HOST = {
    "view": 3,
    **dict.fromkeys(("reduction", "copy", "pointwise", "other"), 10),
    "convolution": 10 + 9,
    "product": 10 + 7,
    "norm": 10 + 13,
    "recurrent": 0,
}


@pytest.mark.parametrize("kind", HOST_KINDS)
def test_a_host_dispatches_each_kind_of_op_and_the_calls_inside_it(kind):
    target = synthetic.gpu()
    kernels = tuple(synthetic.stream() for _ in range(3))
    ops = op_columns([Lowered(synthetic.OP, kind, 2, kernels)])
    launched = recurrence.CALL.value + 3 * recurrence.LAUNCH.value if kind == "recurrent" else 0
    found = costs(ops, synthetic.columns(*kernels, host_kind=kind), target, target.profile.values())
    assert found.host_us[0] == pytest.approx((OF_THE_HOST[kind] + 2 * 5 + launched * 10) / 2)
    after = (2, 1, 0) if kind == "recurrent" else (0, 0, 0)
    assert list(found.early_us) == pytest.approx([recurrence.LAUNCH.value * 10 / 2 * count for count in after])
    assert (found.overhead_us, found.one_clock) == (6 / 2, False)


def test_a_kernel_that_keeps_recurrent_weights_takes_its_steps_or_its_traffic_and_no_tiles():
    kernel = synthetic.product(9, 512, 160, batch=7, function="rnn_persistent")
    steps_us = recurrence.persistent_us(synthetic.columns(kernel), rates_of(synthetic.gpu(), synthetic.CONSTANTS))[0]
    for precision in ("fp32", "tf32"):
        assert synthetic_us(kernel, precision) == exactly(steps_us)
    assert synthetic_us(replace(kernel, read_bytes=80_000_000)) == exactly(100_000 + 0.25 * steps_us)
    assert steps_us < 100_000
