"""The micro-benchmarks: what they are made of, that they lower as models do, and that they can be measured."""

from __future__ import annotations

import json
from dataclasses import asdict, replace

import pytest
import torch

from estimator.calibration.design import CPU, GROUPS, design, size_of
from estimator.measure.chain_times import measure_chains
from estimator.subjects.chains import Block, lower_layers, make_layers
from estimator.subjects.zoo import MODELS
from estimator.target import resolve
from meta_tests.estimating import op_stream

SHARE = 0.07
TINY = (Block("tiny", (1, 8), (("ReLU",), ("Add", 1, 8), ("Linear", 8, 4))),)


def convolutions(ops):
    for op in ops:
        if op.name == "aten.convolution":
            yield (op.args[0].shape[1:], op.args[1].shape)


def test_the_design_is_the_same_each_time_and_has_every_group():
    assert design(CPU) == design(CPU)
    assert {block.group for chain in design(CPU) for block in chain} == set(GROUPS)
    assert {len({block.group for block in chain}) for chain in design(CPU)} == {1}
    assert max(map(len, design(CPU))) <= 20


def test_a_share_leaves_blocks_out_but_no_group():
    small, whole = design(CPU, SHARE), design(CPU)
    assert {block.group for chain in small for block in chain} == set(GROUPS)
    assert sum(map(len, small)) < 0.15 * sum(map(len, whole))


def test_convolutions_are_of_the_kinds_that_networks_have():
    blocks = [block for chain in design(CPU) for block in chain if block.group == "dense convolution"]
    sides = [channels for block in blocks for channels in block.layers[0][1:3]]
    assert 0.7 * len(sides) < sum(channels % 16 == 0 for channels in sides) < 0.95 * len(sides)
    assert {block.layers[0][6] for block in blocks} == {1, 2, 4}
    for block in blocks:
        _, _, outputs, kernel, stride, padding, dilation, *_ = block.layers[0]
        if dilation > 1:
            assert (kernel, stride, padding) == (3, 1, dilation)
            assert lower_layers(block)[0][0].op.outputs[0].shape == (1, outputs, *block.input_shape[2:])


def test_no_convolution_is_one_of_a_model():
    of_models = {shape for model in MODELS for shape in convolutions(op_stream(model))}
    blocks = [block for chain in design(CPU) for block in chain if "convolution" in block.group]
    of_blocks = {shape for block in blocks for shape in convolutions(op.op for op in lower_layers(block)[0])}
    assert len(of_blocks) > 100
    assert not of_blocks & of_models


@pytest.mark.parametrize("size", [CPU, size_of(resolve("NVIDIA-H200"))], ids=["CPU", "H200"])
def test_every_layer_is_priced_by_a_rule(size):
    blocks = [block for chain in design(size, SHARE) for block in chain]
    layers = [(block, name, ops) for block in blocks for name, ops in zip(block.layers, lower_layers(block))]
    assert all(op.has_rule for _, _, ops in layers for op in ops)
    assert all(any(op.kernels for op in ops) for _, name, ops in layers if name[0] not in ("View", "Views"))


def test_attention_lowers_to_its_fast_path():
    block = Block("attention", (1, 20, 64), (("LayerNorm", 64), ("SelfAttention", 64, 2)))
    assert [op.op.name for op in lower_layers(block)[1]] == ["aten._native_multi_head_attention"]


def test_a_block_survives_json():
    blocks = [block for chain in design(CPU, SHARE) for block in chain]
    assert [Block.from_data(json.loads(json.dumps(asdict(block)))) for block in blocks] == blocks


@pytest.mark.parametrize("size", [CPU, replace(CPU, batch=3)], ids=["one", "batches"])
def test_what_runs_is_what_was_lowered(size):
    for chain in design(size, SHARE):
        for block in chain:
            x = torch.zeros(block.input_shape)
            for layer, ops in zip(make_layers(block), lower_layers(block)):
                with torch.no_grad():
                    x = layer(x)
                computed = [op for op in ops if op.kernels] or ops
                assert x.numel() == computed[-1].op.outputs[0].numel


def test_every_layer_of_a_chain_gets_a_time_on_a_cpu():
    reports = []
    times = measure_chains([TINY, TINY], "cpu", 0.0, lambda *report: reports.append(report))
    assert len(times.passes_us) == 2
    ((layers_us,),), _ = times.layers_us
    assert len(layers_us) == 3
    assert all(us > 0 for us in layers_us)
    assert reports[-1] == ("calibration", 100, 100)
    assert len(times.references_ms) == 2
    assert all(ms > 0 for ms in times.references_ms)


def test_a_chain_uses_weights_of_its_own_each_time():
    from estimator.measure.built_blocks import build_block

    _, copies = build_block(TINY[0], "cpu")
    addresses = {layers[2].weight.data_ptr() for layers in copies}
    assert len(addresses) == 3
    assert torch.isfinite(copies[0][2].weight).all()
    assert copies[0][2].weight.std() > 0


def test_the_first_copy_of_a_block_only_warms_up(monkeypatch):
    import time

    from estimator.measure.built_blocks import COPIES, run_chain

    calls, now_ns = [], [0]

    def layer(copy):
        def forward(x):
            calls.append(copy)
            now_ns[0] += 1000 * (100 if copy == 0 else copy)
            return x

        return forward

    monkeypatch.setattr(time, "perf_counter_ns", lambda: now_ns[0])
    chain = [(torch.zeros(1), [[layer(copy)] for copy in range(COPIES)])]
    assert run_chain(chain) == [(0, 0, 1.0), (0, 0, 2.0)]
    assert calls == [0, 1, 2]
