"""A target with what it is held against: its records, its goldens, and how well a fit predicts what it has not seen."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Dict, List, Mapping, Optional, Tuple

from ..hardware.reading import SOURCES
from ..records.kinds import KINDS, MODEL_KIND, PATTERN_KIND, Kind, kinds_in, own_kind
from ..records.record import Record, load_record
from ..report.bars import MICROBENCHMARK_BARS, MODEL_BARS, Bars
from ..target import Target
from .repository import Repository, is_measured

if TYPE_CHECKING:
    from ..estimates import Estimates, Result
    from ..subjects.registry import Subject


@dataclass(frozen=True)
class Configuration:
    """One configuration of a board; records and goldens by the kind of subject that they are of."""

    target: Target
    repository: Repository
    folder: Path
    records: Mapping[Kind, Record]
    goldens: Mapping[Kind, Mapping[str, Dict[str, Any]]]
    held_out_means_pct: Mapping[str, float]

    @property
    def root(self) -> Path:
        """Returns the folder of its repository."""
        return self.repository.root

    @property
    def name(self) -> str:
        """Returns board and label, "Jetson-Orin-AGX 50W-fp32-b1"."""
        return f"{self.target.hardware} {self.target.label}"

    @property
    def where(self) -> Tuple[str, str]:
        """Returns board and label."""
        return self.target.hardware, self.target.label

    @property
    def is_measured(self) -> bool:
        """Whether the zoo has a folder of its own here; else its goldens are rows of the board's table."""
        return is_measured(self.folder)

    def keeps_file(self, kind: Kind) -> bool:
        """Whether each golden of this kind is a file of its own, and not a row of the board's table."""
        return self.is_measured or kind not in KINDS

    @property
    def record(self) -> Record:
        """Returns the record of its models: of the zoo, or in another repository of the first tests that have one."""
        found = [record for kind, record in self.records.items() if kind is not PATTERN_KIND and record.runs_ms]
        return found[0] if found else self.record_of(MODEL_KIND)

    def record_of(self, kind: Kind) -> Record:
        """Returns the record of a kind, an empty one where it has none."""
        return self.records.get(kind) or Record(self.folder / kind.record, {}, {})

    @property
    def has_estimates(self) -> bool:
        """Whether there are constants to estimate with at this precision."""
        return self.target.board.estimates(self.target.precision.name)

    def estimated(self, subject: Subject, estimates: Estimates) -> Result:
        """Returns the subject's estimate beside the median of its recorded runs; raises as `Estimates`."""
        return estimates.compared(subject, self.target, self.record_of(kind_of(subject)).median_ms(subject.name))

    def golden_path(self, subject: Subject) -> Path:
        """Returns the file that has the golden of a subject, as its content or as a row."""
        kind = kind_of(subject)
        if self.keeps_file(kind):
            return kind.golden_path(self.folder, subject.name)
        return self.repository.estimates_path(self.target.hardware)

    def golden(self, subject: Subject) -> Dict[str, Any]:
        """Returns what the golden of a subject says; empty without one."""
        return self.goldens.get(kind_of(subject), {}).get(subject.name, {})

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
    """Returns whether a subject is a model or a pattern of the zoo, or of which tests it is the own model."""
    from ..subjects.custom import OwnModel
    from ..subjects.patterns import Pattern

    if isinstance(subject, OwnModel):
        return own_kind(subject.family)
    return PATTERN_KIND if isinstance(subject, Pattern) else MODEL_KIND


def load_configuration(repository: Repository, target: Target) -> Configuration:
    """Returns the configuration; RecordError names the file and key where a record or golden is damaged."""
    from ..subjects.patterns import PATTERNS
    from ..subjects.zoo import MODELS

    folder = repository.configuration_folder(target)
    names: Dict[Kind, Optional[List[str]]] = dict.fromkeys(kinds_in(folder, repository.has_zoo))
    if repository.has_zoo:  # of other subjects only the tests know the names
        names[MODEL_KIND] = [model.name for model in MODELS]
        names[PATTERN_KIND] = [pattern.name for pattern in PATTERNS]
    has_goldens = target.board.has_goldens
    return Configuration(
        target=target,
        repository=repository,
        folder=folder,
        records={kind: load_record(folder / kind.record, known or ()) for kind, known in names.items()},
        goldens={kind: repository.goldens(target, known, kind) for kind, known in names.items() if has_goldens},
        held_out_means_pct=repository.held_out_means_pct(folder),
    )
