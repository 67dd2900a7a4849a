"""What PyTorch runs on CUDA where a CPU runs something else: cuDNN's recurrent layers, fused cells, fused attention.

As `_cudnn_impl` of aten/src/ATen/native/cudnn/RNN.cpp, the cells of aten/src/ATen/native/RNN.cpp and the choice of
aten/src/ATen/native/transformers/cuda/sdp_utils.cpp do. A CPU's ops cannot be told from others afterwards.
"""

from __future__ import annotations

from typing import Any, Callable, Dict, Optional, Sequence, Tuple

import torch

from ..errors import CaptureError

_MODES = {"rnn_relu": 0, "rnn_tanh": 1, "lstm": 2, "gru": 3}
"""The number by which cuDNN knows each kind of layer."""
_WIDEST_FLASH = 256  # elements of a head
_ALIGNED_BYTES = 16  # of a head's row, which the memory-efficient kernel loads at once


def _layer_of(name: str) -> Callable[..., Any]:
    return lambda *args: _layer(name, *args)


def _layer(
    name: str,
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
    if isinstance(hidden, torch.Tensor) and not hidden.is_floating_point():  # it is batch sizes
        raise CaptureError(f"a PackedSequence goes into {name}: how long its sequences are is data")
    hx, cx = hidden if name == "lstm" else (hidden, None)
    hidden_size = hx.shape[2] if cx is None else cx.shape[2]
    proj_size = hx.shape[2] if hx.shape[2] != hidden_size else 0
    each = (4 if has_biases else 2) + (1 if proj_size else 0)  # weights of a layer in one direction
    sizes = (_MODES[name], hidden_size, proj_size, num_layers, batch_first, dropout, train, bidirectional, (), None)
    found = torch.ops.aten._cudnn_rnn(source, list(weights), each, None, hx, cx, *sizes)
    return tuple(found[: 2 if cx is None else 3])


def _lstm_cell(source: torch.Tensor, hidden: Sequence[torch.Tensor], *weights: torch.Tensor) -> Any:
    gates, biases = _gates(source, hidden[0], *weights)
    return torch.ops.aten._thnn_fused_lstm_cell(*gates, hidden[1], *biases)[:2]


def _gru_cell(source: torch.Tensor, hidden: torch.Tensor, *weights: torch.Tensor) -> Any:
    gates, biases = _gates(source, hidden, *weights)
    return torch.ops.aten._thnn_fused_gru_cell(*gates, hidden, *biases)[0]


def _gates(source: torch.Tensor, hidden: torch.Tensor, w_ih: Any, w_hh: Any, *biases: Any) -> Tuple[Any, Any]:
    return (torch.matmul(source, w_ih.t()), torch.matmul(hidden, w_hh.t())), biases


def attention(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attn_mask: Optional[torch.Tensor] = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: Optional[float] = None,
    enable_gqa: bool = False,
) -> Any:
    """Returns attention as CUDA issues it: flash in half precision without a mask, memory-efficient, or by products."""
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
    if not torch.backends.cuda.flash_sdp_enabled():
        return False
    return query.element_size() == 2 and mask is None and query.shape[-1] <= _WIDEST_FLASH


def _fits_memory_efficient(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, bias: Optional[torch.Tensor]
) -> bool:
    if not torch.backends.cuda.mem_efficient_sdp_enabled():
        return False
    aligned = all(t.shape[-1] * t.element_size() % _ALIGNED_BYTES == 0 for t in (query, key, value))
    shaped = bias is None or bias.dim() in (2, 4)
    return aligned and shaped and query.element_size() <= 4 and query.shape[1] == key.shape[1]


RECURRENT: Dict[str, Callable[..., Any]] = {
    **{name: _layer_of(name) for name in _MODES},
    "lstm_cell": _lstm_cell,
    "gru_cell": _gru_cell,
}
"""By the name of a function of torch._VF what issues the ops of CUDA."""
