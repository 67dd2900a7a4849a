from __future__ import annotations

import copy
import functools
import math
from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn import functional

from estimator import estimate
from estimator.capture import capture
from estimator.cost import recurrence
from estimator.cost.columns import LIMITS, kernel_columns, op_columns
from estimator.cost.gpu import host_us
from estimator.cost.rates import rates_of
from estimator.errors import CaptureError
from estimator.lower import Lowered, lower
from estimator.pipeline import forward_pass
from estimator.target import resolve
from meta_tests import synthetic
from meta_tests.modules import module

TORCH = tuple(int(part) for part in torch.__version__.split(".")[:2])


def names(ops):
    return [op.name.replace("aten.", "") for op in ops if not op.is_view]


def kernels(model, inputs, dtype=None):
    return [kernel for op in lower(capture(model, inputs, dtype)) for kernel in op.kernels]


def of(function, found):
    return [kernel for kernel in found if kernel.function == function]


@pytest.mark.parametrize("dtype", [None, torch.float16, torch.bfloat16], ids=["fp32", "fp16", "bf16"])
@pytest.mark.parametrize(("layer", "states"), [(nn.LSTM, 2), (nn.GRU, 1), (nn.RNN, 1)], ids=["lstm", "gru", "rnn"])
def test_a_recurrent_layer_is_one_op_in_every_precision(layer, states, dtype):
    ops = capture(layer(12, 8, 2), torch.rand(7, 3, 12), dtype)
    assert names(ops) == ["zeros"] * states + ["_cudnn_rnn"]
    assert ops[-1].outputs[0].shape == (7, 3, 8)
    assert {t.dtype for t in ops[-1].inputs} == {"float32" if dtype is None else str(dtype)[6:]}


@pytest.mark.parametrize(
    ("layer", "shape", "copies", "runs", "kernels_a_step"),
    [
        (nn.LSTM(12, 200), (7, 3, 12), 0, 1, 2),
        (nn.LSTM(12, 200, num_layers=3), (7, 3, 12), 0, 3, 2),
        (nn.LSTM(12, 200, num_layers=3, bidirectional=True), (7, 3, 12), 0, 6, 2),
        (nn.LSTM(12, 200, batch_first=True), (3, 7, 12), 1, 1, 2),
        (nn.LSTM(12, 200, batch_first=True), (1, 7, 12), 0, 1, 2),
        (nn.LSTM(12, 8, 2, proj_size=4), (7, 3, 12), 0, 2, 3),
        (nn.GRU(12, 200, bias=False), (7, 12), 0, 1, 2),
    ],
    ids=["plain", "layers", "bidirectional", "batch first", "batch first of one", "projections", "unbatched"],
)
def test_a_recurrent_layer_runs_a_product_of_its_inputs_and_kernels_for_each_step(
    layer, shape, copies, runs, kernels_a_step
):
    found = kernels(layer, torch.rand(shape))
    assert len(of("transpose", found)) == copies
    assert len(of("rnn_inputs", found)) == runs
    steps = of("rnn_step", found) + of("rnn_gates", found) + of("rnn_projection", found)
    assert len(steps) == runs * 7 * kernels_a_step


@pytest.mark.parametrize(("layer", "gates", "states"), [(nn.LSTM, 4, 2), (nn.GRU, 3, 1), (nn.RNN, 1, 1)])
def test_the_work_of_a_recurrent_layer_by_hand(layer, gates, states):
    steps, batch, inputs, hidden = 7, 3, 12, 400
    found = kernels(layer(inputs, hidden), torch.rand(steps, batch, inputs))
    (product,) = of("rnn_inputs", found)
    rows, width = steps * batch, gates * hidden
    assert product.flops == 2 * rows * inputs * width
    assert product.cold_bytes == 4 * inputs * width
    assert product.bytes == 4 * (rows * inputs + inputs * width + rows * width)
    for place, step in enumerate(of("rnn_step", found)):
        assert step.flops == 2 * batch * hidden * width
        assert step.bytes == 4 * (batch * hidden + hidden * width + batch * width)
        assert step.cold_bytes == (4 * hidden * width if place == 0 else 0)
    for step in of("rnn_gates", found):
        assert step.bytes == 4 * (2 * batch * width + 2 * states * batch * hidden)


def test_each_step_reads_all_recurrent_weights_again():
    short, long = (sum(k.bytes for k in kernels(nn.LSTM(4, 256), torch.rand(steps, 1, 4))) for steps in (10, 110))
    assert long - short > 100 * 4 * (256 * 1024)


