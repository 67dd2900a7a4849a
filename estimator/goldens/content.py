"""What a golden keeps: of an estimate its terms, of a model its op stream."""

from __future__ import annotations

from collections import Counter
from typing import Any, Callable, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple

from ..checked import LATENCY_MS, PERCENT, TERM_MS, one_of, parsed
from ..compare import BOUNDS, NO_EVIDENCE
from ..estimates import Result
from ..figures import percent, significant
from ..opstream import Op, digest
from ..runtimes import EAGER, constants_digest
from .tables import Row

ESTIMATE_TITLES: Row = ("Model", "Est (ms)", "Host (ms)", "Device (ms)", "Bound", "80% within")
STREAM_TITLES: Row = ("Model", "Ops", "Kernels", "GFLOP", "MB", "Without a rule", "Digest", "Ops by name")
MEASURED_KEYS = ("meas_ms", "error_pct", "rating")
"""What a golden keeps of the measurement, and not of the estimate."""
RUNTIME_KEYS = ("runtime", "runtime_constants")
"""What a golden keeps of an engine: what runs the model, and a digest of the constants that are the runtime's own."""
_MEASURED_ROW = ("est_ms", *MEASURED_KEYS, "bound", "host_ms", "device_ms", "interval_pct")


def golden_data(result: Result, in_row: bool = False) -> Dict[str, Any]:
    """Returns what a golden keeps, as a file of its own or `in_row`, in plain Python values; ms to four digits."""
    if in_row:
        return row_data(dict(zip(ESTIMATE_TITLES, estimate_row(result))))
    estimate = result.estimate
    return {
        **_runtime_data(result.runtime),
        **{key: getattr(result.comparison, key) for key in _MEASURED_ROW},
        "host_terms_ms": _terms(estimate.host_terms_ms),
        "device_terms_ms": _terms(estimate.device_terms_ms),
    }


def _runtime_data(runtime: str) -> Dict[str, str]:
    """What runs the model, and a digest of the constants that are the runtime's own."""
    return {} if runtime == EAGER else dict(zip(RUNTIME_KEYS, (runtime, constants_digest())))


def _terms(terms_ms: Mapping[str, float]) -> Dict[str, float]:
    return {kind: significant(value) for kind, value in terms_ms.items()}


def estimate_row(result: Result) -> Row:
    """Returns the row of an unmeasured configuration's table."""
    row = result.comparison
    figures = [_figure(ms) for ms in (row.est_ms, row.host_ms, row.device_ms)]
    interval = NO_EVIDENCE if row.interval_pct is None else percent(row.interval_pct, "± ")
    return (row.model, *figures, str(row.bound), interval)


def _figure(value: Any) -> str:
    return f"{value:g}"


def row_data(cells: Mapping[str, str]) -> Dict[str, Any]:
    """Returns the row of a table by the keys of `golden_data`; ValueError where a figure is none."""
    if tuple(cells) != ESTIMATE_TITLES:
        raise ValueError(f"columns must be {', '.join(ESTIMATE_TITLES)}")
    found = {}
    for title, (key, check) in _CELLS.items():
        try:
            found[key] = check(cells[title])
        except ValueError as error:
            raise ValueError(f"{title}: {error}") from None
    return found


def _interval_pct(text: str) -> Optional[float]:
    return None if text == NO_EVIDENCE else parsed(text.strip("± %"), PERCENT)


_CELLS: Mapping[str, Tuple[str, Callable[[str], Any]]] = {
    "Est (ms)": ("est_ms", lambda text: parsed(text, LATENCY_MS)),
    "Host (ms)": ("host_ms", lambda text: parsed(text, TERM_MS)),
    "Device (ms)": ("device_ms", lambda text: parsed(text, TERM_MS)),
    "Bound": ("bound", lambda text: one_of(text, BOUNDS)),
    "80% within": ("interval_pct", _interval_pct),
}
"""The key of each cell of an estimate's row, and what the cell must be."""


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
        digest(ops, result.rules),
        ", ".join(f"{op} {count}" for op, count in sorted(counts.items())),
    )


def moved_terms(golden: Mapping[str, Any], now: Mapping[str, Any]) -> List[Tuple[str, Any, Any]]:
    """Returns (term, value in the golden, value now) for each term that differs, in the order of `now`."""
    before, after = dict(_flat(golden)), dict(_flat(now))
    terms = ((name, before.get(name), after.get(name)) for name in dict.fromkeys([*after, *before]))
    return [term for term in terms if term[1] != term[2]]


def _flat(data: Mapping[str, Any]) -> Iterator[Tuple[str, Any]]:
    for key, value in data.items():
        if isinstance(value, dict):
            yield from ((f"{key}.{inner}", number) for inner, number in value.items())
        else:
            yield key, value
