"""A model with weights of its own on the device: random, finite, the same each time, and quick to make.

torchvision's own initialisation draws every weight and takes longer than measuring. Here it is skipped, buffers are
made as always, and weights are copies of one pool of seeded normal numbers, scaled by their fan-in: latency does not
depend on which random numbers they are. Normalisations keep their neutral statistics (mean 0, variance 1, weight 1).
"""

from __future__ import annotations

import functools
import math
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Callable, Iterator

if TYPE_CHECKING:
    import torch

    from ..subjects.all import Subject

SEED = 22
_POOL = 1_000_003  # prime: no layer's size is a multiple of it


def build_model(model: Subject, device: str, dtype: Any = None) -> torch.nn.Module:
    """Returns the model in `eval()` with seeded weights on "cpu" or "cuda", converted to `dtype` if one is given."""
    module = build_seeded(lambda: model.build(device), device)
    return module if dtype is None else module.to(dtype)


def build_seeded(make: Callable[[], torch.nn.Module], device: str) -> torch.nn.Module:
    """Returns what `make` builds on "cpu" or "cuda", with seeded weights in place of its own initialisation."""
    module = _without_initialisation(make, device)
    _fill(module, device)
    return module


def make_input(model: Subject, batch_size: int, device: str, dtype: Any = None) -> torch.Tensor:
    """Returns a seeded normal input, never a constant one: kernels may be quicker on those."""
    import torch

    shape = model.example_input(batch_size).shape
    generator = torch.Generator().manual_seed(SEED)
    return torch.randn(shape, generator=generator).to(device=device, dtype=dtype)


def _without_initialisation(make: Callable[[], torch.nn.Module], device: str) -> torch.nn.Module:
    import torch
    from torch.overrides import TorchFunctionMode

    class WithoutDraws(TorchFunctionMode):
        """For initialisers that a module imported by name, as MultiheadAttention does."""

        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            if getattr(func, "__name__", "") in ("uniform_", "normal_") and args:
                return args[0]
            return func(*args, **(kwargs or {}))

    with _initialisers_off(), torch.device(device), WithoutDraws():
        return make()


@contextmanager
def _initialisers_off() -> Iterator[None]:
    """trunc_normal_ must not run at all without its draws: newer releases repeat them until all are in range."""
    import torch.nn.init as init

    names = [name for name in vars(init) if name.endswith("_") and not name.startswith("_")]
    originals = {name: getattr(init, name) for name in names}
    try:
        for name in names:
            setattr(init, name, lambda tensor, *_, **__: tensor)
        yield
    finally:
        for name, original in originals.items():
            setattr(init, name, original)


@functools.lru_cache(maxsize=None)
def _pool(device: str) -> torch.Tensor:
    import torch

    return torch.randn(_POOL, generator=torch.Generator().manual_seed(SEED)).to(device)


def _fill(module: torch.nn.Module, device: str) -> None:
    import torch

    pool = _pool(device)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if parameter.dim() < 2:
                parameter.fill_(1.0 if name.endswith("weight") else 0.0)
            else:
                fan_in = parameter[0].numel()
                _tile(parameter.view(-1), pool, math.sqrt(2 / fan_in))


def _tile(flat: torch.Tensor, pool: torch.Tensor, scale: float) -> None:
    whole, rest = divmod(flat.numel(), pool.numel())
    if whole:
        flat[: whole * pool.numel()].view(whole, pool.numel()).copy_((pool * scale).expand(whole, -1))
    flat[whole * pool.numel() :].copy_(pool[:rest] * scale)
