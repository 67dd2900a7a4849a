"""What a command needs beside torch and is not installed: said in one line, before any work."""

from __future__ import annotations

import importlib.util
from typing import Mapping

from .errors import UsageError

SESSION: Mapping[str, str] = {"syrupy": "syrupy"}
"""By module the package that has it: what each session of pytest needs."""
MEASURING: Mapping[str, str] = {"filelock": "filelock", "tomlkit": "tomlkit"}
CALIBRATION: Mapping[str, str] = {"scipy": "scipy", "tomlkit": "tomlkit"}


def refuse_missing(what: str, packages: Mapping[str, str]) -> None:
    """Raises UsageError with the command that installs the packages whose modules are not there."""
    missing = [package for module, package in packages.items() if importlib.util.find_spec(module) is None]
    if missing:
        raise UsageError(f"{what} needs {' and '.join(missing)}: pip install {' '.join(missing)}")
