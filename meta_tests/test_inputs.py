"""Modules and inputs as people have them: every kind of argument, type, layout and state."""

from __future__ import annotations

import collections
import random

import pytest
import torch
from torch import nn

from estimator import CaptureError, LoweringError, estimate
from estimator.capture import capture, capture_in_modules
from estimator.estimate_text import estimate_lines
from estimator.lower import lower
from estimator.pipeline import forward_pass
from estimator.target import resolve
from meta_tests.modules import module

TORCH = tuple(int(part) for part in torch.__version__.split(".")[:2])
ONE, TWO = torch.rand(3, 4), torch.rand(3, 4)


def names(ops):
    return [op.name.replace("aten.", "") for op in ops]


Pair = collections.namedtuple("Pair", "left right")


@pytest.mark.parametrize(
    ("forward", "inputs"),
    [
        (lambda self, x: x + 1, ONE),
        (lambda self, a, b: a + b, (ONE, TWO)),
        (lambda self, a, b: a + b, [ONE, TWO]),
        (lambda self, a, b: a + b, {"b": TWO, "a": ONE}),
        (lambda self, a, *, b=None: a + b, collections.OrderedDict(a=ONE, b=TWO)),
        (lambda self, batch: batch["a"] + batch["b"], ({"a": ONE, "b": TWO},)),
        (lambda self, batch: batch["all"][0] + batch["all"][1]["b"], ({"all": [ONE, {"b": TWO}]},)),
        (lambda self, pair: pair.left + pair.right, (Pair(ONE, TWO),)),
        (lambda self, batch: batch["b"] + next(iter(batch.values())), (collections.OrderedDict(a=ONE, b=TWO),)),
        (lambda self, x, times, mask: x + times if mask is None else None, (ONE, 3, None)),
        (lambda self, x, how: x + len(how), {"x": ONE, "how": "text"}),
    ],
    ids="tensor tuple list keywords mapping dict nested named-tuple ordered integer-and-none text".split(),
)
def test_inputs_are_passed_on_as_they_are(forward, inputs):
    assert names(capture(module(forward), inputs)) == ["add"]


def network():
    return nn.Sequential(nn.Conv2d(16, 16, 3), nn.BatchNorm2d(16), nn.ReLU(), nn.Flatten(), nn.Linear(16 * 36, 8))


IMAGE = torch.rand(1, 16, 8, 8)


@pytest.mark.parametrize(("dtype", "precision"), [(torch.float16, "fp16"), (torch.bfloat16, "bf16")])
def test_weights_in_half_precision_compute_as_at_that_precision(dtype, precision):
    own, at_precision = estimate(network().to(dtype), IMAGE.to(dtype)), estimate(network(), IMAGE, precision=precision)
    assert own == at_precision
    assert own.computes_in == precision
    lines = list(estimate_lines("own", resolve(), own))
    assert f"weights or inputs in half precision: computed as at precision {precision}" in lines
    assert not any("half" in line for line in estimate_lines("own", resolve(precision=precision), at_precision))
    assert own.latency_ms < estimate(network(), IMAGE).latency_ms
    assert own.without_evidence == (("bf16",) if precision == "bf16" else ())


def test_single_precision_inside_a_half_precision_model_is_priced_as_pytorch_multiplies_it():
    wide = torch.empty(2048, 2048, device="meta")
    inner = module(lambda self, x: (x.float() @ x.float()).to(x.dtype))
    assert estimate(inner, wide, precision="fp16").device_ms > 0.9 * estimate(inner, wide).device_ms


@pytest.mark.parametrize(
    ("model", "inputs", "dtype"),
    [
        (network().double(), IMAGE.double(), "float64"),
        (nn.LSTM(4, 4).double(), torch.rand(3, 1, 4).double(), "float64"),
        (module(lambda self, x: x @ x), torch.ones(3, 3, dtype=torch.complex64), "complex64"),
    ],
    ids=["double", "double recurrent", "complex"],
)
def test_a_product_of_a_type_without_a_rate_is_one_line(model, inputs, dtype):
    with pytest.raises(
        LoweringError, match=f"multiplies {dtype}, whose rate no profile knows; known: float32"
    ) as error:
        estimate(model, inputs)
    assert "\n" not in str(error.value)