def test_an_estimate_of_a_recurrent_layer_hangs_little_on_its_precision():
    model, source = nn.LSTM(128, 256, 2), torch.rand(100, 1, 128)
    single, half = estimate(model, source), estimate(model, source, precision="fp16")
    assert half.latency_ms <= single.latency_ms < 2 * half.latency_ms
    assert single.kernels == half.kernels == 2 + 2 * (1 + 100 * 2)
    assert estimate(model, torch.rand(200, 1, 128)).latency_ms == pytest.approx(2 * single.latency_ms, rel=0.1)


@pytest.mark.parametrize(
    ("layer", "mode", "launches"), [("LSTM", 400, 1 + 50 * 2), ("LSTM", 100, 2), ("RNN", 400, 1 + 50 * 2)]
)
def test_the_host_of_a_recurrent_layer_launches_what_its_library_runs(layer, mode, launches):
    target = resolve()
    ops = lower(capture(getattr(nn, layer)(4, mode), torch.rand(50, 1, 4)))
    (op,) = [op for op in ops if op.host_kind == "recurrent"]
    rates = rates_of(target, target.profile.values())
    dispatch_us = rates.constants["dispatch_kcycles"] / rates.cpu_kcycles_per_us
    of_call, of_launches = recurrence.CALL.value * dispatch_us, launches * recurrence.LAUNCH.value * dispatch_us
    assert host_us(op_columns([op]), rates)[0] == pytest.approx(of_call + of_launches)
    assert len(kernel_columns([op]).op) == launches


def test_each_kernel_of_a_recurrent_layer_starts_while_the_host_launches_those_behind_it():
    ops = [op for op in lower(capture(nn.LSTM(4, 400), torch.rand(5, 1, 4))) if op.host_kind == "recurrent"]
    early = recurrence.early_dispatches(op_columns(ops), kernel_columns(ops))
    assert list(early) == pytest.approx([recurrence.LAUNCH.value * after for after in reversed(range(11))])


@pytest.mark.parametrize(
    ("layer", "largest"),
    [(nn.RNN, 384), (nn.LSTM, 192), (nn.GRU, 192), (functools.partial(nn.RNN, nonlinearity="relu"), 384)],
)
def test_a_small_hidden_state_takes_one_kernel_for_all_steps(layer, largest):
    at_the_limit, beyond = (kernels(layer(12, hidden), torch.rand(7, 3, 12)) for hidden in (largest, largest + 1))
    assert len(of("rnn_persistent", at_the_limit)) == 1
    assert len(at_the_limit) == len(of("zeros", at_the_limit)) + 2
    assert of("rnn_persistent", beyond) == []


def test_a_projection_always_runs_step_by_step():
    assert of("rnn_persistent", kernels(nn.LSTM(12, 8, proj_size=4), torch.rand(7, 3, 12))) == []


@pytest.mark.parametrize(("layer", "gates", "states"), [(nn.LSTM, 4, 2), (nn.GRU, 3, 1), (nn.RNN, 1, 1)])
def test_the_work_of_a_persistent_kernel_by_hand(layer, gates, states):
    steps, batch, inputs, hidden = 7, 3, 12, 8
    (found,) = of("rnn_persistent", kernels(layer(inputs, hidden), torch.rand(steps, batch, inputs)))
    assert found.flops == 2 * steps * batch * gates * hidden * hidden
    assert found.cold_bytes == 4 * gates * hidden * hidden
    assert found.elements == steps * batch * hidden
    state_bytes = 4 * batch * hidden
    assert found.read_bytes == 4 * steps * batch * gates * hidden + states * state_bytes
    assert found.write_bytes == steps * state_bytes + states * state_bytes


def persistent_kcycles(hidden, batch, steps, sms):
    target = resolve()
    mode = replace(target.mode, sms=sms)
    rates = rates_of(replace(target, mode=mode), target.profile.values())
    ops = lower(capture(nn.LSTM(4, hidden), torch.rand(steps, batch, 4)))
    columns = kernel_columns(ops)
    kernel = columns.select(recurrence.is_persistent(columns))
    return recurrence.persistent_us(kernel, rates)[0] * rates.gpu_kcycles_per_us


def test_a_persistent_kernel_takes_its_steps_one_after_another():
    load_kcycles = recurrence.LOAD.value * 4 * 4 * 64 * 64 / 1024
    arithmetic_kcycles = 2 * 4 * 64 * 64 / 256 / recurrence.EFFICIENCY.value / 1e3
    expected = load_kcycles + 50 * (recurrence.STEP.value + arithmetic_kcycles)
    assert persistent_kcycles(64, 1, 50, 16) == pytest.approx(expected)


