"""Traffic: what a kernel takes to read and write, from DRAM, from the L2, or as slowly as its threads ask for it."""

from __future__ import annotations

from typing import Sequence

import numpy as np

from .columns import Column, KernelColumns
from .rates import Rates

_BATCH_NORMS = ("native_batch_norm", "_native_batch_norm_legit_no_training", "cudnn_batch_norm")
_SOFTMAXES = ("_softmax", "_log_softmax", "_safe_softmax")
_POOLS = ("max_pool2d_with_indices", "max_pool3d_with_indices", "avg_pool2d", "avg_pool3d")
_TWO_KERNELS = ("native_group_norm",)  # the statistics in one, what is made of them in another: two reads
_L2_SHARE = 0.5  # of the L2: traffic up to here is still there when the next kernel asks for it
_NORM_THREADS, _SOFTMAX_THREADS = 128, 1024
"""Of a block; one of LayerNorm has 16 bytes a thread in flight, of GroupNorm 512 threads of 4 (ATen/native/cuda)."""
_WARP_ROW = 1024  # elements: rows of a softmax up to here are kept in the registers of a warp (PersistentSoftmax.cuh)
_SHARED_PARTS = 4  # of an SM's shared memory: a row of a softmax longer than one does not stay there
_NORM_HITS = 0.25  # of `norm_l2_share`, in which all second reads still hit


def memory_us(kernels: KernelColumns, rates: Rates) -> Column:
    """Returns the traffic over what it is drawn from; weights are read once per pass and come from DRAM, cold."""
    warm_us = np.maximum(_warm_us(kernels, rates), _element_us(kernels, rates))
    if kernels.rows.any():
        warm_us = np.maximum(warm_us, _rows_us(kernels, rates))
    return warm_us + kernels.cold_bytes / (rates.bytes_per_us * rates.constants["weight_stream_efficiency"])


def least_memory_us(kernels: KernelColumns, rates: Rates) -> Column:
    """Returns the traffic over the best measured bandwidth of what it is drawn from."""
    from_dram = _from_dram(kernels, rates)
    us_per_byte = from_dram / rates.bytes_per_us + (1 - from_dram) / rates.l2_bytes_per_us
    return kernels.warm_bytes * us_per_byte + kernels.cold_bytes / rates.bytes_per_us


def _from_dram(kernels: KernelColumns, rates: Rates) -> Column:
    """What fits half of the L2 is drawn from there, what is twice as large from DRAM: the share of the traffic."""
    return np.clip(kernels.warm_bytes / (_L2_SHARE * rates.l2_bytes) - 1, 0.0, 1.0)


def _warm_us(kernels: KernelColumns, rates: Rates) -> Column:
    dram_us = kernels.warm_bytes / (rates.bytes_per_us * rates.constants["stream_efficiency"])
    from_dram = _from_dram(kernels, rates)
    l2_us = np.minimum(dram_us, kernels.warm_bytes / rates.l2_bytes_per_us)
    return from_dram * dram_us + (1 - from_dram) * l2_us


def _element_us(kernels: KernelColumns, rates: Rates) -> Column:
    """Threads that load one element at a time, other streams 16 bytes; 0 for all but batch norms and pools.

    Few SMs then have too little in flight to draw what the memory could give.
    """
    pools = _are(kernels, _POOLS) * kernels.input_elements
    norms = _are(kernels, _BATCH_NORMS) * kernels.elements
    pools_per_us = rates.sms * rates.clocks_per_us * rates.constants["pool_elements_per_clock_per_sm"]
    return np.maximum(pools / pools_per_us, norms / rates.elements_per_us)


def _rows_us(kernels: KernelColumns, rates: Rates) -> Column:
    """Norms and softmax, a thread block for each row: by traffic, or by what so few blocks have in flight."""
    c, softmax = rates.constants, _are(kernels, _SOFTMAXES) > 0
    again = _second_reads(kernels, softmax, rates)
    in_warps = softmax & (_row_bytes(kernels) <= _WARP_ROW * kernels.item_bytes)
    efficiency = np.where(softmax & ~in_warps, c["softmax_efficiency"], c["stream_efficiency"])
    traffic_us = kernels.warm_bytes * (1 + again / 2) / (rates.bytes_per_us * efficiency)
    threads = np.where(softmax, _SOFTMAX_THREADS / _NORM_THREADS, 1.0)
    block_bytes_per_us = threads * c["norm_block_bytes_per_clock"] * rates.clocks_per_us
    flight_us = (
        kernels.rows * _row_bytes(kernels) * (1 + again) / (_resident(kernels, softmax, rates) * block_bytes_per_us)
    )
    return np.where(kernels.rows > 0, np.maximum(traffic_us, flight_us), 0.0)


def _resident(kernels: KernelColumns, softmax: Column, rates: Rates) -> Column:
    """How many rows are worked on at once."""
    threads = np.where(softmax, _SOFTMAX_THREADS, _NORM_THREADS)
    return np.minimum(np.maximum(kernels.rows, 1), rates.sms * rates.generation.threads / threads)


def _row_bytes(kernels: KernelColumns) -> Column:
    """Of a row itself: the weights of a norm are the same for all rows."""
    return kernels.elements * kernels.item_bytes / np.maximum(kernels.rows, 1)


def _second_reads(kernels: KernelColumns, softmax: Column, rates: Rates) -> Column:
    """How often a row comes from DRAM again: after the statistics, and where rows in flight outgrow the L2."""
    row_bytes, share = _row_bytes(kernels), rates.constants["norm_l2_share"]
    in_flight = _resident(kernels, softmax, rates) * row_bytes / rates.l2_bytes
    misses = np.clip(in_flight / share - _NORM_HITS, 0.0, 1.0)
    on_chip = softmax & (row_bytes <= rates.generation.shared_kib * 2**10 / _SHARED_PARTS)
    again = np.where(on_chip, 0.0, np.where(softmax, 2 * misses, misses))
    return np.where(_are(kernels, _TWO_KERNELS) > 0, 1.0, again)


def _are(kernels: KernelColumns, functions: Sequence[str]) -> Column:
    return kernels.by_function(dict.fromkeys(functions, 1.0))
