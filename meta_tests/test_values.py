"""What a forward pass asks for the values of: known ones are there, others take real weights and inputs."""

from __future__ import annotations

import copy
import functools

import pytest
import torch
from torch import nn
from torch.nn import functional

from estimator import CaptureError, estimate
from estimator.capture import capture, capture_in_modules
from meta_tests.modules import module

ACTIVATION = torch.arange(6.0).reshape(2, 3)
MASK, SIZES = torch.ones(2, 3, dtype=torch.bool), torch.tensor([[2, 3], [4, 5]])


def names(ops):
    return [op.name.replace("aten.", "") for op in ops]


def dropped(activation):
    """Without data, so that nothing can be computed with it."""
    return activation.to("meta")


@pytest.mark.parametrize(
    ("forward", "given"),
    [
        (lambda self, x, mask: x * 2 if mask.all() else x.log(), MASK),
        (lambda self, x, sizes: x * 2 if sizes.tolist() == [[2, 3], [4, 5]] else None, SIZES),
        (lambda self, x, sizes: x * sizes.max().item(), SIZES),
        (lambda self, x, sizes: x * int(sizes[0, 0]), SIZES),
        (lambda self, x, sizes: x * 2 if str(sizes).startswith("tensor([[2, 3]") else None, SIZES),
        (lambda self, x, sizes: x * 2 if sizes.numpy().sum() == 14 else None, SIZES),
        (lambda self, x, sizes: x * len(sizes.unique()), SIZES),
        (lambda self, x, sizes: x.new_full((int(sizes[0, 0]), 3), float(self.scale)) * 2, SIZES),
        (lambda self, x, sizes: x * 2 if torch.equal(sizes, sizes.clone()) else None, SIZES),
    ],
    ids="all tolist max index print numpy unique attribute equal".split(),
)
def test_what_a_module_was_given_or_keeps_has_values(forward, given):
    ops = capture(module(forward, scale=torch.tensor(0.5)), (dropped(ACTIVATION), given))
    assert names(ops)[-1] == "mul"
    assert ops[-1].outputs[0].shape == (2, 3)


@pytest.mark.parametrize(
    "forward",
    [
        lambda self, x: x.view([int(n) for n in torch.tensor(x.shape).flip(0)]),
        lambda self, x: x.view(*torch.tensor([3, 2]).tolist()),
        lambda self, x: x.view(torch.arange(4)[-1], -1),
        lambda self, x: x.view(int(torch.linspace(0, 3, 5).max()), -1),
        lambda self, x: x.t()[torch.ones(3, dtype=torch.bool)],
        lambda self, x: x.view(int(self.count), -1),
    ],
    ids="shape tensor arange linspace mask buffer".split(),
)
def test_what_is_made_from_constants_has_values(forward):
    reshaped = module(forward)
    reshaped.register_buffer("count", torch.tensor(3))
    assert capture(reshaped, dropped(ACTIVATION))[-1].outputs[0].shape == (3, 2)


def test_ops_on_known_values_are_ops_all_the_same():
    def forward(self, x):
        return x + torch.arange(3.0) * 2

    assert names(capture(module(forward), ACTIVATION)) == ["arange", "mul", "add"]


def test_the_host_waits_where_it_reads_a_value_that_the_device_has():
    def reads(self, x, mask):
        return x * 2 if mask.all() else x

    def goes_on(self, x, mask):
        return mask.all(), x * 2

    image, mask = torch.empty(64, 64, 64, 64, device="meta"), torch.ones(3, dtype=torch.bool)
    ahead = nn.Sequential(*[nn.ReLU() for _ in range(5)])
    first = {
        name: estimate(Behind(ahead, module(forward)), (image, mask)) for name, forward in locals_of(reads, goes_on)
    }
    waited = first["reads"].latency_ms - first["goes_on"].latency_ms
    assert waited > first["reads"].host_ms / 10
    assert first["reads"].latency_ms > first["goes_on"].latency_ms
    assert "aten._local_scalar_dense" in [span.op for span in first["reads"].spans]


class Behind(nn.Module):
    def __init__(self, ahead, last):
        super().__init__()
        self.ahead, self.last = ahead, last

    def forward(self, x, mask):
        return self.last(self.ahead(x), mask)


def locals_of(*functions):
    return [(function.__name__, function) for function in functions]


def test_to_read_what_the_host_has_made_is_no_op():
    assert names(capture(module(lambda self, x: x * torch.tensor([2]).item()), ACTIVATION)) == ["lift_fresh", "mul"]


