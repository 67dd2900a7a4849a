"""A module of the user's own, by the function that makes it: "package.module:function"."""

from __future__ import annotations

import importlib
import sys
from typing import Any, Callable, Tuple

from ..errors import UsageError
from .own import OwnModel

FORM = "package.module:function"
FAMILY = "imported"


def import_subject(name: str) -> OwnModel:
    """Returns what the named function gives; it is looked for from the current folder on.

    UsageError where there is no such function, it fails, or it gives no module with example inputs.
    """
    module, inputs = _made(name, _function(name))
    return OwnModel(name, FAMILY, module, inputs)


def _function(name: str) -> Callable[[], Any]:
    package, _, function = name.partition(":")
    if "" not in sys.path:
        sys.path.insert(0, "")
    try:
        found = getattr(importlib.import_module(package), function, None)
    except Exception as error:  # the user's own code may raise anything
        raise UsageError(f"{name}: cannot import {package}: {type(error).__name__}: {_one_line(error)}") from error
    if not callable(found):
        raise UsageError(f"{name}: {package} has no function {function!r}; MODEL may be {FORM}")
    return found  # type: ignore[no-any-return]


def _made(name: str, function: Callable[[], Any]) -> Tuple[Any, Any]:
    import torch

    try:
        made = function()
    except Exception as error:
        raise UsageError(f"{name}() failed: {type(error).__name__}: {_one_line(error)}") from error
    if not (isinstance(made, tuple) and len(made) == 2 and isinstance(made[0], torch.nn.Module)):
        raise UsageError(f"{name}() must return a module and its example inputs, got {type(made).__name__}")
    return made


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
