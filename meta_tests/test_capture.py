from __future__ import annotations

import contextlib
import subprocess
import sys

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn.modules import module as module_hooks
from torch.utils._python_dispatch import TorchDispatchMode

from estimator.capture import capture, capture_in_modules
from estimator.errors import CaptureError
from estimator.opstream import TensorSpec
from estimator.subjects.zoo import find_models


def names(ops):
    return [op.name.replace("aten.", "") for op in ops]


def module(function, **attributes):
    class Module(torch.nn.Module):
        def __init__(self):
            super().__init__()
            for name, value in attributes.items():
                setattr(self, name, value)

        def forward(self, *args, **kwargs):
            return function(self, *args, **kwargs)

    return Module()


def ops_on_pytorchs_fake_tensors(model, shape):
    recorded = []

    class Recorder(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            recorded.append(func._schema.name.replace("aten::", ""))
            return func(*args, **(kwargs or {}))

    with FakeTensorMode(allow_non_fake_inputs=True), torch.no_grad():
        fakes = {k: torch.empty(v.shape, dtype=v.dtype) for k, v in model.state_dict().items()}
        source = torch.empty(shape)
        with Recorder():
            torch.func.functional_call(model.eval(), fakes, (source,))
    return [name for name in recorded if "prim" not in name and not name.startswith("empty")]


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v3_small", "vgg11", "efficientnet_b0", "fcn_resnet50"])
def test_the_ops_are_those_of_pytorchs_own_fake_tensors(name):
    (model,) = find_models([name])
    assert names(capture(model.build(), model.example_input())) == ops_on_pytorchs_fake_tensors(
        model.build(), (1, 3, 224, 224)
    )


def test_multi_head_attention_takes_the_fast_path_of_inference():
    attention = torch.nn.MultiheadAttention(64, 4, batch_first=True)
    ops = capture(module(lambda self, x: self.attention(x, x, x)[0], attention=attention), torch.rand(2, 10, 64))
    assert names(ops)[0] == "_native_multi_head_attention"


def test_real_and_meta_weights_give_the_same_ops():
    real = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.BatchNorm2d(8), torch.nn.ReLU())
    source = torch.rand(1, 3, 16, 16)
    assert capture(real, source) == capture(real.to("meta"), source.to("meta"))


def test_the_model_is_left_as_it_was():
    model = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.Dropout(), torch.nn.BatchNorm1d(4))
    model.train()
    model[2].eval()
    before = {name: (value, value.clone()) for name, value in model.state_dict(keep_vars=True).items()}
    capture(model, torch.rand(2, 4))
    after = model.state_dict(keep_vars=True)
    assert all(after[name] is value and torch.equal(value, copy) for name, (value, copy) in before.items())
    assert [part.training for part in model] == [True, True, False]


def test_the_model_is_left_as_it_was_after_an_error():
    model = torch.nn.Linear(4, 4).train()
    weight = model.weight
    with pytest.raises(CaptureError):
        capture(model, torch.rand(1, 5))
    assert model.weight is weight
    assert model.training


def test_dropout_and_batch_statistics_are_those_of_inference():
    model = torch.nn.Sequential(torch.nn.Dropout(), torch.nn.BatchNorm2d(4)).train()
    (norm,) = capture(model, torch.rand(2, 4, 5, 5))
    assert norm.name == "aten.native_batch_norm"
    assert norm.args[5] is False


def test_a_weight_under_two_names_is_one_weight():
    shared = torch.nn.Linear(4, 4, bias=False)
    assert names(capture(torch.nn.Sequential(shared, shared), torch.rand(1, 4))) == ["t", "mm", "t", "mm"]


@pytest.mark.parametrize(
    "outputs",
    [lambda x: {"out": x + 1}, lambda x: (x + 1, [x]), lambda x: x + 1, lambda x: None if (x + 1) is None else x],
    ids=["dict", "nested", "tensor", "input"],
)
def test_any_output_will_do(outputs):
    assert names(capture(module(lambda self, x: outputs(x)), torch.rand(3))) == ["add"]


def test_inputs_are_positional_or_by_name():
    added = module(lambda self, a, b: a + b)
    one, two = torch.rand(3), torch.rand(3)
    assert capture(added, (one, two)) == capture(added, {"a": one, "b": two}) == capture(added, [one, two])


def test_an_in_place_op_gives_its_own_input():
    def twice(self, x):
        y = x.relu_()
        assert y is x
        return y.add_(x)

    ops = capture(module(twice), torch.rand(3))
    assert names(ops) == ["relu_", "add_"]
    assert all(op.in_place and not op.is_view for op in ops)


def test_views_are_told_from_copies():
    ops = capture(module(lambda self, x: x.transpose(0, 1).reshape(-1).unsqueeze(0)), torch.rand(3, 4))
    assert [(op.name, op.is_view) for op in ops] == [
        ("aten.transpose", True),
        ("aten.clone", False),
        ("aten._unsafe_view", True),
        ("aten.unsqueeze", True),
    ]


