"""Makes `import torchvision` work beside a torch build that its C extension was not compiled for."""

from __future__ import annotations

import functools
import importlib.util
import sys
from pathlib import Path
from typing import Any

_OPERATORS = ("nms", "qnms")
_SCHEMA = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"


@functools.lru_cache(maxsize=None)
def declare_missing_operators() -> Any:
    """Declares the schemas that `import torchvision` looks up, only where that import fails for want of them.

    Returns the library that holds them (None where nothing was needed): they live as long as it does.
    """
    spec = importlib.util.find_spec("torchvision")
    if spec is None or spec.origin is None or _extension_loads(Path(spec.origin).parent):
        return None
    try:
        import torchvision  # noqa: F401
    except RuntimeError as error:
        if "torchvision::" not in str(error):
            raise
        return _declare()
    return None


def _extension_loads(package: Path) -> bool:
    import torch

    try:
        for path in package.glob("_C*.so"):
            torch.ops.load_library(str(path))
            return True
    except OSError:
        pass
    return False


def _declare() -> Any:
    from torch.library import Library

    for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
        del sys.modules[name]  # half imported
    library = Library("torchvision", "DEF")
    for operator in _OPERATORS:
        library.define(operator + _SCHEMA)
    return library