@pytest.mark.parametrize(("hidden", "resident"), [(64, 4), (90, 2), (128, 1), (192, 1)])
def test_sequences_beyond_what_the_sms_hold_make_another_wave(hidden, resident):
    alone, full, beyond = (persistent_kcycles(hidden, batch, 5, 2) for batch in (1, 2 * resident, 2 * resident + 1))
    assert alone == full
    assert beyond == pytest.approx(2 * full)


def test_weights_that_the_registers_do_not_hold_are_read_again_in_each_step():
    registers = 2**18
    expected = [50 * max(4 * 4 * h * h - registers, 0) / recurrence.SPILLED.value / 1e3 for h in (128, 160, 192)]
    for hidden, spilled_kcycles in zip((128, 160, 192), expected):
        arithmetic = 2 * 4 * hidden * hidden / 256 / recurrence.EFFICIENCY.value / 1e3
        rest = recurrence.LOAD.value * 16 * hidden * hidden / 1024 + 50 * (recurrence.STEP.value + arithmetic)
        assert persistent_kcycles(hidden, 1, 50, 16) - rest == pytest.approx(spilled_kcycles)


def test_a_persistent_kernel_takes_as_long_in_half_precision():
    single, half = (estimate(nn.LSTM(64, 128), torch.rand(100, 1, 64), precision=p) for p in ("fp32", "fp16"))
    assert half.device_ms == pytest.approx(single.device_ms, rel=0.05)


def test_a_persistent_kernel_waits_rather_than_computes():
    target = resolve()
    found = forward_pass(lower(capture(nn.LSTM(64, 128), torch.rand(100, 1, 64))), target)
    (place,) = recurrence.is_persistent(found.kernels).nonzero()[0]
    assert LIMITS[found.costs.limits().limit[place]] == "latency"


def test_products_in_cudnn_take_tf32_where_its_convolutions_do():
    layer, inputs = nn.LSTM(1024, 1024), torch.rand(50, 128, 1024)
    single, tf32 = (estimate(layer, inputs, precision=p).device_ms for p in ("fp32", "tf32"))
    assert single == tf32
    linear = nn.Linear(1024, 4096)
    single, tf32 = (estimate(linear, torch.rand(6400, 1024), precision=p).device_ms for p in ("fp32", "tf32"))
    assert tf32 < single


def test_host_and_device_work_side_by_side_in_a_recurrent_layer():
    found = estimate(nn.LSTM(512, 512), torch.rand(200, 1, 512))
    assert min(found.host_ms, found.device_ms) > 1
    assert found.latency_ms < 0.8 * (found.host_ms + found.device_ms)


@pytest.mark.parametrize(
    ("cell", "ops"),
    [
        (nn.LSTMCell(12, 8), ["mm", "mm", "_thnn_fused_lstm_cell"]),
        (nn.GRUCell(12, 8), ["mm", "mm", "_thnn_fused_gru_cell"]),
        (nn.RNNCell(12, 8), ["addmm", "addmm", "add_", "tanh"]),
    ],
    ids=["lstm", "gru", "rnn"],
)
def test_cells_are_two_products_and_what_cuda_fuses(cell, ops):
    assert names(capture(cell, torch.rand(3, 12)))[1:] == ops
    assert kernels(cell, torch.rand(3, 12))[-1].elements == {"tanh": 24}.get(ops[-1], 3 * cell.weight_ih.shape[0])


@pytest.mark.parametrize("layer", [nn.LSTM(4, 4), nn.GRU(4, 4)], ids=["lstm", "gru"])
def test_a_packed_sequence_is_one_line(layer):
    packed = nn.utils.rnn.pack_sequence([torch.rand(5, 4), torch.rand(3, 4)])
    with pytest.raises(CaptureError, match="data") as error:
        capture(layer, (packed,))
    assert "\n" not in str(error.value)


def test_a_packed_sequence_that_reaches_the_layer_is_one_line():
    def forward(self, data, batch_sizes, hidden):
        weights, has_bias, *flags = list(self.gru._flat_weights), True, 1, 0.0, False, False
        return torch._VF.gru(data, batch_sizes, hidden, weights, has_bias, *flags)

    inputs = torch.rand(8, 4), torch.tensor([2, 2, 2, 1, 1]), torch.zeros(1, 2, 4)
    with pytest.raises(CaptureError, match="a PackedSequence goes into gru: how long its sequences are is data"):
        capture(module(forward, gru=nn.GRU(4, 4)), inputs)


