"""A module of the user's own with example inputs, as a test or a function gives it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

    from ..lower import Rules
    from ..opstream import Captured

_NOT_IN_NAMES = r"[^\w.,:=+@%()\[\] -]"
_LONGEST_NAME = 150


@dataclass(frozen=True, eq=False)
class OwnModel:
    """A module with example inputs, as `capture` takes them; the family is what it is listed under.

    `rules` are its own for some of its ops, checked.
    """

    name: str
    family: str
    module: torch.nn.Module
    inputs: Any
    rules: Rules = field(default_factory=dict)

    def build(self, device: str = "meta") -> torch.nn.Module:
        """Returns the module as it was given, wherever that is."""
        return self.module

    def example_input(self, batch_size: int = 1, device: str = "meta") -> Any:
        """Returns the inputs so many times over, one behind another along the first dimension of each tensor.

        Without data: they are on the meta device where they are more than the module's own.
        """
        return self.inputs if batch_size == 1 else _repeated(self.inputs, batch_size)


@dataclass(frozen=True, eq=False)
class KeptModel:
    """A module of a test's own of which the op stream alone is available, at the one precision and batch of that."""

    name: str
    family: str
    captured: Captured
    rules: Rules = field(default_factory=dict)


def rules_of(subject: object) -> Rules:
    """Returns the rules of a module of a test's own; none of any other subject."""
    return subject.rules if isinstance(subject, (OwnModel, KeptModel)) else {}


def _repeated(value: Any, times: int) -> Any:
    import torch

    if isinstance(value, torch.Tensor):
        return value.to("meta").repeat(times, *([1] * (value.dim() - 1))) if value.dim() else value
    if isinstance(value, dict):
        return {key: _repeated(part, times) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_repeated(part, times) for part in value]
    return value


def safe_name(text: str) -> str:
    """Returns the text as it can stand in a table and be the name of a file."""
    return re.sub(_NOT_IN_NAMES, "-", text)[:_LONGEST_NAME].strip()
