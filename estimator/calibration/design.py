"""The designed set of micro-benchmarks: blocks of every kind that models are made of, over a seeded grid of shapes.

No shape is taken from a model, but the kinds of numbers are those of networks: channels are multiples of powers of two,
whatever the vectors of the processor are wide, and images are some seven or eight pixels times a whole number. A chain
holds about fifteen blocks of one group, so that code and caches are in the state in which a model finds them: one kind
of block after another, with the weights of all others in between.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Callable, Dict, List, Tuple

from ..subjects.chains import Block, Chain
from ..subjects.layers import Layer

SEED = 22
_CHAIN = 15
_ACTIVATIONS = ("ReLU", "ReLU6", "SiLU", "Hardswish", "GELU")
_SMALLEST_PX = 4
_CHANNEL_MULTIPLES = (8, 16, 16, 32, 32, 64, 64)  # as often as networks have them
_GROUP_WIDTHS = (4, 8, 16)
_PIXEL_MULTIPLES = (7, 7, 7, 8, 8, 1)
_HALVED = (7, 14, 28, 56, 112, 224)  # what an image of 224 pixels is halved to: left out, no shape is a model's


@dataclass(frozen=True)
class Size:
    """What a single layer may ask of the device: so much work, and so many elements of an activation or a weight.

    `blocks` is how many times the blocks of each group are drawn that a GPU gets.
    """

    gflop: float
    melements: float
    blocks: float = 1.0


SIZES = {"cpu": Size(gflop=3.0, melements=3.5, blocks=1.7), "cuda": Size(gflop=10.0, melements=16.0)}
"""By device: a layer takes some 20 ms at most, so that a whole calibration stays within two minutes."""


def design(device: str, share: float = 1.0) -> Tuple[Chain, ...]:
    """Returns the chains for "cpu" or "cuda", always the same; `share` below 1 leaves blocks of each group out."""
    draw = _Draw(random.Random(SEED), SIZES[device])
    chains: List[Chain] = []
    for group, (make, count) in _GROUPS.items():
        blocks = [make(draw, group) for _ in range(max(1, round(share * draw.size.blocks * count)))]
        parts = max(1, round(len(blocks) / _CHAIN))
        chains += [tuple(blocks[part::parts]) for part in range(parts)]
    return tuple(chains)


class _Draw:
    """Random numbers of the kinds that shapes are made of."""

    def __init__(self, source: random.Random, size: Size) -> None:
        self.choice, self.random, self.size = source.choice, source.random, size

    def log(self, low: float, high: float) -> float:
        return float(low * (high / low) ** self.random())

    def count(self, low: int, high: int, multiple: int = 1) -> int:
        return max(1, round(self.log(low, high) / multiple)) * multiple

    def channels(self, low: int, high: int) -> int:
        return self.count(low, high, self.choice(_CHANNEL_MULTIPLES))

    def pixels(self, low: int, high: int) -> int:
        px = 7
        while px in _HALVED:
            px = self.count(low, high, self.choice(_PIXEL_MULTIPLES))
        return px

    def fits(self, flops: float, *elements: float) -> bool:
        return flops <= self.size.gflop * 1e9 and max(elements) <= self.size.melements * 1e6


def _after(px: int, kernel: int, stride: int, padding: int, dilation: int = 1) -> int:
    return (px + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1


def _tail(draw: _Draw, channels: int, px: int) -> List[Layer]:
    """BatchNorm, mostly an activation, often an addition."""
    layers: List[Layer] = [("BatchNorm2d", channels)]
    if draw.random() < 0.8:
        layers.append((draw.choice(_ACTIVATIONS),))
    if draw.random() < 0.6:
        layers.append(("Add", 1, channels, px, px))
    return layers


def _dense(draw: _Draw, group: str) -> Block:
    while True:
        kernel, stride = draw.choice((1, 1, 1, 3, 3, 3, 5, 7)), draw.choice((1, 1, 1, 2))
        dilation = draw.choice((1, 1, 1, 1, 2, 4)) if (kernel, stride) == (3, 1) else 1
        px, inputs, outputs = draw.pixels(7, 120), draw.channels(16, 1500), draw.channels(16, 1500)
        padding = dilation * (kernel // 2)
        out = _after(px, kernel, stride, padding, dilation)
        weights = inputs * outputs * kernel**2
        if out >= _SMALLEST_PX and draw.fits(2.0 * out**2 * weights, inputs * px**2, outputs * out**2, weights / 3):
            break
    layer = ("Conv2d", inputs, outputs, kernel, stride, padding, dilation, 1, False)
    return Block(group, (1, inputs, px, px), (layer, *_tail(draw, outputs, out)))


def _depthwise(draw: _Draw, group: str) -> Block:
    while True:
        kernel, stride = draw.choice((3, 3, 5, 7)), draw.choice((1, 1, 2))
        px, channels = draw.pixels(7, 120), draw.channels(16, 1800)
        if draw.fits(0, channels * px**2):
            break
    layer = ("Conv2d", channels, channels, kernel, stride, kernel // 2, 1, channels, False)
    out = _after(px, kernel, stride, kernel // 2)
    return Block(group, (1, channels, px, px), (layer, *_tail(draw, channels, out)))


def _grouped(draw: _Draw, group: str) -> Block:
    while True:
        groups, kernel, stride = draw.choice((2, 4, 8, 16, 32)), draw.choice((1, 3, 3)), draw.choice((1, 1, 2))
        width, px = draw.count(4, 64, draw.choice(_GROUP_WIDTHS)), draw.pixels(7, 80)
        channels = groups * width
        if draw.fits(2.0 * px**2 * channels * width * kernel**2, 2 * channels * px**2):
            break
    layer = ("Conv2d", channels, channels, kernel, stride, kernel // 2, 1, groups, False)
    out = _after(px, kernel, stride, kernel // 2)
    return Block(group, (1, channels, px, px), (layer, *_tail(draw, channels, out)))


def _stem(draw: _Draw, group: str) -> Block:
    kernel, stride = draw.choice(((3, 2), (3, 1), (7, 2), (16, 16), (4, 4), (32, 32)))
    padding = kernel // 2 if kernel % 2 else 0
    px, outputs = draw.pixels(100, 260), draw.channels(16, 96) if kernel < 9 else draw.count(256, 1200, 64)
    layer = ("Conv2d", 3, outputs, kernel, stride, padding, 1, 1, draw.random() < 0.5)
    return Block(group, (1, 3, px, px), (layer, *_tail(draw, outputs, _after(px, kernel, stride, padding))))


def _gate(draw: _Draw, group: str) -> Block:
    while True:
        channels, squeezed, px = draw.channels(16, 1600), draw.count(8, 96, 4), draw.pixels(7, 60)
        if draw.fits(0, 2 * channels * px**2):
            break
    activation, gate = draw.choice(("ReLU", "SiLU")), draw.choice(("Hardsigmoid", "Sigmoid"))
    convolutions: Tuple[Layer, ...] = (
        ("Conv2d", channels, squeezed, 1),
        (activation,),
        ("Conv2d", squeezed, channels, 1),
    )
    layers = (("AdaptiveAvgPool2d", 1), *convolutions, (gate,), ("Scale", 1, channels, px, px))
    return Block(group, (1, channels, px, px), layers)


def _mlp(draw: _Draw, group: str) -> Block:
    while True:
        width, tokens, ratio = draw.count(96, 2400, 32), draw.count(20, 3200), draw.choice((2, 3, 4))
        if draw.fits(2.0 * tokens * width**2 * ratio, tokens * width * ratio, width**2 * ratio / 5):
            break
    layers = (("LayerNorm", width), ("Linear", width, ratio * width), ("GELU",), ("Linear", ratio * width, width))
    return Block(group, (1, tokens, width), (*layers, ("Add", 1, tokens, width)))


def _head(draw: _Draw, group: str) -> Block:
    while True:
        inputs, outputs = draw.count(256, 24000, 64), draw.count(100, 4096, 4)
        if draw.fits(0, inputs * outputs / 20):
            break
    return Block(group, (1, inputs), (("Linear", inputs, outputs), ("ReLU",)))


def _attention(draw: _Draw, group: str) -> Block:
    while True:
        heads, batch, tokens = draw.choice((2, 4, 8, 12, 16)), draw.choice((1, 1, 1, 4)), draw.count(30, 260)
        width = heads * draw.choice((32, 64, 80))
        if draw.fits(4.0 * batch * tokens * width**2, batch * heads * tokens**2):
            break
    layers = (("LayerNorm", width), ("SelfAttention", width, heads), ("Add", batch, tokens, width))
    return Block(group, (batch, tokens, width), layers)


def _window(draw: _Draw, group: str) -> Block:
    while True:
        heads, width, tokens = draw.count(2, 16), draw.choice((16, 32, 64)), draw.count(30, 80)
        batch = heads * draw.count(1, 64)
        if draw.fits(2.0 * batch * tokens**2 * width, batch * tokens**2, batch * tokens * width):
            break
    scores = (("Product", batch, width, tokens), ("Add", 1, tokens, tokens), ("Softmax", -1))
    return Block(group, (batch, tokens, width), (*scores, ("Product", batch, tokens, width), ("Permute", 1, 0, 2)))


def _pooling(draw: _Draw, group: str) -> Block:
    while True:
        channels, px = draw.channels(16, 512), draw.pixels(14, 120)
        if draw.fits(0, 2 * channels * px**2):
            break
    kind, window = draw.choice(("MaxPool2d", "MaxPool2d", "AvgPool2d")), draw.choice(((3, 2, 1), (2, 2, 0), (3, 1, 1)))
    return Block(group, (1, channels, px, px), ((kind, *window), ("ReLU",)))


def _resize(draw: _Draw, group: str) -> Block:
    while True:
        channels, px, factor = draw.count(8, 128, 4), draw.pixels(14, 60), draw.choice((2, 4, 8))
        if draw.fits(0, channels * (factor * px) ** 2):
            break
    upsample = ("Upsample", (px * factor, px * factor), None, "bilinear", False)
    return Block(group, (1, channels, px, px), (upsample, ("ReLU",)))


def _copy(draw: _Draw, group: str) -> Block:
    while True:
        channels, px, further = draw.channels(16, 512), draw.pixels(7, 120), draw.count(8, 64, 8)
        if draw.fits(0, 2 * channels * px**2):
            break
    layers = (("Permute", 0, 2, 3, 1), ("Permute", 0, 3, 1, 2), ("Concatenate", 1, further, px, px))
    return Block(group, (1, channels, px, px), layers)


def _permuted(draw: _Draw, group: str) -> Block:
    """An image cut into windows and put together again; heads split from a product's output and merged."""
    while True:
        channels, rows, side = draw.channels(32, 512), draw.count(2, 16), draw.choice((4, 7, 8))
        if draw.fits(0, 2 * channels * (rows * side) ** 2):
            break
    if draw.random() < 0.6:
        shape: Tuple[int, ...] = (1, channels, rows, side, rows, side)
        return Block(group, shape, (("Permute", 0, 2, 4, 3, 5, 1), ("Permute", 0, 5, 1, 3, 2, 4)))
    heads = draw.choice((2, 4, 8))
    shape = (rows**2, side**2, 3, heads, max(8, channels // (3 * heads)))
    return Block(group, shape, (("Permute", 2, 0, 3, 1, 4), ("Permute", 1, 3, 0, 2, 4)))


def _viewed(draw: _Draw, group: str) -> Block:
    """Views and pointwise ops right after a product that has streamed much."""
    while True:
        width, tokens, ratio = draw.count(64, 1024, 32), draw.count(40, 3200), draw.choice((1, 3, 4))
        if draw.fits(2.0 * tokens * width**2 * ratio, tokens * width * ratio, width**2 * ratio / 5):
            break
    after = draw.choice((("ReLU",), ("Add", 1, tokens, ratio * width), ("View",)))
    return Block(group, (1, tokens, width), (("Linear", width, ratio * width), ("View",), after))


def _nested(draw: _Draw, group: str) -> Block:
    """Modules within modules: what the host does between layers is a part of the time."""
    while True:
        channels, px, kernel = draw.channels(16, 256), draw.pixels(7, 28), draw.choice((1, 3))
        if draw.fits(2.0 * px**2 * (channels * kernel) ** 2, channels * px**2):
            break
    groups = draw.choice((1, channels))
    convolution = ("Conv2d", channels, channels, kernel, 1, kernel // 2, 1, groups, False)
    inner = ("Nested", convolution, ("BatchNorm2d", channels), (draw.choice(_ACTIVATIONS[:2]), True))
    residual = ("Residual", inner)
    layer = draw.choice((("Nested", inner, inner), residual, ("Nested", residual, ("ReLU", True))))
    return Block(group, (1, channels, px, px), (layer,))


def _tiny(draw: _Draw, group: str) -> Block:
    """Dispatch and nothing else."""
    channels = draw.count(8, 256)
    layers = (("ReLU",), ("Add", 1, channels), ("Sigmoid",), ("Views", 8), ("Scale", 1, channels))
    return Block(group, (1, channels), layers)


_GROUPS: Dict[str, Tuple[Callable[[_Draw, str], Block], int]] = {
    "dense convolution": (_dense, 75),
    "depthwise convolution": (_depthwise, 30),
    "grouped convolution": (_grouped, 20),
    "stem": (_stem, 12),
    "gate": (_gate, 14),
    "MLP": (_mlp, 24),
    "head": (_head, 6),
    "attention": (_attention, 12),
    "window attention": (_window, 10),
    "pooling": (_pooling, 14),
    "resize": (_resize, 6),
    "copy": (_copy, 8),
    "permuted copy": (_permuted, 12),
    "view": (_viewed, 10),
    "nested": (_nested, 12),
    "tiny": (_tiny, 5),
}
GROUPS: Tuple[str, ...] = tuple(_GROUPS)
