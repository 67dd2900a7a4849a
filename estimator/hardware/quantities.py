"""What a profile may name: constants and facts with their units, and what a compute capability implies."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Dict, Mapping, Optional, Tuple

from ..checked import Bounds

HOST_CONSTANTS: Tuple[str, ...] = (
    "dispatch_kcycles",
    "view_kcycles",
    "nested_dispatch_kcycles",
    "product_extra_kcycles",
    "norm_extra_kcycles",
    "convolution_extra_kcycles",
)
"""Of a GPU's host; `calibrate --host` fits these alone."""
DEVICE_CONSTANTS: Tuple[str, ...] = tuple(
    """
    fp32_core_efficiency fp32_convolution_share tensor_core_convolution_efficiency tensor_core_product_efficiency
    depthwise_efficiency depthwise_index_taps tile_half_elements tensor_core_tile_half_elements
    fp32_core_fill_waves tensor_core_fill_waves fp32_block_kcycles tensor_core_block_kcycles
    reduction_fill_elements split_kcycles unhidden_share fp32_unhidden_share stream_efficiency
    weight_stream_efficiency softmax_efficiency norm_l2_share norm_block_bytes_per_clock memory_latency_kcycles
    memory_latency_ns pool_elements_per_clock_per_sm l2_bytes_per_clock_per_sm layout_passes unaligned_passes
    kernel_kcycles fp32_watts_per_tflop tensor_core_watts_per_tflop
    """.split()
)
GPU_CONSTANTS: Tuple[str, ...] = (*HOST_CONSTANTS, *DEVICE_CONSTANTS)
CPU_CONSTANTS: Tuple[str, ...] = tuple(
    """
    dispatch_us refill_us view_us nested_dispatch_us norm_extra_us library_call_us reorder_us convolution_gflop_s
    depthwise_gflop_s product_gflop_s block_half_channels block_half_rows product_half_elements product_double_columns
    warm_gb_s cold_gb_s packing_gb_s layout_passes pointwise_reorder_share vector_melements_s scalar_melements_s
    """.split()
)
FEATURES: Mapping[str, float] = {
    **dict.fromkeys("flop warm_bytes cold_bytes elements batch m n k twos_in_n twos_in_k".split(), 1.0),
    **dict.fromkeys("window_side stride dilation in_place strided".split(), 0.5),
}
"""The features of an op that a correction may look at: logarithms to base 2, but for the last two, which are 0 or 1.

The number is how far apart two ops are that count as one unit of the correction's `length`.
"""


@dataclass(frozen=True)
class Fact:
    """What a GPU's board is by design: its bounds with their unit, its meaning, and what holds where none is given.

    A fact with a `default` is optional; one without must be given.
    """

    bounds: Bounds
    meaning: str
    default: Optional[float] = None


_FLOPS = "FLOP per clock and SM"
FACTS: Dict[str, Fact] = {
    "dram_peak_gb_s": Fact(
        Bounds(10, 10000, "GB/s", "a Jetson Nano has 25.6, an H200 4800"),
        "memory clock x data rate x bus width: data sheet, NVML",
    ),
    "l2_mib": Fact(
        Bounds(0.25, 256, "MiB", "a Jetson Nano has 0.25, a B200 126"),
        "size of the last-level cache of the GPU: `L2_cache_size`",
    ),
    "fp32_flops_per_clock_per_sm": Fact(
        Bounds(64, 1024, _FLOPS, "128 cores of two FLOP at most today"), "of the FP32 cores; the capability implies it"
    ),
    "tf32_flops_per_clock_per_sm": Fact(
        Bounds(64, 8192, _FLOPS, "4096 at most today"), "in TF32, dense; the capability implies it"
    ),
    "fp16_flops_per_clock_per_sm": Fact(
        Bounds(64, 16384, _FLOPS, "8192 at most today"), "in FP16 and BF16, dense; the capability implies it"
    ),
    "event_pair_kcycles": Fact(
        Bounds(0.1, 1000, "kcycle of the CPU", "two calls of the driver"),
        "what a pair of events adds to a pass; the default is the Jetson Orin AGX's",
        default=32.3,
    ),
    "cudnn": Fact(
        Bounds(5, 99, "release", "torch 2.1 for JetPack 5 has 8.6, PyTorch's own builds 9 since torch 2.4"),
        "release of cuDNN, 8.6: before 8.9 no dilated convolution runs on tensor cores; 9 where nothing is said",
        default=9.0,
    ),
    "memory_gb": Fact(
        Bounds(0.5, 10000, "GB", "the smallest Jetson Nano has 2, a B300 288; 10^9 bytes"),
        "of the board, of a Jetson the CPU's share too: data sheet, `total_memory`; says which weights do not fit",
        default=math.inf,
    ),
}
"""Every fact of a GPU's board. An optional one needs no line but its own here, and one in the formula that asks for it.

A profile may give just the number, or a table with its own source. Goldens keep what the profile gives.
"""
MODE_BOUNDS: Mapping[str, Mapping[str, Bounds]] = {
    "gpu": {
        "cpu_mhz": Bounds(100, 10000, "MHz", "a Jetson's least step is 115 MHz, no CPU reaches 10 GHz; 1.5 is GHz"),
        "gpu_mhz": Bounds(50, 5000, "MHz", "a Jetson's least step is 77 MHz, no GPU reaches 5 GHz; 1.3 is GHz"),
        "sms": Bounds(1, 1024, "SMs", "an H100 has 132, no GPU a thousand"),
        "bandwidth_gb_s": Bounds(1, 10000, "GB/s", "a Jetson Nano has 25.6 at its peak, an H200 4800; 0.2 is TB/s"),
    },
    "cpu": {"threads": Bounds(1, 4096, "threads", "no machine has more cores")},
}
"""What a power mode says, by kind of processor."""
WHOLE = ("sms", "threads")
"""Of these, what is counted."""
WATTS = Bounds(1, 5000, "W", "a Jetson's least mode is 5 W, a B200 takes 1000")
BOUND = Bounds(0, 1e9, "", "what a bound of a constant or fact may be, whatever its unit")
LEAST = 1e-12
"""Of any constant or fact, in its unit: nothing takes no time at all, and a number above it has a reciprocal."""
PRIOR_SIGMA = Bounds(1e-3, 5, "", "of a logarithm: 0.1 % is no prior, e^5 is no knowledge")
VARIANCE = Bounds(-25, 25, "", "of logarithms: a constant known to within a factor e^5 is not known")
PIECES = Bounds(0, 10**6, "", "a calibration has a few hundred")
SCALE = Bounds(1e-6, 1e3, "", "of logarithms")
LOGARITHM = Bounds(-10, 10, "", "a formula that is off by a factor e^10 is no formula")
FEATURE = Bounds(-64, 64, "", "logarithms to base 2")