@pytest.mark.parametrize(
    "read",
    [lambda t: t.sum().item(), lambda t: t.tolist(), lambda t: t.numpy(), lambda t: bool(t.any())],
    ids="item tolist numpy bool".split(),
)
def test_a_constant_that_an_activation_was_written_into_has_no_values(read):
    def forward(self, x):
        kept = torch.zeros(2, 4)
        seen = kept[0]
        kept[:, 1:] = x
        return read(seen)

    with pytest.raises(CaptureError, match="needs the values of a tensor"):
        capture(module(forward), dropped(ACTIVATION))


def test_a_large_constant_costs_no_memory_and_has_no_values():
    def forward(self, x):
        cache = torch.zeros(1000, 1000, 1000, 1000)
        return cache[0, 0, 0, :3] + x

    assert names(capture(module(forward), ACTIVATION))[-1] == "add"
    with pytest.raises(CaptureError, match="needs the values"):
        capture(module(lambda self, x: x * torch.zeros(2, 10**7).sum(0).tolist()[0]), dropped(ACTIVATION))


DECIDING = {
    "item": (lambda self, x: x * x.sum().item(), ["sum", "_local_scalar_dense", "mul"], "local_scalar_dense"),
    "branch": (lambda self, x: x if x.sum() > 0 else -x, ["sum", "gt", "_local_scalar_dense"], "local_scalar_dense"),
    "nonzero": (lambda self, x: x.nonzero() * 2, ["nonzero", "mul"], "nonzero gave 5"),
    "mask": (lambda self, x: x[x > 1] * 2, ["gt", "index", "mul"], "index gave 4"),
    "tolist": (lambda self, x: x * x.tolist()[1][1], ["mul"], ""),
}


@pytest.mark.parametrize(("forward", "ops", "decided_by"), DECIDING.values(), ids=DECIDING)
def test_where_values_decide_the_real_ones_do_and_it_is_said(forward, ops, decided_by):
    found = capture_in_modules(module(forward), ACTIVATION)
    assert names(found.ops) == ops
    assert found.decided_by == decided_by
    assert estimate(module(forward), ACTIVATION).decided_by == decided_by


def test_in_half_precision_values_decide_as_well():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), module(lambda self, x: x[x > 0]), module(lambda self, x: x * 2))
    ops = capture(model, torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(0)), torch.float16)
    assert names(ops) == ["convolution", "gt", "index", "mul"]
    assert {op.outputs[0].dtype for op in ops} == {"float16", "bool"}


@pytest.mark.parametrize(("forward", "ops", "decided_by"), DECIDING.values(), ids=DECIDING)
def test_without_data_they_are_refused_in_one_line_with_module_line_and_what_to_give(forward, ops, decided_by):
    model = nn.Sequential(nn.Identity(), module(forward))
    with pytest.raises(CaptureError) as error:
        estimate(model, dropped(ACTIVATION))
    assert "\n" not in str(error.value)
    assert " in 1 (" in str(error.value)
    assert f"test_values.py:{forward.__code__.co_firstlineno})" in str(error.value)
    assert str(error.value).endswith("with data in all weights and inputs it may be captured")


def test_a_recurrent_layer_and_attention_are_cudas_where_values_decide_too():
    def forward(self, x):
        states = self.layer(x)[0]
        attended = functional.scaled_dot_product_attention(states[None], states[None], states[None])
        return attended[attended > 0]

    ops = names(capture(module(forward, layer=nn.LSTM(3, 4)), torch.rand(5, 2, 3)))
    assert "_cudnn_rnn" in ops
    assert "_scaled_dot_product_efficient_attention" in ops


@pytest.mark.parametrize("weights", [torch.rand(3, 3), nn.Parameter(torch.rand(3, 3))], ids=["plain", "parameter"])
def test_a_module_that_fails_names_module_and_line(weights):
    def forward(self, x):
        return x @ self.weights

    inner = module(forward, weights=weights)
    with pytest.raises(CaptureError, match=rf"RuntimeError: .* in block\.0 \(.*test_values\.py:{line_of(forward)}\)$"):
        estimate(
            nn.Sequential(nn.Flatten()).append(nn.Identity()) and Named(block=nn.Sequential(inner)), torch.rand(2, 4)
        )


class Named(nn.Module):
    def __init__(self, **parts):
        super().__init__()
        for name, part in parts.items():
            self.add_module(name, part)

    def forward(self, x):
        for part in self.children():
            x = part(x)
        return x


def line_of(function):
    return function.__code__.co_firstlineno + 1


# The module, its inputs and the process are as they were.


def lazily(self, x):
    if "table" not in vars(self):
        self.table = self.weight.cumsum(0)
    return x * self.table


def hooked(self, x):
    if not getattr(self, "installed", False):
        self.inner.register_forward_hook(lambda _module, _args, result: result + 1)
        self.installed = True
    return self.inner(x)


