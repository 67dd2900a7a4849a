"""What a command line names: a model, a pattern, or a module of the user's own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from ..checked import shown
from ..errors import UsageError
from ..importing import FORM
from .all import find_subject, subject_names
from .imported import import_subject

if TYPE_CHECKING:
    import torch


class Named(Protocol):
    """A module that can be built, and its inputs."""

    @property
    def name(self) -> str:
        """Returns its name."""

    def build(self) -> torch.nn.Module:
        """Returns the module."""

    def example_input(self, batch_size: int = 1) -> Any:
        """Returns inputs of so many times its batch."""


def find_named(name: str) -> Named:
    """Returns the model, pattern or imported module; UsageError names what is known."""
    if ":" in name:
        return import_subject(name)
    if name not in subject_names():
        known = ", ".join(sorted(subject_names()))
        raise UsageError(f"unknown model {shown(name)}; known models and patterns: {known}; or {FORM}")
    return find_subject(name)
