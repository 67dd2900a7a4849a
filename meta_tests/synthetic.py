"""A synthetic GPU whose round figures let a time be worked out by hand, kernels without a model, and a table."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Dict, Mapping, Tuple

from estimator.cost.columns import KernelColumns, kernel_columns, op_columns
from estimator.cost.gpu import costs
from estimator.goldens.tables import Table
from estimator.hardware.boards import Board
from estimator.hardware.profile import Constant, PowerMode, Profile, Quantity
from estimator.lower import Kernel, Lowered, Product, Window
from estimator.opstream import Op, TensorSpec
from estimator.target import Target, target_on

FACTS = {
    "l2_mib": 1.0,
    "fp32_flops_per_clock_per_sm": 2.0,
    "tf32_flops_per_clock_per_sm": 5.0,
    "fp16_flops_per_clock_per_sm": 10.0,
    "event_pair_kcycles": 6.0,
}
"""At 500 MHz, FLOP per us and SM: 1000 in FP32, 2500 in TF32, 5000 in FP16."""
CONSTANTS = {
    "dispatch_kcycles": 10.0,
    "view_kcycles": 3.0,
    "nested_dispatch_kcycles": 5.0,
    "product_extra_kcycles": 7.0,
    "norm_extra_kcycles": 13.0,
    "convolution_extra_kcycles": 9.0,
    "fp32_core_efficiency": 0.8,
    "fp32_convolution_share": 0.625,
    "tensor_core_convolution_efficiency": 0.4,
    "tensor_core_product_efficiency": 0.8,
    "depthwise_efficiency": 0.25,
    "depthwise_index_taps": 6.0,
    "tile_half_elements": 16.0,
    "tensor_core_tile_half_elements": 1638.4,
    "fp32_core_fill_waves": 0.125,
    "tensor_core_fill_waves": 0.1,
    "fp32_block_kcycles": 0.0,
    "tensor_core_block_kcycles": 0.0,
    "reduction_fill_elements": 50.0,
    "split_kcycles": 20.0,
    "unhidden_share": 0.25,
    "fp32_unhidden_share": 0.5,
    "stream_efficiency": 0.8,
    "weight_stream_efficiency": 0.5,
    "softmax_efficiency": 0.4,
    "norm_l2_share": 1.0,
    "norm_block_bytes_per_clock": 4.096,
    "memory_latency_kcycles": 0.384,
    "memory_latency_ns": 768.0,
    "pool_elements_per_clock_per_sm": 4.0,
    "l2_bytes_per_clock_per_sm": 1.0,
    "layout_passes": 1.5,
    "unaligned_passes": 0.5,
    "kernel_kcycles": 4.0,
    "fp32_watts_per_tflop": 8.0,
    "tensor_core_watts_per_tflop": 4.0,
}
"""A load takes 1536 ns; with 1536 threads an SM has 1000 elements per us.

Tensor cores of 1024 FLOP a clock have half their rate at a reuse of 1638.4, those of 10 FLOP at one of 16.
"""
LATENCY_US = 8.0
"""Of any kernel: 4 kcycles at 500 MHz."""
TABLE = Table(("Model", "Est (ms)", "Note"), {"b": ("b", "1.5", ""), "a": ("a", "20", "new")})
MODE = PowerMode("synthetic", cpu_mhz=2000.0, gpu_mhz=500.0, sms=4, bandwidth_gb_s=1.0)
T = TensorSpec((2, 3), "float32", 4)
OP = Op("aten.relu", (T,), (), (T,), is_view=False, in_place=False)
NO_TF32 = "7.2"
"""A compute capability whose FP32 convolutions run on FP32 cores."""


def gpu(
    precision: str = "fp32",
    capability: str = "8.7",
    facts: Mapping[str, float] = {},
    mode: Mapping[str, Any] = {},
    **constants: float,
) -> Target:
    """The made-up GPU of a compute capability, with these facts, what its power mode says and constants changed."""
    own = {"tf32_flops_per_clock_per_sm": FACTS["fp32_flops_per_clock_per_sm"]} if capability[0] == "7" else {}
    profile = Profile(
        "synthetic",
        Path("made-up.toml"),
        {},
        {name: Quantity(name, of, "", "synthetic", 0, 1e9) for name, of in {**FACTS, **own, **facts}.items()},
        {MODE.name: replace(MODE, **mode)},
        MODE.name,
        MODE.name,
        {
            name: Constant(name, of, "", "synthetic", 0, 1e9, of, 1, 1)
            for name, of in {**CONSTANTS, **constants}.items()
        },
        compute_capability=capability,
    )
    return target_on(Board(profile.name), profile, None, precision)


def device_us(kernel: Kernel, *options: Any, **changes: Any) -> float:
    """What a kernel takes the made-up GPU of these options, beside the latency of any kernel."""
    target = gpu(*options, **changes)
    (us,) = costs(op_columns([]), columns(kernel), target, target.profile.values()).device_us
    latency_us = 1e3 * target.profile.constants["kernel_kcycles"].value / target.mode.gpu_mhz
    return float(us) - latency_us


def stream(function: str = "relu", elements: int = 0, **changes: Any) -> Kernel:
    """A kernel that moves nothing, but for what is said."""
    fields = {"dtype": "float32", "flops": 0, "read_bytes": 0, "write_bytes": 0, **changes}
    return Kernel(kind="stream", function=function, elements=elements, **fields)


def product(m: int, n: int, k: int, batch: int = 1, **changes: Any) -> Kernel:
    """A product whose operands cost no traffic, but for what is said."""
    of = Product(batch, m, n, k)
    fields: Dict[str, Any] = {
        **{"kind": "product", "function": "mm", "dtype": "float32", "elements": batch * m * n, "flops": of.flops},
        **{"read_bytes": 0, "write_bytes": 0, "product": of, **changes},
    }
    return Kernel(**fields)


def convolution(
    m: int,
    n: int,
    channels: int,
    sides: Tuple[int, int] = (3, 3),
    stride: int = 1,
    dilation: int = 1,
    groups: int = 1,
    **changes: Any,
) -> Kernel:
    """A convolution whose operands cost no traffic, but for what is said; `m` pixels, `n` channels of a group."""
    window = Window(sides, (stride, 1), (dilation, 1), channels, groups, 1, 0)
    found = product(m, n, channels * window.taps, groups)
    fields: Dict[str, Any] = {"kind": "convolution", "function": "convolution", "window": window, **changes}
    return replace(found, **fields)


def columns(*kernels: Kernel, host_kind: str = "other") -> KernelColumns:
    """The kernels of one op."""
    return kernel_columns([lowered(*kernels, host_kind=host_kind)])


def lowered(*kernels: Kernel, host_kind: str = "other") -> Lowered:
    """One op with these kernels."""
    return Lowered(OP, host_kind, 0, kernels)
