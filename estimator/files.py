"""Files that are there whole or not at all, and TOML on every supported Python."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any, Dict

from .errors import RecordError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


def write_atomically(path: Path, text: str) -> None:
    """Writes UTF-8 text so that a reader, or a crash at any moment, sees the old file or the new one, never a part."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "w", encoding="utf-8", newline="\n") as out:
            out.write(text)
            out.flush()
            os.fsync(out.fileno())
        os.replace(temporary, path)
    finally:
        if temporary.exists():
            temporary.unlink()


def read_text(path: Path) -> str:
    """Returns the file's text; RecordError when it cannot be read or is no UTF-8."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RecordError(f"{path}: cannot be read: {error}") from error


def read_toml(path: Path) -> Dict[str, Any]:
    """Returns the file's tables; RecordError when it is no TOML."""
    try:
        return tomllib.loads(read_text(path))
    except tomllib.TOMLDecodeError as error:
        raise RecordError(f"{path}: no valid TOML: {error}") from error
