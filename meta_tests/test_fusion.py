"""The fused view of an op stream: what runs as one kernel, what does not, and what it reads and writes."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from estimator.capture import capture_in_modules
from estimator.estimates import Estimates
from estimator.lower import lower
from estimator.lower.fusion import fuse, in_int8
from estimator.subjects.registry import find_subject
from estimator.target import resolve
from meta_tests.estimating import ESTIMATES

ITEM_BYTES = 4
ENGINE = resolve("Jetson-Orin-AGX", runtime="tensorrt")


class Of(nn.Module):
    """A module whose forward pass is a function, with these modules."""

    def __init__(self, function, **modules):
        super().__init__()
        self.function = function
        for name, module in modules.items():
            self.add_module(name, module)

    def forward(self, *inputs):
        return self.function(self, *inputs)


def fused(function, *shapes, **modules):
    """The kernels of a fused function of tensors of these shapes."""
    captured = capture_in_modules(Of(function, **modules).eval(), tuple(torch.empty(shape) for shape in shapes))
    return [kernel for op in fuse(captured, lower(captured.ops)).lowered for kernel in op.kernels]


def names(kernels):
    return [kernel.function if kernel.kind == "stream" else kernel.kind for kernel in kernels]


def convolution(inputs=8, outputs=8, **changes):
    return nn.Conv2d(inputs, outputs, 3, **{"padding": 1, **changes})


IMAGE = (1, 8, 16, 16)
IMAGE_BYTES = ITEM_BYTES * 8 * 16 * 16


@pytest.mark.parametrize(
    ("model", "layers"),
    [
        ("resnet18", 23),  # of the engines in NVIDIA/TensorRT trt-engine-explorer, examples/pytorch/resnet
        ("mobilenet_v2", 54),  # tests/inputs/mobilenet.qat.onnx.engine, without what quantises and reformats
        ("resnet50", 56),  # 58 with two that reformat, INT8 (Juanx65/ArtTRT 5cc71a2, outputs/resnet50_b1.txt)
    ],
)
def test_a_model_has_as_many_layers_as_tensorrt_reports(model, layers):
    assert len(ESTIMATES.run(find_subject(model), ENGINE).lowered) == layers


def test_a_convolution_takes_in_its_norm_a_sum_and_an_activation():
    def block(self, x, skip):
        return torch.relu(self.norm(self.convolution(x)) + skip)

    (kernel,) = fused(block, IMAGE, IMAGE, convolution=convolution(bias=False), norm=nn.BatchNorm2d(8))
    assert kernel.kind == "convolution"
    assert kernel.channels_last
    assert (kernel.read_bytes, kernel.write_bytes) == (2 * IMAGE_BYTES, IMAGE_BYTES)


def test_a_sum_behind_an_activation_is_a_kernel_of_its_own():
    kernels = fused(lambda self, x: torch.relu(self.convolution(x)) + x, IMAGE, convolution=convolution())
    assert names(kernels) == ["convolution", "add"]


def read_by_another_op(self, x):
    y = self.convolution(x)
    return torch.cat([y.relu(), y.tanh()], 1)


def read_by_who_called(self, x):
    y = self.convolution(x)
    return y.relu(), y


@pytest.mark.parametrize(
    ("function", "kernels"),
    [(read_by_another_op, ["convolution", "relu", "tanh"]), (read_by_who_called, ["convolution", "relu"])],
)
def test_nothing_is_fused_across_what_is_read_twice(function, kernels):
    assert names(fused(function, IMAGE, convolution=convolution())) == kernels


def test_pointwise_chains_are_one_kernel_that_reads_each_operand_once():
    (kernel,) = fused(lambda self, x, y: torch.tanh(torch.sigmoid(x) * y + 1), IMAGE, IMAGE)
    assert (kernel.read_bytes, kernel.write_bytes) == (2 * IMAGE_BYTES, IMAGE_BYTES)


def test_a_view_between_is_as_if_it_were_not_there():
    head = nn.Linear(16, 32)
    kernels = fused(lambda self, x: torch.relu(self.head(x).view(4, 2, 32)).flatten(1), (8, 16), head=head)
    assert names(kernels) == ["product"]


def test_attention_is_one_kernel_that_keeps_its_scores():
    def attention(self, q, k, v):
        return (q @ k.transpose(1, 2) / 8).softmax(-1) @ v

    shape = (12, 64, 32)
    (kernel,) = fused(attention, shape, shape, shape)
    assert kernel.function == "attention"
    assert kernel.flops == 2 * 2 * 12 * 64 * 64 * 32
    assert kernel.read_bytes + kernel.write_bytes == 4 * ITEM_BYTES * 12 * 64 * 32


def test_scores_that_are_read_twice_are_written():
    def attention(self, q, k, v):
        scores = (q @ k.transpose(1, 2)).softmax(-1)
        return scores @ v, scores

    assert names(fused(attention, *3 * [(12, 64, 32)])) == ["product", "_softmax", "product"]


def test_a_concatenation_costs_what_its_makers_cannot_write_to_its_place():
    def joined(self, x, y):
        return torch.cat([self.first(x), self.second(y)], 1)

    of_two = {"first": convolution(), "second": convolution()}
    assert names(fused(joined, IMAGE, IMAGE, **of_two)) == ["convolution", "convolution"]
    *_, copy = fused(lambda self, x: torch.cat([self.first(x), x], 1), IMAGE, first=convolution())
    assert (copy.function, copy.read_bytes, copy.write_bytes) == ("cat", IMAGE_BYTES, IMAGE_BYTES)


def test_what_is_made_of_constants_alone_costs_nothing():
    kernels = fused(lambda self, x: x + torch.arange(16.0).sin() * 2, (4, 16))
    assert names(kernels) == ["add"]


def test_a_fused_kernel_bears_the_module_of_its_first_op():
    model = nn.Sequential(convolution(), nn.ReLU(), nn.Sequential(convolution(), nn.BatchNorm2d(8)))
    captured = capture_in_modules(model, torch.empty(IMAGE))
    assert fuse(captured, lower(captured.ops)).modules == ("0", "2.0")


def test_in_int8_each_element_is_a_byte():
    run = Estimates(ESTIMATES.streams).run
    half, eighth = (run(find_subject("bottleneck"), ENGINE.on_runtime("tensorrt", name)) for name in ("fp16", "int8"))
    assert eighth.lowered == tuple(map(in_int8, half.lowered))
    for wide, narrow in zip(half.lowered, eighth.lowered):
        assert 2 * sum(k.bytes for k in narrow.kernels) == sum(k.bytes for k in wide.kernels)


def test_an_op_of_a_library_of_its_own_stays_as_it_is():
    captured = capture_in_modules(nn.LSTM(8, 8).eval(), torch.empty(4, 2, 8))
    lowered = lower(captured.ops)
    recurrent = [replace(op, calls=0) for op in lowered if op.host_kind == "recurrent"]
    assert recurrent == [op for op in fuse(captured, lowered).lowered if op.host_kind == "recurrent"]
