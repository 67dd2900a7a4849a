"""What a correction looks at in an op, and how it compares two of them."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from estimator.capture import capture
from estimator.cost.columns import kernel_columns, op_columns
from estimator.cost.corrections import correction_logs, describe, factors, length_scales, similarity
from estimator.hardware.profile import Correction
from estimator.hardware.quantities import FEATURES
from estimator.lower import Kernel, Lowered, Product, Window, lower
from meta_tests import synthetic

NAMES = list(FEATURES)
HALF_AS_FAR = ("window_side", "stride", "dilation", "in_place", "strided")


class Calls(torch.nn.Module):
    """A module that calls this function."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, *inputs):
        return self.function(*inputs)


def described(layer, *shapes):
    """The kind and the features of the last op, those that are not 0."""
    model = layer if isinstance(layer, torch.nn.Module) else Calls(layer)
    lowered = lower(capture(model, tuple(torch.empty(*shape, device="meta") for shape in shapes)))
    kinds, features = describe(op_columns(lowered), kernel_columns(lowered))
    return kinds[-1], {name: value for name, value in zip(NAMES, features[-1]) if value}


def convolution(*args, **kwargs):
    return torch.nn.Conv2d(*args, **kwargs, bias=False, device="meta")


def logs(**values):
    return {name: pytest.approx(math.log2(value)) for name, value in values.items() if value != 1}


def test_a_convolution_is_known_by_work_traffic_shape_and_window():
    kind, features = described(convolution(24, 40, 3, stride=2, padding=2, dilation=2), (1, 24, 16, 16))
    assert kind == "convolution"
    assert features == {
        **logs(flop=2 * 64 * 40 * 24 * 9, warm_bytes=4 * (24 * 256 + 40 * 64), cold_bytes=4 * 24 * 40 * 9),
        **logs(elements=40 * 64, m=64, n=40, k=24 * 9, window_side=3, stride=2, dilation=2),
        **{"twos_in_n": 3.0, "twos_in_k": 3.0},
    }


def test_powers_of_two_count_up_to_a_vector_s_worth():
    features = described(convolution(256, 96, 1), (1, 256, 4, 4))[1]
    assert (features["twos_in_k"], features["twos_in_n"]) == (6.0, 5.0)
    assert "twos_in_n" not in described(convolution(8, 9, 1), (1, 8, 4, 4))[1]


@pytest.mark.parametrize(
    ("layer", "shapes", "kind"),
    [
        (convolution(8, 8, 3, groups=8), [(1, 8, 8, 8)], "depthwise"),
        (convolution(8, 8, 3, groups=2), [(1, 8, 8, 8)], "grouped convolution"),
        (torch.nn.Linear(8, 4, device="meta"), [(3, 8)], "product"),
        (torch.nn.Linear(8, 4, device="meta"), [(1, 8)], "vector product"),
        (torch.bmm, [(2, 3, 4), (2, 4, 5)], "batched product"),
        (torch.bmm, [(1, 3, 4), (1, 4, 5)], "product"),
        (torch.relu, [(3, 8)], "relu"),
        (torch.nn.GELU(), [(3, 8)], "gelu"),
        (lambda x: x.view(4, 6), [(3, 8)], "view"),
        (torch.nn.TransformerEncoderLayer(8, 2, batch_first=True, device="meta"), [(1, 5, 8)], "attention"),
    ],
    ids=lambda value: str(value) if isinstance(value, (str, list)) else type(value).__name__,
)
def test_an_op_is_of_the_kind_of_its_heaviest_kernel(layer, shapes, kind):
    assert described(layer, *shapes)[0] == kind


def test_a_batched_product_is_known_by_its_three_sides_and_its_batch():
    features = described(torch.bmm, (4, 3, 8), (4, 8, 16))[1]
    assert features == {
        **logs(flop=2 * 4 * 3 * 8 * 16, warm_bytes=4 * 4 * (24 + 128 + 48), elements=4 * 48, batch=4, m=3, n=16, k=8),
        **{"twos_in_n": 4.0, "twos_in_k": 3.0},
    }


