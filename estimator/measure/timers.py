"""One forward, timed: by CUDA events on a GPU, by the host's clock on a CPU."""

from __future__ import annotations

import time
from typing import Any, Callable, Mapping

PRECISION_S: Mapping[str, float] = {"cpu": 1e-7, "cuda": 5e-7}
"""The resolution of each clock; CUDA's events resolve about half a microsecond."""


def cuda_once(forward: Callable[[], Any]) -> Callable[[], float]:
    """Returns the function that runs (event, forward, event, synchronize) and returns the ms between the events."""
    import torch

    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))

    def once_ms() -> float:
        start.record()
        forward()
        end.record()
        torch.cuda.synchronize()
        return float(start.elapsed_time(end))

    return once_ms


def cpu_once(forward: Callable[[], Any]) -> Callable[[], float]:
    """Returns the function that runs one forward and returns its ms by the host's clock."""

    def once_ms() -> float:
        start_s = time.perf_counter()
        forward()
        return 1e3 * (time.perf_counter() - start_s)

    return once_ms


ONCE: Mapping[str, Callable[[Callable[[], Any]], Callable[[], float]]] = {"cpu": cpu_once, "cuda": cuda_once}
