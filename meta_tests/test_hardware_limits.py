"""No estimate of any kernel on any board is below what its hardware can do."""

from __future__ import annotations

import random
from typing import Any, Dict, Iterator, List, Tuple

import numpy as np
import pytest
import torch

from estimator.capture import capture
from estimator.cost.columns import op_columns
from estimator.cost.price import price
from estimator.hardware.boards import load_profile
from estimator.hardware.generations import GENERATIONS
from estimator.hardware.reading import known_profiles
from estimator.lower import Kernel, Lowered, lower
from estimator.lower.fusion import in_int8, in_nhwc
from estimator.subjects.layers import make_layer
from estimator.target import Target, resolve, tensor_dtype
from meta_tests import synthetic

GPUS = [name for name in known_profiles() if load_profile(name).processor == "gpu"]
WINOGRAD_SAVES = 2.25
Layer = Tuple[Any, ...]


def side(source: random.Random, least: float, most: float) -> int:
    """Drawn evenly on a scale of octaves."""
    return round(2 ** source.uniform(least, most))


def some_layers(source: random.Random) -> Iterator[Tuple[Layer, Tuple[int, ...]]]:
    """Layers of every kind with inputs, from tiny ones to some that fill a board's memory for a moment."""
    batch, channels, outputs, px = (side(source, 0, most) for most in (7, 11, 11, 8))
    kernel, stride, dilation = source.choice([1, 3, 5, 7]), source.choice([1, 1, 2]), source.choice([1, 1, 2])
    image, rows, width = (batch, channels, px + 12, px + 12), side(source, 0, 16), side(source, 0, 18)
    yield ("Conv2d", channels, outputs, kernel, stride, kernel // 2, dilation, 1, False), image
    yield ("Conv2d", channels, channels, kernel, stride, kernel // 2, dilation, channels, False), image
    yield ("Conv2d", 8 * channels, 8 * outputs, 1, 1, 0, 1, 8, True), (batch, 8 * channels, px, px)
    yield ("Linear", side(source, 0, 15), side(source, 0, 15)), (rows,)
    yield ("BatchNorm2d", channels), image
    yield ("MaxPool2d", kernel, stride, kernel // 2), image
    yield ("ReLU",), image
    for layer in (("LayerNorm", width), ("Softmax", -1), ("GELU",)):
        yield layer, (min(rows, 2**30 // width), width)


def lowered(layer: Layer, shape: Tuple[int, ...], precision: str) -> Tuple[Lowered, ...]:
    shape = (*shape, layer[1]) if layer[0] == "Linear" else shape
    with torch.device("meta"):
        return lower(capture(make_layer(*layer).eval(), torch.empty(shape), tensor_dtype(precision)))


def products(source: random.Random, precision: str) -> Iterator[Kernel]:
    """Batched and deep ones, with their traffic."""
    dtype, item_bytes = ("float16", 2) if precision == "fp16" else ("float32", 4)
    for batch in (1, side(source, 0, 10)):
        m, n, k = side(source, 0, 13), side(source, 0, 13), side(source, 0, 18 if batch == 1 else 10)
        read_bytes = item_bytes * batch * (m + n) * k
        moved = {"read_bytes": read_bytes, "write_bytes": item_bytes * batch * m * n}
        yield synthetic.product(m, n, k, batch, dtype=dtype, **moved)


def some_kernels(precision: str) -> List[Kernel]:
    source, found = random.Random(5), []
    for _ in range(60):
        found += [kernel for one in some_layers(source) for op in lowered(*one, precision) for kernel in op.kernels]
        found += products(source, precision)
    return found


@pytest.fixture(scope="module")
def kernels() -> Dict[str, List[Kernel]]:
    return {"fp32": some_kernels("fp32"), "tf32": some_kernels("tf32"), "fp16": some_kernels("fp16")}


def least_us(kernel: Kernel, target: Target) -> float:
    """What the arithmetic takes at its peak, or what DRAM must deliver: weights, and what fills the L2 twice over."""
    profile = target.profile
    warm_bytes = kernel.read_bytes + kernel.write_bytes
    from_dram = kernel.cold_bytes + (warm_bytes if warm_bytes > 2 * profile.fact("l2_mib") * 2**20 else 0)
    memory_us = from_dram / (1e3 * profile.fact("dram_peak_gb_s"))
    return max(memory_us, 0.0 if kernel.kind == "stream" else kernel.flops / peak_flops_per_us(kernel, target))


def peak_flops_per_us(kernel: Kernel, target: Target) -> float:
    """Of the arithmetic that a kernel may take: PyTorch convolves in TF32, and multiplies in it where it is allowed."""
    fp32, tf32, fp16 = (target.profile.fact(f"{name}_flops_per_clock_per_sm") for name in ("fp32", "tf32", "fp16"))
    precision, int8 = target.precision, GENERATIONS[target.profile.compute_capability].int8
    has_one_switch = kernel.kind == "convolution" or target.runtime == "tensorrt"
    arithmetic = precision.convolutions if has_one_switch else precision.products
    peaks = {"fp32": fp32, "tf32": tf32, "fp16": fp16, "int8": max(int8, fp16)}
    allowed = max(fp32, peaks[arithmetic])
    if kernel.kind == "convolution":
        allowed = max(allowed, WINOGRAD_SAVES * fp32)
    return target.mode.sms * target.mode.gpu_mhz * allowed


def faster_than_the_hardware(target: Target, of: List[Kernel]) -> List[Tuple[Kernel, float]]:
    least = np.array([least_us(kernel, target) for kernel in of])
    found = price(op_columns([]), synthetic.columns(*of), target, target.profile.values()).device_us
    return [(kernel, us) for kernel, us, at_least in zip(of, found, least) if us < at_least]


@pytest.mark.parametrize("precision", ["fp32", "tf32", "fp16"])
@pytest.mark.parametrize("hardware", GPUS)
def test_no_kernel_is_faster_than_the_hardware(hardware: str, precision: str, kernels: Dict[str, List[Kernel]]) -> None:
    for mode in load_profile(hardware).modes:
        assert faster_than_the_hardware(resolve(hardware, mode, precision), kernels[precision]) == []


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
@pytest.mark.parametrize("hardware", GPUS)
def test_no_layer_of_an_engine_is(hardware: str, precision: str, kernels: Dict[str, List[Kernel]]) -> None:
    layers = [in_nhwc(synthetic.lowered(kernel)) for kernel in kernels["fp32" if precision == "fp32" else "fp16"]]
    of = [(in_int8(layer) if precision == "int8" else layer).kernels[0] for layer in layers]
    for mode in load_profile(hardware).modes:
        assert faster_than_the_hardware(resolve(hardware, mode, precision, runtime="tensorrt"), of) == []
