"""`python -m estimator.calibration.published CONV2D.csv MATMUL.csv`: a profile against published times of kernels.

Prints the error per class of kernel and precision. Each published figure is a mean over synchronised calls: one launch
and synchronisation, the same for all of a precision, is fitted to them; only rows long enough to outweigh it count.
"""

from __future__ import annotations

import argparse
import csv
import math
import sys
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Dict, Iterable, Iterator, List, Mapping, Optional, Tuple

import numpy as np

from ..cost.columns import Column, kernel_columns, op_columns
from ..cost.price import price
from ..errors import GoldenLatencyError, RecordError
from ..hardware.boards import DEFAULT_HARDWARE, load_profile
from ..hardware.profile import Profile
from ..lower import Lowered
from ..target import calibrated_target
from .evidence import lower_convolution, lower_product

LEAST_MS = 1.2
"""Below this a figure tells more about launch and synchronisation than about the device."""
_FLOORS_US = range(200, 801, 5)


@dataclass(frozen=True)
class PublishedKernel:
    """One row of a published table: its class, its precision, what was measured and what runs."""

    kind: str
    precision: str
    measured_us: float
    lowered: Tuple[Lowered, ...]


def main(arguments: Optional[List[str]] = None) -> int:
    """Returns the exit code: 0 when the table was printed, 4 for a bad file or name."""
    parser = argparse.ArgumentParser(prog="python -m estimator.calibration.published", description=__doc__)
    parser.add_argument(
        "tables", nargs="+", type=Path, metavar="TABLE.csv", help="conv2d or matmul rows, with a header"
    )
    parser.add_argument("--hardware", default=DEFAULT_HARDWARE, metavar="NAME", help="profile (default: %(default)s)")
    parser.add_argument("--least-ms", default=LEAST_MS, type=float, metavar="MS", help="default: %(default)s")
    options = parser.parse_args(arguments)
    try:
        rows = [row for path in options.tables for row in read_table(path) if row.measured_us >= 1e3 * options.least_ms]
        print("\n".join(error_lines(rows, load_profile(options.hardware))))
    except GoldenLatencyError as error:
        print(f"error: {error}", file=sys.stderr)
        return 4
    return 0


def read_table(path: Path) -> Iterator[PublishedKernel]:
    """Yields the kernels of a CSV table of convolutions or products; RecordError names file, row and reason."""
    try:
        rows = list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))
    except (OSError, UnicodeDecodeError) as error:
        raise RecordError(f"{path}: cannot be read: {error}") from error
    for number, row in enumerate(rows, 2):
        try:
            yield _convolution(row) if "conv_type" in row else _product(row)
        except (KeyError, ValueError, TypeError) as error:
            raise RecordError(f"{path}:{number}: {type(error).__name__}: {error}") from error


def _convolution(row: Mapping[str, str]) -> PublishedKernel:
    names = ("in_channels", "out_channels", "input_size", "kernel_size", "stride", "groups", "batch_size")
    inputs, outputs, px, kernel, stride, groups, batch = (int(row[name]) for name in names)
    kind = "depthwise" if groups > 1 else f"{kernel}x{kernel} convolution"
    lowered = lower_convolution(inputs, outputs, px, kernel, stride, groups, batch, _tensors(row))
    return PublishedKernel(kind, row["precision"], _us(row), lowered)


def _product(row: Mapping[str, str]) -> PublishedKernel:
    batch, m, n, k = (int(row[name]) for name in ("batch_size", "m", "n", "k"))
    return PublishedKernel("product", row["precision"], _us(row), lower_product(batch, m, n, k, _tensors(row)))


def _us(row: Mapping[str, str]) -> float:
    us = 1e3 * float(row["mean_ms"])
    if not (math.isfinite(us) and us > 0):
        raise ValueError(f"mean_ms must be a finite number above 0, got {row['mean_ms']}")
    return us


def _tensors(row: Mapping[str, str]) -> str:
    return {"fp32": "float32", "fp16": "float16"}[row["precision"]]


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


if __name__ == "__main__":
    sys.exit(main())
