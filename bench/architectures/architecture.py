"""A model that people run, and how to build a small one of its kind with real weights, offline."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any, Callable, Tuple

import torch

Built = Tuple[torch.nn.Module, Any]


@dataclass(frozen=True)
class Architecture:
    """`build` returns the module in `eval()` with weights, and its example inputs as `estimate` takes them.

    Both are the same at each call. The module has not run before, unless what it takes is made by a run: a cache.
    """

    library: str
    name: str
    build: Callable[[], Built]
    about: str = ""


def seeded(library: str, name: str, make: Callable[[], Built], about: str = "") -> Architecture:
    """Returns the architecture that `make` builds, from seed 0, in `eval()` and without what libraries warn of."""

    def build() -> Built:
        torch.manual_seed(0)
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            module, inputs = make()
        return module.eval(), inputs

    return Architecture(library, name, build, about)
