"""Op streams kept in the user's cache, so that the next process need not import torch and capture them again.

Those of the zoo by all that can change them; those of a test's own modules, which no other process can build, by their
digest. An entry is plain text below its checksum: a damaged one is as good as none.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import re
import sys
from importlib import metadata
from pathlib import Path
from typing import Callable, Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple

from ..files import write_atomically
from ..hardware.boards import cache_folder
from ..opstream import Op, digest, parse_stream, stream_text

MOST_ENTRIES = 1000
MOST_BYTES = 200 * 10**6
"""The newest so many entries are kept, of this size together in bytes."""
_PACKAGE = Path(__file__).parents[1]
_CAPTURING = ("capture.py", "subjects/zoo.py", "subjects/patterns.py")
"""What makes an op stream, with all that these import of this package."""
_CALLING = ("subjects/all.py", "subjects/kernels.py")
"""What builds a module and has it captured."""
_IMPORT = re.compile(r"^\s*from (\.+)([\w.]*) import ([\w, ]+)", re.MULTILINE)
_may_be_used = True


def use_op_cache(may_be_used: bool) -> None:
    """Says whether this process may take op streams of the zoo from the cache."""
    global _may_be_used
    _may_be_used = may_be_used


def is_used() -> bool:
    """Whether op streams of the zoo are taken from the cache: never where `CI` is set."""
    return _may_be_used and not os.environ.get("CI")


class Entry(NamedTuple):
    """What an op stream is of, a subject of the zoo or a kernel; `tensors` is the type of its tensors, "float32"."""

    name: str
    batch_size: int
    tensors: str


def kept_or_captured(entry: Entry, capture: Callable[[], Tuple[Op, ...]]) -> Tuple[Op, ...]:
    """Returns the op stream as these sources and releases have captured it; else captures it now, and keeps it."""
    name = _name_of(entry) if is_used() else None
    kept = None if name is None else _read(name)
    if kept is not None:
        return kept
    ops = capture()
    if name is not None:
        _write(name, ops)
    return ops


def own_stream(stream_digest: str) -> Optional[Tuple[Op, ...]]:
    """Returns the op stream with this digest that a test's own module had; None where it is not at hand."""
    return _read(f"own-{stream_digest}") if re.fullmatch("[0-9a-f]+", stream_digest) else None


def keep_own_stream(ops: Sequence[Op]) -> None:
    """Keeps the op stream of a test's own module, with `CI` set as well: it is for reviews, and replaces no capture."""
    name = f"own-{digest(ops)}"
    if _read(name) is None:
        _write(name, ops)
    else:
        with contextlib.suppress(OSError):
            os.utime(_path(name))


def _path(name: str) -> Path:
    return cache_folder() / "op-streams" / f"{name}.txt"


def _name_of(entry: Entry) -> Optional[str]:
    """The name of its file, with a digest of all that can change the op stream; None where that is not known."""
    of_all = {name: _version(name) for name in ("torch", "torchvision")}
    if None in of_all.values():
        return None
    python = ".".join(map(str, sys.version_info[:2]))
    key = _digest(repr((entry, sorted(of_all.items()), python, sources_digest(_PACKAGE))))
    return f"{entry.name}-{entry.tensors}-b{entry.batch_size}-{key}"


@functools.lru_cache(maxsize=None)
def _version(distribution: str) -> Optional[str]:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


@functools.lru_cache(maxsize=None)
def sources_digest(package: Path) -> str:
    """Returns what changes with every source that an op stream of the zoo is made by."""
    found: Dict[Path, str] = {}
    waiting = [package / name for name in _CAPTURING]
    while waiting:
        path = waiting.pop()
        if path not in found:
            found[path] = path.read_text(encoding="utf-8")
            waiting += _imported(path, found[path])
    found.update({package / name: (package / name).read_text(encoding="utf-8") for name in _CALLING})
    return _digest("\0".join(found[path] for path in sorted(found)))


def _imported(path: Path, source: str) -> Iterator[Path]:
    """The modules of this package that a module imports, wherever in it that stands."""
    for dots, module, names in _IMPORT.findall(source):
        folder = path.parents[len(dots) - 1].joinpath(*filter(None, module.split(".")))
        candidates = [folder, *(folder / name.strip() for name in names.split(","))]
        yield from (found for found in (one.with_suffix(".py") for one in candidates) if found.is_file())


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _read(name: str) -> Optional[Tuple[Op, ...]]:
    try:
        checksum, _, text = _path(name).read_text(encoding="utf-8").partition("\n")
        return parse_stream(text) if checksum == _digest(text) else None
    except (OSError, ValueError):
        return None


def _write(name: str, ops: Sequence[Op]) -> None:
    """A cache that cannot be written costs time, and nothing else."""
    path, text = _path(name), stream_text(ops)
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, f"{_digest(text)}\n{text}")
        _delete_oldest(path.parent)


def _delete_oldest(folder: Path) -> None:
    """Leaves the newest entries; another process may do the same at the same time."""
    found: List[Tuple[float, int, str]] = []
    for entry in os.scandir(folder):
        with contextlib.suppress(OSError):
            found.append((entry.stat().st_mtime, entry.stat().st_size, entry.path))
    total_bytes = 0
    for place, (_, size, path) in enumerate(sorted(found, reverse=True)):
        total_bytes += size
        if place >= MOST_ENTRIES or total_bytes > MOST_BYTES:
            with contextlib.suppress(OSError):
                os.unlink(path)
