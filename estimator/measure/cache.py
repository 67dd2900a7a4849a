"""What describes this machine rather than the project: kept in the user's cache folder, never in the repository."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """Returns golden-latency's folder below XDG_CACHE_HOME, or below ~/.cache."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "golden-latency"
