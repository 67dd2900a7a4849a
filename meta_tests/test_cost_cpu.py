from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from estimator.capture import capture
from estimator.cost.columns import HOST_KINDS, LIMITS, kernel_columns, op_columns
from estimator.cost.cpu import costs, device_us, host_us
from estimator.hardware.profile import Correction
from estimator.hardware.quantities import CPU_CONSTANTS
from estimator.hardware.reading import TEMPLATES, read_profile
from estimator.lower import Lowered, Window, lower
from estimator.lower.kernels import stream_kernel
from estimator.opstream import Op, TensorSpec
from estimator.subjects.chains import Block, lower_layers
from estimator.target import calibrated_target
from meta_tests import synthetic

PROFILE = read_profile(TEMPLATES / "local-cpu.toml")
CONSTANTS = PROFILE.values()


def test_constants_describe_a_cpu_before_any_correction():
    assert set(PROFILE.constants) == set(CPU_CONSTANTS)
    assert not PROFILE.corrections


ELEMENT_WORK = {
    **dict.fromkeys(("silu", "sigmoid", "exp", "tanh", "elu", "_softmax", "_log_softmax"), 1.0),
    "gelu": 1.1,
    **{"mish": 2.0, "softplus": 2.0},
    **{"upsample_bilinear2d": 3.0, "upsample_bicubic2d": 12.0},
    **dict.fromkeys(("relu", "add", "upsample_nearest2d", "hardswish"), 0.0),
}


@pytest.mark.parametrize(("function", "work"), ELEMENT_WORK.items(), ids=ELEMENT_WORK)
def test_an_element_of_a_function_takes_the_vectors_so_many_exponentials(function, work):
    kernels = stream_of(function)
    slow, usual = (device_us(kernels, {**CONSTANTS, "vector_melements_s": rate}).sum() for rate in (1.0, 1e12))
    assert slow - usual == pytest.approx(work * 1000, rel=1e-6)


@pytest.mark.parametrize(("function", "work"), [("clone", 0.5), ("copy", 0.5), ("relu", 0.0), ("cat", 0.0)])
def test_an_element_that_is_moved_against_the_order_of_memory_takes_half_a_comparison(function, work):
    for contiguous, expected in ((False, work * 1000), (True, 0.0)):
        kernels = stream_of(function, contiguous)
        slow, usual = (device_us(kernels, {**CONSTANTS, "scalar_melements_s": rate}).sum() for rate in (1.0, 1e12))
        assert slow - usual == pytest.approx(expected, abs=1e-6)


def stream_of(function, contiguous=True):
    """A thousand elements of it."""
    t = TensorSpec((10, 100), "float32", 4, contiguous)
    op = Op(f"aten.{function}", (t,), (), (t,), is_view=False, in_place=False)
    return kernel_columns([Lowered(op, "other", 0, (stream_kernel(op),))])


def test_a_correction_holds_near_what_was_measured_and_fades_to_the_kind_s_own_factor():
    def corrected(offset, points, residuals, pixels):
        correction = Correction(9, 0.1, offset, 2.0, ("elements",), points, residuals)
        profile = replace(PROFILE, corrections={"relu": correction})
        lowered = lower(capture(torch.nn.ReLU(), torch.empty(1, 64, pixels, pixels, device="meta")))
        columns = op_columns(lowered), kernel_columns(lowered)
        new, old = (costs(*columns, calibrated_target(p), CONSTANTS) for p in (profile, PROFILE))
        return (new.host_us.sum() + new.device_us.sum()) / (old.host_us.sum() + old.device_us.sum())

    at_16_pixels = ((14.0,),)
    assert corrected(0.0, (), (), 16) == 1
    assert corrected(0.1, at_16_pixels, (0.2,), 16) == pytest.approx(math.exp(0.3), rel=1e-3)
    assert corrected(0.1, at_16_pixels, (0.2,), 32) == pytest.approx(math.exp(0.1 + 0.2 * math.exp(-0.5)), rel=1e-3)
    assert corrected(0.1, at_16_pixels, (0.2,), 2048) == pytest.approx(math.exp(0.1), rel=1e-3)


IMAGE, TOKENS = (1, 64, 28, 28), (1, 20, 64)
BLOCKS = (
    Block("pointwise", IMAGE, (("Conv2d", 64, 64, 1), ("MaxPool2d", 3, 2))),
    Block("convolution", IMAGE, (("Conv2d", 64, 64, 3), ("BatchNorm2d", 64), ("GELU",), ("Views", 4))),
    Block("depthwise", IMAGE, (("Conv2d", 64, 64, 3, 1, 1, 1, 64),)),
    Block("grouped", IMAGE, (("Conv2d", 64, 64, 3, 1, 1, 1, 4),)),
    Block("attention", TOKENS, (("SelfAttention", 64, 4), ("Linear", 64, 64))),
    Block("head", (1, 512), (("Linear", 512, 512),)),
)