def test_in_place_and_against_the_order_of_memory_are_seen():
    assert described(torch.nn.ReLU(inplace=True), (4, 8))[1]["in_place"] == 1.0
    assert "in_place" not in described(torch.nn.ReLU(), (4, 8))[1]
    assert described(lambda x: x.t().clone(), (4, 8))[1]["strided"] == 1.0
    assert "strided" not in described(lambda x: x.clone(), (4, 8))[1]


def test_a_view_is_known_by_its_elements_alone():
    assert described(lambda x: x.view(64), (8, 8))[1] == logs(elements=64)


@pytest.mark.parametrize("name", NAMES)
def test_an_octave_of_a_feature_is_a_length_and_of_a_window_s_two(name):
    expected = 4.0 * (0.5 if name in HALF_AS_FAR else 1.0)
    assert length_scales((name,), 4.0).tolist() == [expected]


def test_two_ops_are_as_alike_as_a_bell_of_their_distance_says():
    found = similarity(np.array([[1.0, 2.0]]), np.array([[1.0, 2.0], [3.0, 2.0], [3.0, 6.0]]), np.array([2.0, 4.0]))
    assert found[0].tolist() == pytest.approx([1.0, math.exp(-0.5), math.exp(-1.0)])


def test_what_was_measured_at_two_places_is_said_again_there_and_in_between_both_count():
    points, residuals = ((2.0,), (8.0,)), (0.3, -0.2)
    correction = Correction(9, 0.1, 0.05, 2.0, ("elements",), points, residuals)
    rows = np.zeros((4, len(NAMES)))
    rows[:, NAMES.index("elements")] = (2.0, 8.0, 5.0, 60.0)
    found = correction_logs(correction, rows)
    assert found[:2].tolist() == pytest.approx([0.35, -0.15], abs=1e-3)
    apart, between = math.exp(-0.5 * 9), math.exp(-0.5 * 2.25)
    weights = np.linalg.solve([[1.001, apart], [apart, 1.001]], residuals)
    assert found[2] == pytest.approx(0.05 + between * weights.sum())
    assert found[3] == pytest.approx(0.05)
    nowhere = Correction(9, 0.1, 0.05, 2.0, ("elements",), (), ())
    assert correction_logs(nowhere, rows).tolist() == [0.05] * 4


def of_kernels(*kernels, in_place=False):
    """The kind of an op with these kernels, and its features, but for those that are 0."""
    op = replace(synthetic.OP, in_place=in_place)
    lowered = [Lowered(synthetic.OP, "view", 0, ()), Lowered(op, "other", 0, kernels)]
    kinds, features = describe(op_columns(lowered), kernel_columns(lowered))
    return kinds[1], {name: value for name, value in zip(NAMES, features[1]) if value}


WINDOW = Window((5, 2), (4, 1), (1, 8), 32, 64, 1, 0)
HEAVY = Kernel("convolution", "c", "float32", 2, 4, 3, 5, 16, False, Product(32, 64, 128, 256), WINDOW)


def test_each_feature_of_an_op_by_hand():
    kind, features = of_kernels(HEAVY, in_place=True)
    assert kind == "grouped convolution"
    assert features == {
        **{"flop": 2.0, "warm_bytes": 3.0, "cold_bytes": 4.0, "elements": 1.0, "batch": 5.0, "m": 6.0, "n": 7.0},
        **{"k": 8.0, "twos_in_n": 6.0, "twos_in_k": 5.0, "window_side": math.log2(5), "stride": 2.0, "dilation": 3.0},
        **{"in_place": 1.0, "strided": 1.0},
    }
    assert of_kernels(synthetic.stream(elements=8)) == ("relu", {"elements": 3.0})