def test_tensors_that_a_model_keeps_or_makes_are_captured_like_weights():
    def forward(self, x):
        return x + self.kept + torch.arange(3.0) + torch.tensor(1.0)

    assert names(capture(module(forward, kept=torch.ones(3)), torch.rand(3))).count("add") == 3


def test_a_slice_that_takes_all_is_no_op():
    assert names(capture(module(lambda self, x: x[:, 0:5] + x[:, 0:2].sum()), torch.rand(2, 5))) == [
        "slice",
        "sum",
        "add",
    ]


def test_another_dtype_goes_for_weights_and_inputs_but_not_for_indices():
    model = torch.nn.Sequential(torch.nn.Embedding(10, 4), torch.nn.Linear(4, 4))
    ops = capture(model, torch.zeros(1, 3, dtype=torch.long), dtype=torch.float16)
    assert ops[0].inputs == (TensorSpec((10, 4), "float16", 2), TensorSpec((1, 3), "int64", 8))
    assert all(op.outputs[0].dtype == "float16" for op in ops)


def test_a_model_that_fails_says_which_and_why():
    with pytest.raises(CaptureError, match=r"the op stream of Linear: RuntimeError: .*5"):
        capture(torch.nn.Linear(4, 4), torch.rand(1, 5))


class Ends(torch.nn.Module):
    """A module that ends the process that runs it."""

    def forward(self, x):
        raise SystemExit(3)


class EndsWhereCopied(torch.nn.Linear):
    def __deepcopy__(self, memo):
        raise SystemExit(3)


@pytest.mark.parametrize("module", [Ends(), torch.nn.Sequential(Ends()), EndsWhereCopied(4, 4)])
def test_a_model_that_ends_its_process_is_refused_like_any_that_fails(module):
    with pytest.raises(CaptureError, match="SystemExit: 3"):
        capture(module, torch.rand(1, 4))


def test_weights_of_four_gigabytes_take_no_memory():
    program = """
import resource, torch
from estimator import estimate
with torch.device("meta"):
    model = torch.nn.Linear(100_000, 10_000)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
result = estimate(model, torch.empty(1, 100_000, device="meta"))
assert result.bytes > 4e9, result.bytes
grown_mb = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1e3
assert grown_mb < 200, grown_mb
"""
    subprocess.run([sys.executable, "-c", program], check=True)


def block():
    inner = torch.nn.Sequential(torch.nn.Conv2d(4, 4, 3, padding=1), torch.nn.ReLU())
    return module(lambda self, x: x + self.inner(x), inner=inner)


def test_each_op_knows_the_module_that_issued_it():
    model = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 1), block())
    captured = capture_in_modules(model, torch.rand(1, 3, 8, 8))
    assert names(captured.ops) == ["convolution", "convolution", "relu", "add"]
    assert captured.modules == ("0", "1.inner.0", "1.inner.1", "1")


def test_what_the_model_does_itself_has_no_path():
    captured = capture_in_modules(module(lambda self, x: self.part(x + 1) * 2, part=torch.nn.ReLU()), torch.rand(3))
    assert captured.modules == ("", "part", "")


def test_a_module_under_two_names_goes_by_the_first():
    shared = torch.nn.Linear(4, 4, bias=False)
    captured = capture_in_modules(torch.nn.Sequential(shared, shared), torch.rand(1, 4))
    assert set(captured.modules) == {"0"}


def test_a_module_that_the_model_does_not_have_counts_as_its_callers():
    captured = capture_in_modules(module(lambda self, x: torch.nn.ReLU()(x)), torch.rand(3))
    assert captured.modules == ("",)


def test_a_module_that_fails_and_is_caught_leaves_the_path_right():
    def forward(self, x):
        try:
            self.failing(x)
        except RuntimeError:
            return self.part(x)

    model = module(forward, failing=torch.nn.Linear(9, 9), part=torch.nn.ReLU())
    assert capture_in_modules(model, torch.rand(1, 4)).modules[-1] == "part"


@pytest.mark.parametrize("name", ["resnet18", "vit_b_32", "maxvit_t", "fcn_resnet50"])
def test_asking_for_modules_changes_no_op(name):
    (model,) = find_models([name])
    captured = capture_in_modules(model.build(), model.example_input())
    assert captured.ops == capture(model.build(), model.example_input())
    assert set(captured.modules) <= set(dict(model.build().named_modules()))


@pytest.mark.parametrize("source", [torch.rand(1, 4), torch.rand(1, 5)], ids=["runs", "fails"])
def test_no_hook_is_left_on_a_model_or_on_all_of_them(source):
    model = torch.nn.Linear(4, 4)
    before = hooks_of(model)
    with contextlib.suppress(CaptureError):
        capture_in_modules(model, source)
    assert hooks_of(model) == before


def hooks_of(model):
    everywhere = {name: dict(value) for name, value in vars(module_hooks).items() if name.startswith("_global_f")}
    own = {name: dict(value) for name, value in vars(model).items() if name.endswith("hooks")}
    assert len(everywhere) >= 2
    assert len(own) >= 2
    return everywhere, own
