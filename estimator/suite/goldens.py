"""Goldens: what each model's estimate was when somebody last looked, one JSON per model, compared through syrupy."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, Callable, ClassVar, Dict, Iterable, Iterator, List, Mapping, Tuple

from syrupy.data import SnapshotCollections
from syrupy.extensions.json import JSONSnapshotExtension
from syrupy.location import PyTestLocation

from ..compare import BANDS_PCT, UNMEASURED, significant
from ..errors import RecordError
from ..files import read_text
from ..records.kinds import MODEL_KIND, Kind
from ..report import CROSS_VALIDATION_BARS_PCT
from .results import Result

REPORT_NAME = "validation.md"
CROSS_VALIDATION_NAME = "cross-validation.json"
_RATINGS = (*BANDS_PCT, UNMEASURED)


class GoldenExtension(JSONSnapshotExtension):
    """Keeps the goldens of a test module under the folder of the configuration: the hardware stands above the module.

    Discovery finds nothing, so that syrupy never takes a golden for unused: its older releases would report, and on
    update delete, the goldens of models that `-k` left out. `load_goldens` finds goldens that belong to no model.
    """

    folder: ClassVar[Path] = Path("golden")

    @classmethod
    def dirname(cls, *, test_location: PyTestLocation) -> str:
        """Returns golden/<hardware>/<configuration>/<test module>."""
        return str(cls.folder / test_location.basename)

    def discover_snapshots(self, **_: Any) -> SnapshotCollections:
        """Returns no snapshot: goldens are deleted by people."""
        return SnapshotCollections()


def golden_data(result: Result) -> Dict[str, Any]:
    """Returns what the golden keeps of a result, in plain Python values; ms, GFLOP and MB to four digits."""
    row, estimate = result.comparison, result.estimate
    return {
        "model": row.model,
        "family": row.family,
        "est_ms": row.est_ms,
        "meas_ms": row.meas_ms,
        "error_pct": row.error_pct,
        "rating": row.rating,
        "bound": row.bound,
        "host_ms": row.host_ms,
        "device_ms": row.device_ms,
        "interval_pct": row.interval_pct,
        "transferred_from": estimate.transferred_from or None,
        "ops": int(estimate.ops),
        "kernels": int(estimate.kernels),
        "gflop": significant(estimate.flops / 1e9),
        "mb": significant(estimate.bytes / 1e6),
        "host_terms_ms": _terms(estimate.host_terms_ms),
        "device_terms_ms": _terms(estimate.device_terms_ms),
        "priced_by_default": sorted(set(estimate.defaulted)),
    }


def _terms(terms_ms: Mapping[str, float]) -> Dict[str, float]:
    return {kind: significant(value) for kind, value in terms_ms.items()}


def moved_terms(golden: Mapping[str, Any], now: Mapping[str, Any]) -> List[Tuple[str, Any, Any]]:
    """Returns (term, value in the golden, value now) for each term that differs, in the order of `golden_data`."""
    before, after = dict(_flat(golden)), dict(_flat(now))
    names = [*after, *(name for name in before if name not in after)]
    return [(name, before.get(name), after.get(name)) for name in names if before.get(name) != after.get(name)]


def _flat(data: Mapping[str, Any]) -> Iterator[Tuple[str, Any]]:
    for key, value in data.items():
        if isinstance(value, dict):
            yield from ((f"{key}.{inner}", number) for inner, number in value.items())
        else:
            yield key, value


def load_goldens(folder: Path, known_names: Iterable[str], kind: Kind = MODEL_KIND) -> Dict[str, Dict[str, Any]]:
    """Returns the goldens of a configuration by name. RecordError for a damaged one or one of no known model."""
    known = tuple(known_names)
    return dict(_load_golden(path, known, kind) for path in sorted(folder.glob(f"{kind.folder}/*.json")))


def _load_golden(path: Path, known_names: Tuple[str, ...], kind: Kind) -> Tuple[str, Dict[str, Any]]:
    name = path.name[len(f"test_{kind.parameter}[") : -len("].json")]
    if path != kind.golden_path(path.parent.parent, name) or name not in known_names:
        known = ", ".join(known_names)
        raise RecordError(f"{path}: belongs to no {kind.parameter}, delete it; known {kind.parameter}s: {known}")
    data = _read_json(path)
    for key, (is_valid, expected) in _GOLDEN_KEYS.items():
        if key not in data:
            raise RecordError(f"{path}: missing key {key!r}; required: {', '.join(_GOLDEN_KEYS)}; {_REPAIR}")
        if not is_valid(data[key]):
            raise RecordError(f"{path}: {key} must be {expected}, got {data[key]!r}; {_REPAIR}")
    return name, data


_REPAIR = "restore it with git, or delete it and run pytest --snapshot-update"


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _is_time(value: Any) -> bool:
    return _is_number(value) and value >= 0


_GOLDEN_KEYS: Mapping[str, Tuple[Callable[[Any], bool], str]] = {
    "est_ms": (_is_time, "a finite number of ms"),
    "host_ms": (_is_time, "a finite number of ms"),
    "device_ms": (_is_time, "a finite number of ms"),
    "meas_ms": (lambda value: value is None or _is_time(value), "a finite number of ms or null"),
    "error_pct": (lambda value: value is None or _is_number(value), "a finite number or null"),
    "rating": (lambda value: value in _RATINGS, f"one of {', '.join(_RATINGS)}"),
    "bound": (lambda value: value in ("host", "device"), "one of host, device"),
}
"""The keys that the suite itself reads, with what they must be; all others are only compared."""


def load_held_out_means_pct(folder: Path) -> Dict[str, float]:
    """Returns mean |error| in percent by kind of cross-validation; empty where the configuration has none."""
    path = folder / CROSS_VALIDATION_NAME
    return (
        {kind: _mean_pct(path, _read_json(path), kind) for kind in CROSS_VALIDATION_BARS_PCT} if path.exists() else {}
    )


def _mean_pct(path: Path, data: Mapping[str, Any], kind: str) -> float:
    part = data.get(kind)
    value = part.get("mean_abs_error_pct") if isinstance(part, dict) else None
    if not _is_time(value):
        kinds = ", ".join(CROSS_VALIDATION_BARS_PCT)
        raise RecordError(
            f"{path}: {kind}.mean_abs_error_pct must be a finite number, got {value!r}; required: {kinds}"
        )
    return float(value)  # type: ignore[arg-type]


def _read_json(path: Path) -> Dict[str, Any]:
    try:
        data = json.loads(read_text(path))
    except ValueError as error:
        raise RecordError(f"{path}: no valid JSON: {error}; {_REPAIR}") from error
    if not isinstance(data, dict):
        raise RecordError(f"{path}: must be a JSON object, got {type(data).__name__}; {_REPAIR}")
    return data
