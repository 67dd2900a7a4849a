"""The models of Ultralytics, from the descriptions that the package has: nothing is downloaded."""

from __future__ import annotations

from importlib import import_module
from typing import Tuple

import torch

from .architecture import Architecture, Built, seeded

_PX = 320


def _row(name: str) -> Architecture:
    def make() -> Built:
        package = import_module("ultralytics")
        described = next(made for start, made in _CLASSES if name.startswith(start))
        module: torch.nn.Module = getattr(package, described)(f"{name}.yaml").model
        return module, torch.rand(1, 3, _PX, _PX)

    return seeded("ultralytics", name, make, "its first forward pass")


_CLASSES = (("rtdetr", "RTDETR"), ("yolov8s-world", "YOLOWorld"), ("yolo", "YOLO"))
ULTRALYTICS: Tuple[Architecture, ...] = tuple(
    map(
        _row,
        "yolov3-tiny yolov5n yolov6n yolov8n yolov8n-seg yolov8n-pose yolov8n-obb yolov8n-cls yolov8s-worldv2 yolov9t "
        "yolov10n yolo11n yolo11n-seg yolo11n-pose yolo11n-obb yolo11n-cls yolo12n yolo12n-seg yolo26n yolo26n-seg "
        "yolo26n-pose rtdetr-l".split(),
    )
)
