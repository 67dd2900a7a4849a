"""What stands in for functions of PyTorch while a thread captures: CUDA's ops, one device, values read where known.

All other threads run as ever. A mode for torch functions would turn the fast paths of other layers off.
"""

from __future__ import annotations

import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Callable, Dict, Iterator, Optional, Tuple

import torch
from torch import _VF
from torch.amp import autocast_mode
from torch.nn import functional

from .. import missing_operators
from ..errors import CaptureError
from .meta_kernels import NeedsValues
from .on_cuda import RECURRENT, attention
from .surroundings import INSTEAD_OF_AUTOCAST

if TYPE_CHECKING:
    from .recorder import Recorder

_ATTEND = functional.scaled_dot_product_attention
_TO_CUDA = torch.Tensor.cuda
_capturing = threading.local()
_lock = threading.Lock()
_originals: Dict[Tuple[Any, str], Any] = {}
_captures = 0


@contextmanager
def as_on_cuda(recorder: Recorder) -> Iterator[None]:
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
    found: Dict[Tuple[Any, str], Callable[..., Any]] = {
        (_VF, name): _issuing(issue, getattr(torch._C._VariableFunctions, name)) for name, issue in RECURRENT.items()
    }
    found[functional, "scaled_dot_product_attention"] = _issuing(attention, _ATTEND)
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
