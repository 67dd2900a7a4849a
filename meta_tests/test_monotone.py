from __future__ import annotations

import functools
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from estimator import estimate
from estimator.capture import capture
from estimator.hardware.boards import load_profile
from estimator.hardware.reading import known_profiles
from estimator.lower import lower
from estimator.pipeline import forward_pass
from estimator.target import resolve, tensor_dtype

CHANNELS = st.sampled_from([3, 8, 16, 48, 64, 256, 1024])
GPUS = [name for name in known_profiles() if load_profile(name).processor == "gpu"]
reproducible = settings(max_examples=60)


@st.composite
def convolutional_modules(draw, channel_counts=CHANNELS):
    channels, layers = draw(channel_counts), []
    first = channels
    for _ in range(draw(st.integers(1, 4))):
        kind = draw(st.sampled_from(["convolution", "dilated", "depthwise", "norm", "relu", "hardswish", "pool"]))
        out = draw(channel_counts) if kind in ("convolution", "dilated") else channels
        kernel, dilation = draw(st.sampled_from([1, 3, 5])), 2 if kind == "dilated" else 1
        padding = dilation * (kernel // 2)
        layers.append(
            {
                "convolution": lambda c=channels, o=out, k=kernel, p=padding: torch.nn.Conv2d(c, o, k, padding=p),
                "dilated": lambda c=channels, o=out, k=kernel, p=padding: torch.nn.Conv2d(c, o, k, 1, p, 2),
                "depthwise": lambda c=channels, k=kernel, p=padding: torch.nn.Conv2d(c, c, k, 1, p, groups=c),
                "norm": lambda c=channels: torch.nn.BatchNorm2d(c),
                "relu": lambda: torch.nn.ReLU(inplace=True),
                "hardswish": torch.nn.Hardswish,
                "pool": lambda: torch.nn.AvgPool2d(2, ceil_mode=True),
            }[kind]()
        )
        channels = out
    pixels = draw(st.sampled_from([4, 7, 28, 56, 112]))
    return torch.nn.Sequential(*layers), (first, pixels, pixels)


@st.composite
def token_modules(draw):
    width = draw(st.sampled_from([64, 192, 768, 1024]))
    hidden = draw(st.sampled_from([16, 256, 4096]))
    tokens = draw(st.sampled_from([1, 5, 50, 197]))
    layers = [torch.nn.LayerNorm(width), torch.nn.Linear(width, hidden), torch.nn.GELU(), torch.nn.Linear(hidden, 10)]
    return torch.nn.Sequential(*layers), (tokens, width)


@pytest.fixture(autouse=True, scope="module")
def without_weights():
    with torch.device("meta"):
        yield


modules = st.one_of(convolutional_modules(), token_modules())


def estimated(module, shape, batch=1, mode="50W", precision="fp32", hardware="Jetson-Orin-AGX"):
    return estimate(module, torch.empty(batch, *shape), hardware, mode, precision)


@st.composite
def row_modules(draw):
    width = draw(st.sampled_from([1, 64, 1000, 1025, 5000, 100_003]))
    kind = draw(st.sampled_from([torch.nn.Softmax, torch.nn.LayerNorm]))
    return torch.nn.Sequential(kind(-1 if kind is torch.nn.Softmax else width)), (draw(st.integers(1, 9)), width)


target_of = functools.lru_cache(maxsize=None)(resolve)


def device_ms(lowered, target):
    return forward_pass(lowered, target).device_ms


@reproducible
@given(modules, st.sampled_from([(1, 2), (2, 4), (4, 8), (8, 16), (16, 64)]))
def test_a_larger_batch_is_never_faster(module_and_shape, batches):
    module, shape = module_and_shape
    smaller, larger = (estimated(module, shape, batch=batch) for batch in batches)
    assert larger.latency_ms >= smaller.latency_ms * (1 - 1e-9)


@reproducible
@given(
    st.one_of(modules, row_modules()),
    st.sampled_from([(1, 2), (3, 4), (8, 16), (16, 17), (16, 64)]),
    st.sampled_from(["fp32", "tf32", "fp16"]),
)
def test_a_larger_batch_is_never_faster_on_any_board(module_and_shape, batches, precision):
    module, shape = module_and_shape
    passes = [lower(capture(module, torch.empty(batch, *shape), tensor_dtype(precision))) for batch in batches]
    for hardware in GPUS:
        smaller, larger = (device_ms(ops, target_of(hardware, None, precision)) for ops in passes)
        assert larger >= smaller * (1 - 1e-9), hardware


@reproducible
@given(st.one_of(modules, row_modules()), st.sampled_from(["fp32", "fp16"]), st.floats(1.01, 1.19))
def test_a_higher_clock_bandwidth_or_power_is_never_slower_on_any_board(module_and_shape, precision, factor):
    module, shape = module_and_shape
    lowered = lower(capture(module, torch.empty(8, *shape), tensor_dtype(precision)))
    for hardware in GPUS:
        target = target_of(hardware, None, precision)
        before, mode = forward_pass(lowered, target).latency_ms, target.mode
        for what in ("cpu_mhz", "gpu_mhz", "bandwidth_gb_s", "watts"):
            faster = replace(mode, **{what: (getattr(mode, what) or 100) * factor})
            after = forward_pass(lowered, replace(target, mode=faster)).latency_ms
            assert after <= before * (1 + 1e-9) or (mode.watts is None and what == "watts"), (hardware, what)


@reproducible
@given(modules)
def test_half_precision_halves_the_bytes(module_and_shape):
    module, shape = module_and_shape
    full, half = (estimated(module, shape, precision=precision) for precision in ("fp32", "fp16"))
    assert half.bytes * 2 == full.bytes
    assert half.flops == full.flops
    assert half.ops == full.ops


@reproducible
@given(token_modules(), st.sampled_from(["fp16", "bf16", "tf32"]))
def test_a_lower_precision_is_never_slower_at_products(module_and_shape, precision):
    module, shape = module_and_shape
    lower_precision, full = (estimated(module, shape, batch=8, precision=p) for p in (precision, "fp32"))
    assert lower_precision.device_ms <= full.device_ms * (1 + 1e-9)


@reproducible
@given(modules, st.sampled_from(known_profiles()))
def test_every_board_estimates_every_module_with_an_interval_or_without_evidence(module_and_shape, hardware):
    module, shape = module_and_shape
    result = estimated(module, shape, hardware=hardware, mode=None)
    assert 0 < max(result.host_ms, result.device_ms) <= result.latency_ms
    assert (result.interval_pct is None) == bool(result.without_evidence)
    assert result.interval_pct is None or 0 < result.interval_pct < 100