def block_us(block, constants):
    lowered = [op for layer in lower_layers(block) for op in layer]
    ops_us, kernels_us = host_us(op_columns(lowered), constants), device_us(kernel_columns(lowered), constants)
    return ops_us.sum() + kernels_us.sum()


@pytest.mark.parametrize("name", CPU_CONSTANTS)
def test_every_constant_moves_something_in_the_direction_of_its_name(name):
    more = {**CONSTANTS, name: 1.5 * CONSTANTS[name]}
    moved = [block_us(block, more) - block_us(block, CONSTANTS) for block in BLOCKS]
    if name.endswith(("gflop_s", "gb_s", "melements_s", "double_columns")):
        moved = [-us for us in moved]
    assert min(moved) >= 0
    assert max(moved) > 0


ROUND = {
    **{"dispatch_us": 10.0, "refill_us": 3.0, "view_us": 1.0, "nested_dispatch_us": 4.0, "norm_extra_us": 7.0},
    **{"library_call_us": 20.0, "reorder_us": 6.0, "convolution_gflop_s": 2.0, "depthwise_gflop_s": 1.0},
    **{"product_gflop_s": 4.0, "block_half_channels": 8.0, "block_half_rows": 16.0, "product_half_elements": 32.0},
    **{"product_double_columns": 64.0, "warm_gb_s": 0.8, "cold_gb_s": 0.5, "packing_gb_s": 0.25},
    **{"layout_passes": 2.0, "pointwise_reorder_share": 0.5, "vector_melements_s": 100.0, "scalar_melements_s": 50.0},
}
"""A synthetic CPU: its round figures let a time be worked out by hand."""
MOVED = {"read_bytes": 48_000, "write_bytes": 32_000, "cold_bytes": 10_000}
"""100 us of activations; 20 us of weights as they are, 40 us packed."""


def window(sides=(3, 3), stride=1, groups=1, images=2, elements=0, inside=1.0):
    return Window(sides, (stride, 1), (1, 1), 4, groups, images, elements, inside)


def convolved(kind="convolution", n=8, m=16, moved=MOVED, **changes):
    """16000 FLOP, whatever its sides."""
    return synthetic.product(m, n, 1, kind=kind, flops=16_000, window=window(**changes), **moved)


def pooled(function, contiguous=True):
    return replace(synthetic.stream(function, elements=1000, contiguous=contiguous), window=window(sides=(2, 4)))


BLOCKS_WASTE = (1 + 8 / 8) * (1 + 16 / 16)
REORDERED_US = 20 + 6 + 40 + 3 * 100
"""A call, its reordering, packed weights, two passes beside the one that reads and writes."""


@pytest.mark.parametrize(
    ("kernel", "us"),
    [
        (synthetic.stream("relu", elements=1000, **MOVED), 120),
        (synthetic.stream("gelu", elements=1000, **MOVED), 120 + 1.1 * 10 + 20),
        (synthetic.stream("silu", elements=1000, **MOVED), 120 + 10),
        (pooled("max_pool2d_with_indices"), 1000 * (8 + 4) / 50),
        (pooled("avg_pool2d", contiguous=False), 0.6 * 1000 * (8 + 4) / 50),
        (pooled("relu"), 0),
        (synthetic.stream("clone", elements=1000, contiguous=False, **MOVED), 120 + 0.5 * 1000 / 50),
        (synthetic.stream("clone", elements=1000, **MOVED), 120),
        (synthetic.stream("bias", elements=1000, contiguous=False, **MOVED), 0),
        (convolved(), 8 * BLOCKS_WASTE + REORDERED_US),
        (convolved(n=4, m=1), 8 * (1 + 8 / 4) * (1 + 16) + REORDERED_US),
        (convolved(inside=0.5), 4 * BLOCKS_WASTE + REORDERED_US),
        (convolved(sides=(1, 1)), 8 * BLOCKS_WASTE + 20 + 3 + 40 + 2 * 100),
        (convolved(sides=(1, 1), stride=2), 8 * BLOCKS_WASTE + REORDERED_US),
        (convolved(sides=(1, 1), groups=2), 8 * BLOCKS_WASTE + REORDERED_US),
        (convolved("depthwise", groups=8), 16 + REORDERED_US),
        (convolved("depthwise", groups=8, sides=(1, 1), inside=0.5), 8 + REORDERED_US),
        (synthetic.product(32, 64, 16, **MOVED), 100 + 16.384 * 2 * 1.5 * 3 * (1 + 64 / 64) + 40),
        (synthetic.product(2, 64, 1, **MOVED), 100 + 0.064 * 17 * 1.5 * 33 * (1 + 64 / 64) + 40),
        (synthetic.product(1, 64, 16, **MOVED), 100 + 20),
    ],
)
def test_a_kernel_on_a_synthetic_cpu_by_hand(kernel, us):
    among = synthetic.columns(synthetic.stream(), kernel, synthetic.stream("gelu"))
    assert device_us(among, ROUND).tolist() == pytest.approx([0, us, 20])


