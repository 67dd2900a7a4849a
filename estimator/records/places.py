"""Where records are kept: the repository's, and those of local-cpu, which describe this machine alone."""

from __future__ import annotations

from pathlib import Path
from typing import Optional

from ..errors import UsageError
from ..hardware.local import LOCAL_CPU, cache_folder


def local_mode(name: Optional[str]) -> str:
    """Returns the one power mode of local-cpu; UsageError for another."""
    if name not in (None, "default"):
        raise UsageError(f"unknown thermal profile {name!r} of {LOCAL_CPU}; known thermal profiles: default")
    return "default"


def record_folder(root: Path, hardware: str, label: str, golden: str = "golden") -> Path:
    """Returns the folder of a configuration's goldens and record: local-cpu's is in the user's cache."""
    return (cache_folder() if hardware == LOCAL_CPU else root / golden) / hardware / label
