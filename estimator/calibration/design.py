"""The designed set of micro-benchmarks: blocks of every kind that models are made of, over a seeded grid of shapes.

No shape is taken from a model, but the kinds of numbers are those of networks: channels are multiples of powers of two,
and images are some seven or eight pixels times a whole number. A chain holds about fifteen blocks of one group, so that
code and caches are as a model finds them: one kind of block after another, with other weights in between.
"""

from __future__ import annotations

import contextlib
import random
from dataclasses import dataclass
from typing import Any, Callable, Dict, List, Tuple

from ..subjects.chains import Block, Chain
from ..subjects.layers import Layer
from ..target import Target

SEED = 22
_CHAIN = 15
_ACTIVATIONS = ("ReLU", "ReLU6", "SiLU", "Hardswish", "GELU")
_SMALLEST_PX = 4
_CHANNEL_MULTIPLES = (8, 16, 16, 32, 32, 64, 64)  # as often as networks have them
_GROUP_WIDTHS = (4, 8, 16)
_PIXEL_MULTIPLES = (7, 7, 7, 8, 8, 1)
_ITEM_BYTES = 4  # FP32
_OF_ITS_BATCH = ("Add", "Scale", "Product", "Concatenate")  # layers that say the batch of what they combine with
_HALVED = (7, 14, 28, 56, 112, 224)  # what an image of 224 pixels is halved to: left out, no shape is a model's


@dataclass(frozen=True)
class Size:
    """The largest work and activation of a layer, how many times a GPU's blocks are drawn, and the largest batch."""

    gflop: float
    melements: float
    blocks: float = 1.0
    batch: int = 1


CPU = Size(gflop=3.0, melements=3.5, blocks=1.7)
"""A layer takes some 20 ms at most, so that a whole calibration stays within two minutes."""
_ARITHMETIC_US, _TRAFFIC_US = 2500.0, 150.0
"""On a GPU, of the largest layer at the FP32 cores' peak, and of reading its largest activation: so on any board."""
_MELEMENTS_OF_ONE = 7.0
"""Activations of one image are no larger; a board that moves more in that time gets batches."""


def size_of(target: Target) -> Size:
    """Returns what the blocks for a CPU may be, or for a GPU of this peak and bandwidth."""
    if target.profile.processor == "cpu":
        return CPU
    mode, flops_per_clock = target.mode, target.profile.fact("fp32_flops_per_clock_per_sm")
    gflop = _ARITHMETIC_US * mode.sms * flops_per_clock * mode.gpu_mhz / 1e9
    melements = _TRAFFIC_US * mode.bandwidth_gb_s / 1e3 / _ITEM_BYTES
    return Size(gflop, melements, batch=max(1, round(melements / _MELEMENTS_OF_ONE)))


def design(size: Size, share: float = 1.0) -> Tuple[Chain, ...]:
    """Returns the chains of this size, always the same; `share` below 1 leaves blocks of each group out."""
    draw = _Draw(random.Random(SEED), size)
    chains: List[Chain] = []
    for group, (make, count) in _GROUPS.items():
        blocks = [draw.block(group, make) for _ in range(max(1, round(share * draw.size.blocks * count)))]
        parts = max(1, round(len(blocks) / _CHAIN))
        chains += [tuple(blocks[part::parts]) for part in range(parts)]
    return tuple(chains)


Drawn = Tuple[Tuple[int, ...], Tuple[Layer, ...]]
"""The input's shape and the layers of a block."""


class _TooLarge(Exception):
    pass


class _Draw:
    """Random numbers of the kinds that shapes are made of."""

    def __init__(self, source: random.Random, size: Size) -> None:
        self.choice, self.random, self.size, self.batch = source.choice, source.random, size, 1

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

    def demand(self, flops: float, *elements: float, is_one: bool = True) -> None:
        """Raises _TooLarge where a layer asks for more than the size allows at the block's batch, or is none."""
        flops, most = self.batch * flops, self.batch * max(elements)
        if not is_one or flops > self.size.gflop * 1e9 or most > self.size.melements * 1e6:
            raise _TooLarge

    def block(self, group: str, make: Callable[[_Draw], Drawn]) -> Block:
        """Returns the first block of the group that is not too large."""
        while True:
            if self.size.batch > 1:
                self.batch = self.count(1, self.size.batch)
            with contextlib.suppress(_TooLarge):
                return Block(group, *_batched(make(self), self.batch))


def _batched(drawn: Drawn, batch: int) -> Drawn:
    """The block so many times as large along its first dimension."""
    (first, *others), layers = drawn

    def grown(layer: Layer) -> Layer:
        name, *arguments = layer
        of_its_batch = name in _OF_ITS_BATCH and arguments[0] == first
        return (name, batch * first, *arguments[1:]) if of_its_batch else layer

    return (batch * first, *others), tuple(map(grown, layers))


