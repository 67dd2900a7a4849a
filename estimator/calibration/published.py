"""A profile against published times of kernels: `python -m estimator calibrate --published CONV2D.csv MATMUL.csv`.

The error per class of kernel and precision. Each published figure is a mean over synchronised calls: one launch
and synchronisation, the same for all of a precision, is fitted to them; only rows long enough to outweigh it count.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, Iterable, Iterator, List, Sequence, Tuple

import numpy as np

from ..checked import LATENCY_MS, Checked, parsed
from ..cost.columns import kernel_columns, op_columns
from ..cost.price import price
from ..errors import CaptureError
from ..figures import percent, signed_percent
from ..files import read_csv
from ..hardware.profile import Profile
from ..lower import Lowered, lower
from ..report.table import Table, left, right
from ..subjects.single_kernels import Convolution
from ..subjects.streams import Streams
from ..target import calibrated_target
from .evidence import CONVOLUTION_SIZES, PRODUCT_SIZES, kernel_of

_LEAST_US = 1200.0  # below this a figure tells more about launch and synchronisation than about the device
_FLOORS_US = range(200, 801, 5)
_PRECISIONS = ("fp32", "fp16")
_COLUMNS = (
    *(left("precision"), left("class"), right("rows")),
    *(right("|error|", percent), right("bias", signed_percent), right("max", percent)),
)


@dataclass(frozen=True)
class PublishedKernel:
    """One row of a published table: its class, its precision, what was measured and what runs."""

    kind: str
    precision: str
    measured_us: float
    lowered: Tuple[Lowered, ...]


def print_errors(tables: Iterable[Path], profile: Profile) -> None:
    """Prints the errors of all rows of at least 1.2 ms; RecordError for a bad table."""
    rows = [row for path in tables for row in read_table(path) if row.measured_us >= _LEAST_US]
    print("\n".join(error_lines(rows, profile)))


def read_table(path: Path) -> Iterator[PublishedKernel]:
    """Yields the kernels of a CSV table of convolutions or products; RecordError names file, row and reason."""
    streams = Streams()
    for number, row in enumerate(read_csv(path), 2):
        table = Checked(path, {str(key): _value(text) for key, text in row.items()}, f"line {number}")
        try:
            yield _published(table, streams)
        except CaptureError as error:
            raise table.error(str(error)) from error


def _value(text: Any) -> Any:
    """A cell as the number that it is, else as its text."""
    with contextlib.suppress(ValueError):
        return parsed(text)
    return text


def _published(row: Checked, streams: Streams) -> PublishedKernel:
    precision = row.one_of("precision", _PRECISIONS)
    kernel, batch = kernel_of(row, CONVOLUTION_SIZES if row.has("conv_type") else PRODUCT_SIZES)
    kind = "product"
    if isinstance(kernel, Convolution):
        kind = "depthwise" if kernel.groups > 1 else f"{kernel.kernel}x{kernel.kernel} convolution"
    measured_us = 1e3 * row.number("mean_ms", LATENCY_MS)
    return PublishedKernel(kind, precision, measured_us, lower(streams.ops(kernel, batch, precision)))


def error_lines(rows: Iterable[PublishedKernel], profile: Profile) -> Iterator[str]:
    """Yields the table: per precision and class the number of rows, mean |error|, bias and largest error in percent."""
    by_precision: Dict[str, List[PublishedKernel]] = {}
    for row in rows:
        by_precision.setdefault(row.precision, []).append(row)
    errors: List[Sequence[Any]] = []
    floors = []
    for precision, found in by_precision.items():
        measured_us = np.array([row.measured_us for row in found])
        device_us = np.array([_device_us(row, profile) for row in found])
        floor_us = min(_FLOORS_US, key=lambda us: np.abs(np.log((device_us + us) / measured_us)).mean())
        floors.append(f"  {precision}: one launch and synchronisation: {floor_us} us")
        errors_pct = 100 * ((device_us + floor_us) / measured_us - 1)
        for kind in sorted({row.kind for row in found}):
            of_kind = errors_pct[[row.kind == kind for row in found]]
            off_pct = np.abs(of_kind)
            errors.append((precision, kind, len(of_kind), off_pct.mean(), of_kind.mean(), off_pct.max()))
    yield from (*Table(_COLUMNS, errors).text(), *floors)


def _device_us(row: PublishedKernel, profile: Profile) -> float:
    target = calibrated_target(profile, row.precision)
    costs = price(op_columns(row.lowered), kernel_columns(row.lowered), target, profile.values())
    return float(costs.device_us.sum())
