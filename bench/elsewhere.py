"""`python -m bench.elsewhere TABLE.csv ...`: estimates beside latencies that were measured elsewhere.

A table has the columns hardware, thermal_profile, precision, model, batch and measured_ms, and may have runtime. Prints
the error by board, power mode and model, of eager PyTorch at batch 1 also after one factor for each board and power
mode (the software of another lab slows or speeds a host as a whole), and how many latencies the 80 % intervals hold. It
fits nothing but that factor.
"""

from __future__ import annotations

import argparse
import math
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any, Callable, Dict, Hashable, Iterable, Iterator, List, Optional, Sequence, Tuple, TypeVar

from estimator.checked import BATCH, LATENCY_MS, Checked, parsed, parsed_whole
from estimator.compare import NO_EVIDENCE
from estimator.errors import GoldenLatencyError, RecordError
from estimator.estimates import Estimates
from estimator.figures import percent, signed_percent
from estimator.files import read_csv
from estimator.hardware.quantities import HOST_CONSTANTS
from estimator.interval import extrapolated
from estimator.report.bars import beside_bar
from estimator.report.table import Table, left, right
from estimator.runtimes import EAGER
from estimator.subjects.zoo import find_models
from estimator.target import Target, resolve

_FACTOR_STEPS = 4
_Key = TypeVar("_Key", bound=Hashable)
LARGE_BATCH = 32
"""From here on the device decides, and the host's software no longer."""
BAR_LARGE_PCT, BAR_OTHER_SMS_PCT, BAR_ALONE_PCT = 5.0, 10.0, 6.0
BAR_ENGINE_LARGE_PCT, BAR_ENGINE_ALONE_PCT, BAR_ENGINE_INT8_PCT = 12.0, 18.0, 20.0
BATCH_MOST = int(BATCH.upper)
BAR_HELD_PCT, BAR_HELD_ALONE_PCT = (70.0, 95.0), 70.0


@dataclass(frozen=True)
class Latency:
    """A measured latency beside its estimate; `interval_pct` is None where there is no evidence for one."""

    target: Target
    model: str
    measured_ms: float
    est_ms: float
    interval_pct: Optional[float]

    @property
    def error_pct(self) -> float:
        """Of the estimate against the measurement, signed."""
        return 100 * (self.est_ms / self.measured_ms - 1)

    @property
    def mode(self) -> Tuple[str, str]:
        """Board and power mode, of an engine with its runtime and precision."""
        target = self.target
        engine = "" if target.runtime == EAGER else f", {target.runtime} {target.precision.name}"
        return target.hardware, f"{target.mode.name}{engine}"

    @property
    def is_held(self) -> bool:
        """Whether the error lies within the interval."""
        return self.interval_pct is not None and abs(self.error_pct) <= self.interval_pct


def main(arguments: Optional[List[str]] = None) -> int:
    """Prints the tables; returns 0, or 4 for a bad file or name."""
    parser = argparse.ArgumentParser(prog="python -m bench.elsewhere", description=__doc__)
    parser.add_argument("tables", nargs="+", type=Path, metavar="TABLE.csv", help="measured latencies, with a header")
    parser.add_argument(
        "--same-software", action="store_true", help="the tables were measured with the calibrated software"
    )
    options = parser.parse_args(arguments)
    try:
        found = [row for path in options.tables for row in read_latencies(path, options.same_software)]
    except GoldenLatencyError as error:
        print(f"error: {error}", file=sys.stderr)
        return 4
    print("\n".join(lines(found)))
    return 0


def read_latencies(path: Path, same_software: bool = False) -> List[Latency]:
    """Returns the rows of a table with their estimates; RecordError names file, row and reason."""
    rows = (Checked(path, row, f"line {number}") for number, row in enumerate(read_csv(path), 2))
    estimates = Estimates()
    found = [_latency(row, same_software, estimates) for row in rows]
    if not found:
        raise RecordError(f"{path}: no rows; columns: hardware, thermal_profile, precision, model, batch, measured_ms")
    return found


