"""What a fit may look at: recorded models and patterns, published kernels; each with its latency and spread."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Iterator, List, Optional, Sequence, Tuple

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
_PRODUCTS = {"products": "fp32", "fp16_products": "fp16"}
_KERNEL_KEYS = ("source", "convolution_spread", "product_spread", "convolutions", *_PRODUCTS)
CONVOLUTION_SIZES = ("in_channels", "out_channels", "input_size", "kernel_size", "stride", "groups", "batch_size")
"""What a row says of a convolution, before its mean_ms."""
PRODUCT_SIZES = ("batch_size", "m", "n", "k")
"""What a row says of a batched matrix product."""

RECORDS = "records"
MICROBENCHMARKS = "microbenchmarks"


@dataclass(frozen=True)
class Evidence:
    """One measured figure: its latency in us, its relative spread, and the op stream it is the latency of.

    `synchronised` figures carry one launch and synchronisation of the measuring loop in place of host time. `source` is
    RECORDS for what was recorded of models and patterns or published of single kernels, else MICROBENCHMARKS.
    """

    name: str
    group: str
    family: Optional[str]
    latency_us: float
    spread: float
    lowered: Tuple[Lowered, ...]
    synchronised: bool = False
    source: str = RECORDS
    precision: str = "fp32"


def load_evidence(hardware: str, models: Record, patterns: Record) -> Tuple[Evidence, ...]:
    """Returns models, patterns and kernels. CalibrationError without recorded models, RecordError for a bad file."""
    if not models.runs_ms:
        raise CalibrationError(f"{models.path}: no recorded models to calibrate {hardware} from")
    kernels = _kernels(_FOLDER / f"{hardware}.toml")
    streams = Streams()
    recorded = (*_models(models, streams), *_patterns(patterns, streams))
    return (*recorded, *_convolutions(kernels, streams), *_products(kernels, streams))


def _kernels(path: Path) -> Checked:
    """The tables of published kernels; empty where there are none for this board."""
    document = Checked(path, read_toml(path) if path.exists() else {"kernels": {}})
    document.only(("kernels",), needed=True)
    kernels = document.table("kernels")
    kernels.only(_KERNEL_KEYS)
    return kernels


def _models(record: Record, streams: Streams) -> List[Evidence]:
    found = []
    for model in MODELS:
        median_ms = record.median_ms(model.name)
        if median_ms is not None:
            spread = _standard_error(record.runs_ms[model.name])
            ops = lower(streams.ops(model))
            found.append(Evidence(model.name, "model", model.family, 1e3 * median_ms, spread, ops))
    return found


def _standard_error(runs_ms: Sequence[float]) -> float:
    """Of the logarithm over the runs, not below the floor that few runs cannot show."""
    logs = [math.log(run) for run in runs_ms]
    mean = sum(logs) / len(logs)
    variance = sum((x - mean) ** 2 for x in logs) / max(len(logs) - 1, 1)
    return max(MODEL_SPREAD_FLOOR, math.sqrt(variance / len(logs)))


def _patterns(record: Record, streams: Streams) -> List[Evidence]:
    found = []
    for pattern in PATTERNS:
        median_ms = record.median_ms(pattern.name)
        if median_ms is not None:
            ops = lower(streams.ops(pattern))
            found.append(Evidence(pattern.name, "pattern", None, 1e3 * median_ms, PATTERN_SPREAD, ops))
    return found


def _convolutions(kernels: Checked, streams: Streams) -> List[Evidence]:
    found = []
    for sizes, mean_ms in _rows(kernels, "convolutions", CONVOLUTION_SIZES):
        channels_in, channels_out, px, kernel, stride, groups, batch = sizes
        name = f"conv {channels_in}-{channels_out} {px}px k{kernel} s{stride} g{groups} b{batch}"
        spread = kernels.number("convolution_spread", SHARE)
        ops = lower(streams.ops(Convolution(*sizes[:-1]), batch))
        found.append(Evidence(name, "convolution", None, 1e3 * mean_ms, spread, ops, synchronised=True))
    return found


def _rows(kernels: Checked, key: str, sizes: Sequence[str]) -> Iterator[Tuple[Tuple[int, ...], float]]:
    """Yields the sizes of each row of a table, and its mean latency in ms."""
    for place, row in enumerate(kernels.items(key) if kernels.has(key) else []):
        if not isinstance(row, list) or len(row) != len(sizes) + 1:
            raise kernels.error(f"must be {', '.join(sizes)}, mean_ms, got {shown(row)}", f"{key}[{place}]")
        table = kernels.part(f"{key}[{place}]", dict(zip((*sizes, "mean_ms"), row)))
        yield kernel_sizes(table, sizes), table.number("mean_ms", LATENCY_MS)


def kernel_sizes(table: Checked, names: Sequence[str]) -> Tuple[int, ...]:
    """Returns the sizes of a kernel by name; RecordError where there is no such kernel."""
    found = {name: table.whole(name, SIZE) for name in names}
    groups = found.get("groups", 1)
    for name in ("in_channels", "out_channels"):
        if found.get(name, groups) % groups:
            raise table.error(f"must be a multiple of {groups} groups, got {found[name]}", name)
    return tuple(found.values())


def _products(kernels: Checked, streams: Streams) -> List[Evidence]:
    return [
        _product(sizes, mean_ms, kernels.number("product_spread", SHARE), precision, streams)
        for table, precision in _PRODUCTS.items()
        for sizes, mean_ms in _rows(kernels, table, PRODUCT_SIZES)
    ]


def _product(sizes: Sequence[int], mean_ms: float, spread: float, precision: str, streams: Streams) -> Evidence:
    batch, m, n, k = sizes
    name = f"product {m}x{n}x{k} b{batch}" + ("" if precision == "fp32" else f" {precision}")
    ops = lower(streams.ops(Product(m, n, k), batch, precision))
    return Evidence(name, "product", None, 1e3 * mean_ms, spread, ops, synchronised=True, precision=precision)