@pytest.mark.parametrize("fails", [False, True])
def test_torchs_own_functions_are_back_afterwards(fails):
    before = torch._VF.lstm, torch._VF.gru_cell, nn.RNNBase.flatten_parameters, functional.scaled_dot_product_attention
    try:
        capture(nn.LSTM(4, 4), torch.rand(3, 1, 5 if fails else 4))
    except CaptureError:
        assert fails
    after = torch._VF.lstm, torch._VF.gru_cell, nn.RNNBase.flatten_parameters, functional.scaled_dot_product_attention
    assert after == before


def test_a_recurrent_layer_is_left_as_it_was():
    layer, source = nn.LSTM(4, 4), torch.rand(3, 1, 4)
    before, weights = layer(source)[0], list(layer._flat_weights)
    capture(layer, source)
    assert all(now is then for now, then in zip(layer._flat_weights, weights))
    assert torch.equal(copy.deepcopy(layer)(source)[0], before)


HEADS, QUERIES, KEYS, WIDTH = 4, 10, 12, 16
QUERY, KEY = torch.rand(2, HEADS, QUERIES, WIDTH), torch.rand(2, HEADS, KEYS, WIDTH)
QKVO_BYTES = 4 * 2 * HEADS * WIDTH * (QUERIES + KEYS + KEYS + QUERIES)


def attending(**options):
    return module(lambda self, q, k, mask=None: functional.scaled_dot_product_attention(q, k, k, mask, **options))


@pytest.mark.parametrize(
    ("mask", "options", "before", "pairs", "mask_bytes"),
    [
        (None, {}, [], QUERIES * KEYS, 0),
        (None, {"is_causal": True}, [], QUERIES * (QUERIES + 1) // 2, 0),
        (torch.rand(QUERIES, KEYS), {}, [], QUERIES * KEYS, 4 * QUERIES * KEYS),
        (torch.rand(2, 1, QUERIES, KEYS), {}, [], QUERIES * KEYS, 4 * 2 * QUERIES * KEYS),
        (torch.rand(QUERIES, KEYS) > 0.5, {}, ["scalar_tensor", "scalar_tensor", "where"], QUERIES * KEYS, 480),
    ],
    ids=["none", "causal", "float", "float of each sequence", "bool"],
)
def test_attention_is_one_kernel_that_keeps_its_scores(mask, options, before, pairs, mask_bytes):
    ops = capture(attending(**options), (QUERY, KEY, mask))
    assert names(ops) == [*before, "_scaled_dot_product_efficient_attention"]
    kernel = lower(ops)[-1].kernels[0]
    assert kernel.flops == 4 * 2 * HEADS * pairs * WIDTH
    assert kernel.bytes == QKVO_BYTES + mask_bytes


def test_attention_in_half_precision_is_flash_attention():
    ops = capture(attending(), (QUERY, KEY), torch.float16)
    assert names(ops) == ["_scaled_dot_product_flash_attention"]
    assert lower(ops)[0].kernels[0].bytes == QKVO_BYTES // 2


@pytest.mark.skipif(TORCH < (2, 5), reason="this torch knows no grouped queries")
@pytest.mark.parametrize(
    ("dtype", "last"), [(torch.float16, "_scaled_dot_product_flash_attention"), (None, "bmm")], ids=["fp16", "fp32"]
)
def test_grouped_queries_share_keys_where_the_kernel_can(dtype, last):
    ops = capture(attending(enable_gqa=True), (QUERY, KEY[:, :2]), dtype)
    assert names(ops)[-1] == last
    if dtype is not None:
        assert sum(k.bytes for k in lower(ops)[-1].kernels) == (QKVO_BYTES - 4 * 2 * 2 * WIDTH * 2 * KEYS) // 2


@pytest.mark.parametrize(
    "shaped",
    [lambda t: t[0], lambda t: t[None], lambda t: t[..., :10]],
    ids=["three dimensions", "five dimensions", "unaligned heads"],
)
def test_attention_that_no_fused_kernel_takes_is_product_by_product(shaped):
    assert names(capture(attending(), (shaped(QUERY), shaped(KEY)))).count("bmm") == 2


def test_heads_of_keys_may_be_broadcast():
    assert names(capture(attending(), (QUERY, KEY[:, :1]))).count("bmm") == 2


def encoder(heads=4, **options):
    layer = nn.TransformerEncoderLayer(48, heads, 96, batch_first=True, **options)
    return nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)


