"""An estimate as a person or a program reads it: a few lines, or plain data."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, Dict, Iterator

from .compare import NO_EVIDENCE
from .figures import ms, percent
from .pipeline import Estimate
from .runtimes import EAGER
from .target import Target


def estimate_lines(name: str, target: Target, estimate: Estimate) -> Iterator[str]:
    """Yields what is estimated, the latency with its interval and bound, and what it was made from."""
    origin = f", transferred from {estimate.transferred_from}" if estimate.transferred_from else ""
    yield f"{name} on {target.hardware}, {target.in_words}{origin}"
    alone = f"host alone {ms(estimate.host_ms)} ms, device alone {ms(estimate.device_ms)} ms"
    yield f"{ms(estimate.latency_ms)} ms {_interval(estimate)}, {estimate.bound}-bound: {alone}"
    yield f"{_counts(target, estimate)}, {estimate.flops / 1e9:.2f} GFLOP"
    if estimate.memory_note:
        yield estimate.memory_note
    if estimate.decided_by:
        yield f"the op stream is that of these inputs ({estimate.decided_by})"
    if estimate.computes_in != target.precision.name:
        yield f"weights or inputs in half precision: computed as at precision {estimate.computes_in}"
    if estimate.defaulted:
        shares = (f"{name} ({percent(pct)})" for name, pct in estimate.defaulted_share_pct.items())
        yield f"priced by their bytes alone, for want of a rule (of device time): {', '.join(shares)}"
    else:
        yield "ops without a rule: none"


def _counts(target: Target, estimate: Estimate) -> str:
    """An engine's fused layers are its ops."""
    if target.runtime == EAGER:
        return f"{estimate.ops} ops, {estimate.kernels} kernels"
    return f"{estimate.kernels} layers"


def _interval(estimate: Estimate) -> str:
    if estimate.interval_pct is None:
        return f"(no interval: {NO_EVIDENCE} for {', '.join(estimate.without_evidence)})"
    return percent(estimate.interval_pct, "± ")


def estimate_data(name: str, target: Target, estimate: Estimate) -> Dict[str, Any]:
    """Returns the target and all terms of the estimate in plain Python values; `spans` are left to a trace."""
    terms = {field.name: getattr(estimate, field.name) for field in fields(estimate) if field.name != "spans"}
    return {
        "model": name,
        "hardware": target.hardware,
        "power_mode": target.mode.name,
        "runtime": target.runtime,
        "precision": target.precision.name,
        "batch_size": target.batch_size,
        **{key.replace("defaulted", "without_a_rule"): value for key, value in terms.items()},
    }
