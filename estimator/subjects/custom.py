"""A module of the user's own with example inputs, as a test or a function gives it."""

from __future__ import annotations

import copy
import operator
import re
from dataclasses import dataclass, field, fields, is_dataclass
from typing import TYPE_CHECKING, Any, Callable, Mapping

from ..errors import UsageError

if TYPE_CHECKING:
    import torch

    from ..lower import Rules
    from ..opstream import Captured

_NOT_IN_NAMES = r"[^\w.,:=+@%()\[\] -]"
_LONGEST_NAME = 150
_MOST_REPEATED_ELEMENTS = 2**24
"""A larger input loses its data when it is repeated."""


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
        """Returns the inputs so many times over, one behind another along the first dimension of each tensor."""
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
    """Of its own class; UsageError for an object with tensors of which nobody says how it is repeated, as a cache."""
    import torch

    from ..capture.copies import tensors_in

    if isinstance(value, torch.Tensor):
        return _repeated_tensor(value, times)
    if isinstance(value, Mapping):
        return _with_parts(value, {key: _repeated(part, times) for key, part in value.items()}, operator.setitem)
    if isinstance(value, (list, tuple)):
        parts = [_repeated(part, times) for part in value]
        return type(value)(*parts) if hasattr(value, "_fields") else type(value)(parts)
    if is_dataclass(value) and not isinstance(value, type):
        parts_by_name = {field.name: _repeated(getattr(value, field.name), times) for field in fields(value)}
        return _with_parts(value, parts_by_name, object.__setattr__)
    if any(True for _ in tensors_in(value)):
        kind = type(value).__name__
        raise UsageError(f"batch size {times}: a {kind} among the inputs cannot be repeated; give inputs of that batch")
    return value


def _repeated_tensor(tensor: torch.Tensor, times: int) -> torch.Tensor:
    whole = tensor if times * tensor.numel() <= _MOST_REPEATED_ELEMENTS else tensor.to("meta")
    return whole.repeat(times, *([1] * (tensor.dim() - 1))) if tensor.dim() else tensor


def _with_parts(value: Any, parts: Mapping[Any, Any], put: Callable[[Any, Any, Any], None]) -> Any:
    copied = copy.copy(value)
    for name, part in parts.items():
        put(copied, name, part)
    return copied


def safe_name(text: str) -> str:
    """Returns the text as it can stand in a table and be the name of a file."""
    return re.sub(_NOT_IN_NAMES, "-", text)[:_LONGEST_NAME].strip()
