"""What PyTorch runs on CUDA where a CPU runs something else: cuDNN's recurrent layers, fused cells, fused attention.

As `_cudnn_impl` of aten/src/ATen/native/cudnn/RNN.cpp, the cells of aten/src/ATen/native/RNN.cpp and the choice of
aten/src/ATen/native/transformers/cuda/sdp_utils.cpp do. A CPU's ops cannot be told from others afterwards, and a mode
for torch functions would turn the fast paths of other layers off.
"""

from __future__ import annotations

import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Callable, Dict, Iterator, Optional, Sequence, Tuple

import torch
from torch import _VF
from torch.amp import autocast_mode
from torch.nn import functional

from .. import missing_operators
from ..errors import CaptureError
from .meta_kernels import NeedsValues
from .surroundings import INSTEAD_OF_AUTOCAST

if TYPE_CHECKING:
    from .recorder import Recorder

_MODES = {"rnn_relu": 0, "rnn_tanh": 1, "lstm": 2, "gru": 3}
"""The number by which cuDNN knows each kind of layer."""
_ATTEND = functional.scaled_dot_product_attention
_TO_CUDA = torch.Tensor.cuda
_WIDEST_FLASH = 256  # elements of a head
_ALIGNED_BYTES = 16  # of a head's row, which the memory-efficient kernel loads at once
_capturing = threading.local()
_lock = threading.Lock()
_originals: Dict[Tuple[Any, str], Any] = {}
_captures = 0


@contextmanager
def ops_of_cuda(recorder: Recorder) -> Iterator[None]:
    """Lets recurrent layers, cells and attention that this thread calls issue the ops of CUDA, on any tensor.

    In the same way no CUDA is needed to name one as a device. Other threads run as ever.
    """
    global _captures
    with _lock:
        _captures += 1
        if _captures == 1:
            _replace()
    _capturing.recorder = recorder
    try:
        yield
    finally:
        del _capturing.recorder
        with _lock:
            _captures -= 1
            if not _captures:
                _restore()


def _replace() -> None:
    """What is replaced was put there by Python, or is looked up behind what stands before it."""
    for (owner, name), stand_in in _stand_ins().items():
        _originals[owner, name] = vars(owner).get(name)
        setattr(owner, name, stand_in)


def _restore() -> None:
    for (owner, name), original in _originals.items():
        if original is None:
            delattr(owner, name)
        else:
            setattr(owner, name, original)
    _originals.clear()


def _stand_ins() -> Dict[Tuple[Any, str], Callable[..., Any]]:
    issued = {**{name: _layer_of(name) for name in _MODES}, **_CELLS}
    found: Dict[Tuple[Any, str], Callable[..., Any]] = {
        (_VF, name): _issuing(issue, getattr(torch._C._VariableFunctions, name)) for name, issue in issued.items()
    }
    found[functional, "scaled_dot_product_attention"] = _issuing(_attention, _ATTEND)
    found[torch.nn.RNNBase, "flatten_parameters"] = _unless_capturing(torch.nn.RNNBase.flatten_parameters)
    for name in ("_lazy_init", "synchronize"):
        found[torch.cuda, name] = _unless_capturing(getattr(torch.cuda, name))
    found[autocast_mode.autocast, "__init__"] = _making(autocast_mode.autocast.__init__)
    found[autocast_mode.autocast, "__enter__"] = _entering(autocast_mode.autocast.__enter__)
    for owner, name in ((torch.Tensor, "to"), (torch.Tensor, "cuda"), (torch, "tensor"), (torch, "as_tensor")):
        found[owner, name] = _staying(getattr(owner, name))
    for name in ("tolist", "numpy"):
        found[torch.Tensor, name] = _reading(name, getattr(torch.Tensor, name))
    return {**found, **_of_compiler(), **missing_operators.stand_ins(_issuing)}


def _of_compiler() -> Dict[Tuple[Any, str], Callable[..., Any]]:
    """Where it was imported, one of these is asked before each call of a compiled function."""
    compiler = sys.modules.get("torch._dynamo.eval_frame")
    names = [name for name in ("set_eval_frame", "_maybe_set_eval_frame") if hasattr(compiler, name)]
    return {(compiler, name): _refusing_compiled(getattr(compiler, name)) for name in names}


def _refusing_compiled(original: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def set_eval_frame(callback: Any) -> Any:
        if callback and _recorder() is not None and callable(callback):
            compiled = sys._getframe(1).f_locals.get("fn")
            name = getattr(compiled, "__qualname__", "a function")
            raise CaptureError(
                f"{name} is compiled: estimates are of eager mode; call it as it was before torch.compile"
            )
        return original(callback)

    return set_eval_frame


def _recorder() -> Optional[Recorder]:
    return getattr(_capturing, "recorder", None)


def _issuing(issue: Callable[..., Any], original: Callable[..., Any]) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        recorder = _recorder()
        return original(*args, **kwargs) if recorder is None else recorder.issued_as(issue, original, args, kwargs)

    return call


def _unless_capturing(original: Callable[..., None]) -> Callable[..., None]:
    """Weights are laid out once, when they come onto the device; some releases do so whenever they change."""

    def call(*args: Any, **kwargs: Any) -> None:
        if _recorder() is None:
            original(*args, **kwargs)

    return call


def _making(original: Callable[..., None]) -> Callable[..., None]:
    """Without CUDA, PyTorch turns an autocast to CUDA's types off when it is made."""

    def make(self: Any, device_type: str, dtype: Any = None, enabled: bool = True, *args: Any, **kwargs: Any) -> None:
        original(self, device_type, dtype, enabled, *args, **kwargs)
        if _recorder() is not None:
            self.was_asked_for = enabled

    return make


def _entering(original: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """One that was made before, as a decorator is, may have been turned off for want of CUDA: it counts as on."""

    def enter(self: Any) -> Any:
        turned_off = self.device == "cuda" and not torch.cuda.is_available()
        if _recorder() is not None and getattr(self, "was_asked_for", self._enabled or turned_off):
            raise CaptureError(f"torch.autocast: {INSTEAD_OF_AUTOCAST}")
        return original(self)

    return enter


def _staying(original: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
    """All that a capture sees is on one device: a forward pass that names a GPU moves nothing."""

    def stay(*args: Any, **kwargs: Any) -> torch.Tensor:
        if _recorder() is None:
            return original(*args, **kwargs)
        if original is _TO_CUDA:
            return args[0]  # type: ignore[no-any-return]
        return original(*map(_here, args), **{name: _here(value) for name, value in kwargs.items()})

    return stay


def _here(value: Any) -> Any:
    is_other = isinstance(value, (str, torch.device)) and torch.device(value).type not in ("cpu", "meta")
    return torch.device("cpu") if is_other else value


def _reading(name: str, original: Callable[..., Any]) -> Callable[..., Any]:
    """These read the data of an ordinary tensor without an op that a capture could see."""

    def read(self: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        recorder = _recorder()
        if recorder is not None and not recorder.knows(self):
            raise NeedsValues(f"{name}() needs the values of a tensor")
        return original(self, *args, **kwargs)

    return read


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


_CELLS: Dict[str, Callable[..., Any]] = {"lstm_cell": _lstm_cell, "gru_cell": _gru_cell}
