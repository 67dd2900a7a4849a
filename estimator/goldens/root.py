"""To which repository a session belongs: where its goldens and records are."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Optional

import pytest

from .repository import Repository

_PACKAGE = __name__.split(".")[0]
_INI_FILES = ("pyproject.toml", "pytest.toml", ".pytest.toml", "pytest.ini", ".pytest.ini", "tox.ini", "setup.cfg")


def repository_of(config: pytest.Config) -> Repository:
    """Returns the repository whose conftest.py loads the suite, else that in pytest's own rootdir.

    It is the nearest folder at or above that conftest.py with a file in which pytest is configured. pytest's rootdir is
    another folder under `--rootdir` and `-c`, and goldens do not move with those.
    """
    found = (_conftest_folder(plugin) for plugin in config.pluginmanager.get_plugins())
    folder = next((folder for folder in found if folder is not None), None)
    if folder is None:
        return Repository.at(config.rootpath)
    above = (folder, *folder.parents)
    return Repository.at(next((each for each in above if any((each / name).is_file() for name in _INI_FILES)), folder))


def _conftest_folder(plugin: Any) -> Optional[Path]:
    """The folder of a conftest.py that names a module of this package as its plugin; None for any other plugin."""
    path, names = getattr(plugin, "__file__", None), getattr(plugin, "pytest_plugins", ())
    loaded = [names] if isinstance(names, str) else list(names or ())
    is_ours = any(str(name).split(".")[0] == _PACKAGE for name in loaded)
    return Path(path).parent if is_ours and path and Path(path).name == "conftest.py" else None
