"""The two kinds of subject, and the names of their files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Kind:
    """What is estimated: the test's parameter, the folder of its tests and goldens, and the file of its record."""

    parameter: str
    folder: str
    record: str

    def golden_path(self, folder: Path, name: str) -> Path:
        """Returns where the golden of a model (or pattern) is kept, below the folder of the configuration."""
        return folder / self.folder / f"test_{self.parameter}[{name}].json"


MODEL_KIND = Kind("model", "test_models", "record-models.toml")
PATTERN_KIND = Kind("pattern", "test_patterns", "record-patterns.toml")
KINDS = (MODEL_KIND, PATTERN_KIND)
