"""A model with weights of its own on the device: random, finite, the same each time, and quick to make.

torchvision's own initialisation draws every weight and takes longer than measuring. Here it is skipped, buffers are
made as always, and weights are copies of one pool of seeded normal numbers, scaled by their fan-in: latency does not
depend on which random numbers they are. Normalisations keep their neutral statistics (mean 0, variance 1, weight 1).
"""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING, Any, Callable, Dict

from ..subjects.custom import OwnModel

if TYPE_CHECKING:
    import torch

    from ..subjects.registry import Subject

SEED = 22
_POOL = 1_000_003  # prime: no layer's size is a multiple of it


def build_model(model: Subject, device: str, dtype: Any = None) -> torch.nn.Module:
    """Returns the model in `eval()`; its weights are seeded, but those that a user's own module has stay."""
    if isinstance(model, OwnModel):
        module = _with_data(model.build(), device).to(device).eval()
    else:
        module = build_seeded(lambda: model.build(device), device)
    return module if dtype is None else module.to(dtype)


def build_seeded(make: Callable[[], torch.nn.Module], device: str) -> torch.nn.Module:
    """Returns what `make` builds on "cpu" or "cuda", with seeded weights in place of its own initialisation."""
    module = _without_initialisation(make, device)
    for name, parameter in module.named_parameters():
        _fill(name, parameter, device)
    return module


def make_input(model: Subject, batch_size: int, device: str, dtype: Any = None) -> Any:
    """Returns example inputs with data on the device: seeded normal numbers in place of everything but whole numbers.

    Constant ones may be quicker. Whole numbers stay; without data they are 0, which is an index everywhere, or True.
    """
    import torch

    generator = torch.Generator().manual_seed(SEED)

    def made(value: Any) -> Any:
        if isinstance(value, torch.Tensor):
            real = _drawn(value, generator) if value.is_meta or value.is_floating_point() else value
            return real.to(device=device, dtype=dtype if real.is_floating_point() else None)
        if isinstance(value, dict):
            return {key: made(part) for key, part in value.items()}
        return type(value)(map(made, value)) if isinstance(value, (list, tuple)) else value

    return made(model.example_input(batch_size))


def _drawn(like: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    import torch

    if like.is_floating_point():
        return torch.randn(like.shape, generator=generator).to(like.dtype)
    make = torch.ones if like.dtype is torch.bool else torch.zeros
    return make(like.shape, dtype=like.dtype)


def _with_data(module: torch.nn.Module, device: str) -> torch.nn.Module:
    """Gives what is on the meta device data: weights seeded numbers, running variances 1, other buffers 0."""
    import torch

    made: Dict[int, Any] = {}  # tied weights stay tied
    for part in module.modules():
        for name, weight in part.named_parameters(recurse=False):
            if weight.is_meta:
                data = made.setdefault(id(weight), torch.nn.Parameter(torch.empty_like(weight, device=device), False))
                _fill(name, data, device)
                setattr(part, name, data)
        for name, buffer in part.named_buffers(recurse=False):
            if buffer.is_meta:
                setattr(part, name, torch.full_like(buffer, float(name.endswith("var")), device=device))
    return module


def _without_initialisation(make: Callable[[], torch.nn.Module], device: str) -> torch.nn.Module:
    from unittest import mock

    import torch
    import torch.nn.init as init
    from torch.overrides import TorchFunctionMode

    class WithoutDraws(TorchFunctionMode):
        """For initialisers that a module imported by name, as MultiheadAttention does."""

        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            if getattr(func, "__name__", "") in ("uniform_", "normal_") and args:
                return args[0]
            return func(*args, **(kwargs or {}))

    names = [name for name in vars(init) if name.endswith("_") and not name.startswith("_")]
    # trunc_normal_ must not run at all without its draws: newer releases repeat them until all are in range
    unchanged: Dict[str, Any] = dict.fromkeys(names, lambda tensor, *_, **__: tensor)
    with mock.patch.multiple(init, **unchanged), torch.device(device), WithoutDraws():
        return make()


@functools.lru_cache(maxsize=None)
def _pool(device: str) -> torch.Tensor:
    import torch

    return torch.randn(_POOL, generator=torch.Generator().manual_seed(SEED)).to(device)


def _fill(name: str, parameter: torch.nn.Parameter, device: str) -> None:
    import torch

    with torch.no_grad():
        if parameter.dim() < 2:
            parameter.fill_(1.0 if name.endswith("weight") else 0.0)
        else:
            scale = math.sqrt(2 / parameter[0].numel())
            for part in parameter.view(-1).split(_POOL):
                part.copy_(_pool(device)[: part.numel()] * scale)
