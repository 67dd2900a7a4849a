"""Everything that can be estimated: models and patterns by name, and modules of the user's own."""

from __future__ import annotations

from typing import Tuple, Union

from .custom import OwnModel
from .patterns import PATTERNS, Pattern
from .zoo import MODELS, ZooModel, find_models

Subject = Union[ZooModel, Pattern, OwnModel]
"""What can be estimated."""


def subject_names() -> Tuple[str, ...]:
    """Returns the names of all models, then of all patterns."""
    return (*(model.name for model in MODELS), *(pattern.name for pattern in PATTERNS))


def find_subject(name: str) -> Union[ZooModel, Pattern]:
    """Returns the model or pattern of that name; UsageError with the known models."""
    patterns = [pattern for pattern in PATTERNS if pattern.name == name]
    return patterns[0] if patterns else find_models([name])[0]