def product_flops(model, *inputs):
    return sum(kernel.flops for kernel in kernels(model, inputs) if kernel.kind == "product")


def encoder_flops(batch, tokens, width, hidden, layers):
    projections = 2 * batch * tokens * (4 * width * width + 2 * width * hidden)
    return layers * (projections + 4 * batch * tokens * tokens * width)


def test_an_encoder_takes_the_fast_path_and_multiplies_as_much_as_the_slow_one():
    source = torch.rand(2, 10, 48)
    fast, slow = encoder(), encoder(heads=3)  # PyTorch's fast path wants an even number of heads
    assert names(capture(fast, source)) == ["_transformer_encoder_layer_fwd"] * 2
    assert names(capture(slow, source)).count("_scaled_dot_product_efficient_attention") == 2
    assert product_flops(fast, source) == product_flops(slow, source) == encoder_flops(2, 10, 48, 96, layers=2)


def test_a_padding_mask_on_the_fast_path_is_one_line():
    model = nn.TransformerEncoder(nn.TransformerEncoderLayer(48, 4, 96, batch_first=True), 2)
    inputs = {"src": torch.rand(2, 10, 48), "src_key_padding_mask": torch.zeros(2, 10, dtype=torch.bool)}
    with pytest.raises(CaptureError, match="nested tensor, whose shape is data; enable_nested_tensor=False"):
        capture(model, inputs)


@pytest.mark.parametrize("rows", [100, 100_000])
@pytest.mark.parametrize(
    ("table", "moved_rows"), [(nn.Embedding, 5 + 5), (nn.EmbeddingBag, 5 + 1)], ids=["embedding", "bag"]
)
def test_a_look_up_moves_rows_and_not_the_table(table, moved_rows, rows):
    with torch.device("meta"):
        model = table(rows, 64)
    found = kernels(model, torch.zeros(1, 5, dtype=torch.long))
    assert 0 <= sum(kernel.bytes for kernel in found) - 4 * 64 * moved_rows <= 8 * 16  # and indices


class Gpt2Block(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.ln_1, self.ln_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.c_attn, self.c_proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.c_fc, self.c_out = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x):
        batch, tokens, width = x.shape
        parts = self.c_attn(self.ln_1(x)).split(width, 2)
        query, key, value = (t.view(batch, tokens, self.heads, -1).transpose(1, 2) for t in parts)
        seen = functional.scaled_dot_product_attention(query, key, value, is_causal=True)
        x = x + self.c_proj(seen.transpose(1, 2).reshape(batch, tokens, width))
        return x + self.c_out(functional.gelu(self.c_fc(self.ln_2(x)), approximate="tanh"))


