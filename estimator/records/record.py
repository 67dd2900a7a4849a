"""A record: what was measured of a configuration's models or patterns, how, and every run of it, in one TOML file."""

from __future__ import annotations

import json
import math
import re
import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, Iterable, Mapping, Optional, Tuple

from ..errors import RecordError
from ..files import read_toml, write_atomically

_FORMER_NAMES = {"record-models.toml": "measurements.toml", "record-patterns.toml": "patterns.toml"}
PROVENANCE_KEYS = ("board", "mode", "software", "protocol", "clocks", "date", "source")
"""What every record must say about itself; further keys are welcome."""
PARTIAL = "partial_"
"""What the key of a note begins with that names models recorded by themselves."""
_TABLES = ("provenance", "runs_ms")


@dataclass(frozen=True)
class Record:
    """Where the figures come from, and by model the latency of every run in ms: the median of its rounds."""

    path: Path
    provenance: Mapping[str, str]
    runs_ms: Mapping[str, Tuple[float, ...]]

    @property
    def partial(self) -> Tuple[str, ...]:
        """Returns the models that were recorded by themselves, after the others."""
        notes = [text for key, text in self.provenance.items() if key.startswith(PARTIAL)]
        return tuple(name for note in notes for name in note.split(":")[0].split(", "))

    def median_ms(self, model: str) -> Optional[float]:
        """Returns the median over the model's runs in ms, or None where it was not measured."""
        runs_ms = self.runs_ms.get(model)
        return statistics.median(runs_ms) if runs_ms else None


def load_record(path: Path, known_models: Iterable[str]) -> Record:
    """Returns the record at `path`; an empty one if there is no file. RecordError names file, key and known choices."""
    _refuse_former_name(path)
    if not path.exists():
        return Record(path, {}, {})
    tables = read_toml(path)
    _check_keys(path, "table", tables, required=_TABLES, known=_TABLES)
    for name in _TABLES:
        if not isinstance(tables[name], dict):
            raise RecordError(f"{path}: {name} must be a table")
    return Record(path, _provenance(path, tables["provenance"]), _runs(path, tables["runs_ms"], known_models))


def _refuse_former_name(path: Path) -> None:
    former = path.with_name(_FORMER_NAMES.get(path.name, path.name))
    if former != path and former.exists():
        raise RecordError(f"{former}: is called {path.name} now: rename it, or delete it")


def _check_keys(
    path: Path, what: str, found: Mapping[str, Any], required: Iterable[str] = (), known: Iterable[str] = ()
) -> None:
    missing = [key for key in required if key not in found]
    if missing:
        raise RecordError(f"{path}: missing {what} {missing[0]!r}; required: {', '.join(required)}")
    unknown = [key for key in found if known and key not in known]
    if unknown:
        raise RecordError(f"{path}: unknown {what} {unknown[0]!r}; known: {', '.join(known)}")


def _provenance(path: Path, table: Mapping[str, Any]) -> Dict[str, str]:
    _check_keys(path, "key in [provenance]", table, required=PROVENANCE_KEYS)
    for key, value in table.items():
        if not isinstance(value, str) or not value.strip():
            raise RecordError(f"{path}: provenance.{key} must be a text, got {value!r}")
    return dict(table)


def _runs(path: Path, table: Mapping[str, Any], known_models: Iterable[str]) -> Dict[str, Tuple[float, ...]]:
    _check_keys(path, "model in [runs_ms]", table, known=tuple(known_models))
    for model, runs in table.items():
        if not isinstance(runs, list) or not runs:
            raise RecordError(f"{path}: runs_ms.{model} must be a list of latencies in ms, one per run, got {runs!r}")
        for value in runs:
            if not _is_latency(value):
                raise RecordError(f"{path}: runs_ms.{model} must hold finite numbers above 0, got {value!r}")
    return {model: tuple(float(value) for value in runs) for model, runs in table.items()}


def _is_latency(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value) and value > 0


def write_record(record: Record) -> None:
    """Writes the record to its path, atomically: one line per provenance key and per model, every run kept."""
    write_atomically(record.path, record_text(record))


def record_text(record: Record) -> str:
    """Returns the record as TOML."""
    lines = [
        "# Recorded measurements: one row per model, the latency of every run in ms.",
        "",
        "[provenance]",
    ]
    lines += [f"{_toml_key(key)} = {_toml_text(value)}" for key, value in record.provenance.items()]
    lines += ["", "[runs_ms]"]
    lines += [f"{_toml_key(model)} = [{', '.join(map(repr, runs))}]" for model, runs in record.runs_ms.items()]
    return "\n".join(lines) + "\n"


def _toml_key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else _toml_text(name)


def _toml_text(value: str) -> str:
    """A JSON string is a basic string of TOML, but for the DEL character."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
