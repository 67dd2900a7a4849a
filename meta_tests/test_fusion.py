"""The fused view of an op stream: what runs as one kernel, what does not, and what it reads and writes."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from estimator import estimate
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


@pytest.mark.parametrize(
    "scaled",
    [lambda self, y: 0.1 * y, lambda self, y: y * self.scale.weight.view(1, 8, 1, 1)],
    ids=["number", "weights"],
)
def test_a_sum_behind_a_scale_is_not(scaled):
    modules = {"convolution": convolution(), "scale": nn.Embedding(8, 1)}
    assert names(fused(lambda s, x: x + scaled(s, s.convolution(x)), IMAGE, **modules)) == ["convolution"]


@pytest.mark.parametrize("product", [lambda gate, y: gate * y, lambda gate, y: y * gate], ids=["first", "second"])
def test_what_reads_two_results_is_fused_with_the_one_that_takes_it(product):
    modules = {"gate": nn.Sequential(convolution(), nn.Sigmoid()), "convolution": convolution()}
    kernels = fused(lambda s, x: product(s.gate(x), s.convolution(x)), IMAGE, **modules)
    assert names(kernels) == ["convolution", "convolution"]


@pytest.mark.parametrize("norm", [nn.InstanceNorm2d(8), nn.BatchNorm2d(8, track_running_stats=False)])
def test_a_norm_of_statistics_of_the_data_reads_them(norm):
    kernels = fused(lambda s, x: s.norm(s.convolution(x)), IMAGE, convolution=convolution(), norm=norm)
    assert names(kernels) == ["convolution", "native_batch_norm"]
    assert kernels[1].read_bytes >= IMAGE_BYTES


def test_what_is_fused_still_computes():
    layers = nn.Sequential(convolution(), nn.BatchNorm2d(8), nn.ReLU())
    alone, of_all = (fused(lambda s, x: s.layers(x), IMAGE, layers=of)[0] for of in (layers[:1], layers))
    assert of_all.flops - alone.flops == 8 * 16 * 16  # the activation; the norm is in the weights
    (chain,) = fused(lambda self, x: x.sigmoid().tanh(), IMAGE)
    assert chain.flops == 2 * 8 * 16 * 16


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
    assert kernel.flops == 2 * 2 * 12 * 64 * 64 * 32 + 12 * 64 * 64  # the scale is one a score
    assert kernel.read_bytes + kernel.write_bytes == 4 * ITEM_BYTES * 12 * 64 * 32


def test_scores_that_are_read_twice_are_written():
    def attention(self, q, k, v):
        scores = (q @ k.transpose(1, 2)).softmax(-1)
        return scores @ v, scores

    assert names(fused(attention, *3 * [(12, 64, 32)])) == ["product", "_softmax", "product"]


@pytest.mark.parametrize(("given", "kernels"), [(True, ["bmm", "_softmax", "bmm"]), (False, ["attention"])])
def test_multi_head_attention_is_one_kernel_unless_it_gives_its_weights(given, kernels):
    def attention(self, x):
        return self.attention(x, x, x, need_weights=given)[0]

    found = fused(attention, (1, 64, 32), attention=nn.MultiheadAttention(32, 4, batch_first=True))
    assert [kernel.function for kernel in found] == ["mm", *kernels, "mm"]


@pytest.mark.parametrize("norm_first", [False, True])
def test_an_encoder_layer_has_its_activation_and_its_sums_in_its_products(norm_first):
    layer = nn.TransformerEncoderLayer(32, 4, 64, batch_first=True, norm_first=norm_first)
    found = [kernel.function for kernel in fused(lambda self, x: self.layer(x), (1, 64, 32), layer=layer)]
    norm, attention, perceptron = ["native_layer_norm"], ["mm", "attention", "mm"], ["mm", "mm"]
    first, *rest = (norm, attention) if norm_first else (attention, norm)
    assert found == [*first, *rest[0], *(norm + perceptron if norm_first else perceptron + norm)]


def over_queries(self, q, k, v):
    return (q @ k.transpose(1, 2)).softmax(-2) @ v


def summed_over_queries(self, q, k, v):
    return (q @ k.transpose(1, 2)).softmax(-1).transpose(1, 2) @ v


def of_a_table(self, q, k, v):
    return (q @ k.transpose(1, 2)).softmax(-1) @ self.table.weight.expand(12, 64, 32)


def with_a_gate(self, q, k, v):
    return self.gate(q).softmax(-1) @ v


@pytest.mark.parametrize("function", [over_queries, summed_over_queries, of_a_table, with_a_gate])
def test_products_around_a_softmax_are_no_attention_where_they_do_not_weigh_values_by_keys(function):
    modules = {"table": nn.Embedding(64, 32), "gate": nn.Linear(32, 64)}
    assert names(fused(function, *3 * [(12, 64, 32)], **modules)) == ["product", "_softmax", "product"]


def test_weights_around_a_softmax_come_from_memory():
    model = nn.Sequential(nn.Linear(4096, 4096), nn.Softmax(-1), nn.Linear(4096, 4096))
    found = estimate(model, torch.empty(1, 4096), runtime="tensorrt")
    assert found.kernels == 3
    assert found.bytes > found.weight_bytes


@pytest.mark.parametrize(
    "mask",
    [
        lambda self, scores, mask: scores / 8 + mask,
        lambda self, scores, mask: (scores * 0.125).masked_fill(mask > 0, -1e9),
        lambda self, scores, mask: scores * self.scale.weight + mask,
    ],
    ids=["sum", "fill", "by a parameter"],
)
def test_attention_takes_in_its_scale_and_a_mask(mask):
    def attention(self, q, k, v, m):
        return mask(self, q @ k.transpose(1, 2), m).softmax(-1) @ v

    kernels = fused(attention, *3 * [(12, 64, 32)], (1, 64, 64), scale=nn.Embedding(1, 64))
    assert [kernel.function for kernel in kernels if kernel.function != "gt"] == ["attention"]


def test_a_concatenation_costs_what_its_makers_cannot_write_to_its_place():
    def joined(self, x, y):
        return torch.cat([self.first(x), self.second(y)], 1)

    of_two = {"first": convolution(), "second": convolution()}
    assert names(fused(joined, IMAGE, IMAGE, **of_two)) == ["convolution", "convolution"]


@pytest.mark.parametrize("other", [lambda x: x, lambda x: torch.zeros(IMAGE)], ids=["input", "constant"])
def test_nobody_writes_an_input_or_a_constant_to_its_place(other):
    *_, copy = fused(lambda self, x: torch.cat([self.first(x), other(x)], 1), IMAGE, first=convolution())
    assert (copy.function, copy.read_bytes, copy.write_bytes) == ("cat", IMAGE_BYTES, IMAGE_BYTES)


def test_of_what_a_concatenation_joins_twice_one_is_a_copy():
    def doubled(self, x):
        y = self.convolution(x)
        return torch.cat([y, y], 1)

    _, copy = fused(doubled, IMAGE, convolution=convolution())
    assert (copy.function, copy.read_bytes, copy.write_bytes) == ("cat", IMAGE_BYTES, IMAGE_BYTES)


def written_in_parts(self, x):
    out = torch.zeros(1, 16, 16, 16)
    out[:, :8] = self.first(x)
    out[:, 8:] = x
    return self.last(out)


def padded_by_hand(self, x):
    out = torch.zeros(1, 16, 18, 18)
    out[:, :8, 1:-1, 1:-1] = x
    return self.last(out)


def written_through_another_view(self, x):
    out = torch.zeros(1, 16, 16, 16)
    view, rows = out.view(1, 16, -1), out.view(16, -1)
    rows[:8] = x.view(8, -1)
    return self.last(view.view(out.shape))


def kept_in_a_cache(self, x):
    self.cache[:, :8] = self.first(x)
    return self.last(self.cache)


@pytest.mark.parametrize("function", [written_in_parts, padded_by_hand, written_through_another_view, kept_in_a_cache])
def test_what_reads_a_tensor_reads_what_was_written_into_a_view_of_it(function):
    model = Of(function, first=convolution(), last=convolution(16))
    model.register_buffer("cache", torch.zeros(1, 16, 16, 16))
    captured = capture_in_modules(model, torch.empty(IMAGE))
    assert fuse(captured, lower(captured.ops)).modules[-1] == "last"


def test_an_allocation_like_a_tensor_reads_nothing_of_it():
    def filled(self, x):
        y = self.convolution(x)
        return torch.relu(y) + torch.empty_like(y).fill_(1.0)

    assert names(fused(filled, IMAGE, convolution=convolution())) == ["convolution"]


@pytest.mark.parametrize(
    "random",
    [
        lambda: torch.randn(1, 8),
        lambda: torch.empty(1, 8).uniform_(),
        lambda: torch.dropout(torch.ones(1, 8), 0.5, True),
    ],
    ids="randn uniform dropout".split(),
)
def test_random_numbers_are_made_at_each_run(random):
    assert names(fused(lambda self: self.head(random()), head=nn.Linear(8, 8)))[-1] == "product"


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
    fused = [op for op in fuse(captured, lowered).lowered if op.host_kind == "recurrent"]
    assert [op.kernels for op in fused] == [op.kernels for op in lowered if op.host_kind == "recurrent"]
