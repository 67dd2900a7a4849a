"""What a command line names: a model, a pattern, or "package.module:function", which gives a module and its inputs."""

from __future__ import annotations

from typing import Any, Callable, Tuple

from ..checked import shown
from ..errors import UsageError, one_line_with_type
from ..importing import FORM, import_function
from .custom import OwnModel
from .registry import Subject, find_subject, subject_names

FAMILY = "imported"


def find_named(name: str) -> Subject:
    """Returns the model, pattern or imported module.

    UsageError for an unknown name, and where the function is not there, fails, or gives no module with inputs.
    """
    if ":" in name:
        return OwnModel(name, FAMILY, *_made(name, import_function(name)))
    if name not in subject_names():
        known = ", ".join(sorted(subject_names()))
        raise UsageError(f"unknown model {shown(name)}; known models and patterns: {known}; or {FORM}")
    return find_subject(name)


def _made(name: str, function: Callable[[], Any]) -> Tuple[Any, Any]:
    import torch

    try:
        made = function()
    except (Exception, SystemExit) as error:  # the user's own code may raise anything
        raise UsageError(f"{name}() failed: {one_line_with_type(error)}") from error
    if not (isinstance(made, tuple) and len(made) == 2 and isinstance(made[0], torch.nn.Module)):
        raise UsageError(f"{name}() must return a module and its example inputs, got {type(made).__name__}")
    return made
