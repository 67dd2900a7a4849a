"""This machine's own CPU as hardware: what describes one machine is kept in the user's cache, not in the repository."""

from __future__ import annotations

import os
from pathlib import Path

LOCAL_CPU = "local-cpu"
CALIBRATE_LOCAL_CPU = f"pytest test_patterns --hardware {LOCAL_CPU} --device cpu --calibrate"


def cache_folder() -> Path:
    """Returns golden-latency's folder below XDG_CACHE_HOME, or below ~/.cache."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "golden-latency"


def local_profile_path() -> Path:
    """Returns where the profile of this machine's CPU is, once it is calibrated."""
    return cache_folder() / LOCAL_CPU / f"{LOCAL_CPU}.toml"


def is_calibrated() -> bool:
    """Whether this machine's CPU has been calibrated."""
    return local_profile_path().exists()
