"""How sure an estimate is of ops that no calibration has seen, and how it says so."""

from __future__ import annotations

import json
import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from estimator import estimate
from estimator.capture import capture
from estimator.compare import compare
from estimator.explain.breakdown import critical_path
from estimator.interval import MODEL_UNCERTAINTY
from estimator.lower import Lowered, lower
from estimator.lower.kernels import FUSED_ATTENTION, Kernel, stream_kernel
from estimator.opstream import Op, TensorSpec
from estimator.pipeline import estimate_lowered, forward_pass
from estimator.records.kinds import MODEL_KIND
from estimator.subjects.zoo import MODELS
from estimator.suite.reports import Results, tell_row
from estimator.suite.summary import defaulted_lines
from estimator.target import resolve
from meta_tests.estimating import op_stream

HOME = resolve()
MiB = 2**20


def streams(count, name="aten.relu", mib=64):
    t = TensorSpec((mib * MiB // 4,), "float32", 4)
    return [Op(name, (t,), (), (t,), is_view=False, in_place=False)] * count


def estimated(*ops):
    return estimate_lowered(lower([op for part in ops for op in part]), HOME)


def test_no_model_of_the_suite_has_an_op_that_no_calibration_has_seen():
    assert [m.name for m in MODELS if any(op.unseen for op in lower(op_stream(m)))] == []


def test_an_op_without_a_rule_widens_the_interval_by_its_share():
    known = estimated(streams(8))
    few, many = estimated(streams(7), streams(1, "aten.new")), estimated(streams(8, "aten.new"))
    assert known.latency_ms == few.latency_ms == many.latency_ms
    assert known.interval_pct < few.interval_pct < many.interval_pct
    assert many.interval_pct > 0.98 * 100 * 1.28 * MODEL_UNCERTAINTY["no rule"].device


def test_ops_of_one_name_are_off_alike_and_those_of_two_are_not():
    alike = estimated(streams(8, "aten.new"))
    apart = estimated(streams(4, "aten.new"), streams(4, "aten.newer"))
    assert apart.latency_ms == alike.latency_ms
    assert apart.interval_pct < alike.interval_pct


def test_what_bytes_alone_would_have_said_of_the_ops_of_the_models_is_the_evidence():
    spent = {True: {}, False: {}}
    for model in MODELS:
        launching = [op for op in lower(op_stream(model)) if op.kernels]
        bare = [Lowered(op.op, "other", 0, (stream_kernel(op.op),), has_rule=False) for op in launching]
        for has_rule, ops in ((True, launching), (False, bare)):
            found = forward_pass(ops, HOME)
            device_us = np.bincount(found.kernels.op, found.costs.device_us, len(ops))
            for op, *us in zip(ops, found.costs.host_us, device_us):
                name = op.op.name.rstrip("_")
                spent[has_rule][name] = spent[has_rule].get(name, np.zeros(2)) + us
    logs = np.array([np.log(spent[True][name] / spent[False][name]) for name in spent[True]])
    host, device = np.sqrt(np.mean(logs**2, axis=0))
    assert (host, device) == pytest.approx(
        (MODEL_UNCERTAINTY["no rule"].host, MODEL_UNCERTAINTY["no rule"].device), abs=0.1
    )
    assert f"each of the {len(logs)} op names" in MODEL_UNCERTAINTY["no rule"].evidence


@pytest.mark.parametrize("hidden", [64, 512])
def test_a_recurrent_layer_is_known_no_better_than_what_was_measured_says(hidden):
    found = estimate(nn.LSTM(64, hidden), torch.rand(100, 1, 64))
    known = MODEL_UNCERTAINTY["recurrent"]
    both_by_half = math.hypot(known.host, known.device) / 2
    assert found.interval_pct > 0.7 * 100 * 1.28 * both_by_half
    assert found.defaulted == ()


def test_fused_attention_widens_the_interval_of_a_model_that_it_is_much_of():
    parts = torch.empty(1, 16, 2048, 64, device="meta"), torch.empty(1, 1, 2048, 2048, device="meta")

    class Attention(nn.Module):
        def forward(self, x, mask):
            return nn.functional.scaled_dot_product_attention(x, x, x, mask)

    assert estimate(Attention(), parts).interval_pct > 0.95 * 100 * 1.28 * MODEL_UNCERTAINTY["fused attention"].device


def test_each_op_without_a_rule_has_its_share_of_the_device():
    found = estimated(streams(6), streams(1, "aten.new"), streams(1, "aten.newer"))
    assert found.defaulted == ("aten.new", "aten.newer")
    assert found.defaulted_share_pct == pytest.approx({"aten.new": 12.5, "aten.newer": 12.5})


def reported(name, found):
    item = SimpleNamespace(user_properties=[])
    row = compare(name, "", found, None, (HOME.hardware, HOME.label))
    tell_row(item, SimpleNamespace(name=name, family=""), row, defaulted_share_pct=dict(found.defaulted_share_pct))
    sent = json.loads(json.dumps(item.user_properties))  # as pytest-xdist sends it
    return SimpleNamespace(user_properties=[tuple(pair) for pair in sent], outcome="passed", when="call")


def test_the_run_names_what_takes_more_than_one_percent():
    results = Results()
    for name, new, newer in (("first", 2, 1), ("second", 0, 0), ("third", 1, 0)):
        ops = streams(200 - new - newer, mib=8), streams(new, "aten.new", mib=8), streams(newer, "aten.newer", mib=8)
        results.pytest_runtest_logreport(reported(name, estimated(*ops, streams(new, "aten.new", mib=8))))
    lines = list(defaulted_lines(results.said("defaulted_share_pct", MODEL_KIND, (HOME.hardware, HOME.label))))
    assert lines == [
        "",
        "  Priced by their bytes alone, for want of a rule, more than 1 % of device time:",
        "    first: aten.new 2.0 %",
    ]


def test_the_critical_path_of_a_library_that_launches_kernels_adds_up():
    for model, steps in ((nn.LSTM(512, 512), 100), (nn.LSTM(8, 8), 100), (nn.GRU(2048, 2048), 9)):
        found = forward_pass(lower(capture(model, torch.empty(steps, 1, model.input_size))), HOME)
        path = critical_path(found)
        assert path.total_us == pytest.approx(1e3 * found.latency_ms)
        assert path.host_us.min() >= 0


T = TensorSpec((4,), "float32", 4)
OP = Op("aten.relu", (T,), (), (T,), is_view=False, in_place=False)
ATTENTION = Kernel("product", FUSED_ATTENTION, "float32", 4, 4, 16, 16)


@pytest.mark.parametrize(
    ("lowered", "unseen"),
    [
        (Lowered(OP, "pointwise", 0, (stream_kernel(OP),)), ""),
        (Lowered(OP, "other", 0, (stream_kernel(OP),), has_rule=False), "no rule"),
        (Lowered(OP, "recurrent", 0, (stream_kernel(OP),)), "recurrent"),
        (Lowered(OP, "product", 1, (stream_kernel(OP), ATTENTION)), "fused attention"),
        (Lowered(OP, "view", 0, ()), ""),
    ],
)
def test_what_no_calibration_has_seen_of_an_op(lowered, unseen):
    assert lowered.unseen == unseen
    assert unseen in (*MODEL_UNCERTAINTY, "")
