"""A record: what was measured of a configuration's models or patterns, how, and every run of it, in one TOML file."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import Iterable, Mapping, Optional, Tuple

from ..checked import LATENCY_MS, Checked
from ..files import read_toml, write_atomically
from .kinds import KINDS, MODEL_KIND

PROVENANCE_KEYS = ("board", "mode", "software", "protocol", "clocks", "date", "source")
"""What every record must say about itself; further keys are welcome."""
PARTIAL = "partial_"
"""What the key of a note begins with that names models recorded by themselves."""
_TABLES = ("provenance", "runs_ms")
_ROWS = {kind.record: kind.parameter for kind in KINDS}


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
    """Returns the record at `path`; an empty one if there is no file. RecordError names file, key and known choices.

    With no known models it may be of any.
    """
    if not path.exists():
        return Record(path, {}, {})
    tables = Checked(path, read_toml(path))
    tables.only(_TABLES, needed=True)
    provenance, runs_ms = tables.table("provenance"), tables.table("runs_ms")
    missing = [key for key in PROVENANCE_KEYS if not provenance.has(key)]
    if missing:
        raise provenance.error(f"is missing; required: {', '.join(PROVENANCE_KEYS)}", missing[0])
    runs_ms.only(tuple(known_models) or tuple(runs_ms.content))
    return Record(
        path,
        {key: provenance.text(key) for key in provenance.content},
        {model: runs_ms.numbers(model, LATENCY_MS) for model in runs_ms.content},
    )


def write_record(record: Record) -> None:
    """Writes the record to its path, atomically: one line per provenance key and per model, every run kept."""
    write_atomically(record.path, record_text(record))


def record_text(record: Record) -> str:
    """Returns the record as TOML, a line for each key."""
    import tomlkit

    document = tomlkit.document()
    row = _ROWS.get(record.path.name, MODEL_KIND.parameter)
    document.add(tomlkit.comment(f"Recorded measurements: one row per {row}, the latency of every run in ms."))
    document.add(tomlkit.nl())
    provenance, runs_ms = tomlkit.table(), tomlkit.table()
    provenance.update(record.provenance)
    runs_ms.update({model: list(runs) for model, runs in record.runs_ms.items()})
    document.add("provenance", provenance.add(tomlkit.nl()))
    document.add("runs_ms", runs_ms)
    return tomlkit.dumps(document)