@pytest.mark.parametrize(
    ("changes", "by_library"),
    [
        ({}, False),
        ({"sides": (4, 1)}, True),
        ({"sides": (1, 4)}, True),
        ({"elements": 20480}, False),
        ({"elements": 20481}, True),
        ({"groups": 2}, True),
        ({"images": 2}, True),
    ],
    ids=str,
)
def test_one_small_image_and_window_need_no_reordering(changes, by_library):
    kernel = convolved(**{"images": 1, **changes}, moved={})
    assert device_us(synthetic.columns(kernel), ROUND)[0] == pytest.approx(8 * BLOCKS_WASTE + 20 + 6 * by_library)


@pytest.mark.parametrize("kind", HOST_KINDS)
def test_the_host_of_a_synthetic_cpu_by_hand(kind):
    each = {"view": 1, "norm": 10 + 7}.get(kind, 10)
    nested = 0 if kind == "convolution" else 2 * 4
    for elements, refill in ((2048, 0), (2049, 0 if kind == "view" else 3)):
        op = replace(synthetic.OP, args=(TensorSpec((elements,), "float32", 4),))
        assert host_us(op_columns([Lowered(op, kind, 2, ())]), ROUND).tolist() == [each + nested + refill]


def test_a_correction_is_of_the_ops_of_its_kind_and_of_their_kernels():
    ops = [Lowered(synthetic.OP, "other", 0, (synthetic.stream(name, **MOVED),)) for name in ("relu", "gelu", "relu")]
    kinds = {"relu": Correction(9, 0.1, math.log(2), 2.0, (), (), ())}
    columns = op_columns(ops), kernel_columns(ops)
    old, new = (costs(*columns, calibrated_target(replace(PROFILE, corrections=of)), ROUND) for of in ({}, kinds))
    assert old.host_us.tolist() == [10, 10, 10]
    assert old.device_us.tolist() == pytest.approx([120, 140, 120])
    assert new.host_us.tolist() == pytest.approx([20, 10, 20])
    assert new.device_us.tolist() == pytest.approx([240, 140, 240])
    for found in (old, new):
        assert (found.overhead_us, found.one_clock, found.early_us) == (0.0, True, None)


def activations(us):
    return {"read_bytes": 800 * us}


@pytest.mark.parametrize(
    ("kernel", "limit", "least_us"),
    [
        (synthetic.stream("relu", **MOVED), "memory", 120),
        (synthetic.stream("gelu", elements=1000), "latency", 11 + 20),
        (synthetic.stream("gelu", elements=1000, **activations(30)), "latency", 31),
        (synthetic.stream("gelu", elements=1000, **activations(32)), "memory", 32),
        (pooled("max_pool2d_with_indices"), "arithmetic", 240),
        (replace(pooled("max_pool2d_with_indices"), **activations(239)), "arithmetic", 240),
        (replace(pooled("max_pool2d_with_indices"), **activations(241)), "memory", 241),
        (replace(pooled("max_pool2d_with_indices"), elements=1, **activations(0.125)), "arithmetic", 0.24),
        (synthetic.stream("bias", elements=1000, **MOVED), "arithmetic", 0),
        (replace(convolved(moved={}), flops=400_000), "latency", 800 + 26 - 200),
        (replace(convolved(n=800, m=1600, moved={}), flops=400_000), "arithmetic", 200),
        (replace(convolved(n=800, m=1600, moved={}, inside=0.75), flops=400_000), "arithmetic", 150),
        (replace(convolved(n=800, m=1600, moved=activations(60)), flops=400_000), "arithmetic", 200),
        (replace(convolved("depthwise", moved={}), flops=400_000), "arithmetic", 400),
        (synthetic.product(3200, 64, 3200), "latency", 327_680 * (1.01 * 1.5 * 1.01 * 2 - 1)),
        (synthetic.product(1, 64, 16, **MOVED), "memory", 120),
    ],
)
def test_what_bounds_a_kernel_on_a_synthetic_cpu_by_hand(kernel, limit, least_us):
    found = costs(op_columns([]), synthetic.columns(kernel), calibrated_target(PROFILE), ROUND).limits()
    assert (LIMITS[found.limit[0]], found.least_us[0]) == (limit, pytest.approx(least_us))
