"""A module of the user's own, by the function that makes it: "package.module:function"."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Callable, Tuple

from ..errors import UsageError
from ..importing import import_function, one_line

if TYPE_CHECKING:
    import torch

FAMILY = "imported"


@dataclass(frozen=True, eq=False)
class Imported:
    """A module with example inputs, as `capture` takes them."""

    name: str
    module: torch.nn.Module
    inputs: Any
    family: str = FAMILY

    def build(self) -> torch.nn.Module:
        """Returns the module."""
        return self.module

    def example_input(self, batch_size: int = 1) -> Any:
        """Returns the inputs so many times over, one behind another along the first dimension of each tensor.

        Without data: they are on the meta device where they are more than the module's own.
        """
        return self.inputs if batch_size == 1 else _repeated(self.inputs, batch_size)


def _repeated(value: Any, times: int) -> Any:
    import torch

    if isinstance(value, torch.Tensor):
        return value.to("meta").repeat(times, *([1] * (value.dim() - 1))) if value.dim() else value
    if isinstance(value, dict):
        return {key: _repeated(part, times) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_repeated(part, times) for part in value]
    return value


def import_subject(name: str) -> Imported:
    """Returns what the named function gives; it is looked for from the current folder on.

    UsageError where there is no such function, it fails, or it gives no module with example inputs.
    """
    module, inputs = _made(name, import_function(name))
    return Imported(name, module, inputs)


def _made(name: str, function: Callable[[], Any]) -> Tuple[Any, Any]:
    import torch

    try:
        made = function()
    except (Exception, SystemExit) as error:  # the user's own code may raise anything
        raise UsageError(f"{name}() failed: {one_line(error)}") from error
    if not (isinstance(made, tuple) and len(made) == 2 and isinstance(made[0], torch.nn.Module)):
        raise UsageError(f"{name}() must return a module and its example inputs, got {type(made).__name__}")
    return made
