"""Files that are there whole or not at all, and TOML on every supported Python."""

from __future__ import annotations

import copy
import csv
import functools
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional

from .errors import RecordError, UsageError, one_line

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


def write_atomically(path: Path, text: str) -> None:
    """Writes UTF-8 text so that a reader, or a crash at any moment, sees the old file or the new one, never a part.

    Through a symbolic link it writes the file that the link leads to. OSError names the path.
    """
    path = Path(os.path.realpath(path))
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "w", encoding="utf-8", newline="\n") as out:
            out.write(text)
            out.flush()
            os.fsync(out.fileno())
        os.replace(temporary, path)
    except OSError as error:
        raise OSError(error.errno, error.strerror or str(error), str(path)) from error
    finally:
        if temporary.exists():
            temporary.unlink()


def cache_folder() -> Path:
    """Returns golden-latency's folder below XDG_CACHE_HOME, or below ~/.cache."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "golden-latency"


def refuse_unwritable(option: str, path: Path) -> None:
    """Raises UsageError, which names the option, where no file can be written; tries it, and leaves nothing."""
    place = Path(os.path.realpath(path))
    if not place.parent.is_dir():
        raise UsageError(f"{option} {path}: there is no folder {path.parent}")
    if place.is_dir():
        raise UsageError(f"{option} {path}: is a folder")
    if place.exists() and not place.is_file():
        raise UsageError(f"{option} {path}: is a device or a pipe; name a file")
    try:
        with tempfile.TemporaryFile(dir=place.parent):
            pass
    except OSError as error:
        raise UsageError(f"{option} {path}: cannot be written: {error.strerror}") from error


def read_text(path: Path) -> str:
    """Returns the file's text; RecordError when it cannot be read or is no UTF-8."""
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise RecordError(f"{path}: cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise RecordError(f"{path}: cannot be read: {one_line(error)}") from error


def read_toml(path: Path) -> Dict[str, Any]:
    """Returns the file's tables; RecordError when it is no TOML."""
    return copy.deepcopy(_parsed(path, _toml_of, "TOML"))


def read_json(path: Path, repair: str = "", text: Optional[str] = None) -> Any:
    """Returns what the file holds, or this text of it; RecordError when it is no JSON ends with what repairs it."""
    return _parsed(path, json.loads, "JSON", repair, text)


def read_csv(path: Path) -> List[Dict[str, Any]]:
    """Returns the file's rows by the columns of its header; RecordError when it is no CSV, or a row has more cells."""
    try:
        rows = list(csv.DictReader(read_text(path).splitlines()))
        longer = next((number for number, row in enumerate(rows, 2) if None in row), None)
        if longer is not None:
            raise RecordError(f"{path}: line {longer}: has more cells than the header has columns")
        return rows
    except csv.Error as error:  # before Python 3.11 a NUL, in all releases a cell of 128 KiB
        raise RecordError(f"{path}: no valid CSV: {one_line(error)}") from error


@functools.lru_cache(maxsize=64)  # two thirds of the time that it takes to read a profile, as each estimate does
def _toml_of(text: str) -> Dict[str, Any]:
    return tomllib.loads(text)


def _parsed(
    path: Path, parse: Callable[[str], Any], language: str, repair: str = "", text: Optional[str] = None
) -> Any:
    """Numbers of thousands of digits are a ValueError, hundreds of brackets a RecursionError."""
    try:
        return parse(read_text(path) if text is None else text)
    except (ValueError, RecursionError) as error:
        after = f"; {repair}" if repair else ""
        raise RecordError(f"{path}: no valid {language}: {one_line(error)}{after}") from error
