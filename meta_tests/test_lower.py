from __future__ import annotations

import itertools

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from estimator.capture import capture
from estimator.lower import Product, Window, lower
from estimator.lower.kernels import share_inside
from estimator.opstream import Op, TensorSpec
from estimator.subjects.zoo import find_models
from meta_tests.estimating import op_stream


def kernels(model, *shape):
    return [kernel for op in lower(capture(model, torch.empty(*shape, device="meta"))) for kernel in op.kernels]


@pytest.mark.parametrize(
    ("layer", "shape", "multiply_adds"),
    [
        (torch.nn.Conv2d(3, 8, 3, padding=1, bias=False), (2, 3, 10, 12), 2 * 10 * 12 * 8 * 3 * 9),
        (torch.nn.Conv2d(3, 8, 3, stride=2, bias=False), (1, 3, 11, 11), 5 * 5 * 8 * 3 * 9),
        (torch.nn.Conv2d(4, 8, 3, dilation=2, bias=False), (1, 4, 10, 10), 6 * 6 * 8 * 4 * 9),
        (torch.nn.Conv2d(8, 16, 3, groups=4, bias=False), (1, 8, 10, 10), 8 * 8 * 16 * 2 * 9),
        (torch.nn.Conv2d(8, 8, 5, groups=8, bias=False), (1, 8, 10, 10), 6 * 6 * 8 * 25),
        (torch.nn.Conv2d(4, 8, 3, padding="same", bias=False), (1, 4, 10, 10), 10 * 10 * 8 * 4 * 9),
        (torch.nn.Conv1d(4, 8, 3, bias=False), (1, 4, 10), 8 * 8 * 4 * 3),
        (torch.nn.Conv3d(4, 8, 3, bias=False), (1, 4, 6, 6, 6), 4**3 * 8 * 4 * 27),
        (torch.nn.ConvTranspose2d(4, 8, 3, bias=False), (1, 4, 10, 10), 10 * 10 * 8 * 4 * 9),
        (torch.nn.Linear(7, 5, bias=False), (3, 7), 3 * 5 * 7),
        (torch.nn.Linear(7, 5), (2, 3, 7), 2 * 3 * 5 * 7),
    ],
    ids=lambda value: str(value).split("(", 1)[0] if isinstance(value, torch.nn.Module) else None,
)
def test_flops_are_two_per_multiply_add(layer, shape, multiply_adds):
    assert kernels(layer, *shape)[0].flops == 2 * multiply_adds


@pytest.mark.parametrize("name", ["resnet50", "vgg16", "mobilenet_v2", "maxvit_t", "deeplabv3_resnet50"])
def test_flops_of_products_and_convolutions_are_those_of_pytorchs_counter(name):
    (model,) = find_models([name])
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        model.build()(model.example_input())
    counted = [k for op in lower(op_stream(model)) for k in op.kernels if k.kind != "stream"]
    assert sum(kernel.flops for kernel in counted) == counter.get_total_flops()


def test_a_convolutions_bias_is_a_kernel_and_a_call_of_its_own():
    (with_bias,) = lower(capture(torch.nn.Conv2d(4, 8, 3), torch.empty(1, 4, 10, 10, device="meta")))
    assert [kernel.kind for kernel in with_bias.kernels] == ["convolution", "stream"]
    assert with_bias.calls == 1


@pytest.mark.parametrize(
    ("layer", "kind", "window"),
    [
        (torch.nn.Conv2d(8, 8, 3), "convolution", Window((3, 3), (1, 1), (1, 1), 8, 1, 2, 1600)),
        (torch.nn.Conv2d(8, 8, (1, 5), (2, 1)), "convolution", Window((1, 5), (2, 1), (1, 1), 8, 1, 2, 1600)),
        (torch.nn.Conv2d(8, 8, 3, dilation=2), "convolution", Window((3, 3), (1, 1), (2, 2), 8, 1, 2, 1600)),
        (torch.nn.Conv2d(8, 8, 3, groups=2), "convolution", Window((3, 3), (1, 1), (1, 1), 4, 2, 2, 1600)),
        (torch.nn.Conv2d(8, 8, 3, groups=8), "depthwise", Window((3, 3), (1, 1), (1, 1), 1, 8, 2, 1600)),
        (torch.nn.ConvTranspose2d(8, 8, 3, groups=8), "convolution", Window((3, 3), (1, 1), (1, 1), 1, 8, 2, 1600)),
        (torch.nn.MaxPool2d(3, 2, dilation=2), "stream", Window((3, 3), (2, 2), (2, 2), 1, 8, 2, 1600)),
        (torch.nn.AvgPool2d((2, 3)), "stream", Window((2, 3), (2, 3), (1, 1), 1, 8, 2, 1600)),
        (torch.nn.ReLU(), "stream", None),
    ],
    ids=["3x3", "1x5", "dilated", "grouped", "depthwise", "transposed", "max", "mean", "none"],
)
def test_a_kernel_knows_its_window(layer, kind, window):
    kernel = kernels(layer, 2, 8, 10, 10)[0]
    assert (kernel.kind, kernel.window) == (kind, window)


