"""What PyTorch runs on CUDA where a CPU runs something else: cuDNN's recurrent layers, fused cells, fused attention.

As `_cudnn_impl` of aten/src/ATen/native/cudnn/RNN.cpp, the cells of aten/src/ATen/native/RNN.cpp and the choice of
aten/src/ATen/native/transformers/cuda/sdp_utils.cpp do. A CPU's ops cannot be told from others afterwards, and a mode
for torch functions would turn the fast paths of other layers off.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import Any, Callable, Dict, Iterator, Optional, Sequence, Tuple

import torch
from torch import _VF
from torch.nn import functional

from .errors import CaptureError

ShadowOf = Callable[[torch.Tensor, torch.dtype], torch.Tensor]
"""Gives a tensor of that type without data for a weight that has some; what has none already stays as it is."""
_MODES = {"rnn_relu": 0, "rnn_tanh": 1, "lstm": 2, "gru": 3}
"""The number by which cuDNN knows each kind of layer."""
_FLATTEN = torch.nn.RNNBase.flatten_parameters
_ATTEND = functional.scaled_dot_product_attention
_WIDEST_FLASH = 256  # elements of a head
_ALIGNED_BYTES = 16  # of a head's row, which the memory-efficient kernel loads at once
_lock = threading.Lock()
_captures = 0


@contextmanager
def ops_of_cuda(captured: type, shadow_of: ShadowOf) -> Iterator[None]:
    """Lets recurrent layers, cells and attention issue the ops of CUDA where their input is of the class `captured`.

    All others run as ever, also in other threads.
    """
    global _captures
    with _lock:
        _captures += 1
        vars(_VF).update(_replacements(captured, shadow_of))
        torch.nn.RNNBase.flatten_parameters = _flattening(captured)  # type: ignore
        functional.scaled_dot_product_attention = _attending(captured)
    try:
        yield
    finally:
        with _lock:
            _captures -= 1
            if not _captures:
                _restore()


def _replacements(captured: type, shadow_of: ShadowOf) -> Dict[str, Callable[..., Any]]:
    """What stands in for each of torch's functions; torch's own are looked up behind them, in torch._C."""
    originals = {name: getattr(torch._C._VariableFunctions, name) for name in (*_MODES, *_CELLS)}

    def replacement(name: str) -> Callable[..., Any]:
        def call(source: Any, *args: Any) -> Any:
            if not isinstance(source, captured):
                return originals[name](source, *args)
            own: Any = source
            return _CELLS[name](own, *args) if name in _CELLS else _layer(name, shadow_of, own, *args)

        return call

    return {name: replacement(name) for name in originals}


def _flattening(captured: type) -> Callable[[torch.nn.RNNBase], None]:
    """Weights are laid out once, when they come onto the device; some releases do so whenever they change."""

    def flatten(layer: torch.nn.RNNBase) -> None:
        if not any(isinstance(weight, captured) for weight in layer._flat_weights):
            _FLATTEN(layer)

    return flatten


def _restore() -> None:
    torch.nn.RNNBase.flatten_parameters = _FLATTEN  # type: ignore
    functional.scaled_dot_product_attention = _ATTEND
    for name in (*_MODES, *_CELLS):
        vars(_VF).pop(name, None)


def _layer(
    name: str,
    shadow_of: ShadowOf,
    source: torch.Tensor,
    hidden: Any,
    weights: Any,
    has_biases: bool,
    num_layers: int,
    dropout: float,
    train: bool,
    bidirectional: bool,
    batch_first: bool,
) -> Tuple[torch.Tensor, ...]:
    """One op; its last two results, what training keeps and the weights in one buffer, are the caller's no more."""
    if not isinstance(weights, (list, tuple)):  # then the second argument is batch sizes
        raise CaptureError(f"a PackedSequence goes into {name}: how long its sequences are is data")
    hx, cx = hidden if name == "lstm" else (hidden, None)
    hidden_size = hx.shape[2] if cx is None else cx.shape[2]
    proj_size = hx.shape[2] if hx.shape[2] != hidden_size else 0
    each = (4 if has_biases else 2) + (1 if proj_size else 0)  # weights of a layer in one direction
    own = [shadow_of(weight, source.dtype) for weight in weights]
    sizes = (_MODES[name], hidden_size, proj_size, num_layers, batch_first, dropout, train, bidirectional, (), None)
    found = torch.ops.aten._cudnn_rnn(source, own, each, None, hx, cx, *sizes)
    return tuple(found[: 2 if cx is None else 3])


def _lstm_cell(source: torch.Tensor, hidden: Sequence[torch.Tensor], *weights: torch.Tensor) -> Any:
    gates, biases = _gates(source, hidden[0], *weights)
    return torch.ops.aten._thnn_fused_lstm_cell(*gates, hidden[1], *biases)[:2]


def _gru_cell(source: torch.Tensor, hidden: torch.Tensor, *weights: torch.Tensor) -> Any:
    gates, biases = _gates(source, hidden, *weights)
    return torch.ops.aten._thnn_fused_gru_cell(*gates, hidden, *biases)[0]


def _gates(source: torch.Tensor, hidden: torch.Tensor, w_ih: Any, w_hh: Any, *biases: Any) -> Tuple[Any, Any]:
    return (torch.matmul(source, w_ih.t()), torch.matmul(hidden, w_hh.t())), biases


def _attending(captured: type) -> Callable[..., Any]:
    def attend(query: Any, *args: Any, **kwargs: Any) -> Any:
        return (_attention if isinstance(query, captured) else _ATTEND)(query, *args, **kwargs)

    return attend


def _attention(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attn_mask: Optional[torch.Tensor] = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: Optional[float] = None,
    enable_gqa: bool = False,
) -> Any:
    """Flash attention in half precision without a mask, else the memory-efficient kernel, else product by product."""
    aten = torch.ops.aten
    heads_fit = enable_gqa or query.shape[:-2] == key.shape[:-2]  # else they are broadcast, product by product
    is_plain = dropout_p == 0 and query.dim() == key.dim() == value.dim() == 4 and heads_fit
    if is_plain and _fits_flash(query, attn_mask):
        return aten._scaled_dot_product_flash_attention(query, key, value, 0.0, is_causal, scale=scale)[0]
    bias = attn_mask
    if attn_mask is not None and attn_mask.dtype == torch.bool:
        nothing, excluded = (torch.scalar_tensor(x, dtype=query.dtype) for x in (0.0, -float("inf")))
        bias = torch.where(attn_mask, nothing, excluded)
    if is_plain and _fits_memory_efficient(query, key, value, bias):
        flags = (False, 0.0, is_causal)
        return aten._scaled_dot_product_efficient_attention(query, key, value, bias, *flags, scale=scale)[0]
    options = (bias, dropout_p, is_causal)
    grouped = {"enable_gqa": True} if enable_gqa else {}
    return aten._scaled_dot_product_attention_math(query, key, value, *options, scale=scale, **grouped)[0]


def _fits_flash(query: torch.Tensor, mask: Optional[torch.Tensor]) -> bool:
    return query.element_size() == 2 and mask is None and query.shape[-1] <= _WIDEST_FLASH


def _fits_memory_efficient(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, bias: Optional[torch.Tensor]
) -> bool:
    aligned = all(t.shape[-1] * t.element_size() % _ALIGNED_BYTES == 0 for t in (query, key, value))
    shaped = bias is None or bias.dim() in (2, 4)
    return aligned and shaped and query.element_size() <= 4 and query.shape[1] == key.shape[1]


_CELLS: Dict[str, Callable[..., Any]] = {"lstm_cell": _lstm_cell, "gru_cell": _gru_cell}
