"""What bounds a kernel, and the least that it would take at the peak of what bounds it."""

from __future__ import annotations

import pytest
import torch

from estimator.capture import capture
from estimator.cost.columns import LIMITS, kernel_columns, op_columns
from estimator.cost.price import price
from estimator.hardware.boards import ThisCpu, load_profile
from estimator.lower import lower
from estimator.target import calibrated_target, target_on
from meta_tests import synthetic

ORIN = load_profile("Jetson-Orin-AGX")


def convolution(inputs, outputs, side=3, **changes):
    return torch.nn.Conv2d(inputs, outputs, side, **{"padding": side // 2, "bias": False, "device": "meta", **changes})


def limits(kernels, target):
    return price(op_columns(()), kernels, target, target.profile.values()).limits()


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
FROM_DRAM = 600_000 / 2**19 - 1
"""The share of 600,000 bytes that is more than half of the L2 holds."""
AT_FEW_WATTS = "fp32", "8.9", {}, {"watts": 0.004}
CUDNN_8_6 = "fp32", "8.7", {"cudnn": 8.6}
HALF = {"kind": "depthwise", "elements": 100_000, "dtype": "float16"}


@pytest.mark.parametrize(
    ("kernel", "options", "limit", "least_us"),
    [
        (synthetic.stream(read_bytes=16_000), (), "latency", 8),
        (synthetic.stream(read_bytes=30_000, write_bytes=40_000, cold_bytes=2000), (), "memory", 35 + 2),
        (synthetic.stream(read_bytes=4_000_000, write_bytes=3_000_000, cold_bytes=2000), (), "memory", 7002),
        (synthetic.product(128, 128, 10, 4), (), "arithmetic", 4 * TILE * 10 / 4000),
        (synthetic.product(128, 128, 23, 4, read_bytes=1_060_000), (), "memory", 1060),
        (synthetic.product(32, 32, 10, 4), (), "waves of tiles", TILE / 4 * 10 / 4000),
        (synthetic.product(128, 128, 1000, 4), ("tf32",), "arithmetic", 4 * TILE * 1000 / 10_000),
        (synthetic.product(128, 128, 20, 4), ("tf32",), "arithmetic", 4 * TILE * 20 / 4000),
        (synthetic.product(17, 1024, 1000), ("tf32",), "waves of tiles", 2 * 17 * 1024 * 1000 / 10_000),
        (synthetic.product(16, 1024, 1000), ("tf32",), "arithmetic", 2 * 16 * 1024 * 1000 / 4000),
        (synthetic.product(128, 128, 1000, 4, dtype="float16"), (), "arithmetic", 4 * TILE * 1000 / 20_000),
        (synthetic.product(128, 128, 1000, 4), AT_FEW_WATTS, "power", 4 * TILE * 1000 / 4000),
        (synthetic.product(128, 128, 1000, 4, dtype="float16"), AT_FEW_WATTS, "power", 4 * TILE * 1000 / 20_000),
        (of_tensor_cores(**WIDE), (), "arithmetic", 4 * TILE * 1800 / 10_000),
        (of_tensor_cores(64, 64, 4, read_bytes=590_000), (), "waves of tiles", TILE * 36 / 10_000),
        (of_tensor_cores(64, 64, 4, read_bytes=600_000), (), "memory", 600 * FROM_DRAM + 300 * (1 - FROM_DRAM)),
        (of_tensor_cores(64, 64, 10), (), "arithmetic", TILE * 90 / 4000),
        (of_tensor_cores(64, 64, 4, dilation=2), (), "waves of tiles", TILE * 36 / 10_000),
        (of_tensor_cores(64, 64, 4, dilation=2), CUDNN_8_6, "waves of tiles", TILE * 36 / 4000),
        (of_tensor_cores(128, 128, 40, stride=2), ("fp32", synthetic.NO_TF32), "arithmetic", 4 * TILE * 360 / 4000),
        (
            synthetic.convolution(125, 32, 400),
            ("fp32", synthetic.NO_TF32),
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
    kernel = synthetic.product(128, 128, 1000, 4)
    found = synthetic_limit(kernel, "fp32", tensor_core_product_efficiency=1.0)
    assert found == ("arithmetic", 4 * TILE * 1000 / 4000)