def _latency(row: Checked, same_software: bool, estimates: Estimates) -> Latency:
    batch = row.check("batch", row.get("batch"), parsed_whole, BATCH)
    measured_ms = row.check("measured_ms", row.get("measured_ms"), parsed, LATENCY_MS)
    hardware, mode, precision, name = map(row.text, ("hardware", "thermal_profile", "precision", "model"))
    runtime = row.text("runtime") if row.has("runtime") else EAGER
    try:
        target = replace(resolve(hardware, mode, precision, batch, runtime), same_software=same_software)
        (model,) = find_models([name])
        estimate = estimates.estimate(model, target)
    except GoldenLatencyError as error:
        raise row.error(str(error)) from error
    return Latency(target, model.name, measured_ms, estimate.latency_ms, estimate.interval_pct)


_BIAS, _ERROR, _MAX = right("bias", signed_percent), right("|error|", percent), right("max", percent)


def lines(found: Sequence[Latency]) -> Iterator[str]:
    """Yields the tables by board and power mode, and all figures beside their bars."""
    columns = (left("batch", width=10), left("model", width=22), right("rows"), _BIAS, _ERROR, _MAX, left("held"))
    for (hardware, mode), rows in _grouped(found, lambda row: row.mode):
        yield f"{hardware}, {mode}"
        yield from Table(columns, list(_cells(rows))).text()
    yield from bar_lines(found)


def _cells(rows: Sequence[Latency]) -> Iterator[Sequence[Any]]:
    """One row for each model and for all of them, by batches; at batch 1 also what is left after one factor."""
    for batches, some in _grouped(rows, _batches):
        for model, of_model in (*_grouped(some, lambda row: row.model), ("all", some)):
            yield batches, model, *_figures([row.error_pct for row in of_model]), _held(of_model)
    alone = [row for row in rows if row.target.batch_size == 1 and row.target.runtime == EAGER]
    if alone:
        yield "1", f"all, times {factor(alone):.3f}", *_figures(after_one_factor_pct(alone)), ""


def batch_table(found: Sequence[Latency]) -> List[str]:
    """Returns the mean error at each batch as a table in Markdown: as estimated, and with one factor for the host.

    The factor leaves no bias at batch 1; the device's constants stay.
    """
    estimates, times = Estimates(), 1.0
    for _ in range(_FACTOR_STEPS):  # some models follow their device: not solved at once
        times *= factor(list(_with_host((row for row in found if row.target.batch_size == 1), times, estimates)))
    after = _grouped(_with_host(found, times, estimates), _batch_of)
    titled = {f"batch {batch}": rows for batch, rows in _grouped(found, _batch_of)}
    titled.update({f"batch {batch}, host times {times:.2f}": rows for batch, rows in after})
    cells = [(title, *_figures([row.error_pct for row in rows])) for title, rows in titled.items()]
    columns = (left("estimates"), right("models"), _BIAS, right("mean |error|", percent), _MAX)
    return Table(columns, cells).markdown()


def _batch_of(row: Latency) -> int:
    return row.target.batch_size


def _with_host(rows: Iterable[Latency], times: float, estimates: Estimates) -> Iterator[Latency]:
    """The rows estimated with so many times the host's constants."""
    for row in rows:
        constants = row.target.profile.constants
        host = {name: replace(constants[name], value=times * constants[name].value) for name in HOST_CONSTANTS}
        target = replace(row.target, profile=replace(row.target.profile, constants={**constants, **host}))
        (model,) = find_models([row.model])
        yield replace(row, est_ms=estimates.forward(model, target).latency_ms)


def factor(rows: Sequence[Latency]) -> float:
    """Returns what the estimates have to be multiplied by, so that their errors have no bias (of the logarithm)."""
    return math.exp(fmean(math.log(row.measured_ms / row.est_ms) for row in rows))


def after_one_factor_pct(rows: Sequence[Latency]) -> List[float]:
    """Returns the errors that are left when one factor is taken out, in percent."""
    by = factor(rows)
    return [100 * (by * row.est_ms / row.measured_ms - 1) for row in rows]


