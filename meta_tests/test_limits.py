"""What bounds a kernel, and the least that it would take at the peak of what bounds it."""

from __future__ import annotations

import pytest
import torch

from estimator.capture import capture
from estimator.cost.columns import LIMITS, kernel_columns, op_columns
from estimator.cost.price import price
from estimator.cost.rates import rates_of
from estimator.hardware.boards import Board, ThisCpu, load_profile
from estimator.lower import lower
from estimator.target import calibrated_target, target_on
from meta_tests import synthetic

ORIN, XAVIER = load_profile("Jetson-Orin-AGX"), load_profile("Jetson-AGX-Xavier")


def convolution(inputs, outputs, side=3, **changes):
    return torch.nn.Conv2d(inputs, outputs, side, **{"padding": side // 2, "bias": False, "device": "meta", **changes})


def limits(kernels, target):
    return price(op_columns(()), kernels, target, target.profile.values()).limits()


def limit_of(layer, *shape, profile=ORIN, precision="fp32", mode=None, dtype=None):
    """What bounds the layer's last kernel, and its least microseconds; then the kernel, and the rates."""
    lowered = lower(capture(layer, torch.empty(*shape, device="meta"), dtype=dtype))
    target = target_on(Board(profile.name), profile, mode or profile.default_mode, precision)
    columns = kernel_columns(lowered)
    found = limits(columns, target)
    kernel = [kernel for op in lowered for kernel in op.kernels][-1]
    return LIMITS[found.limit[-1]], found.least_us[-1], kernel, rates_of(target, profile.values())


def test_a_stream_is_bound_by_memory_and_a_tiny_one_by_latency():
    limit, least_us, kernel, rates = limit_of(torch.nn.ReLU(), 64, 64, 56, 56)
    assert (limit, least_us) == ("memory", pytest.approx(kernel.bytes / rates.bytes_per_us))
    limit, least_us, _, rates = limit_of(torch.nn.ReLU(), 1, 8)
    assert (limit, least_us) == ("latency", rates.constants["kernel_kcycles"] / rates.gpu_kcycles_per_us)


def test_a_matrix_vector_product_is_bound_by_its_weights():
    limit, least_us, kernel, rates = limit_of(torch.nn.Linear(8192, 8192, bias=False, device="meta"), 1, 8192)
    assert (limit, least_us) == ("memory", pytest.approx(kernel.bytes / rates.bytes_per_us))


@pytest.mark.parametrize(
    ("layer", "shape", "options", "peak", "fewer"),
    [
        (convolution(512, 512), (64, 512, 28, 28), {}, "convolution", 1),
        (convolution(510, 512), (64, 510, 28, 28), {}, "fp32", 1),
        (convolution(512, 512, dilation=2, padding=2), (64, 512, 28, 28), {}, "fp32", 1),
        (convolution(64, 64, 7, groups=64), (64, 64, 56, 56), {}, "fp32", 1),
        (torch.nn.Linear(4096, 4096, bias=False, device="meta"), (4096, 4096), {}, "fp32", 1),
        (torch.nn.Linear(4096, 4096, bias=False, device="meta"), (4096, 4096), {"precision": "tf32"}, "product", 1),
        (convolution(512, 512), (64, 512, 28, 28), {"profile": XAVIER}, "fp32", 2.25),
        (convolution(512, 512, stride=2), (64, 512, 56, 56), {"profile": XAVIER}, "fp32", 1),
    ],
    ids="tensor-cores unaligned dilated depthwise product tf32 winograd stride".split(),
)
def test_arithmetic_takes_at_least_its_flop_at_the_peak_of_the_cores_it_runs_on(layer, shape, options, peak, fewer):
    limit, least_us, kernel, rates = limit_of(layer, *shape, **options)
    flops_per_us = rates.sms * getattr(rates, f"{peak}_flops_per_us_per_sm")
    assert (limit, least_us) == ("arithmetic", pytest.approx(kernel.flops / (fewer * flops_per_us)))


def test_a_skinny_product_takes_no_tensor_cores():
    layer, rows = torch.nn.Linear(64, 16, bias=False, device="meta"), 2**20
    limit, least_us, kernel, rates = limit_of(layer, rows, 64, precision="tf32")
    assert limit == "memory"
    assert least_us == pytest.approx(kernel.bytes / rates.bytes_per_us)


def test_blocks_that_do_not_fill_the_sms_are_waves():
    limit, least_us, kernel, rates = limit_of(convolution(512, 512, padding=1), 1, 512, 14, 14)
    assert limit == "waves of tiles"
    assert least_us == pytest.approx(kernel.flops / (rates.sms * rates.convolution_flops_per_us_per_sm))


def test_a_least_is_never_more_than_the_kernel_takes():
    for layer, shape in (
        (convolution(512, 512), (1, 512, 14, 14)),
        (convolution(64, 64, groups=64), (1, 64, 56, 56)),
        (torch.nn.Linear(512, 512, device="meta"), (20, 512)),
        (torch.nn.ReLU(), (1, 64, 56, 56)),
    ):
        lowered = lower(capture(layer, torch.empty(*shape, device="meta")))
        for target in (calibrated_target(ORIN), cpu_target()):
            found = price(op_columns(lowered), kernel_columns(lowered), target, target.profile.values())
            assert all(found.limits().least_us <= found.device_us)


def cpu_target():
    return target_on(ThisCpu(), ThisCpu().base_profile())


def of_cpu(layer, *shape):
    target = cpu_target()
    lowered = lower(capture(layer, torch.empty(*shape, device="meta")))
    found = limits(kernel_columns(lowered), target)
    return LIMITS[found.limit[0]], found.least_us[0], next(kernel for op in lowered for kernel in op.kernels)


C = cpu_target().profile.values()


@pytest.mark.parametrize(
    ("layer", "shape", "rate"),
    [
        (convolution(512, 512), (1, 512, 28, 28), "convolution_gflop_s"),
        (convolution(64, 64, 7, groups=64), (1, 64, 56, 56), "depthwise_gflop_s"),
        (torch.nn.Linear(4096, 4096, bias=False, device="meta"), (4096, 4096), "product_gflop_s"),
    ],
    ids="convolution depthwise product".split(),
)
def test_arithmetic_of_a_cpu_takes_its_flop_at_the_rate_of_its_kind(layer, shape, rate):
    limit, least_us, kernel = of_cpu(layer, *shape)
    inside = kernel.window.rows_inside if kernel.window else 1.0
    assert (limit, least_us) == ("arithmetic", pytest.approx(kernel.flops * inside / (C[rate] * 1e3)))


def test_a_cpu_moves_what_it_reads_and_writes_and_compares_taps_one_by_one():
    limit, least_us, kernel = of_cpu(torch.nn.ReLU(), 64, 64, 56, 56)
    assert (limit, least_us) == ("memory", pytest.approx(kernel.bytes / (C["warm_gb_s"] * 1e3)))
    limit, least_us, kernel = of_cpu(torch.nn.MaxPool2d(7, 1, 3), 1, 64, 56, 56)
    assert (limit, least_us) == ("arithmetic", pytest.approx(kernel.elements * (49 + 4) / C["scalar_melements_s"]))
    assert of_cpu(convolution(8, 8, 5), 1, 8, 4, 4)[0] == "latency"


def synthetic_limit(kernel, *options, **changes):
    target = synthetic.gpu(*options, **changes)
    found = limits(synthetic.columns(synthetic.stream(), kernel), target)
    assert (LIMITS[found.limit[0]], found.least_us[0]) == ("latency", synthetic.LATENCY_US)
    return LIMITS[found.limit[1]], pytest.approx(found.least_us[1], rel=1e-9)


def of_tensor_cores(m, n, channels, **changes):
    return synthetic.convolution(m, n, channels, **{"groups": 4, **changes})


WIDE = {"channels": 200, "m": 128, "n": 128}
"""Deep enough for most of tensor cores' rate: 4 blocks, one on each SM."""


TILE = 2 * 4 * 64 * 64
"""FLOP of four tiles of 64 x 64 for each element of the reduction."""
HALF = {"kind": "depthwise", "elements": 100_000, "dtype": "float16"}


@pytest.mark.parametrize(
    ("kernel", "options", "limit", "least_us"),
    [
        (synthetic.stream(read_bytes=6400), (), "latency", 8),
        (synthetic.stream(read_bytes=3000, write_bytes=4000, cold_bytes=2000), (), "memory", 9),
        (synthetic.product(128, 128, 10, 4), (), "arithmetic", 4 * TILE * 10 / 4000),
        (synthetic.product(128, 128, 10, 4, read_bytes=461_000), (), "memory", 461),
        (synthetic.product(32, 32, 10, 4), (), "waves of tiles", TILE / 4 * 10 / 4000),
        (synthetic.product(128, 128, 1000, 4), ("tf32",), "arithmetic", 4 * TILE * 1000 / 10_000),
        (synthetic.product(128, 128, 20, 4), ("tf32",), "arithmetic", 4 * TILE * 20 / 4000),
        (synthetic.product(17, 1024, 1000), ("tf32",), "waves of tiles", 2 * 17 * 1024 * 1000 / 10_000),
        (synthetic.product(16, 1024, 1000), ("tf32",), "arithmetic", 2 * 16 * 1024 * 1000 / 4000),
        (synthetic.product(128, 128, 1000, 4, dtype="float16"), (), "arithmetic", 4 * TILE * 1000 / 20_000),
        (of_tensor_cores(**WIDE), (), "arithmetic", 4 * TILE * 1800 / 10_000),
        (of_tensor_cores(64, 64, 4, read_bytes=320_000), (), "waves of tiles", TILE * 36 / 10_000),
        (of_tensor_cores(64, 64, 4, read_bytes=400_000), (), "memory", 400),
        (of_tensor_cores(64, 64, 6), (), "arithmetic", TILE * 54 / 4000),
        (of_tensor_cores(64, 64, 4, dilation=2), (), "waves of tiles", TILE * 36 / 4000),
        (of_tensor_cores(64, 64, 40, stride=2), ("fp32", False), "arithmetic", TILE * 360 / 4000),
        (
            synthetic.convolution(125, 32, 400),
            ("fp32", False),
            "waves of tiles",
            2 * 125 * 32 * 3600 / 4000 / 2.25,
        ),
        (synthetic.product(1, 1, 1, kind="depthwise", elements=100_000, flops=1_800_000), (), "arithmetic", 450),
        (synthetic.product(1, 1, 1, flops=1_800_000, **HALF), ("fp16",), "arithmetic", 90),
        (synthetic.product(1, 1, 1, flops=1_000_000, **HALF), ("fp16",), "waves of tiles", 50),
    ],
)
def test_what_bounds_a_kernel_by_hand(kernel, options, limit, least_us):
    assert synthetic_limit(kernel, *options) == (limit, least_us)


def test_a_product_without_tensor_cores_is_held_against_the_fp32_cores():
    kernel = synthetic.product(64, 64, 1000, 4)
    found = synthetic_limit(kernel, "fp32", tensor_core_product_efficiency=1.0)
    assert found == ("arithmetic", 2 * 4 * 64 * 64 * 1000 / 4000)
