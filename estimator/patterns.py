"""Small patterns whose latency is known or worth knowing: what the models are made of, one piece at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Callable, Tuple

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Pattern:
    """A small module, the shape of its input, and what had to be assumed about it."""

    name: str
    input_shape: Tuple[int, ...]
    layers: Callable[[], torch.nn.Module]
    assumed: str = ""

    def build(self, device: str = "meta") -> torch.nn.Module:
        """Returns the module in `eval()` on `device`."""
        import torch

        with torch.device(device):
            return self.layers().eval()


def _sequence(*names_and_arguments: Tuple[object, ...]) -> Callable[[], torch.nn.Module]:
    """Layers by name, built only when the pattern is: ("Conv2d", 64, 64, 3) is torch.nn.Conv2d(64, 64, 3)."""

    def build() -> torch.nn.Module:
        import torch

        modules = [getattr(torch.nn, str(name))(*arguments) for name, *arguments in names_and_arguments]
        return torch.nn.Sequential(*modules)

    return build


def _convolution(channels_in: int, channels_out: int, kernel: int, groups: int = 1) -> Tuple[object, ...]:
    stride, padding, dilation, bias = 1, kernel // 2, 1, False
    return "Conv2d", channels_in, channels_out, kernel, stride, padding, dilation, groups, bias


def _squeeze_excitation(channels: int, squeezed: int) -> Callable[[], torch.nn.Module]:
    def build() -> torch.nn.Module:
        import torch

        class SqueezeExcitation(torch.nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.scale = torch.nn.Sequential(
                    torch.nn.AdaptiveAvgPool2d(1),
                    torch.nn.Conv2d(channels, squeezed, 1),
                    torch.nn.ReLU(),
                    torch.nn.Conv2d(squeezed, channels, 1),
                    torch.nn.Hardsigmoid(),
                )

            def forward(self, x: torch.Tensor) -> torch.Tensor:
                return x * self.scale(x)

        return SqueezeExcitation()

    return build


PATTERNS: Tuple[Pattern, ...] = (
    Pattern(
        "conv_bn_relu",
        (1, 64, 56, 56),
        _sequence(_convolution(64, 64, 3), ("BatchNorm2d", 64), ("ReLU",)),
        "no bias",
    ),
    Pattern("conv_relu", (1, 64, 56, 56), _sequence(_convolution(64, 64, 3), ("ReLU",)), "no bias"),
    Pattern(
        "conv_relu_vgg",
        (1, 256, 56, 56),
        _sequence(_convolution(256, 256, 3), ("ReLU",)),
        "3.7 GFLOP are 64 channels at 224 px, 128 at 112, 256 at 56 or 512 at 28: taken as 256 at 56; no bias",
    ),
    Pattern("hardswish", (1, 96, 28, 28), _sequence(("Hardswish",))),
    Pattern("hardsigmoid", (1, 96, 1, 1), _sequence(("Hardsigmoid",))),
    Pattern("se_block", (1, 96, 28, 28), _squeeze_excitation(96, 24), "28 px, squeezed to 24 channels"),
    Pattern(
        "dw_conv_5x5",
        (1, 96, 28, 28),
        _sequence(_convolution(96, 96, 5, groups=96), ("BatchNorm2d", 96), ("Hardswish",)),
        "28 px, with BatchNorm and Hardswish: the published time is that of three ops",
    ),
    Pattern(
        "pw_conv_1x1",
        (1, 96, 14, 14),
        _sequence(_convolution(96, 40, 1), ("BatchNorm2d", 40)),
        "14 px (5.6 GFLOPS in 269 us are 1.5 MFLOP), with BatchNorm",
    ),
)
