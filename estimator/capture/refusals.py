"""Why a module cannot be captured, in one line that names the submodule and the line of the user's code."""

from __future__ import annotations

import os
import sys
import traceback
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, Mapping

import torch
from torch.nn.modules import module as module_hooks

from ..errors import CaptureError

_NOT_EAGER: Mapping[str, Callable[[torch.nn.Module], bool]] = {
    "scripted": lambda module: isinstance(module, torch.jit.ScriptModule),
    "compiled": lambda module: hasattr(module, "_orig_mod") or getattr(module, "_compiled_call_impl", None) is not None,
    "spread over devices": lambda module: isinstance(
        module, (torch.nn.DataParallel, torch.nn.parallel.DistributedDataParallel)
    ),
}
_INSTEAD = {
    "scripted": "the module that it was made from",
    "compiled": "the module before torch.compile",
    "spread over devices": "its .module",
}
_NOT_THE_USERS = tuple(f"{folder}{os.sep}" for folder in (Path(torch.__file__).parent, Path(__file__).parents[1]))


def refuse_what_is_not_eager(model: torch.nn.Module) -> None:
    """Raises CaptureError for what does not run as eager PyTorch runs a module."""
    if not isinstance(model, torch.nn.Module):
        raise CaptureError(f"a {type(model).__name__} is no torch.nn.Module: estimates are made of modules")
    for path, module in model.named_modules():
        kind = next((kind for kind, is_one in _NOT_EAGER.items() if is_one(module)), None)
        if kind is not None:
            where = f"{path}, a {type(module).__name__}," if path else f"this {type(module).__name__}"
            raise CaptureError(f"{where} is {kind}: estimates are of eager mode; pass {_INSTEAD[kind]}")


class Calls:
    """Which module of a model is being called, and which one was when an error was raised."""

    def __init__(self, model: torch.nn.Module) -> None:
        self._paths = {id(module): path for path, module in model.named_modules()}
        self._called = [""]
        self._raised_in: Dict[int, str] = {}

    def current(self) -> str:
        """Returns the path of the module being called; one that the model has not counts as its caller's."""
        return self._called[-1]

    def raised_in(self, error: BaseException) -> str:
        """Returns the path of the innermost module that the error left."""
        return self._raised_in.get(id(error), "")

    @contextmanager
    def followed(self) -> Iterator[None]:
        """By hooks of all modules of the process: hooks of the model's own would turn PyTorch's fast paths off."""
        handles = (
            module_hooks.register_module_forward_pre_hook(self._enter),
            module_hooks.register_module_forward_hook(self._leave, always_call=True),
        )
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _enter(self, module: torch.nn.Module, _args: Any) -> None:
        self._called.append(self._paths.get(id(module), self._called[-1]))

    def _leave(self, _module: torch.nn.Module, _args: Any, _result: Any) -> None:
        error = sys.exc_info()[1]
        if error is not None:
            self._raised_in.setdefault(id(error), self._called[-1])
        self._called.pop()


def place_of(error: BaseException, path: str) -> str:
    """Returns " in PATH (FILE:LINE)": the submodule, and the innermost line that is neither torch's nor ours."""
    lines = [(f.f_code.co_filename, number) for f, number in traceback.walk_tb(error.__traceback__)]
    users = [(filename, number) for filename, number in lines if _is_users(filename)]
    line = f" ({_shown(users[-1][0])}:{users[-1][1]})" if users else ""
    return f" in {path}{line}" if path else line


def _is_users(filename: str) -> bool:
    return os.path.isabs(filename) and not filename.startswith(_NOT_THE_USERS)


def _shown(filename: str) -> str:
    relative = os.path.relpath(filename)
    return filename if relative.startswith("..") else relative


def cause_of(error: BaseException) -> str:
    """Returns type and first line of an error of the user's code."""
    reason = (str(error).strip() or type(error).__name__).splitlines()[0].split(". This could be because")[0]
    return f"{type(error).__name__}: {reason}"
