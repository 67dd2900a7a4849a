"""A profile against published times of kernels: `python -m estimator calibrate --published CONV2D.csv MATMUL.csv`.

The error per class of kernel and precision. Each published figure is a mean over synchronised calls: one launch
and synchronisation, the same for all of a precision, is fitted to them; only rows long enough to outweigh it count.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any, Dict, Iterable, Iterator, List, Tuple

import numpy as np

from ..checked import LATENCY_MS, Checked, parsed
from ..cost.columns import Column, kernel_columns, op_columns
from ..cost.price import price
from ..errors import CaptureError
from ..files import read_csv
from ..hardware.profile import Profile
from ..lower import Lowered, lower
from ..subjects.single_kernels import Convolution, Product
from ..subjects.streams import Streams
from ..target import calibrated_target
from .evidence import CONVOLUTION_SIZES, PRODUCT_SIZES, kernel_sizes

_LEAST_US = 1200.0  # below this a figure tells more about launch and synchronisation than about the device
_FLOORS_US = range(200, 801, 5)
_PRECISIONS = ("fp32", "fp16")


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
            yield (_convolution if "conv_type" in row else _product)(table, streams)
        except CaptureError as error:
            raise table.error(str(error)) from error


def _value(text: Any) -> Any:
    """A cell as the number that it is, else as its text."""
    with contextlib.suppress(ValueError):
        return parsed(text)
    return text


def _convolution(row: Checked, streams: Streams) -> PublishedKernel:
    precision = row.one_of("precision", _PRECISIONS)
    *sizes, batch = kernel_sizes(row, CONVOLUTION_SIZES)
    found = Convolution(*sizes)
    kind = "depthwise" if found.groups > 1 else f"{found.kernel}x{found.kernel} convolution"
    return PublishedKernel(kind, precision, _us(row), lower(streams.ops(found, batch, precision)))


def _product(row: Checked, streams: Streams) -> PublishedKernel:
    precision = row.one_of("precision", _PRECISIONS)
    batch, *sizes = kernel_sizes(row, PRODUCT_SIZES)
    return PublishedKernel("product", precision, _us(row), lower(streams.ops(Product(*sizes), batch, precision)))


def _us(row: Checked) -> float:
    return 1e3 * row.number("mean_ms", LATENCY_MS)


def error_lines(rows: Iterable[PublishedKernel], profile: Profile) -> Iterator[str]:
    """Yields the table: per precision and class the number of rows, mean |error|, bias and largest error in percent."""
    by_precision: Dict[str, List[PublishedKernel]] = {}
    for row in rows:
        by_precision.setdefault(row.precision, []).append(row)
    yield f"{'precision':<10} {'class':<18} {'rows':>5} {'|error|':>8} {'bias':>8} {'max':>8}"
    for precision, found in by_precision.items():
        measured_us = np.array([row.measured_us for row in found])
        device_us = np.array([_device_us(row, profile) for row in found])
        floor_us = min(_FLOORS_US, key=lambda us: _mean_log_error(device_us + us, measured_us))
        errors_pct = 100 * ((device_us + floor_us) / measured_us - 1)
        for kind in sorted({row.kind for row in found}):
            yield _line(precision, kind, [e for e, row in zip(errors_pct, found) if row.kind == kind])
        yield f"{precision:<10} one launch and synchronisation: {floor_us} us"


def _mean_log_error(estimated_us: Column, measured_us: Column) -> float:
    return float(np.abs(np.log(estimated_us / measured_us)).mean())


def _device_us(row: PublishedKernel, profile: Profile) -> float:
    ops = op_columns(row.lowered)
    kernels = kernel_columns(row.lowered)
    target = calibrated_target(profile, row.precision)
    return float(price(ops, kernels, target, profile.values()).device_us.sum())


def _line(precision: str, kind: str, errors_pct: List[float]) -> str:
    absolute = [abs(error) for error in errors_pct]
    figures = f"{fmean(absolute):>6.1f} % {fmean(errors_pct):>+6.1f} % {max(absolute):>6.1f} %"
    return f"{precision:<10} {kind:<18} {len(errors_pct):>5} {figures}"