def cached_in_a_dict(self, x):
    if x.shape not in self.cache:
        self.cache[x.shape] = self.weight * 2
    return x * self.cache[x.shape]


@functools.lru_cache(maxsize=None)
def table(length, dtype):
    return torch.arange(length, dtype=dtype) * 2


class State:
    """As the caches of language models are: an object that a forward pass writes into."""

    def __init__(self):
        self.layers = [torch.rand(2, 3)]


def grows(self, x, state):
    state.layers[0] = torch.cat([state.layers[0], x])
    return state.layers[0] @ self.inner.weight


KEEPING = {
    "attribute": (lazily, lambda: (ACTIVATION,)),
    "hook": (hooked, lambda: (ACTIVATION,)),
    "dictionary": (cached_in_a_dict, lambda: (ACTIVATION,)),
    "cache of the process": (lambda self, x: x * table(3, x.dtype), lambda: (ACTIVATION,)),
    "object among the inputs": (grows, lambda: (ACTIVATION, State())),
    "counter": (lambda self, x: x * (self.count.add_(1)), lambda: (ACTIVATION,)),
    "random": (lambda self, x: x + torch.rand(3), lambda: (ACTIVATION,)),
}


@pytest.mark.parametrize(("forward", "inputs"), KEEPING.values(), ids=KEEPING)
def test_forward_is_the_same_before_and_after_and_so_is_the_estimate(forward, inputs):
    torch.manual_seed(0)
    model = module(forward, inner=nn.Linear(3, 3), cache={}).eval()
    model.weight, model.count = nn.Parameter(torch.rand(3)), torch.zeros(())
    other, given = copy.deepcopy(model), inputs()
    other_given, generator = copy.deepcopy(given), torch.get_rng_state()
    first, second = estimate(model, given), estimate(model, given)
    assert first == second
    assert torch.equal(torch.get_rng_state(), generator)
    results = []
    for one, its_inputs in ((model, given), (other, other_given)):
        torch.manual_seed(1)
        results.append(one(*its_inputs))
    assert torch.equal(*results)


def test_a_forward_that_writes_into_weights_writes_into_none_of_the_users():
    model = nn.Sequential(nn.Embedding(4, 3, max_norm=0.1), module(lambda self, x: x * 2 if x.sum() > 9 else x))
    before = model[0].weight.clone()
    with pytest.raises(CaptureError, match="needs the values of a tensor"):
        capture(model, torch.tensor([1, 2]))
    assert torch.equal(model[0].weight, before)


def test_a_constant_that_an_op_writes_a_result_into_has_no_values():
    def forward(self, x):
        values, places = torch.zeros(2), torch.zeros(2, dtype=torch.long)
        torch.max(x, 1, out=(values, places))
        return values.tolist()

    with pytest.raises(CaptureError, match="needs the values of a tensor"):
        capture(module(forward), dropped(ACTIVATION))


def test_what_cannot_be_copied_stands_for_itself():
    import threading

    model = module(lambda self, x: self.lock.locked() or x * next(self.steps), lock=threading.Lock())
    model.steps = iter(int, 1)
    assert names(capture(model, ACTIVATION)) == ["mul"]


def test_what_modules_share_their_copies_share():
    def first(self, x):
        self.shared["seen"] = x
        return x

    shared = {}
    parts = module(first, shared=shared), module(lambda self, x: self.shared["seen"] * 2, shared=shared)
    assert names(capture(nn.Sequential(*parts), ACTIVATION)) == ["mul"]
    assert shared == {}


class Uncopied(nn.Linear):
    def __deepcopy__(self, memo):
        raise RuntimeError("one of a kind")


def test_a_module_that_refuses_to_be_copied_is_one_line_wherever_it_stands():
    for model in (Uncopied(3, 3), nn.Sequential(nn.ReLU(), Uncopied(3, 3))):
        with pytest.raises(CaptureError, match=r"cannot be copied: RuntimeError: one of a kind$"):
            capture(model, ACTIVATION)


def test_a_module_with_slots_keeps_them():
    class Slotted(nn.Linear):
        __slots__ = ("factor",)

        def forward(self, x):
            return super().forward(x) * self.factor

    model = Slotted(3, 3)
    model.factor = 2
    assert names(capture(nn.Sequential(model), ACTIVATION))[-1] == "mul"


def test_what_a_module_makes_once_and_keeps_is_no_part_of_a_warm_forward():
    model = module(lazily)
    model.weight = nn.Parameter(torch.rand(3))
    assert names(capture(model, ACTIVATION)) == ["mul"]
    table.cache_clear()
    assert names(capture(module(lambda self, x: x * table(3, x.dtype)), ACTIVATION)) == ["mul"]
