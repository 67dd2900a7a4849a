"""Where records are kept: the repository's, and those of local-cpu, which describe this machine alone."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Optional

from ..errors import UsageError
from ..measure.cache import cache_folder
from ..measure.cpu import LOCAL_CPU, CpuReader
from .files import write_atomically


def local_mode(name: Optional[str]) -> str:
    """Returns the one power mode of local-cpu; UsageError for another."""
    if name not in (None, "default"):
        raise UsageError(f"unknown thermal profile {name!r} of {LOCAL_CPU}; known thermal profiles: default")
    return "default"


def record_folder(root: Path, hardware: str, label: str) -> Path:
    """Returns the folder of a configuration's goldens and record: local-cpu's is in the user's cache."""
    return (cache_folder() if hardware == LOCAL_CPU else root / "golden") / hardware / label


def write_local_profile() -> None:
    """Writes down what local-cpu is, unless that is known already: its name and cores, no constant yet."""
    path = cache_folder() / LOCAL_CPU / "profile.toml"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        name = CpuReader().read().name.replace("\\", " ").replace('"', "'")
        write_atomically(path, f'[board]\ndescription = "{name}"\ncores = {os.cpu_count() or 0}\ncalibrated = false\n')
