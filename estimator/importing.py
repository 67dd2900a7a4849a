"""A function of the user's own, by name: "package.module:function"."""

from __future__ import annotations

import importlib
import sys
from typing import Any, Callable

from .errors import UsageError, one_line_with_type
from .missing_operators import declare_before_torchvision

FORM = "package.module:function"


def import_function(name: str) -> Callable[..., Any]:
    """Returns the named function, looked for from the current folder on; UsageError where there is none."""
    package, _, function = name.partition(":")
    declare_before_torchvision()
    if "" not in sys.path:
        sys.path.insert(0, "")
    try:
        found = getattr(importlib.import_module(package), function, None)
    except (Exception, SystemExit) as error:  # the user's own code may raise anything
        raise UsageError(f"{name}: cannot import {package}: {one_line_with_type(error)}") from error
    if not callable(found):
        raise UsageError(f"{name}: {package} has no function {function!r}; the form is {FORM}")
    return found  # type: ignore[no-any-return]
