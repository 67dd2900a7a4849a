"""docs/coverage.md, model by model, and what holds for every model: `tox run -e architectures`."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

from bench.architectures import ARCHITECTURES
from bench.coverage import (
    MOST_DEFAULTED_PCT,
    TIMM,
    architecture_coverage,
    covered_in,
    row_name,
    timm_coverage,
    torchvision_coverage,
    torchvision_names,
)
from bench.documents import ROOT
from estimator import estimate
from estimator.capture import call_arguments, capture
from estimator.cost.rates import rates_of
from estimator.lower import lower
from estimator.pipeline import forward_pass
from estimator.target import resolve

DOCUMENT = (ROOT / "docs" / "coverage.md").read_text(encoding="utf-8")
TORCHVISION_ROWS, TIMM_ROWS, ROWS = (covered_in(DOCUMENT, block) for block in ("torchvision", "timm", "others"))
STALE = "stale; to write it: python -m bench.documents --coverage"
UNCOUNTED = {
    "_cudnn_rnn": "PyTorch's counter knows no recurrent layer",
    "_grouped_mm": "nor products of groups",
    "_native_multi_head_attention": "nor PyTorch's fast paths",
    "_transformer_encoder_layer_fwd": "nor PyTorch's fast paths",
    "_scaled_dot_product_flash_attention": "and counts all pairs of a causal attention",
    "_scaled_dot_product_efficient_attention": "and counts all pairs of a causal attention",
    "deform_conv2d": "nor operators of torchvision",
}
"""The functions whose FLOP are held apart, with the reason."""
NOT_COUNTED = ("VitsModel", "DebertaModel", "DebertaV2Model")
"""Models that draw at random how long their result is, or whose scripted functions fail in PyTorch's counter."""
MOST_FASTER = 2.25
"""How much less arithmetic Winograd's convolution does than a direct one."""


@pytest.mark.parametrize("name", sorted({*torchvision_names()} - {one.name for one in ARCHITECTURES}))
def test_torchvision(name):
    assert torchvision_coverage(name).cells == TORCHVISION_ROWS.get(name), STALE


@pytest.mark.parametrize("name", TIMM)
def test_timm(name):
    pytest.importorskip("timm")
    assert timm_coverage(name).cells == TIMM_ROWS.get(name), STALE


def called(module, inputs):
    """The tensors that come out; some models draw random numbers."""
    torch.manual_seed(1)
    args, kwargs = call_arguments(inputs)
    with torch.no_grad():
        return [leaf for leaf in tree_leaves(module(*args, **kwargs)) if isinstance(leaf, torch.Tensor)]


def flops_counted(module, inputs):
    """With the attention of a CPU, which PyTorch's counter does not know."""

    def attention(query, key, value, *_args, out_shape=None, **_kwargs):
        return sdpa_flop_count(query, key, value)

    mapping = {torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: attention}
    with FlopCounterMode(display=False, custom_mapping=mapping) as counter:
        called(module, inputs)
    return counter.get_total_flops()


def assert_no_kernel_is_below_arithmetic_at_the_peak(lowered):
    target = resolve()
    found, rates = forward_pass(lowered, target), rates_of(target, target.profile.values())
    peak = rates.sms * max(rates.fp32_flops_per_us_per_sm, rates.convolution_flops_per_us_per_sm)
    assert np.all(found.costs.device_us >= found.kernels.flops / (peak * MOST_FASTER))


@pytest.mark.parametrize("architecture", ARCHITECTURES, ids=lambda one: f"{one.library}: {one.name}")
def test_one_with_weights(architecture):
    pytest.importorskip(architecture.library)
    rows = TORCHVISION_ROWS if architecture.library == "torchvision" else ROWS
    assert architecture_coverage(architecture).cells == rows.get(row_name(architecture)), STALE
    (module, inputs), (other, others_inputs) = architecture.build(), architecture.build()
    try:
        before = called(other, copy.deepcopy(others_inputs))
    except RuntimeError as error:
        pytest.skip(f"does not run here: {str(error).splitlines()[0]}")
    if rows[row_name(architecture)][1].startswith("refused"):
        return
    first, second = estimate(module, inputs), estimate(module, inputs)
    assert first == second
    assert sum(first.defaulted_share_pct.values()) <= MOST_DEFAULTED_PCT
    after = called(module, copy.deepcopy(inputs))
    assert len(before) == len(after)
    assert all(torch.equal(a.nan_to_num(), b.nan_to_num()) for a, b in zip(before, after))
    lowered = lower(capture(module, inputs))
    assert_no_kernel_is_below_arithmetic_at_the_peak(lowered)
    kernels = [kernel for op in lowered for kernel in op.kernels if kernel.kind != "stream"]
    uncounted = sum(k.flops for op in lowered for k in op.kernels if op.op.name.rpartition(".")[2] in UNCOUNTED)
    if architecture.name not in NOT_COUNTED and not uncounted:
        assert sum(k.flops for k in kernels) == pytest.approx(flops_counted(module, copy.deepcopy(inputs)), rel=0.02)
