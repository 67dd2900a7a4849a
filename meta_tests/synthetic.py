"""A synthetic GPU whose round figures let a time be worked out by hand, kernels without a model, and a table."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from estimator.cost.columns import kernel_columns
from estimator.goldens.tables import Table
from estimator.hardware.boards import Board
from estimator.hardware.profile import Constant, PowerMode, Profile, Quantity
from estimator.lower import Kernel, Lowered, Product, Window
from estimator.opstream import Op, TensorSpec
from estimator.target import target_on

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
    "fp32_core_efficiency": 0.8,
    "tensor_core_convolution_efficiency": 0.4,
    "tensor_core_product_efficiency": 0.8,
    "fp32_convolution_efficiency": 0.5,
    "depthwise_efficiency": 0.25,
    "depthwise_index_taps": 6.0,
    "tile_half_elements": 16.0,
    "fp32_core_fill_waves": 0.125,
    "tensor_core_fill_waves": 0.1,
    "reduction_fill_elements": 50.0,
    "unhidden_share": 0.25,
    "stream_efficiency": 0.8,
    "norm_elements_per_clock_per_sm": 2.0,
    "weight_stream_efficiency": 0.5,
    "layout_passes": 1.5,
    "kernel_kcycles": 4.0,
}
LATENCY_US = 8.0
"""Of any kernel: 4 kcycles at 500 MHz."""
TABLE = Table(("Model", "Est (ms)", "Note"), {"b": ("b", "1.5", ""), "a": ("a", "20", "new")})
MODE = PowerMode("synthetic", cpu_mhz=2000.0, gpu_mhz=500.0, sms=4, bandwidth_gb_s=1.0)
T = TensorSpec((2, 3), "float32", 4)
OP = Op("aten.relu", (T,), (), (T,), is_view=False, in_place=False)


def gpu(precision="fp32", tf32=True, **constants):
    """The made-up GPU with these constants changed; without TF32 its convolutions run on the FP32 cores, too."""
    facts = {**FACTS, "tf32_flops_per_clock_per_sm": FACTS["tf32_flops_per_clock_per_sm"] if tf32 else 2.0}
    profile = Profile(
        "synthetic",
        Path("made-up.toml"),
        {},
        {name: Quantity(name, value, "", "synthetic", 0, 1e9) for name, value in facts.items()},
        {MODE.name: MODE},
        MODE.name,
        MODE.name,
        {
            name: Constant(name, of, "", "synthetic", 0, 1e9, of, 1, 1)
            for name, of in {**CONSTANTS, **constants}.items()
        },
    )
    return target_on(Board(profile.name), profile, None, precision)


def stream(function="relu", elements=0, **changes):
    """A kernel that moves nothing, but for what is said."""
    fields = {"dtype": "float32", "flops": 0, "read_bytes": 0, "write_bytes": 0, **changes}
    return Kernel(kind="stream", function=function, elements=elements, **fields)


def product(m, n, k, batch=1, **changes):
    """A product whose operands cost no traffic, but for what is said."""
    of = Product(batch, m, n, k)
    return Kernel(
        **{
            **{"kind": "product", "function": "mm", "dtype": "float32", "elements": batch * m * n, "flops": of.flops},
            **{"read_bytes": 0, "write_bytes": 0, "product": of, **changes},
        }
    )


def convolution(m, n, channels, sides=(3, 3), stride=1, dilation=1, groups=1, **changes):
    """A convolution whose operands cost no traffic, but for what is said; `m` pixels, `n` channels of a group."""
    window = Window(sides, (stride, 1), (dilation, 1), channels, groups, 1, 0)
    found = product(m, n, channels * window.taps, groups)
    return replace(found, **{"kind": "convolution", "function": "convolution", "window": window, **changes})


def columns(*kernels, host_kind="other"):
    """The kernels of one op."""
    return kernel_columns([Lowered(OP, host_kind, 0, kernels)])