@pytest.mark.parametrize(
    ("length", "twos"), [(1, 0), (2, 1), (3, 0), (4, 2), (12, 2), (32, 5), (64, 6), (96, 5), (128, 6), (192, 6)]
)
def test_the_powers_of_two_in_a_length_by_hand(length, twos):
    features = of_kernels(synthetic.product(1, length, length))[1]
    assert (features.get("twos_in_n", 0), features.get("twos_in_k", 0)) == (twos, twos)


@pytest.mark.parametrize(
    ("kernels", "function"),
    [
        ((synthetic.stream("a", flops=2), synthetic.stream("b", flops=1)), "a"),
        ((synthetic.stream("a", flops=1), synthetic.stream("b", flops=2)), "b"),
        ((synthetic.stream("a", flops=1, read_bytes=9), synthetic.stream("b", flops=2)), "b"),
        ((synthetic.stream("a", read_bytes=9), synthetic.stream("b", read_bytes=8)), "a"),
        ((synthetic.stream("a", read_bytes=9, cold_bytes=9), synthetic.stream("b", read_bytes=10)), "a"),
        ((synthetic.stream("a", read_bytes=9), synthetic.stream("b", read_bytes=8, cold_bytes=2)), "b"),
    ],
)
def test_the_heaviest_kernel_has_most_flop_and_among_equals_most_bytes(kernels, function):
    assert of_kernels(*kernels)[0] == function


def test_an_op_with_three_kernels_is_composed():
    kernels = [synthetic.stream("a")] * 4
    assert [of_kernels(*kernels[:count])[0] for count in (1, 2, 3, 4)] == ["a", "a", "attention", "attention"]


@pytest.mark.parametrize(
    ("kernel", "kind"),
    [
        (replace(HEAVY, window=replace(WINDOW, groups=1)), "convolution"),
        (replace(HEAVY, window=replace(WINDOW, groups=2)), "grouped convolution"),
        (replace(HEAVY, kind="depthwise"), "depthwise"),
        (synthetic.product(2, 1, 1), "product"),
        (synthetic.product(1, 2, 2), "vector product"),
        (synthetic.product(1, 2, 2, batch=2), "batched product"),
    ],
)
def test_the_kind_of_an_op_by_hand(kernel, kind):
    assert of_kernels(kernel)[0] == kind


def test_ops_without_a_kernel_are_views_known_by_their_elements():
    lowered = [
        Lowered(synthetic.OP, "view", 0, ()),
        Lowered(replace(synthetic.OP, in_place=True), "view", 0, ()),
    ]
    kinds, features = describe(op_columns(lowered), kernel_columns(lowered))
    assert kinds.tolist() == ["view", "view"]
    assert features[:, NAMES.index("elements")].tolist() == [math.log2(6)] * 2
    assert features.sum() == pytest.approx(2 * math.log2(6) + 1)
    assert features[1, NAMES.index("in_place")] == 1.0


def test_each_op_is_corrected_as_its_kind_and_others_are_not():
    lowered = [Lowered(synthetic.OP, "other", 0, (synthetic.stream(name),)) for name in ("a", "b", "a", "c")]
    of = {
        "a": Correction(9, 0.1, 0.5, 2.0, (), (), ()),
        "b": Correction(9, 0.1, 0.0, 2.0, ("elements",), ((0.0,),), (0.3,)),
        "none of them": Correction(9, 0.1, 0.0, 2.0, ("elements",), ((0.0,),), (0.3,)),
    }
    found = factors(op_columns(lowered), kernel_columns(lowered), of)
    assert np.log(found).tolist() == pytest.approx([0.5, 0.3 / 1.001, 0.5, 0.0])


def test_of_a_window_the_channels_of_a_group_count_and_of_a_product_its_reduction():
    for channels, twos in ((1, 0), (2, 1), (48, 4)):
        features = of_kernels(replace(HEAVY, window=replace(WINDOW, channels=channels)))[1]
        assert features.get("twos_in_k", 0) == twos
    assert of_kernels(replace(HEAVY, window=None))[1]["twos_in_k"] == 6.0