@pytest.mark.parametrize(
    ("layer", "functions"),
    [
        (torch.nn.GELU(), ["gelu"]),
        (torch.nn.SiLU(inplace=True), ["silu"]),
        (torch.nn.MaxPool2d(2), ["max_pool2d_with_indices"]),
        (torch.nn.Conv2d(8, 8, 3), ["convolution", "bias"]),
        (torch.nn.Linear(10, 5), ["addmm"]),
    ],
    ids=["gelu", "in place", "pooling", "bias", "linear"],
)
def test_a_kernel_says_what_it_computes(layer, functions):
    assert [kernel.function for kernel in kernels(layer, 1, 8, 10, 10)] == functions


def test_a_kernel_knows_whether_it_reads_in_the_order_of_memory():
    class Clone(torch.nn.Module):
        def __init__(self, *order):
            super().__init__()
            self.order = order

        def forward(self, x):
            return x.permute(*self.order).clone()

    assert [kernel.contiguous for kernel in kernels(Clone(0, 1), 4, 5)] == [True]
    assert [kernel.contiguous for kernel in kernels(Clone(1, 0), 4, 5)] == [False]


@pytest.mark.parametrize("batch", [1, 3])
def test_attention_on_the_fast_path_is_its_products_and_what_lies_between(batch):
    class SelfAttention(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.attention = torch.nn.MultiheadAttention(64, 4, batch_first=True)

        def forward(self, x):
            return self.attention(x, x, x, need_weights=False)[0]

    (op,) = lower(capture(SelfAttention(), torch.empty(batch, 10, 64, device="meta")))
    products = [kernel.flops for kernel in op.kernels if kernel.kind == "product"]
    scores = 2 * batch * 4 * 10 * 10 * 16
    assert products == [2 * batch * 10 * 64 * 192, scores, scores, 2 * batch * 10 * 64 * 64]
    assert len(op.kernels) == 7
    assert op.calls == 6


def test_a_whole_encoder_layer_is_priced_as_its_parts():
    layer = torch.nn.TransformerEncoderLayer(64, 4, 128, batch_first=True)
    (op,) = lower(capture(layer, torch.empty(1, 10, 64, device="meta")))
    assert op.has_rule
    scores = [Product(4, m=10, n=10, k=16), Product(4, m=10, n=16, k=10)]
    before, after = Product(1, m=10, n=192, k=64), Product(1, m=10, n=64, k=64)
    hidden = [Product(1, m=10, n=128, k=64), Product(1, m=10, n=64, k=128)]
    assert [kernel.product for kernel in op.kernels if kernel.product] == [before, *scores, after, *hidden]


def test_scaled_dot_product_attention_is_two_products_around_a_softmax():
    class Attention(torch.nn.Module):
        def forward(self, q, k, v):
            return torch.nn.functional.scaled_dot_product_attention(q, k, v)

    q, kv = torch.empty(2, 4, 10, 16, device="meta"), torch.empty(2, 4, 30, 16, device="meta")
    lowered = lower(capture(Attention(), (q, kv, kv)))
    assert sum(k.flops for op in lowered for k in op.kernels if k.kind == "product") == 2 * 2 * (2 * 4 * 10 * 30 * 16)
    assert all(op.has_rule for op in lowered)


def test_an_op_without_a_rule_is_priced_by_its_bytes_and_says_so():
    spec = TensorSpec((10,), "float32", 4)
    (op,) = lower([Op("aten.something_new", (spec, spec), (), (spec,), is_view=False, in_place=False)])
    assert not op.has_rule
    assert [kernel.bytes for kernel in op.kernels] == [120]


def share_by_counting(length, side, stride, padding, dilation):
    """Of the taps of a window, at each of its positions one after the other, those inside the image."""
    starts = range(-padding, length + padding - dilation * (side - 1), stride)
    taps = [start + tap * dilation for start in starts for tap in range(side)]
    return sum(0 <= tap < length for tap in taps) / len(taps)


def test_the_share_of_a_window_inside_an_image_is_that_of_counting():
    checked = 0
    for length, side, stride, padding, dilation in itertools.product(
        (4, 7, 12), (1, 2, 3, 5), (1, 2, 3), range(6), (1, 2, 4)
    ):
        if length + 2 * padding > dilation * (side - 1):
            expected = share_by_counting(length, side, stride, padding, dilation)
            assert share_inside(length, side, stride, padding, dilation) == pytest.approx(expected)
            checked += 1
    assert checked > 400
    assert share_inside(2, 5, 1, 1, 1) == 1.0  # no position at all
