"""Recurrent layers as cuDNN runs them, and the fused cells that PyTorch runs on CUDA.

cuDNN's standard algorithm (Appleyard, Kocisky, Blunsom: arXiv 1604.01946): one product for the inputs of all steps,
then step after step a product of the hidden state, which reads all recurrent weights again, and a kernel for the gates.
What that paper runs at the same time on several streams (layers, directions) is taken to run one after another. For a
small hidden state PyTorch asks for one kernel for all steps, which keeps the recurrent weights on its SM (`get_algo` of
aten/src/ATen/native/cudnn/RNN.cpp). What it asks for in FP16 alone, on GPUs of 98 SMs and more, is not told apart.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Optional, Tuple

from ..opstream import Op, TensorSpec
from .kernels import Kernel, Lowered, Product, pass_kernel, shaped, transposed
from .product import activations_kernel, weights_kernel
from .rules import rule

PERSISTENT = "rnn_persistent"
"""The function of a kernel that runs all steps of a layer and direction."""
LIBRARY_PRODUCTS = ("rnn_inputs", "rnn_step", "rnn_projection")
"""The functions of cuDNN's products."""
_SMALL_HIDDEN = (384, 384, 192, 192)  # the largest that PyTorch calls small, by mode: ReLU, tanh, LSTM, GRU


@rule("_cudnn_rnn")
def cudnn_rnn(
    op: Op,
    input: TensorSpec,
    weight: Tuple[TensorSpec, ...],
    weight_stride0: int,
    weight_buf: Optional[TensorSpec],
    hx: TensorSpec,
    cx: Optional[TensorSpec],
    mode: int,
    hidden_size: int,
    proj_size: int,
    num_layers: int,
    batch_first: bool,
    *_: Any,
    **__: Any,
) -> Lowered:
    """Returns the kernels of each layer and direction in turn; an input with the batch first is copied before them."""
    batch, steps = input.shape[:2] if batch_first else (input.shape[1], input.shape[0])
    layers = [weight[at : at + weight_stride0] for at in range(0, len(weight), weight_stride0)]
    state = shaped(input, batch, hidden_size)
    runs = _persistent if not proj_size and hidden_size <= _SMALL_HIDDEN[mode] else _step_by_step
    kernels = [kernel for layer in layers for kernel in runs(input, steps, batch, layer, state, cx is not None)]
    copies = [pass_kernel("transpose", input)] if batch_first and batch > 1 and steps > 1 else []
    return Lowered(op, "recurrent", len(copies), (*copies, *kernels))


def _persistent(
    like: TensorSpec, steps: int, batch: int, weights: Tuple[TensorSpec, ...], state: TensorSpec, has_cell: bool
) -> Tuple[Kernel, ...]:
    """The inputs' product, and a kernel that reads it, takes the recurrent weights once and does all steps."""
    w_hh, states = weights[1], (2 if has_cell else 1) * state.nbytes
    step = weights_kernel(PERSISTENT, state, transposed(w_hh))
    product = Product(steps, batch, w_hh.shape[0], w_hh.shape[1])
    read_bytes, write_bytes = steps * step.write_bytes + states, steps * state.nbytes + states
    step = replace(step, product=product, flops=product.flops, elements=steps * state.numel)
    return _inputs_kernel(like, steps, batch, weights), replace(step, read_bytes=read_bytes, write_bytes=write_bytes)


def _inputs_kernel(like: TensorSpec, steps: int, batch: int, weights: Tuple[TensorSpec, ...]) -> Kernel:
    w_ih = weights[0]
    return weights_kernel("rnn_inputs", shaped(like, steps * batch, w_ih.shape[1]), transposed(w_ih))


def _step_by_step(
    like: TensorSpec, steps: int, batch: int, weights: Tuple[TensorSpec, ...], state: TensorSpec, has_cell: bool
) -> Tuple[Kernel, ...]:
    """The inputs' product, and for each step those of the hidden state and of its projection, and the gates."""
    w_hh = weights[1]
    inputs = _inputs_kernel(like, steps, batch, weights)
    hidden, gates = shaped(like, batch, w_hh.shape[1]), shaped(like, batch, w_hh.shape[0])
    states = (2 if has_cell else 1) * state.nbytes
    step = _gates("rnn_gates", gates, 2 * gates.nbytes + states, states)
    projections = transposed(weights[-1]) if len(weights) % 2 else None
    first, again = (
        (kernel("rnn_step", hidden, transposed(w_hh)), step)
        + (() if projections is None else (kernel("rnn_projection", state, projections),))
        for kernel in (weights_kernel, activations_kernel)
    )
    return (inputs, *first, *(again * (steps - 1)))


@rule("_thnn_fused_lstm_cell", "_thnn_fused_gru_cell")
def fused_cell(op: Op, input_gates: TensorSpec, *_: Any, **__: Any) -> Lowered:
    """Returns one kernel, which reads both products' gates, state and biases, and writes all of the op's results."""
    read_bytes, write_bytes = (sum(t.nbytes for t in tensors) for tensors in (op.inputs, op.outputs))
    return Lowered(op, "pointwise", 0, (_gates("rnn_gates", input_gates, read_bytes, write_bytes),))


def _gates(function: str, gates: TensorSpec, read_bytes: int, write_bytes: int) -> Kernel:
    return Kernel("stream", function, gates.dtype, gates.numel, gates.numel, read_bytes, write_bytes)
