"""A TensorRT engine: its host enqueues fused layers, whose kernels its builder has chosen for their shapes."""

from __future__ import annotations

import functools
from dataclasses import replace
from typing import Mapping

import numpy as np

from ..target import Target
from .columns import Column, Costs, KernelColumns, OpColumns
from .convolutions import on_fp32_cores
from .gpu import Way, limits_of, priced
from .products import product
from .rates import Rates, rates_of
from .tiles import (
    TENSOR_CORE_TILES,
    Route,
    Speed,
    filled_depth,
    fp32_speed,
    may_split,
    overlapped_us,
    split_us,
    tensor_core_speed,
    tensor_cores,
    within_power_us,
)

_ALIGNED_BYTES = 16
"""Channels are padded to as many: 4 of TF32, 8 of FP16, 16 of INT8."""
_IMAGE_CHANNELS, _PADDED_CHANNELS = 3, 16
"""The channels of an image are padded further: of 8, 16 and 32 this fits best to what public engines take."""


def costs(ops: OpColumns, kernels: KernelColumns, target: Target, constants: Mapping[str, float]) -> Costs:
    """Returns what each fused layer costs the host and its kernel the device; the first calls the engine."""
    rates = rates_of(target, constants)
    part = priced(kernels if rates.generation.has_int8 else _in_fp16(kernels), rates, _BUILT)
    kcycles = ops.kernels * constants["layer_kcycles"] + ops.calls * constants["engine_call_kcycles"]
    everything = np.ones(len(kernels.op), dtype=bool)
    limits = functools.partial(limits_of, [(everything, part)])
    return Costs(kcycles / rates.cpu_kcycles_per_us, part.us, rates.event_pair_us, False, None, limits)


def _in_fp16(kernels: KernelColumns) -> KernelColumns:
    """As the builder makes INT8 layers where no tensor core takes the type."""
    times = np.where(kernels.item_bytes == 1, 2.0, 1.0)
    scaled = {name: times * getattr(kernels, name) for name in ("warm_bytes", "cold_bytes", "item_bytes")}
    return replace(kernels, **scaled)


def _convolution(kernels: KernelColumns, memory_us: Column, rates: Rates) -> Route:
    """On tensor cores, but for images where FP32 cores are faster, and where there are no tensor cores for the type."""
    slow_us, slow_arithmetic_us, _ = on_fp32_cores(kernels, memory_us, rates)
    fast = _on_tensor_cores(kernels, memory_us, rates)
    is_image = kernels.channels <= _IMAGE_CHANNELS
    slow = (is_image & (slow_us < fast.us)) | (not rates.convolutions_on_tensor_cores)
    return Route(
        np.where(slow, slow_us, fast.us),
        np.where(slow, slow_arithmetic_us, fast.arithmetic_us),
        ~slow,
        (fast.speeds[0], fp32_speed(rates)),
    )


def _on_tensor_cores(kernels: KernelColumns, memory_us: Column, rates: Rates) -> Route:
    """The builder times its tiles and splits, and takes the fastest."""
    c = rates.constants
    efficiency = c["tensor_core_convolution_efficiency"] * np.where(kernels.item_bytes == 4, c["tf32_share"], 1.0)
    speed = tensor_core_speed(kernels, rates.convolution_flops_per_us_per_sm, efficiency, rates)
    depth = filled_depth(kernels.k * _padding(kernels), rates)
    us = split_us(kernels, depth, tensor_cores(rates, speed), TENSOR_CORE_TILES, rates, may_split(kernels))
    arithmetic_us = within_power_us(us, kernels.flops, speed, rates)
    fast = np.ones(len(kernels.op), dtype=bool)
    return Route(overlapped_us(memory_us, arithmetic_us, c["unhidden_share"]), arithmetic_us, fast, (speed, speed))


def _padding(kernels: KernelColumns) -> Column:
    """How many times as many channels a reduction goes over as the tensor has."""
    channels, aligned = np.maximum(kernels.channels, 1), _ALIGNED_BYTES / kernels.item_bytes
    padded = np.where(channels <= _IMAGE_CHANNELS, _PADDED_CHANNELS, np.ceil(channels / aligned) * aligned)
    return np.where(kernels.window_side > 0, padded / channels, 1.0)


def _depthwise(kernels: KernelColumns, memory_us: Column, rates: Rates) -> Route:
    """On FP32 cores at any precision: taps, and what finding and finishing an output takes beside them."""
    c = rates.constants
    speed = Speed(rates.fp32_flops_per_us_per_sm, c["depthwise_efficiency"])
    flops = 2 * kernels.elements * (kernels.taps + c["depthwise_index_taps"])
    arithmetic_us = flops / (rates.sms * speed.peak * speed.efficiency)
    us = overlapped_us(memory_us, arithmetic_us, c["unhidden_share"])
    return Route(us, arithmetic_us, np.zeros(len(kernels.op), dtype=bool), (speed, speed))


_BUILT: Mapping[str, Way] = {"product": product, "convolution": _convolution, "depthwise": _depthwise}