def test_channels_last_spares_the_conversions_of_a_convolution():
    model, source = nn.Conv2d(64, 64, 3, padding=1, bias=False), torch.rand(1, 64, 56, 56)
    converted = estimate(model, source)
    as_nhwc = model.to(memory_format=torch.channels_last), source.to(memory_format=torch.channels_last)
    assert capture(*as_nhwc)[0].outputs[0].channels_last
    through = capture(nn.Sequential(model, nn.BatchNorm2d(64), nn.ReLU(), model), as_nhwc[1])
    assert [op.outputs[0].channels_last for op in through] == [True] * 4
    target = resolve()
    free = {**target.profile.values(), "layout_passes": 1e-12}
    spared = forward_pass(lower(capture(model, source)), target).with_constants(target, free)
    assert estimate(*as_nhwc).device_ms == pytest.approx(spared.device_ms)
    assert estimate(*as_nhwc).device_ms < converted.device_ms


def test_a_frozen_model_has_the_same_ops():
    frozen = network().requires_grad_(False)
    assert capture(frozen, IMAGE) == capture(network(), IMAGE)


@pytest.mark.skipif(TORCH < (2, 2), reason="this torch takes its fast path all the same")
def test_hooks_run_and_turn_the_fast_path_off_as_in_eager_mode():
    layer, source = nn.TransformerEncoderLayer(16, 4, 32, batch_first=True).eval(), torch.rand(1, 5, 16)
    seen = []
    assert names(capture(layer, source)) == ["_transformer_encoder_layer_fwd"]
    handle = layer.linear1.register_forward_hook(lambda *_: seen.append(1))
    ops = names(capture(layer, source))
    assert seen == [1]
    assert "_transformer_encoder_layer_fwd" not in ops
    assert len(layer.linear1._forward_hooks) == 1
    handle.remove()
    assert names(capture(layer, source)) == ["_transformer_encoder_layer_fwd"]


def test_an_op_in_a_hook_is_an_op_of_the_model():
    model = nn.Sequential(nn.ReLU())
    model[0].register_forward_hook(lambda _module, _args, result: result.sigmoid())
    assert names(capture(model, ONE)) == ["relu", "sigmoid"]


def state_of(model):
    return [(module, dict(vars(module)), dict(module._buffers), dict(module._parameters)) for module in model.modules()]


@pytest.mark.parametrize("source", [IMAGE, torch.rand(1, 9, 8, 8)], ids=["runs", "fails"])
def test_a_model_in_training_keeps_everything(source):
    def forward(self, x):
        self.calls, self.last = self.calls + 1, x
        self.count += 1
        self.mean = self.mean + x.mean()
        torch.rand(3)
        return self.inner(nn.functional.dropout(x, 0.5, self.training)).normal_()

    model = module(forward, inner=network(), calls=0)
    model.register_buffer("count", torch.zeros(()))
    model.register_buffer("mean", torch.zeros(()))
    model.inner[1].eval()
    model.inner(IMAGE).sum().backward()
    kept = [(t, t.clone(), None if t.grad is None else t.grad.clone()) for t in (*model.parameters(), *model.buffers())]
    before, generators = state_of(model), (torch.get_rng_state(), random.getstate())
    try:
        capture_in_modules(model, source)
    except CaptureError:
        assert source is not IMAGE
    for (one, *then), (_, *now) in zip(before, state_of(model)):
        assert all(list(a) == list(b) and all(a[k] is b[k] for k in a) for a, b in zip(then, now)), one
    assert all(torch.equal(t, data) and (t.grad is None or torch.equal(t.grad, grad)) for t, data, grad in kept)
    assert torch.equal(torch.get_rng_state(), generators[0])
    assert random.getstate() == generators[1]


