"""Everything that can be estimated: models and patterns by name, modules of the user's own; and their op streams."""

from __future__ import annotations

import functools
import gc
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Dict, MutableMapping, Optional, Tuple, Union
from weakref import WeakKeyDictionary, WeakValueDictionary

from ..target import find_precision
from ._torchvision import declare_missing_operators
from .op_cache import Entry, keep_own_stream, kept_or_captured
from .own import KeptModel, OwnModel
from .patterns import PATTERNS, Pattern
from .zoo import MODELS, ZooModel, find_models

if TYPE_CHECKING:
    import torch

    from ..opstream import Op

Subject = Union[ZooModel, Pattern, OwnModel]
"""What can be estimated."""
Streamed = Union[Subject, KeptModel]
"""What has an op stream."""
_OWN: MutableMapping[str, OwnModel] = WeakValueDictionary()
_STREAMS: MutableMapping[Streamed, Dict[Tuple[int, str], Tuple[Op, ...]]] = WeakKeyDictionary()


def zoo_is_in(root: Path) -> bool:
    """Whether this repository tests the models and patterns: in any other, all tests check modules of its own."""
    return (root / "estimator" / "subjects" / "zoo.py").is_file()


def subject_names() -> Tuple[str, ...]:
    """Returns the names of all models, then of all patterns."""
    return (*(model.name for model in MODELS), *(pattern.name for pattern in PATTERNS))


def keep_at_hand(subject: OwnModel) -> None:
    """Lets the subject be found by its name, as long as somebody else keeps it."""
    _OWN[subject.name] = subject


def own_model(name: str) -> Optional[OwnModel]:
    """Returns the module of a test's own that was kept at hand; None where there is none of that name."""
    return _OWN.get(name)


def find_subject(name: str) -> Subject:
    """Returns the subject of that name; UsageError where nobody knows it, with the known models."""
    if name in _OWN:
        return _OWN[name]
    patterns = [pattern for pattern in PATTERNS if pattern.name == name]
    return patterns[0] if patterns else find_models([name])[0]


def op_stream(subject: Streamed, batch_size: int = 1, precision: str = "fp32") -> Tuple[Op, ...]:
    """Returns the subject's op stream at this batch and precision, captured once per process."""
    streams = _STREAMS.setdefault(subject, {})
    key = batch_size, precision
    if key not in streams:
        streams[key] = _known(subject, batch_size, precision)
    return streams[key]


def _known(subject: Streamed, batch_size: int, precision: str) -> Tuple[Op, ...]:
    """Of the zoo from the cache, where that has it; what is captured is kept."""
    if isinstance(subject, KeptModel):
        return subject.ops
    if isinstance(subject, OwnModel):
        ops = _captured(subject, batch_size, precision)
        keep_own_stream(ops)
        return ops
    entry = Entry(subject.name, batch_size, find_precision(precision).tensors)
    return kept_or_captured(entry, functools.partial(_captured, subject, batch_size, precision))


def _captured(subject: Subject, batch_size: int, precision: str) -> Tuple[Op, ...]:
    module = subject.build() if isinstance(subject, OwnModel) else _without_weights(subject)  # first: it imports torch
    from ..capture import capture
    from ..target import tensor_dtype

    return capture(module, subject.example_input(batch_size), dtype=tensor_dtype(precision))


def _import_torch() -> None:
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


@functools.lru_cache(maxsize=None)
def _without_weights(subject: Union[ZooModel, Pattern]) -> torch.nn.Module:
    _import_torch()
    return subject.build()
