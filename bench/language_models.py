"""What docs/language-models.md says of prefill and decode: the decoders of `examples/decoder.py`, in FP16."""

from __future__ import annotations

from typing import Any, Iterator, List, Tuple

from estimator.estimates import Estimates
from estimator.figures import percent, significant
from estimator.importing import import_function
from estimator.pipeline import Estimate
from estimator.report.table import Table, left, right
from estimator.subjects.custom import OwnModel
from estimator.target import Target, resolve

SIZES = ("1B", "3B", "8B")
MODES = (
    ("Jetson-Orin-AGX", "50W"),
    ("Jetson-Orin-AGX", "MAXN"),
    ("Jetson-Orin-Nano-8GB", "15W"),
    ("Jetson-Orin-Nano-8GB", "MAXN_SUPER"),
)
"""Boards, each in the mode that the profile takes by itself and in its fastest."""
STEPS = ("prefill", "decode")
COLUMNS = (
    left("Decoder"),
    right("Weights (GB)"),
    left("Board, mode"),
    right("Prefill (ms)"),
    right("Decode (ms)"),
    left("Bound"),
    right("Tokens/s"),
    right("Weights over bandwidth (ms)"),
)


def steps_table() -> List[str]:
    """Returns a row for each decoder, board and mode: prefill of 512 tokens, and a decode step behind as many."""
    return Table(COLUMNS, list(_rows())).markdown()


def _rows() -> Iterator[Tuple[Any, ...]]:
    estimates = Estimates()
    for size in SIZES:
        steps = [OwnModel(f"{step} {size}", "", *_made(step, size)) for step in STEPS]
        for hardware, mode in MODES:
            target = resolve(hardware, mode, "fp16")
            yield (size, *_cells(target, *(estimates.estimate(step, target) for step in steps)))


def _made(step: str, size: str) -> Any:
    return import_function(f"examples.decoder:{step}")(size)


def _cells(target: Target, prefill: Estimate, decode: Estimate) -> Tuple[Any, ...]:
    gb = decode.weight_bytes / 1e9
    rate = "do not fit" if decode.memory_note else f"{1e3 / decode.latency_ms:.1f}"
    board = f"{target.hardware}, {target.mode.name}"
    least_ms = significant(1e3 * gb / target.mode.bandwidth_gb_s, 3)
    return f"{gb:.2f}", board, _ms(prefill), _ms(decode), decode.bound, rate, f"{least_ms:g}"


def _ms(estimate: Estimate) -> str:
    return f"{significant(estimate.latency_ms, 3):g} {percent(estimate.interval_pct, '± ')}"
