"""What a fit may look at: recorded models and patterns, published kernels; each with its latency and spread."""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import Iterator, Optional, Sequence, Tuple, Union

from ..checked import LATENCY_MS, SHARE, SIZE, Checked, shown
from ..errors import CalibrationError
from ..files import read_toml
from ..lower import Lowered, lower
from ..records.record import Record
from ..subjects.patterns import PATTERNS
from ..subjects.single_kernels import Convolution, Product
from ..subjects.streams import Streams
from ..subjects.zoo import MODELS

_FOLDER = Path(__file__).parent / "evidence"
MODEL_SPREAD_FLOOR = 0.04
"""Relative: three complete runs differ by 4 to 9 % on average, so a model is not known better than this."""
PATTERN_SPREAD = 0.12
"""Relative: one published figure each, for a shape that is partly assumed."""
_TABLES = {"convolutions": "fp32", "products": "fp32", "fp16_products": "fp16"}
_KERNEL_KEYS = ("source", "convolution_spread", "product_spread", *_TABLES)
CONVOLUTION_SIZES = ("in_channels", "out_channels", "input_size", "kernel_size", "stride", "groups", "batch_size")
"""What a row says of a convolution, before its mean_ms."""
PRODUCT_SIZES = ("batch_size", "m", "n", "k")
"""What a row says of a batched matrix product."""

RECORDS = "records"
MICROBENCHMARKS = "microbenchmarks"
PASS, HOST, DEVICE, SYNCHRONISED = "pass", "host", "device", "synchronised"
"""What was timed: all that ops take, side by side; what they take the host alone, or the device alone; and kernels with
one launch and synchronisation of the measuring loop in place of host time."""
Kernel = Union[Convolution, Product]


@dataclass(frozen=True)
class Evidence:
    """One measured figure: its latency in us, its relative spread, and the op stream it is the latency of.

    `timed` says what it is that takes so long: PASS, HOST, DEVICE or SYNCHRONISED.
    """

    name: str
    group: str
    family: Optional[str]
    latency_us: float
    spread: float
    lowered: Tuple[Lowered, ...]
    timed: str = PASS
    source: str = RECORDS
    precision: str = "fp32"


def load_evidence(hardware: str, models: Record, patterns: Record) -> Tuple[Evidence, ...]:
    """Returns models, patterns and kernels. CalibrationError without recorded models, RecordError for a bad file."""
    if not models.runs_ms:
        raise CalibrationError(f"{models.path}: no recorded models to calibrate {hardware} from")
    path = _FOLDER / f"{hardware}.toml"
    published = Checked(path, read_toml(path) if path.exists() else {"kernels": {}})
    published.only(("kernels",), needed=True)
    streams = Streams()
    return (*_models(models, streams), *_patterns(patterns, streams), *_kernels(published.table("kernels"), streams))


def _models(record: Record, streams: Streams) -> Iterator[Evidence]:
    for model in (model for model in MODELS if model.name in record.runs_ms):
        latency_us, spread = _latency_us(record, model.name), _standard_error(record.runs_ms[model.name])
        yield Evidence(model.name, "model", model.family, latency_us, spread, lower(streams.ops(model)))


def _patterns(record: Record, streams: Streams) -> Iterator[Evidence]:
    for pattern in (pattern for pattern in PATTERNS if pattern.name in record.runs_ms):
        latency_us, ops = _latency_us(record, pattern.name), lower(streams.ops(pattern))
        yield Evidence(pattern.name, "pattern", None, latency_us, PATTERN_SPREAD, ops)


def _latency_us(record: Record, name: str) -> float:
    return 1e3 * statistics.median(record.runs_ms[name])


def _standard_error(runs_ms: Sequence[float]) -> float:
    """Of the logarithm over the runs, not below the floor that few runs cannot show."""
    spread = statistics.stdev(map(math.log, runs_ms)) if len(runs_ms) > 1 else 0.0
    return max(MODEL_SPREAD_FLOOR, spread / math.sqrt(len(runs_ms)))


def _kernels(kernels: Checked, streams: Streams) -> Iterator[Evidence]:
    """What was published of single kernels; nothing where there is nothing for this board."""
    kernels.only(_KERNEL_KEYS)
    for key, precision in _TABLES.items():
        sizes = CONVOLUTION_SIZES if key == "convolutions" else PRODUCT_SIZES
        for place, row in enumerate(kernels.items(key) if kernels.has(key) else []):
            if not isinstance(row, list) or len(row) != len(sizes) + 1:
                raise kernels.error(f"must be {', '.join(sizes)}, mean_ms, got {shown(row)}", f"{key}[{place}]")
            table = kernels.part(f"{key}[{place}]", dict(zip((*sizes, "mean_ms"), row)))
            yield _kernel(kernels, table, sizes, precision, streams)


def _kernel(kernels: Checked, row: Checked, sizes: Sequence[str], precision: str, streams: Streams) -> Evidence:
    kernel, batch = kernel_of(row, sizes)
    group = "convolution" if isinstance(kernel, Convolution) else "product"
    latency_us, spread = 1e3 * row.number("mean_ms", LATENCY_MS), kernels.number(f"{group}_spread", SHARE)
    name = f"{_name(kernel)} b{batch}" + ("" if precision == "fp32" else f" {precision}")
    ops = lower(streams.ops(kernel, batch, precision))
    return Evidence(name, group, None, latency_us, spread, ops, SYNCHRONISED, precision=precision)


def _name(kernel: Kernel) -> str:
    if isinstance(kernel, Product):
        return f"product {kernel.m}x{kernel.n}x{kernel.k}"
    image = f"{kernel.inputs}-{kernel.outputs} {kernel.px}px"
    return f"conv {image} k{kernel.kernel} s{kernel.stride} g{kernel.groups}"


def kernel_of(row: Checked, sizes: Sequence[str]) -> Tuple[Kernel, int]:
    """Returns the kernel of these sizes, and its batch; RecordError where there is no such kernel."""
    found = {name: row.whole(name, SIZE) for name in sizes}
    batch, groups = found.pop("batch_size"), found.get("groups", 1)
    for name in ("in_channels", "out_channels"):
        if found.get(name, groups) % groups:
            raise row.error(f"must be a multiple of {groups} groups, got {found[name]}", name)
    return (Convolution if sizes is CONVOLUTION_SIZES else Product)(*found.values()), batch
