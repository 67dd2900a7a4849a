"""Patterns: what the models are made of, one small piece at a time. Recorded where somebody published their latency."""

from __future__ import annotations

import operator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Tuple

from .layers import Layer, beside, example_tensor, function, make_layer

if TYPE_CHECKING:
    import torch

FAMILY = "Patterns"


@dataclass(frozen=True)
class Pattern:
    """A small module as a layer, the shape of its input for batch 1, and what had to be assumed about it."""

    name: str
    input_shape: Tuple[int, ...]
    layer: Layer
    assumed: str = ""
    family: str = FAMILY

    def build(self, device: str = "meta") -> torch.nn.Module:
        """Returns the module in `eval()` on `device`."""
        import torch

        with torch.device(device):
            return make_layer(*self.layer).eval()

    def example_input(self, batch_size: int = 1, device: str = "meta") -> torch.Tensor:
        """Returns an input of this batch: random, or without data on "meta"."""
        return example_tensor((batch_size, *self.input_shape[1:]), device)


def _convolution(inputs: int, outputs: int, kernel: int, groups: int = 1, dilation: int = 1) -> Layer:
    stride, padding, bias = 1, dilation * (kernel // 2), False
    return "Conv2d", inputs, outputs, kernel, stride, padding, dilation, groups, bias


def _block(inputs: int, outputs: int, kernel: int, activation: str = "", groups: int = 1, dilation: int = 1) -> Layer:
    """Convolution, BatchNorm, and an activation in place if one is named."""
    layers = [_convolution(inputs, outputs, kernel, groups, dilation), ("BatchNorm2d", outputs)]
    return ("Nested", *layers, *([(activation, True)] if activation else []))


def _gate(channels: int, squeezed: int, gate: str = "Hardsigmoid", activation: str = "ReLU") -> Layer:
    """Squeeze and excitation: the input scaled by what a bottleneck makes of its mean."""
    layers = ("Conv2d", channels, squeezed, 1), (activation,), ("Conv2d", squeezed, channels, 1), (gate,)
    return beside, operator.mul, ("AdaptiveAvgPool2d", 1), *layers


def _window_attention(width: int, heads: int, window: int) -> torch.nn.Module:
    """Attention within windows of an image, which is cut into them and put together again."""
    import torch

    class WindowAttention(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.to_qkv, self.merge = torch.nn.Linear(width, 3 * width), torch.nn.Linear(width, width)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            batch, channels, rows, columns = x.shape
            grid = (batch, channels, rows // window, window, columns // window, window)
            tokens = x.reshape(grid).permute(0, 2, 4, 3, 5, 1).reshape(-1, window * window, channels)
            qkv = self.to_qkv(tokens).reshape(*tokens.shape[:2], 3, heads, -1).permute(2, 0, 3, 1, 4)
            scores = torch.softmax(qkv[0] * (channels // heads) ** -0.5 @ qkv[1].transpose(-2, -1), dim=-1)
            merged = self.merge((scores @ qkv[2]).permute(0, 2, 1, 3).reshape(tokens.shape))
            windows = merged.reshape(batch, rows // window, columns // window, window, window, channels)
            return windows.permute(0, 5, 1, 3, 2, 4).reshape(x.shape)  # type: ignore[no-any-return]

    return WindowAttention()


def _pyramid(inputs: int, outputs: int, rates: Tuple[int, ...]) -> torch.nn.Module:
    """Parallel dilated branches, concatenated and projected."""
    import torch

    class Pyramid(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            layers = [_block(inputs, outputs, 3, "ReLU", dilation=rate) for rate in rates]
            branches = [make_layer(*layer) for layer in (_block(inputs, outputs, 1, "ReLU"), *layers)]
            self.branches = torch.nn.ModuleList(branches)
            self.project = make_layer(*_block(len(branches) * outputs, outputs, 1, "ReLU"))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.project(torch.cat([branch(x) for branch in self.branches], dim=1))  # type: ignore[no-any-return]

    return Pyramid()


def _views(x: torch.Tensor) -> torch.Tensor:
    for _ in range(16):
        x = x.unsqueeze(0).transpose(1, 2).transpose(1, 2).squeeze(0)
    return x


PATTERNS: Tuple[Pattern, ...] = (
    Pattern("conv_bn_relu", (1, 64, 56, 56), _block(64, 64, 3, "ReLU"), "no bias"),
    Pattern("conv_relu", (1, 64, 56, 56), ("Nested", _convolution(64, 64, 3), ("ReLU",)), "no bias"),
    Pattern(
        "conv_relu_large",
        (1, 256, 56, 56),
        ("Nested", _convolution(256, 256, 3), ("ReLU",)),
        "3.7 GFLOP are 64 channels at 224 px, 128 at 112, 256 at 56 or 512 at 28: taken as 256 at 56; no bias",
    ),
    Pattern("hardswish", (1, 96, 28, 28), ("Nested", ("Hardswish",))),
    Pattern("hardsigmoid", (1, 96, 1, 1), ("Nested", ("Hardsigmoid",))),
    Pattern("se_block", (1, 96, 28, 28), _gate(96, 24), "28 px, squeezed to 24 channels"),
    Pattern(
        "dw_conv_5x5",
        (1, 96, 28, 28),
        ("Nested", _convolution(96, 96, 5, groups=96), ("BatchNorm2d", 96), ("Hardswish",)),
        "28 px, with BatchNorm and Hardswish: the published time is that of three ops",
    ),
    Pattern(
        "pw_conv_1x1",
        (1, 96, 14, 14),
        _block(96, 40, 1),
        "14 px (5.6 GFLOPS in 269 us are 1.5 MFLOP), with BatchNorm",
    ),
    Pattern(
        "mbconv",
        (1, 40, 28, 28),
        (
            "Residual",
            _block(40, 240, 1, "SiLU"),
            _block(240, 240, 5, "SiLU", groups=240),
            _gate(240, 10, "Sigmoid", "SiLU"),
            _block(240, 40, 1),
        ),
    ),
    Pattern(
        "inverted_residual",
        (1, 32, 28, 28),
        ("Residual", _block(32, 192, 1, "ReLU6"), _block(192, 192, 3, "ReLU6", groups=192), _block(192, 32, 1)),
    ),
    Pattern(
        "bottleneck",
        (1, 256, 56, 56),
        ("Residual", _block(256, 64, 1, "ReLU"), _block(64, 64, 3, "ReLU"), _block(64, 256, 1)),
    ),
    Pattern(
        "encoder_layer",
        (1, 197, 768),
        (
            "Nested",
            ("Residual", ("LayerNorm", 768), ("SelfAttention", 768, 12)),
            ("Residual", ("LayerNorm", 768), ("Linear", 768, 3072), ("GELU",), ("Linear", 3072, 768)),
        ),
    ),
    Pattern("window_attention", (1, 64, 56, 56), (_window_attention, 64, 2, 7)),
    Pattern("dilated_pyramid", (1, 2048, 28, 28), (_pyramid, 2048, 256, (12, 24, 36))),
    Pattern("large_linear", (1, 25088), ("Nested", ("Linear", 25088, 4096), ("ReLU", True))),
    Pattern("norm_mlp", (1, 197, 1024), ("Nested", ("LayerNorm", 1024), ("Linear", 1024, 4096), ("GELU",))),
    Pattern("upsample_bilinear", (1, 21, 28, 28), ("Nested", ("Upsample", (224, 224), None, "bilinear", False))),
    Pattern("tiny_chain", (1, 16), ("Nested", *[("ReLU",)] * 64), "64 ops: the host's dispatch and nothing else"),
    Pattern("view_chain", (1, 8, 4), (function, _views), "64 views: no kernel"),
    Pattern("large_copy", (1, 64, 1024, 1024), (function, lambda x: x.clone()), "256 MiB read and written: bandwidth"),
)
