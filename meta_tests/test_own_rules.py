"""An op of somebody's own: priced by a rule that `estimate` and `latency.check` are given."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from torch.utils import flop_counter

from estimator import LoweringError, UsageError, estimate
from estimator.lower import Kernel, Lowered, stream_kernel
from meta_tests.modules import module
from meta_tests.test_own_model import BOARD, repository  # noqa: F401  (a fixture)

ROOT = Path(__file__).parents[1]
EXAMPLE = re.search(
    r"## An op of your own\n.*?```python\n(.*?)```", (ROOT / "docs" / "own-models.md").read_text("utf-8"), re.DOTALL
)[1]
LIBRARY = """
import torch

if not hasattr(torch.ops.mylib, "scan"):  # a process loads a library once
    library = torch.library.Library("mylib", "DEF")
    library.define("scan(Tensor x) -> Tensor")
    library.define("scan_(Tensor(a!) x) -> Tensor(a!)")
    for name, function in (("scan", lambda x: torch.empty_like(x)), ("scan_", lambda x: x)):
        library.impl(name, function, "Meta")


class Scanner(torch.nn.Module):
    def forward(self, x):
        return torch.ops.mylib.scan(x)
"""
DEFINED: dict = {}
exec(LIBRARY + EXAMPLE.split("def test_")[0], DEFINED)
INPUT = torch.empty(64, 1024, 1024, device="meta")


def twice(op, *_, **__):
    return Lowered(op, "reduction", 0, (stream_kernel(op), stream_kernel(op)))


def test_a_rule_prices_an_op_of_somebody_s_own():
    by_bytes = estimate(DEFINED["Scanner"](), INPUT)
    by_rule = estimate(DEFINED["Scanner"](), INPUT, rules={"mylib.scan": DEFINED["scan_rule"]})
    assert (by_bytes.defaulted, by_rule.defaulted) == (("mylib.scan",), ())
    assert by_rule.device_ms == pytest.approx(2 * by_bytes.device_ms)
    assert estimate(DEFINED["Scanner"](), INPUT) == by_bytes


@pytest.mark.parametrize(("layer", "name"), [(torch.nn.ReLU(), "aten.relu"), (torch.nn.ReLU(True), "aten.relu")])
def test_a_rule_goes_before_the_one_known_here_and_is_for_the_op_in_place_too(layer, name):
    known, own = estimate(layer, INPUT), estimate(layer, INPUT, rules={name: twice})
    assert own.device_ms == pytest.approx(2 * known.device_ms)


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ({"mylib.scam": twice}, "rules: 'mylib.scam': torch has no such op (import"),
        ({"relu": twice}, "rules: 'relu': torch has no such op"),
        ({"aten.relu.default": twice}, "rules: 'aten.relu.default': torch has no such op"),
        (
            {"aten.relu_": twice, "aten.relu": twice},
            "rules: aten.relu and aten.relu_: a rule is for",
        ),
        ({"aten.relu": "stream"}, "rules: aten.relu: must be a function, got 'stream'"),
    ],
)
def test_what_names_no_op_or_one_twice_is_refused(rules, message):
    with pytest.raises(UsageError) as error:
        estimate(torch.nn.ReLU(), INPUT, rules=rules)
    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "rule",
    [
        lambda op, *_: None,
        lambda op, *_: Lowered(op, "scan", 0, ()),
        lambda op, *_: Lowered(op, "pointwise", 0, (Kernel("scan", "scan", "float32", 1, 1, 1, 1),)),
        lambda op, *_: Lowered(op, "product", 0, (Kernel("product", "scan", "float32", 1, 1, 1, 1),)),
    ],
    ids=["nothing", "kind of op", "kind of kernel", "product"],
)
def test_what_a_rule_must_not_return_is_one_line(rule):
    with pytest.raises(LoweringError, match=r"^the rule of aten\.relu must return [^\n]*$"):
        estimate(torch.nn.ReLU(), INPUT, rules={"aten.relu": rule})


def test_the_example_of_the_document_has_its_golden_and_no_stale_one(repository):  # noqa: F811
    tests = LIBRARY + EXAMPLE
    repository.has_tests(tests)
    repository.run("--snapshot-update").assert_outcomes(passed=1)
    repository.run().assert_outcomes(passed=1)
    repository.command("explain", "test_latency.py::test_scanner").fnmatch_lines(["*scan*"])
    repository.has_tests(tests.replace(', rules={"mylib.scan": scan_rule}', ""))
    without = repository.run()
    without.assert_outcomes(failed=1)
    without.stdout.fnmatch_lines(["*test_scanner: * -> * ms (*another op stream*"])
    repository.has_tests(tests.replace('mylib.scan"', 'mylib.scam"'))
    refused = repository.run()
    refused.stdout.fnmatch_lines(["*rules: 'mylib.scam': torch has no such op*"])


@pytest.mark.skipif(not hasattr(flop_counter, "register_flop_formula"), reason="this torch takes no formula")
def test_an_op_without_a_rule_does_the_flop_of_its_formula_and_without_one_it_has_no_interval():
    library = torch.library.Library("lab", "DEF")
    for name in ("counted", "uncounted"):
        library.define(f"{name}(Tensor x) -> Tensor")
        library.impl(name, torch.clone, "CompositeExplicitAutograd")
    flop_counter.register_flop_formula(torch.ops.lab.counted)(lambda shape, *_, **__: 10**12)
    counted, uncounted = (
        estimate(module(lambda self, x, op=op: op(x)), torch.rand(64, 64))
        for op in (torch.ops.lab.counted, torch.ops.lab.uncounted)
    )
    assert counted.flops == 10**12
    assert counted.device_ms > 100 * uncounted.device_ms
    assert counted.interval_pct is not None
    assert (uncounted.interval_pct, uncounted.without_evidence) == (None, ("lab.uncounted",))