def test_a_model_works_after_its_capture():
    model = network().train()
    capture(model, IMAGE)
    assert model(torch.rand(2, 16, 8, 8)).requires_grad


def compiled():
    return torch.compile(nn.Linear(4, 4))


@pytest.mark.filterwarnings("ignore:.*is deprecated:DeprecationWarning")
@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: torch.jit.script(nn.Linear(4, 4)),
            "ScriptModule is scripted: .* the module that it was made",
        ),
        (lambda: torch.jit.trace(nn.Linear(4, 4), ONE), "TracedModule is scripted: "),
        (lambda: nn.Sequential(torch.jit.script(nn.Linear(4, 4))), r"^0, a RecursiveScriptModule, is scripted"),
        (compiled, "OptimizedModule is compiled: .* before torch.compile"),
        (lambda: nn.DataParallel(nn.Linear(4, 4)), r"DataParallel is spread over devices: .* its \.module"),
        (lambda: torch.relu, "is no torch.nn.Module"),
        (lambda: nn.Sequential(nn.LazyLinear(4)), "a lazy module has no weights before its first call"),
    ],
    ids="scripted traced part compiled parallel function lazy".split(),
)
def test_what_is_not_eager_is_one_clear_line(make, message):
    with pytest.raises(CaptureError, match=message) as error:
        estimate(make(), ONE)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("forward", "ops", "moved"),
    [
        (lambda self, x: torch.linalg.inv(x), ["linalg_inv_ex", "_linalg_check_errors"], [4 * (16 + 16 + 1), 4]),
        (lambda self, x: torch._assert_async(x.sum()), ["sum", "_assert_async"], [4 * 17, 4]),
        (lambda self, x: torch._foreach_mul_([x, x], 2.0), ["_foreach_mul_"], [4 * 4 * 16]),
    ],
    ids=["inv", "assert", "foreach"],
)
def test_ops_without_results_are_priced_by_what_they_read_and_write(forward, ops, moved):
    source = torch.rand(4, 4)
    found = capture(module(forward), source)
    assert names(found) == ops
    assert [sum(kernel.bytes for kernel in op.kernels) for op in lower(found)] == moved
    assert estimate(module(forward), source).latency_ms > 0


@pytest.mark.parametrize(
    "out",
    [lambda: torch.empty(3, 3), lambda: torch.empty(0), lambda: torch.empty(9)[3:3]],
    ids=["full", "empty", "view"],
)
def test_an_op_with_out_is_the_op_without(out):
    plain = capture(module(lambda self, x: (x @ x) + 1), torch.rand(3, 3))

    def into(self, x):
        result = out()
        assert torch.mm(x, x, out=result) is result
        return result + 1

    ops = [op for op in capture(module(into), torch.rand(3, 3)) if op.name not in ("aten.slice", "aten.alias")]
    assert ops == list(plain)


@pytest.mark.filterwarnings("ignore:An output with one or more elements was resized")
def test_out_of_another_size_is_one_line():
    with pytest.raises(CaptureError, match=r"resizes a tensor of shape \(2,\) to \(3, 4\)"):
        capture(module(lambda self, x: torch.add(x, x, out=torch.empty(2))), ONE)


def test_shapes_changed_in_place_are_the_shapes_of_what_follows():
    def forward(self, x):
        y = x + 0
        y.t_()
        y.unsqueeze_(0)
        return y * 2

    ops = capture(module(forward), ONE)
    assert names(ops) == ["add", "t_", "unsqueeze_", "mul"]
    assert ops[-1].outputs[0].shape == (1, 4, 3)


def test_an_op_without_a_meta_kernel_may_take_keywords():
    def forward(self, x):
        return torch.repeat_interleave(x, torch.tensor([1, 2, 4]), dim=0, output_size=7)

    ops = capture(module(forward), ONE)
    assert dict(next(op.kwargs for op in ops if op.name == "aten.repeat_interleave")) == {"output_size": 7}
    assert ops[-1].outputs[0].shape == (7, 4)
