"""torchvision's own operators beside a torch build that its C extension was not compiled for.

`import torchvision` needs their schemas, detectors their results: there they are computed as the extension would.
"""

from __future__ import annotations

import atexit
import importlib.abc
import importlib.util
import inspect
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, Dict, Mapping

import numpy as np

if TYPE_CHECKING:
    import torch

_NMS = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
_ROI_ALIGN = (
    "(Tensor input, Tensor rois, float spatial_scale, int pooled_height, int pooled_width, int sampling_ratio, "
    "bool aligned) -> Tensor"
)
_SCHEMAS: Mapping[str, str] = {"nms": _NMS, "qnms": _NMS, "roi_align": _ROI_ALIGN}
_BOXES, _ROIS = "torchvision.ops.boxes", "torchvision.ops.roi_align"


def declare_missing_operators() -> None:
    """Declares the schemas that `import torchvision` looks up, once, only where its C extension does not load."""
    spec = importlib.util.find_spec("torchvision")
    is_needed = "torchvision" not in sys.modules and spec is not None and spec.origin is not None
    if is_needed and not _are_declared() and not _extension_loads(Path(str(spec and spec.origin)).parent):
        _declare()


class _BeforeTorchvision(importlib.abc.MetaPathFinder):
    def find_spec(self, name: str, path: Any = None, target: Any = None) -> None:
        """Finds nothing; declares the operators, once, before the finders behind this one find torchvision."""
        if name == "torchvision":
            sys.meta_path.remove(self)
            declare_missing_operators()


def declare_before_torchvision() -> None:
    """Lets whoever imports torchvision next find its operators declared; until then nothing is imported."""
    if "torchvision" not in sys.modules and not any(isinstance(f, _BeforeTorchvision) for f in sys.meta_path):
        sys.meta_path.insert(0, _BeforeTorchvision())


def _extension_loads(package: Path) -> bool:
    import torch

    try:
        for path in (*package.glob("_C*.so"), *package.glob("_C*.pyd")):
            torch.ops.load_library(str(path))
            return True
    except OSError:
        pass
    return False


def _are_declared() -> bool:
    import torch

    return all(torch._C._jit_get_schemas_for_operator(f"torchvision::{name}") for name in _SCHEMAS)


def _declare() -> None:
    from torch.library import Library

    library = Library("torchvision", "DEF")
    for operator, schema in _SCHEMAS.items():
        library.define(operator + schema)
    library.impl("roi_align", _rois_like, "Meta")
    atexit.register(lambda: library)  # they live as long as it does


def stand_ins(issuing: Callable[[Any, Any], Any]) -> Dict[Any, Any]:
    """Returns by module and name what runs a detector's operators without the extension; nothing where it is there.

    `issuing` makes a function of the one that issues an op and of the one that computes its result.
    """
    if _BOXES not in sys.modules or sys.modules["torchvision.extension"]._has_ops() or not _are_declared():
        return {}
    import torch

    rois = sys.modules[_ROIS]
    found = {(sys.modules[_BOXES], "_assert_has_ops"): lambda: None}
    if hasattr(rois, "_roi_align"):  # as torchvision computes it where it has no extension
        found[rois, "_roi_align"] = issuing(torch.ops.torchvision.roi_align, inspect.unwrap(vars(rois)["_roi_align"]))
    return found


def _rois_like(source: torch.Tensor, rois: torch.Tensor, _scale: float, height: int, width: int, *_: Any) -> Any:
    return source.new_empty((rois.shape[0], source.shape[1], height, width))


def nms(boxes: torch.Tensor, scores: torch.Tensor, iou_threshold: float) -> torch.Tensor:
    """Returns the indices of the boxes that no better one overlaps by more than the threshold, the best first."""
    import torch

    order = scores.argsort(descending=True, stable=True)
    x1, y1, x2, y2 = boxes[order].t().contiguous().numpy()
    areas, is_kept = (x2 - x1) * (y2 - y1), np.ones(len(order), dtype=bool)
    for place in range(len(order)):
        if is_kept[place]:
            behind = slice(place + 1, None)
            width = np.minimum(x2[behind], x2[place]) - np.maximum(x1[behind], x1[place])
            height = np.minimum(y2[behind], y2[place]) - np.maximum(y1[behind], y1[place])
            shared = np.maximum(width, 0) * np.maximum(height, 0)
            is_kept[behind] &= shared <= iou_threshold * (areas[behind] + areas[place] - shared)
    return order[torch.from_numpy(is_kept)]


COMPUTED: Mapping[str, Callable[..., Any]] = {"torchvision.nms": nms}
"""By the name of an operator what computes its results where the extension is missing."""
