"""A module of the user's own, by the function that makes it: "package.module:function"."""

from __future__ import annotations

from typing import Any, Callable, Tuple

from ..errors import UsageError
from ..importing import import_function, one_line
from .own import OwnModel

FAMILY = "imported"


def import_subject(name: str) -> OwnModel:
    """Returns what the named function gives; it is looked for from the current folder on.

    UsageError where there is no such function, it fails, or it gives no module with example inputs.
    """
    module, inputs = _made(name, import_function(name))
    return OwnModel(name, FAMILY, module, inputs)


def _made(name: str, function: Callable[[], Any]) -> Tuple[Any, Any]:
    import torch

    try:
        made = function()
    except (Exception, SystemExit) as error:  # the user's own code may raise anything
        raise UsageError(f"{name}() failed: {one_line(error)}") from error
    if not (isinstance(made, tuple) and len(made) == 2 and isinstance(made[0], torch.nn.Module)):
        raise UsageError(f"{name}() must return a module and its example inputs, got {type(made).__name__}")
    return made