def _after(px: int, kernel: int, stride: int, padding: int, dilation: int = 1) -> int:
    return (px + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1


def _convolution(draw: _Draw, px: int, *arguments: Any) -> Drawn:
    """A convolution, BatchNorm, mostly an activation, often an addition."""
    inputs, channels, kernel, stride, padding, dilation, *_ = arguments
    layers: List[Layer] = [("Conv2d", *arguments), ("BatchNorm2d", channels)]
    if draw.random() < 0.8:
        layers.append((draw.choice(_ACTIVATIONS),))
    if draw.random() < 0.6:
        out = _after(px, kernel, stride, padding, dilation)
        layers.append(("Add", 1, channels, out, out))
    return (1, inputs, px, px), tuple(layers)


def _dense(draw: _Draw) -> Drawn:
    kernel, stride = draw.choice((1, 1, 1, 3, 3, 3, 5, 7)), draw.choice((1, 1, 1, 2))
    dilation = draw.choice((1, 1, 1, 1, 2, 4)) if (kernel, stride) == (3, 1) else 1
    px, inputs, outputs = draw.pixels(7, 120), draw.channels(16, 1500), draw.channels(16, 1500)
    padding = dilation * (kernel // 2)
    out = _after(px, kernel, stride, padding, dilation)
    weights = inputs * outputs * kernel**2
    draw.demand(2.0 * out**2 * weights, inputs * px**2, outputs * out**2, weights / 3, is_one=out >= _SMALLEST_PX)
    return _convolution(draw, px, inputs, outputs, kernel, stride, padding, dilation, 1, False)


def _depthwise(draw: _Draw) -> Drawn:
    kernel, stride = draw.choice((3, 3, 5, 7)), draw.choice((1, 1, 2))
    px, channels = draw.pixels(7, 120), draw.channels(16, 1800)
    draw.demand(0, channels * px**2)
    return _convolution(draw, px, channels, channels, kernel, stride, kernel // 2, 1, channels, False)


def _grouped(draw: _Draw) -> Drawn:
    groups, kernel, stride = draw.choice((2, 4, 8, 16, 32)), draw.choice((1, 3, 3)), draw.choice((1, 1, 2))
    width, px = draw.count(4, 64, draw.choice(_GROUP_WIDTHS)), draw.pixels(7, 80)
    channels = groups * width
    draw.demand(2.0 * px**2 * channels * width * kernel**2, 2 * channels * px**2)
    return _convolution(draw, px, channels, channels, kernel, stride, kernel // 2, 1, groups, False)


def _stem(draw: _Draw) -> Drawn:
    kernel, stride = draw.choice(((3, 2), (3, 1), (7, 2), (16, 16), (4, 4), (32, 32)))
    padding = kernel // 2 if kernel % 2 else 0
    px, outputs = draw.pixels(100, 260), draw.channels(16, 96) if kernel < 9 else draw.count(256, 1200, 64)
    return _convolution(draw, px, 3, outputs, kernel, stride, padding, 1, 1, draw.random() < 0.5)


def _gate(draw: _Draw) -> Drawn:
    channels, squeezed, px = draw.channels(16, 1600), draw.count(8, 96, 4), draw.pixels(7, 60)
    draw.demand(0, 2 * channels * px**2)
    activation, gate = draw.choice(("ReLU", "SiLU")), draw.choice(("Hardsigmoid", "Sigmoid"))
    convolutions: Tuple[Layer, ...] = (
        ("Conv2d", channels, squeezed, 1),
        (activation,),
        ("Conv2d", squeezed, channels, 1),
    )
    layers = (("AdaptiveAvgPool2d", 1), *convolutions, (gate,), ("Scale", 1, channels, px, px))
    return (1, channels, px, px), layers


def _mlp(draw: _Draw) -> Drawn:
    width, tokens, ratio = draw.count(96, 2400, 32), draw.count(20, 3200), draw.choice((2, 3, 4))
    draw.demand(2.0 * tokens * width**2 * ratio, tokens * width * ratio, width**2 * ratio / 5)
    layers = (("LayerNorm", width), ("Linear", width, ratio * width), ("GELU",), ("Linear", ratio * width, width))
    return (1, tokens, width), (*layers, ("Add", 1, tokens, width))


def _head(draw: _Draw) -> Drawn:
    inputs, outputs = draw.count(256, 24000, 64), draw.count(100, 4096, 4)
    draw.demand(0, inputs * outputs / 20)
    return (1, inputs), (("Linear", inputs, outputs), ("ReLU",))


def _attention(draw: _Draw) -> Drawn:
    heads, batch, tokens = draw.choice((2, 4, 8, 12, 16)), draw.choice((1, 1, 1, 4)), draw.count(30, 260)
    width = heads * draw.choice((32, 64, 80))
    draw.demand(4.0 * batch * tokens * width**2, batch * heads * tokens**2)
    layers = (("LayerNorm", width), ("SelfAttention", width, heads), ("Add", batch, tokens, width))
    return (batch, tokens, width), layers


def _window(draw: _Draw) -> Drawn:
    heads, width, tokens = draw.count(2, 16), draw.choice((16, 32, 64)), draw.count(30, 80)
    batch = heads * draw.count(1, 64)
    draw.demand(2.0 * batch * tokens**2 * width, batch * tokens**2, batch * tokens * width)
    scores = (("Product", batch, width, tokens), ("Add", 1, tokens, tokens), ("Softmax", -1))
    return (batch, tokens, width), (*scores, ("Product", batch, tokens, width), ("Permute", 1, 0, 2))


def _pooling(draw: _Draw) -> Drawn:
    channels, px = draw.channels(16, 512), draw.pixels(14, 120)
    draw.demand(0, 2 * channels * px**2)
    kind, window = draw.choice(("MaxPool2d", "MaxPool2d", "AvgPool2d")), draw.choice(((3, 2, 1), (2, 2, 0), (3, 1, 1)))
    return (1, channels, px, px), ((kind, *window), ("ReLU",))


def _resize(draw: _Draw) -> Drawn:
    channels, px, factor = draw.count(8, 128, 4), draw.pixels(14, 60), draw.choice((2, 4, 8))
    draw.demand(0, channels * (factor * px) ** 2)
    upsample = ("Upsample", (px * factor, px * factor), None, "bilinear", False)
    return (1, channels, px, px), (upsample, ("ReLU",))


def _copy(draw: _Draw) -> Drawn:
    channels, px, further = draw.channels(16, 512), draw.pixels(7, 120), draw.count(8, 64, 8)
    draw.demand(0, 2 * channels * px**2)
    layers = (("Permute", 0, 2, 3, 1), ("Permute", 0, 3, 1, 2), ("Concatenate", 1, further, px, px))
    return (1, channels, px, px), layers


def _permuted(draw: _Draw) -> Drawn:
    """An image cut into windows and put together again; heads split from a product's output and merged."""
    channels, rows, side = draw.channels(32, 512), draw.count(2, 16), draw.choice((4, 7, 8))
    draw.demand(0, 2 * channels * (rows * side) ** 2)
    if draw.random() < 0.6:
        shape: Tuple[int, ...] = (1, channels, rows, side, rows, side)
        return shape, (("Permute", 0, 2, 4, 3, 5, 1), ("Permute", 0, 5, 1, 3, 2, 4))
    heads = draw.choice((2, 4, 8))
    shape = (rows**2, side**2, 3, heads, max(8, channels // (3 * heads)))
    return shape, (("Permute", 2, 0, 3, 1, 4), ("Permute", 1, 3, 0, 2, 4))


def _viewed(draw: _Draw) -> Drawn:
    """Views and pointwise ops right after a product that has streamed much."""
    width, tokens, ratio = draw.count(64, 1024, 32), draw.count(40, 3200), draw.choice((1, 3, 4))
    draw.demand(2.0 * tokens * width**2 * ratio, tokens * width * ratio, width**2 * ratio / 5)
    after = draw.choice((("ReLU",), ("Add", 1, tokens, ratio * width), ("View",)))
    return (1, tokens, width), (("Linear", width, ratio * width), ("View",), after)


def _nested(draw: _Draw) -> Drawn:
    """Modules within modules: what the host does between layers is a part of the time."""
    channels, px, kernel = draw.channels(16, 256), draw.pixels(7, 28), draw.choice((1, 3))
    draw.demand(2.0 * px**2 * (channels * kernel) ** 2, channels * px**2)
    groups = draw.choice((1, channels))
    convolution = ("Conv2d", channels, channels, kernel, 1, kernel // 2, 1, groups, False)
    inner = ("Nested", convolution, ("BatchNorm2d", channels), (draw.choice(_ACTIVATIONS[:2]), True))
    residual = ("Residual", inner)
    layer = draw.choice((("Nested", inner, inner), residual, ("Nested", residual, ("ReLU", True))))
    return (1, channels, px, px), (layer,)


def _tiny(draw: _Draw) -> Drawn:
    """Dispatch and nothing else."""
    channels = draw.count(8, 256)
    layers = (("ReLU",), ("Add", 1, channels), ("Sigmoid",), ("Views", 8), ("Scale", 1, channels))
    return (1, channels), layers


_GROUPS: Dict[str, Tuple[Callable[[_Draw], Drawn], int]] = {
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
