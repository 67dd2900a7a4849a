"""The kinds of subject: models and patterns of the zoo, and the modules that the tests of one file check."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import List


@dataclass(frozen=True)
class Kind:
    """What is estimated: the user property with its name, and the folder of its goldens, named after its tests.

    `test` is the name of a subject's test; a test that gives a module of its own is named as it likes.
    """

    parameter: str
    folder: str
    test: str = "{}"

    @property
    def record(self) -> str:
        """Returns the name of the file of its record."""
        words = self.folder[len("test_") :] if self.folder.startswith("test_") else self.folder
        return f"record-{words}.toml"

    def golden_path(self, folder: Path, name: str) -> Path:
        """Returns where the golden of a subject is kept, below the folder of the configuration."""
        return folder / self.folder / f"{self.test.format(name)}.json"

    def name_of(self, path: Path) -> str:
        """Returns the name of the subject whose golden that is, empty where it is none of this kind."""
        found = re.fullmatch(re.escape(self.test).replace(r"\{\}", "(.+)"), path.stem)
        return found.group(1) if found else ""


MODEL_KIND = Kind("model", "test_models", "test_model[{}]")
PATTERN_KIND = Kind("pattern", "test_patterns", "test_pattern[{}]")
KINDS = (MODEL_KIND, PATTERN_KIND)
"""The kinds of the zoo."""


def own_kind(module: str) -> Kind:
    """Returns the kind of what the tests of a module check that is no subject of the zoo."""
    return Kind(MODEL_KIND.parameter, module)


def kinds_in(folder: Path, of_zoo: bool = True) -> List[Kind]:
    """Returns the kinds that have goldens or a record below a configuration's folder, those of the zoo first."""
    kinds = {kind.folder: kind for kind in KINDS} if of_zoo else {}
    found = [path.name for path in sorted(folder.glob("*")) if path.is_dir()]
    found += [_folder_of(path) for path in sorted(folder.glob("record-*.toml"))]
    order = [*(name for name in kinds if name in found), *found]
    return [kinds.get(name, own_kind(name)) for name in dict.fromkeys(order)]


def _folder_of(record: Path) -> str:
    """The folder whose record that is: of those that are there, else that of tests called so."""
    words = record.stem[len("record-") :]
    return words if (record.parent / words).is_dir() else f"test_{words}"