def test_a_gpt_2_block_by_hand():
    tokens, width, heads = 32, 64, 4
    ops = capture(Gpt2Block(width, heads), torch.rand(1, tokens, width))
    before = ["native_layer_norm", "addmm", "_scaled_dot_product_efficient_attention"]
    after = ["addmm", "add", "native_layer_norm", "addmm", "gelu", "addmm", "add"]
    assert [name for name in names(ops) if name != "clone"] == before + after  # reshape may copy, by release
    found = [kernel for op in lower(ops) for kernel in op.kernels if op.op.name != "aten.clone"]
    linear = 2 * tokens * (3 + 1 + 4 + 4) * width * width
    attention = 4 * (tokens * (tokens + 1) // 2) * width
    assert sum(kernel.flops for kernel in found if kernel.kind == "product") == linear + attention
    activations, hidden = tokens * width, tokens * 4 * width
    norms, biases = 2 * (2 * activations + 2 * width), (3 + 1 + 4 + 1) * width
    weights = 12 * width * width
    products = (1 + 3) * activations + (1 + 1) * activations + 2 * (activations + hidden)
    moved = norms + biases + weights + products + 4 * activations + 2 * 3 * activations + 2 * hidden
    assert sum(kernel.bytes for kernel in found) == 4 * moved


@pytest.mark.parametrize(
    ("m", "n", "k", "waves", "spilled_bytes"),
    [
        (1, 256, 64, 1, 0),
        (16, 256, 64, 1, 0),
        (17, 256, 64, 2, 0),
        (8, 256, 128, 1, 0),
        (4, 512, 128, 1, 0),
        (5, 512, 128, 2, 0),
        (4, 512, 160, 1, 4 * 512 * 160 - 2**18),
        (9, 512, 160, 3, 4 * 512 * 160 - 2**18),
    ],
)
def test_a_kernel_that_keeps_recurrent_weights_takes_its_steps_by_hand(m, n, k, waves, spilled_bytes):
    load_us = recurrence.LOAD.value * 4 * n * k / 1024 / 0.5
    spilled_kcycles = spilled_bytes / recurrence.SPILLED.value / 1000
    step_us = (recurrence.STEP.value + spilled_kcycles) / 0.5 + 2 * n * k / (1000 * recurrence.EFFICIENCY.value)
    kernel = synthetic.product(m, n, k, batch=7, function="rnn_persistent")
    expected_us = waves * (load_us + 7 * step_us)
    us = recurrence.persistent_us(synthetic.columns(kernel), rates_of(synthetic.gpu(), synthetic.CONSTANTS))
    assert us[0] == pytest.approx(expected_us, rel=1e-9)


@pytest.mark.parametrize(
    ("constant", "kcycles"),
    [
        (recurrence.STEP, 7 * recurrence.STEP.value),
        (recurrence.LOAD, recurrence.LOAD.value * 4 * 512 * 160 / 1024),
        (recurrence.EFFICIENCY, -0.5 * 7 * 2 * 512 * 160 / (2000 * recurrence.EFFICIENCY.value)),
        (recurrence.SPILLED, -0.5 * 7 * (4 * 512 * 160 - 2**18) / (1000 * recurrence.SPILLED.value)),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_a_fit_may_try_other_constants_of_a_kernel_that_keeps_its_weights(constant, kcycles):
    kernel = synthetic.columns(synthetic.product(1, 512, 160, batch=7, function="rnn_persistent"))
    rates = rates_of(synthetic.gpu(), synthetic.CONSTANTS)
    twice = {**recurrence.VALUES, constant.name: 2 * constant.value}
    as_it_is, changed = (recurrence.persistent_us(kernel, rates, values)[0] for values in (recurrence.VALUES, twice))
    assert changed - as_it_is == pytest.approx(kcycles / 0.5)


def test_what_no_calibration_fits_has_bounds_and_is_known_as_well_as_its_fit_knows_it():
    found = {of.name: ((of.lower, of.upper), of.uncertainty_pct) for of in recurrence.CONSTANTS}
    assert found == {
        "recurrent_call_dispatches": ((1, 40), 15),
        "library_launch_dispatches": ((0.1, 3), 15),
        "persistent_step_kcycles": ((0.05, 5), 30),
        "persistent_efficiency": ((0.02, 1), 20),
        "spilled_weight_bytes_per_clock": ((2, 128), 30),
        "persistent_load_kcycles": ((0.01, 2), 30),
    }
    for of in recurrence.CONSTANTS:
        assert (of.prior, of.prior_sigma) == (of.value, pytest.approx(math.log(1 + of.uncertainty_pct / 100)))
        assert recurrence.VALUES[of.name] == of.value


def test_the_kernels_of_two_recurrent_layers_are_launched_before_the_end_of_their_own_ops():
    kinds = ("recurrent", "other", "recurrent")
    ops = [Lowered(synthetic.OP, kind, 0, (synthetic.stream(),) * count) for kind, count in zip(kinds, (3, 2, 2))]
    early = recurrence.early_dispatches(op_columns(ops), kernel_columns(ops)) / recurrence.LAUNCH.value
    assert early.tolist() == pytest.approx([2, 1, 0, 0, 0, 1, 0])
    launched = [recurrence.CALL.value + count * recurrence.LAUNCH.value for count in (3, 2)]
    assert recurrence.host_dispatches(op_columns(ops)).tolist() == pytest.approx([launched[0], 0, launched[1]])


def test_products_of_cudnn_and_kernels_that_keep_their_weights_are_told_from_others():
    names = ("mm", "rnn_inputs", "rnn_step", "rnn_projection", "rnn_persistent")
    columns = synthetic.columns(*(synthetic.product(2, 2, 2, function=name) for name in names))
    assert recurrence.in_library(columns).tolist() == [False, True, True, True, False]
    assert recurrence.is_persistent(columns).tolist() == [False, False, False, False, True]
    assert recurrence.is_persistent(synthetic.columns(synthetic.stream())).tolist() == [False]
    kinds = ("view", "recurrent", "other")
    ops = op_columns([Lowered(synthetic.OP, kind, 0, ()) for kind in kinds])
    assert recurrence.is_recurrent(ops).tolist() == [False, True, False]
