"""A target with what it is held against: its records, its goldens, and how well a fit predicts what it has not seen."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Dict, Mapping

from ..goldens.files import golden_root, is_measured, load_goldens, load_held_out_means_pct
from ..hardware.reading import SOURCES
from ..records.kinds import KINDS, MODEL_KIND, PATTERN_KIND, Kind
from ..records.record import Record, load_record
from ..report import MICROBENCHMARK_BARS, MODEL_BARS, Bars
from ..target import Target

if TYPE_CHECKING:
    from ..subjects.all import Subject


@dataclass(frozen=True)
class Configuration:
    """One configuration of a board; records and goldens by the kind of subject that they are of."""

    target: Target
    root: Path
    folder: Path
    records: Mapping[Kind, Record]
    goldens: Mapping[Kind, Mapping[str, Dict[str, Any]]]
    held_out_means_pct: Mapping[str, float]

    @property
    def name(self) -> str:
        """Returns board and label, "Jetson-Orin-AGX 50W-fp32-b1"."""
        return f"{self.target.hardware} {self.target.label}"

    @property
    def is_measured(self) -> bool:
        """Whether it has a folder of its own; else its goldens are rows of the board's table."""
        return is_measured(self.folder)

    @property
    def record(self) -> Record:
        """Returns the record of its models."""
        return self.records[MODEL_KIND]

    def golden(self, subject: Subject) -> Dict[str, Any]:
        """Returns what the golden of a model or pattern says; empty without one."""
        return self.goldens[kind_of(subject)].get(subject.name, {})

    @property
    def transferred(self) -> str:
        """Returns ", transferred from <board>" where the constants are another board's, else an empty text."""
        return self.target.profile.transferred

    @property
    def bars(self) -> Bars:
        """Returns what the board's calibration promises, by what it was made from."""
        profile = self.target.profile
        return MICROBENCHMARK_BARS[profile.processor] if profile.sources == SOURCES[1] else MODEL_BARS

    def measured_from(self) -> str:
        """Returns one sentence that says where the measurements come from."""
        record = self.record
        if not record.runs_ms:
            return f"Not measured: there is no record for {self.name}."
        about = record.provenance
        runs = sorted({len(runs_ms) for runs_ms in record.runs_ms.values()})
        counts = " to ".join(map(str, sorted({runs[0], runs[-1]})))
        return f"Measured: median of {counts} recorded runs, {about['board']}, {about['mode']}, {about['software']}."


def kind_of(subject: Subject) -> Kind:
    """Returns whether a subject is a model or a pattern."""
    from ..subjects.patterns import Pattern

    return PATTERN_KIND if isinstance(subject, Pattern) else MODEL_KIND


def load_configuration(root: Path, target: Target) -> Configuration:
    """Returns the configuration; RecordError names the file and key where a record or golden is damaged."""
    from ..subjects.patterns import PATTERNS
    from ..subjects.zoo import MODELS

    names = {MODEL_KIND: [model.name for model in MODELS], PATTERN_KIND: [pattern.name for pattern in PATTERNS]}
    folder = target.board.folder(golden_root(root)) / target.label
    has_goldens = target.board.has_goldens
    return Configuration(
        target=target,
        root=root,
        folder=folder,
        records={kind: load_record(folder / kind.record, names[kind]) for kind in KINDS},
        goldens={kind: load_goldens(root, target, names[kind], kind) if has_goldens else {} for kind in KINDS},
        held_out_means_pct=load_held_out_means_pct(folder),
    )
