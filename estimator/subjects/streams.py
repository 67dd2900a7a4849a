"""Op streams of subjects, each captured once: kept while somebody holds them, and in the user's cache for others.

The next process need not import torch and capture those of the zoo again: they are found by all that can change them.
Those of a test's own modules, which no other process can build, are found by their digest. An entry is plain text below
a checksum of its name and text: a damaged one, or another's, is as good as none.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import hashlib
import os
import re
import sys
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, Dict, List, MutableMapping, Optional, Tuple, Union
from weakref import WeakKeyDictionary

from ..files import cache_folder, write_atomically
from ..missing_operators import declare_missing_operators
from ..opstream import Captured, Op, digest, parse_stream, stream_text
from ..target import PRECISIONS
from .custom import KeptModel, OwnModel
from .patterns import Pattern
from .single_kernels import Convolution, Product
from .zoo import ZooModel

if TYPE_CHECKING:
    import torch

    from ..lower import Rules

MOST_ENTRIES = 1000
MOST_BYTES = 200 * 10**6
"""The newest so many entries are kept, of this size together in bytes."""
Known = Union[ZooModel, Pattern, Convolution, Product]
"""What its name alone says how to build."""
Streamed = Union[Known, OwnModel, KeptModel]
"""What has an op stream."""
_PACKAGE = Path(__file__).parents[1]
_CAPTURING = ("capture/*.py", "missing_operators.py", "opstream.py", "checked.py", "errors.py", "subjects/*.py")
"""What makes an op stream: all that capturing imports of this package, and what builds a module."""
_DISTRIBUTIONS = ("torch", "torchvision")


class Streams:
    """The op streams of a session or a command.

    `use_cache` says whether those of the zoo may come from the user's cache; where `CI` is set they never do.
    """

    def __init__(self, use_cache: bool = True) -> None:
        self._folder = cache_folder() / "op-streams"
        self._use_cache = use_cache and not os.environ.get("CI")
        self._captured: MutableMapping[Streamed, Dict[Tuple[int, str], Captured]] = WeakKeyDictionary()
        self._own: Dict[str, Captured] = {}
        self.own_rules: Dict[str, Rules] = {}
        self._modules: MutableMapping[Known, torch.nn.Module] = WeakKeyDictionary()

    def of(self, subject: Streamed, batch_size: int = 1, precision: str = "fp32") -> Captured:
        """Returns the subject's op stream; CaptureError where it cannot be captured."""
        if isinstance(subject, KeptModel):
            return subject.captured
        known, key = self._captured.setdefault(subject, {}), (batch_size, PRECISIONS[precision].tensors)
        if key not in known:
            if isinstance(subject, OwnModel):
                known[key] = self._own_captured(subject, *key)
            else:
                known[key] = self._kept_or_captured(subject, *key)
        return known[key]

    def ops(self, subject: Streamed, batch_size: int = 1, precision: str = "fp32") -> Tuple[Op, ...]:
        """Returns the ops alone; raises as `of`."""
        return self.of(subject, batch_size, precision).ops

    def _own_captured(self, subject: OwnModel, batch_size: int, tensors: str) -> Captured:
        """With `CI` set it is kept as well: for reviews, and in place of no capture."""
        found = _capture(subject.build(), subject.example_input(batch_size), tensors)
        key = digest(found.ops, subject.rules)
        self._own[key] = found
        if subject.rules:  # which no other process has
            self.own_rules[key] = subject.rules
            return found
        name = f"own-{key}"
        if self._read(name) is None:
            self._write(name, found)
        else:
            with contextlib.suppress(OSError):
                os.utime(self._path(name))
        return found

    def _kept_or_captured(self, subject: Known, batch_size: int, tensors: str) -> Captured:
        """As these sources and releases have captured it; else captured now, and kept."""
        is_kept = self._use_cache and self._made_by is not None
        name = f"{subject.name}-{tensors}-b{batch_size}-{self._made_by}"
        kept = self._read(name) if is_kept else None
        if kept is not None:
            return kept
        if subject not in self._modules:
            _import_torchvision()
            self._modules[subject] = subject.build()
        found = _capture(self._modules[subject], subject.example_input(batch_size), tensors)
        if is_kept:
            self._write(name, found)
        return found

    def own(self, stream_digest: str) -> Optional[Captured]:
        """Returns the op stream with this digest that a test's own module had; None where it is not available."""
        if stream_digest in self._own:
            return self._own[stream_digest]
        return self._read(f"own-{stream_digest}") if re.fullmatch("[0-9a-f]+", stream_digest) else None

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.txt"

    @functools.cached_property
    def _made_by(self) -> Optional[str]:
        """A digest of all that can change an op stream of the zoo; None where that is not known."""
        try:
            versions = list(map(metadata.version, _DISTRIBUTIONS))
        except metadata.PackageNotFoundError:
            return None
        return _digest(repr((versions, sys.version_info[:2], sources_digest(_PACKAGE))))

    def _read(self, name: str) -> Optional[Captured]:
        path = self._path(name)
        try:
            if not path.is_file():  # a pipe would be waited for
                return None
            checksum, _, text = path.read_text(encoding="utf-8").partition("\n")
            return parse_stream(text) if checksum == _digest(name + text) else None
        except (OSError, ValueError):
            return None

    def _write(self, name: str, found: Captured) -> None:
        """A cache that cannot be written costs time, and nothing else."""
        text, path = stream_text(found), self._path(name)
        with contextlib.suppress(OSError):
            self._folder.mkdir(parents=True, exist_ok=True)
            if path.is_symlink():
                path.unlink()
            write_atomically(path, f"{_digest(name + text)}\n{text}")
            _delete_oldest(self._folder)


def _capture(module: torch.nn.Module, inputs: Any, tensors: str) -> Captured:
    """At "float32" the types of weights and inputs stay as they are."""
    import torch

    from ..capture import capture_in_modules

    return capture_in_modules(module, inputs, None if tensors == "float32" else getattr(torch, tensors))


def _import_torchvision() -> None:
    """Torch is half a million objects, and none of them is ever garbage: to look for some among them takes seconds."""
    if "torchvision" in sys.modules:
        return
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        declare_missing_operators()
        import torchvision  # noqa: F401

        gc.freeze()
    finally:
        if was_enabled:
            gc.enable()


def sources_digest(package: Path) -> str:
    """Returns what changes with every source that an op stream of the zoo is made by."""
    paths = sorted(path for name in _CAPTURING for path in package.glob(name))
    return _digest("\0".join(path.read_text(encoding="utf-8") for path in paths))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


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
