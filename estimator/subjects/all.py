"""Everything that can be estimated: models and patterns by name, modules of the user's own; and their op streams."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Dict, MutableMapping, Tuple, Union
from weakref import WeakKeyDictionary, WeakValueDictionary

from .own import OwnModel
from .patterns import PATTERNS, Pattern
from .zoo import MODELS, ZooModel, find_models

if TYPE_CHECKING:
    import torch

    from ..opstream import Op

Subject = Union[ZooModel, Pattern, OwnModel]
"""What can be estimated."""
_OWN: MutableMapping[str, OwnModel] = WeakValueDictionary()
_STREAMS: MutableMapping[Subject, Dict[Tuple[int, str], Tuple[Op, ...]]] = WeakKeyDictionary()


def zoo_is_in(root: Path) -> bool:
    """Whether this repository tests the models and patterns: in any other, all tests check modules of its own."""
    return (root / "estimator" / "subjects" / "zoo.py").is_file()


def subject_names() -> Tuple[str, ...]:
    """Returns the names of all models, then of all patterns."""
    return (*(model.name for model in MODELS), *(pattern.name for pattern in PATTERNS))


def keep_at_hand(subject: OwnModel) -> None:
    """Lets the subject be found by its name, as long as somebody else keeps it."""
    _OWN[subject.name] = subject


def find_subject(name: str) -> Subject:
    """Returns the subject of that name; UsageError where nobody knows it, with the known models."""
    if name in _OWN:
        return _OWN[name]
    patterns = [pattern for pattern in PATTERNS if pattern.name == name]
    return patterns[0] if patterns else find_models([name])[0]


def op_stream(subject: Subject, batch_size: int = 1, precision: str = "fp32") -> Tuple[Op, ...]:
    """Returns the subject's op stream at this batch and precision, captured once per process."""
    streams = _STREAMS.setdefault(subject, {})
    key = batch_size, precision
    if key not in streams:
        streams[key] = _captured(subject, batch_size, precision)
    return streams[key]


def _captured(subject: Subject, batch_size: int, precision: str) -> Tuple[Op, ...]:
    from ..capture import capture
    from ..target import tensor_dtype

    module = subject.build() if isinstance(subject, OwnModel) else _without_weights(subject)
    return capture(module, subject.example_input(batch_size), dtype=tensor_dtype(precision))


@functools.lru_cache(maxsize=None)
def _without_weights(subject: Union[ZooModel, Pattern]) -> torch.nn.Module:
    return subject.build()
