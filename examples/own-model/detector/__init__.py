"""A small detector: a convolutional backbone, and a head with a box and a score for each place of its grid."""

from __future__ import annotations

from typing import Tuple

import torch
from torch import nn


def block(inputs: int, outputs: int, stride: int) -> nn.Sequential:
    """Returns a depthwise separable convolution with its normalisations and activations."""
    return nn.Sequential(
        nn.Conv2d(inputs, inputs, 3, stride, 1, groups=inputs, bias=False),
        nn.BatchNorm2d(inputs),
        nn.ReLU(inplace=True),
        nn.Conv2d(inputs, outputs, 1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


class Detector(nn.Module):
    """Boxes and scores of an image, on a grid of a sixteenth of its side."""

    def __init__(self, width: int = 64, classes: int = 20) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, width, 3, 2, 1)
        self.backbone = nn.Sequential(*(block(width * 2**i, width * 2 ** (i + 1), 2) for i in range(3)))
        self.boxes = nn.Conv2d(width * 8, 4, 1)
        self.scores = nn.Conv2d(width * 8, classes, 1)

    def forward(self, image: torch.Tensor) -> Tuple[torch.Tensor, torch.Tensor]:
        """Returns boxes (N, 4, H / 16, W / 16) and scores (N, classes, H / 16, W / 16)."""
        features = self.backbone(torch.relu(self.stem(image)))
        return self.boxes(features), self.scores(features)


def example() -> Tuple[nn.Module, torch.Tensor]:
    """Returns a detector and an image for it: what `python -m estimator estimate detector:example` takes."""
    return Detector(), torch.empty(1, 3, 320, 320)
