"""What a profile may name: constants and facts with their units, and what a compute capability implies."""

from __future__ import annotations

from typing import Mapping, Tuple

HOST_CONSTANTS: Tuple[str, ...] = (
    "dispatch_kcycles",
    "view_kcycles",
    "nested_dispatch_kcycles",
    "product_extra_kcycles",
    "norm_extra_kcycles",
)
"""Of a GPU's host; `--calibrate host` fits these alone."""
GPU_CONSTANTS: Tuple[str, ...] = (
    *HOST_CONSTANTS,
    "fp32_core_efficiency",
    "tensor_core_convolution_efficiency",
    "tensor_core_product_efficiency",
    "fp32_convolution_efficiency",
    "depthwise_efficiency",
    "depthwise_index_taps",
    "tile_half_elements",
    "fp32_core_fill_waves",
    "tensor_core_fill_waves",
    "reduction_fill_elements",
    "unhidden_share",
    "stream_efficiency",
    "norm_elements_per_clock_per_sm",
    "weight_stream_efficiency",
    "layout_passes",
    "kernel_kcycles",
)
CPU_CONSTANTS: Tuple[str, ...] = (
    "dispatch_us",
    "refill_us",
    "view_us",
    "nested_dispatch_us",
    "norm_extra_us",
    "library_call_us",
    "reorder_us",
    "convolution_gflop_s",
    "depthwise_gflop_s",
    "product_gflop_s",
    "block_half_channels",
    "block_half_rows",
    "product_half_elements",
    "product_double_columns",
    "warm_gb_s",
    "cold_gb_s",
    "packing_gb_s",
    "layout_passes",
    "pointwise_reorder_share",
    "vector_melements_s",
    "scalar_melements_s",
)
FEATURES: Mapping[str, float] = {
    "flop": 1.0,
    "warm_bytes": 1.0,
    "cold_bytes": 1.0,
    "elements": 1.0,
    "batch": 1.0,
    "m": 1.0,
    "n": 1.0,
    "k": 1.0,
    "twos_in_n": 1.0,
    "twos_in_k": 1.0,
    "window_side": 0.5,
    "stride": 0.5,
    "dilation": 0.5,
    "in_place": 0.5,
    "strided": 0.5,
}
"""The features of an op that a correction may look at: logarithms to base 2, but for the last two, which are 0 or 1.

The number is how far apart two ops are that count as one unit of the correction's `length`.
"""
_FLOPS = "FLOP per clock and SM"
FACTS: Mapping[str, Tuple[str, float, float]] = {
    "dram_peak_gb_s": ("GB/s", 10, 10000),
    "l2_mib": ("MiB", 0.25, 256),
    "fp32_flops_per_clock_per_sm": (_FLOPS, 64, 1024),
    "tf32_flops_per_clock_per_sm": (_FLOPS, 64, 8192),
    "fp16_flops_per_clock_per_sm": (_FLOPS, 64, 16384),
    "event_pair_kcycles": ("kcycle of the CPU", 0.1, 1000),
}
"""Unit and bounds of each fact of a GPU's board; a profile may give just the number, or a table with its own source."""
CAPABILITIES: Mapping[str, Tuple[int, int, int]] = {
    "7.0": (128, 128, 1024),
    "7.2": (128, 128, 1024),
    "7.5": (128, 128, 1024),
    "8.0": (128, 1024, 2048),
    "8.6": (256, 512, 1024),
    "8.7": (256, 1024, 2048),
    "8.9": (256, 512, 1024),
    "9.0": (256, 2048, 4096),
    "10.0": (256, 4096, 8192),
    "12.0": (256, 512, 1024),
}
"""FLOP per clock and SM in FP32, TF32 and FP16 (dense, tensor cores where there are any), by compute capability.

From NVIDIA's data sheets of the professional boards: advertised rate / (SMs x boost clock). GeForce boards of 8.6 and
8.9 accumulate FP16 in FP32 at half that rate.
"""
