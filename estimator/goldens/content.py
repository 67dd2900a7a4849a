"""What a golden keeps: of an estimate its terms, of a model its op stream, of a board its inputs."""

from __future__ import annotations

import hashlib
from collections import Counter
from typing import Any, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple

from ..compare import NO_EVIDENCE
from ..digits import significant
from ..hardware.profile import Profile
from ..opstream import Op, digest
from ..results import Result
from .tables import Row, Table

ESTIMATE_TITLES: Row = ("Model", "Est (ms)", "Host (ms)", "Device (ms)", "Bound", "80% within")
STREAM_TITLES: Row = ("Model", "Ops", "Kernels", "GFLOP", "MB", "Without a rule", "Digest", "Ops by name")
INPUT_TITLES: Row = ("Input", "Value", "Unit")
INPUTS = "Inputs"
"""The section of a board's estimates.md that holds what its goldens were made from."""
_ESTIMATE_KEYS = ("est_ms", "host_ms", "device_ms", "bound", "interval_pct")
_UNITS = {"cpu_mhz": "MHz", "gpu_mhz": "MHz", "sms": "SMs", "bandwidth_gb_s": "GB/s"}


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
    interval = NO_EVIDENCE if row.interval_pct is None else f"± {row.interval_pct:.1f} %"
    return (row.model, *figures, str(row.bound), interval)


def _figure(value: Any) -> str:
    return f"{value:g}"


def row_data(cells: Mapping[str, str]) -> Dict[str, Any]:
    """Returns the row of a table by the keys of `golden_data`; ValueError where a figure is none."""
    _, est, host, device, bound, interval = (cells[title] for title in ESTIMATE_TITLES)
    figures = [_positive(text) for text in (est, host, device)]
    if bound not in ("host", "device"):
        raise ValueError(f"bound must be one of host, device, got {bound!r}")
    return dict(zip(_ESTIMATE_KEYS, (*figures, bound, _interval_pct(interval))))


def _interval_pct(text: str) -> Optional[float]:
    return None if text == NO_EVIDENCE else float(text.strip("± %"))


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


def inputs_table(profile: Profile) -> Table:
    """Returns every constant and fact that the estimates of a board are made from, by value."""
    rows = {name: (name, value, unit) for name, value, unit in _inputs(profile)}
    return Table(INPUT_TITLES, rows)


def _inputs(profile: Profile) -> Iterator[Tuple[str, str, str]]:
    yield "calibration.constants_of", profile.transferred_from or profile.name, "board"
    yield "calibration.power_mode", profile.calibrated_mode, "mode"
    yield "calibration.held_out_spread", f"{profile.held_out_spread_pct!r}", "%"
    yield "calibration.covariance", _short_digest(repr(profile.covariance)), "digest"
    for name, constant in profile.constants.items():
        yield f"constant.{name}", repr(constant.value), constant.unit
    for name, fact in profile.facts.items():
        yield f"fact.{name}", repr(fact.value), fact.unit
    for mode in profile.modes.values():
        for key, unit in _UNITS.items():
            yield f"mode.{mode.name}.{key}", repr(getattr(mode, key)), unit


def _short_digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]


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