def bar_lines(found: Sequence[Latency]) -> Iterator[str]:
    """Yields what is promised away from the calibrated configuration, each figure beside its bar."""
    eager = [row for row in found if row.target.runtime == EAGER]
    large = [row for row in eager if row.target.batch_size >= LARGE_BATCH]
    alone = [row for row in eager if row.target.batch_size == 1]
    for title, rows, bar in (
        ("SMs of the calibrated board", [row for row in large if not _other_sms(row)], BAR_LARGE_PCT),
        ("other SMs", [row for row in large if _other_sms(row)], BAR_OTHER_SMS_PCT),
    ):
        if rows:
            yield _mean_line(f"{title}, batch >= {LARGE_BATCH}", [row.error_pct for row in rows], bar)
    same_sms = [row for row in alone if not _other_sms(row)]
    if same_sms:
        left = [error for _, rows in _grouped(same_sms, lambda row: row.mode) for error in after_one_factor_pct(rows)]
        yield _mean_line("batch 1 after one factor for each board and power mode", left, BAR_ALONE_PCT)
    engines = [row for row in found if row.target.runtime != EAGER]
    for title, rows, bar in (
        (f"engine, FP32 and FP16, batch >= {LARGE_BATCH}", _engines(engines, LARGE_BATCH), BAR_ENGINE_LARGE_PCT),
        ("engine, FP32 and FP16, batch 1", _engines(engines, 1, 1), BAR_ENGINE_ALONE_PCT),
        ("engine, INT8", [row for row in engines if row.target.precision.name == "int8"], BAR_ENGINE_INT8_PCT),
    ):
        if rows:
            yield _mean_line(title, [row.error_pct for row in rows], bar)
    yield from _held_lines("all", found, BAR_HELD_PCT)
    yield from _held_lines("batch 1", alone, (BAR_HELD_ALONE_PCT, 100.0))


def _engines(rows: Sequence[Latency], least: int, most: int = BATCH_MOST) -> List[Latency]:
    """Those that compute in floating point, at these batches."""
    return [row for row in rows if row.target.precision.name != "int8" and least <= row.target.batch_size <= most]


def _mean_line(title: str, errors_pct: Sequence[float], bar_pct: float) -> str:
    mean = fmean(map(abs, errors_pct))
    return beside_bar(f"{title}, mean |error|: {percent(mean)}", f"<= {bar_pct:g} %", mean <= bar_pct)


def _held_lines(title: str, rows: Sequence[Latency], bar: Tuple[float, float]) -> Iterator[str]:
    with_interval = [row for row in rows if row.interval_pct is not None]
    if len(with_interval) < len(rows):
        yield f"{title}, without evidence for an interval: {len(rows) - len(with_interval)} of {len(rows)} rows"
    if with_interval:
        held = 100 * fmean(row.is_held for row in with_interval)
        title = f"{title}, held by the 80 % interval: {held:.0f} % of {len(with_interval)} rows"
        yield beside_bar(title, f"{bar[0]:g} to {bar[1]:g} %", bar[0] <= held <= bar[1])


def _other_sms(row: Latency) -> bool:
    return bool(row.target.profile.spreads_pct) or "other SMs" in extrapolated(row.target)


def _batches(row: Latency) -> str:
    batch = row.target.batch_size
    return "1" if batch == 1 else f">= {LARGE_BATCH}" if batch >= LARGE_BATCH else f"2 to {LARGE_BATCH - 1}"


def _held(rows: Sequence[Latency]) -> str:
    of = sum(row.interval_pct is not None for row in rows)
    return f"{sum(row.is_held for row in rows)} of {of}" if of else NO_EVIDENCE


def _figures(errors_pct: Sequence[float]) -> Tuple[int, float, float, float]:
    sizes = [abs(error) for error in errors_pct]
    return len(sizes), fmean(errors_pct), fmean(sizes), max(sizes)


def _grouped(rows: Iterable[Latency], key: Callable[[Latency], _Key]) -> Iterator[Tuple[_Key, List[Latency]]]:
    """Yields each key with its rows, in order of first appearance."""
    groups: Dict[_Key, List[Latency]] = {}
    for row in rows:
        groups.setdefault(key(row), []).append(row)
    yield from groups.items()


if __name__ == "__main__":
    sys.exit(main())
