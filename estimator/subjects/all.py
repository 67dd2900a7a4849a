"""Everything that can be estimated by name: models and patterns, and their op streams."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Tuple, Union

from .patterns import PATTERNS, Pattern
from .zoo import MODELS, ZooModel, find_models

if TYPE_CHECKING:
    import torch

    from ..opstream import Op

Subject = Union[ZooModel, Pattern]
"""What can be estimated by name."""


def subject_names() -> Tuple[str, ...]:
    """Returns the names of all models, then of all patterns."""
    return (*(model.name for model in MODELS), *(pattern.name for pattern in PATTERNS))


def find_subject(name: str) -> Subject:
    """Returns the model or pattern of that name; UsageError names the known models."""
    patterns = [pattern for pattern in PATTERNS if pattern.name == name]
    return patterns[0] if patterns else find_models([name])[0]


@functools.lru_cache(maxsize=None)
def op_stream(subject: Subject, batch_size: int = 1, precision: str = "fp32") -> Tuple[Op, ...]:
    """Returns the subject's op stream at this batch and precision, captured once per process."""
    from ..capture import capture
    from ..target import tensor_dtype

    return capture(_without_weights(subject), subject.example_input(batch_size), dtype=tensor_dtype(precision))


@functools.lru_cache(maxsize=None)
def _without_weights(subject: Subject) -> torch.nn.Module:
    return subject.build()
