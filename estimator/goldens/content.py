"""What a golden keeps: of an estimate its terms, of a model its op stream."""

from __future__ import annotations

from collections import Counter
from typing import Any, Dict, Iterator, List, Mapping, Sequence, Tuple

from ..digits import significant
from ..opstream import Op, digest
from ..results import Result
from .tables import Row

ESTIMATE_TITLES: Row = ("Model", "Est (ms)", "Host (ms)", "Device (ms)", "Bound", "80% within")
STREAM_TITLES: Row = ("Model", "Ops", "Kernels", "GFLOP", "MB", "Without a rule", "Digest", "Ops by name")
MEASURED_KEYS = ("meas_ms", "error_pct", "rating")
"""What a golden keeps of the measurement, and not of the estimate."""
_ESTIMATE_KEYS = ("est_ms", "host_ms", "device_ms", "bound", "interval_pct")


def golden_data(result: Result) -> Dict[str, Any]:
    """Returns what the golden of a measured configuration keeps, in plain Python values; ms to four digits."""
    row = result.comparison
    estimate = result.estimate
    return {
        "est_ms": row.est_ms,
        "meas_ms": row.meas_ms,
        "error_pct": row.error_pct,
        "rating": row.rating,
        "bound": row.bound,
        "host_ms": row.host_ms,
        "device_ms": row.device_ms,
        "interval_pct": row.interval_pct,
        "host_terms_ms": _terms(estimate.host_terms_ms),
        "device_terms_ms": _terms(estimate.device_terms_ms),
    }


def _terms(terms_ms: Mapping[str, float]) -> Dict[str, float]:
    return {kind: significant(value) for kind, value in terms_ms.items()}


def estimate_row(result: Result) -> Row:
    """Returns the row of an unmeasured configuration's table."""
    row = result.comparison
    figures = [_figure(ms) for ms in (row.est_ms, row.host_ms, row.device_ms)]
    return (row.model, *figures, str(row.bound), f"± {row.interval_pct:.1f} %")


def _figure(value: Any) -> str:
    return f"{value:g}"


def row_data(cells: Mapping[str, str]) -> Dict[str, Any]:
    """Returns the row of a table by the keys of `golden_data`; ValueError where a figure is none."""
    _, est, host, device, bound, interval = (cells[title] for title in ESTIMATE_TITLES)
    figures = [_positive(text) for text in (est, host, device)]
    if bound not in ("host", "device"):
        raise ValueError(f"bound must be one of host, device, got {bound!r}")
    return dict(zip(_ESTIMATE_KEYS, (*figures, bound, float(interval.strip("± %")))))


def _positive(text: str) -> float:
    value = float(text)
    if not 0 <= value < float("inf"):
        raise ValueError(f"must be a finite number of ms, got {text}")
    return value


def stream_row(name: str, ops: Sequence[Op], result: Result) -> Row:
    """Returns what a model is: counts, work, the ops without a rule, and its op stream by digest and by name."""
    estimate = result.estimate
    counts = Counter(op.name.replace("aten.", "", 1) for op in ops)
    return (
        name,
        str(estimate.ops),
        str(estimate.kernels),
        _figure(significant(estimate.flops / 1e9)),
        _figure(significant(estimate.bytes / 1e6)),
        ", ".join(estimate.defaulted) or "-",
        digest(ops),
        ", ".join(f"{op} {count}" for op, count in sorted(counts.items())),
    )


def moved_terms(golden: Mapping[str, Any], now: Mapping[str, Any]) -> List[Tuple[str, Any, Any]]:
    """Returns (term, value in the golden, value now) for each term that differs, in the order of `now`."""
    before = dict(_flat(golden))
    after = dict(_flat(now))
    names = [*after, *(name for name in before if name not in after)]
    return [(name, before.get(name), after.get(name)) for name in names if before.get(name) != after.get(name)]


def _flat(data: Mapping[str, Any]) -> Iterator[Tuple[str, Any]]:
    for key, value in data.items():
        if isinstance(value, dict):
            yield from ((f"{key}.{inner}", number) for inner, number in value.items())
        else:
            yield key, value
