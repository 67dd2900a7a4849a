"""A copy of a module and of what it is called with, in which another tensor stands for each tensor.

The original is never run: whatever a forward pass leaves behind, in hooks, caches or attributes, it leaves in the copy.
"""

from __future__ import annotations

import copy
import functools
import gc
import types
from collections import OrderedDict
from typing import Any, Callable, Collection, Dict, Iterator, List, Optional, Tuple, TypeVar

import torch
from torch.nn.parameter import is_lazy

from ..errors import CaptureError
from .shadow import has_values, layout_of, shadow_like

Value = TypeVar("Value")
StandIn = Callable[[torch.Tensor], torch.Tensor]
MOST_KNOWN_ELEMENTS = 2**20
"""A larger tensor loses its values: to compute with them would take longer than the estimate."""
_ATOMIC = (bool, int, float, str, type(None), torch.dtype, torch.device)
_TABLES = (dict, OrderedDict)
_OF_EVERY_MODULE = {name for name, value in vars(torch.nn.Module()).items() if isinstance(value, dict)}
_NOT_PARTS = (
    type,
    types.FunctionType,
    types.BuiltinFunctionType,
    types.ModuleType,
    types.CodeType,
    types.FrameType,
    *_ATOMIC,
)


class Copies:
    """Copies of one module and of its inputs, made in one memo: what they share, their copies share.

    `dtype` is the type of floating-point weights, buffers and inputs, None their own. With `with_data` every tensor
    keeps its values; without, those of weights, of floating-point inputs and of large tensors are dropped. `known` has
    all that stand for a tensor of the original and have values, `borrowed` the weights whose memory these may share.
    """

    def __init__(self, dtype: Optional[torch.dtype], with_data: bool) -> None:
        self._dtype, self._with_data = dtype, with_data
        self._memo: Dict[int, Any] = {}
        self.known: List[torch.Tensor] = []
        self.borrowed: List[torch.Tensor] = []

    def of_module(self, model: torch.nn.Module) -> torch.nn.Module:
        """Returns the module's copy. A buffer keeps its values, and so does a tensor that is a plain attribute."""
        self._enter(model.parameters(), self._weight)
        self._enter(model.buffers(), self._buffer)
        modules = [module for module in model.modules() if not hasattr(type(module), "__deepcopy__")]
        self._memo.update({id(module): type(module).__new__(type(module)) for module in modules})
        for module in modules:
            attributes = vars(module).items()
            kept = {name: value if _is_plain(value) else self._attribute(value) for name, value in attributes}
            vars(self._memo[id(module)]).update(kept)
            for name in _slots(type(module)):  # type: ignore[arg-type]
                if hasattr(module, name):
                    object.__setattr__(self._memo[id(module)], name, self._attribute(getattr(module, name)))
        return copied(model, self._memo, self._kept)

    def of_inputs(self, inputs: Value) -> Value:
        """Returns a new copy of the inputs at each call, of the same module's."""
        return copied(inputs, dict(self._memo), self._given)

    def _attribute(self, value: Any) -> Any:
        if id(value) in self._memo:
            return self._memo[id(value)]
        if type(value) not in _TABLES or not all(id(part) in self._memo or part is None for part in value.values()):
            return copied(value, self._memo, self._kept)
        self._memo[id(value)] = table = type(value)((name, self._memo.get(id(part))) for name, part in value.items())
        return table

    def _enter(self, tensors: Iterator[torch.Tensor], stand_in: StandIn) -> None:
        for tensor in tensors:
            if is_lazy(tensor):
                raise CaptureError("a lazy module has no weights before its first call: call it once")
            if id(tensor) not in self._memo:
                self._memo[id(tensor)] = stand_in(tensor)

    def _weight(self, weight: torch.Tensor) -> torch.Tensor:
        """One with data is borrowed: it shares its memory."""
        if not (self._with_data and has_values(weight)):
            return shadow_like(weight, _type_of(weight, self._dtype))
        self.borrowed.append(weight)
        return self._with_values(weight.detach().to("cpu", _type_of(weight, self._dtype)))

    def _given(self, tensor: torch.Tensor) -> torch.Tensor:
        if tensor.is_floating_point() and not self._with_data:
            return shadow_like(tensor, _type_of(tensor, self._dtype))
        return self._kept(tensor, self._dtype)

    def _buffer(self, tensor: torch.Tensor) -> torch.Tensor:
        return self._kept(tensor, self._dtype)

    def _kept(self, tensor: torch.Tensor, dtype: Optional[torch.dtype] = None) -> torch.Tensor:
        is_small = self._with_data or layout_of(tensor).numel <= MOST_KNOWN_ELEMENTS
        if not (is_small and has_values(tensor)):
            return shadow_like(tensor, _type_of(tensor, dtype))
        return self._with_values(tensor.detach().to("cpu", _type_of(tensor, dtype), copy=True))

    def _with_values(self, tensor: torch.Tensor) -> torch.Tensor:
        self.known.append(tensor)
        return tensor


def _type_of(tensor: torch.Tensor, dtype: Optional[torch.dtype]) -> torch.dtype:
    return dtype if dtype is not None and tensor.dtype.is_floating_point else tensor.dtype


def copied(value: Value, memo: Dict[int, Any], stand_in: StandIn) -> Value:
    """Returns a copy in which `stand_in` of each tensor takes its place, or what `memo` has for its id.

    What cannot be copied (a lock, an open file, a generator) stands for itself. CaptureError for what refuses to be.
    """
    found = [part for part in parts_of(value, memo) if id(part) not in memo]
    memo.update({id(part): stand_in(part) for part in found if isinstance(part, torch.Tensor)})
    try:
        return copy.deepcopy(value, memo)
    except (Exception, SystemExit):  # a class may refuse to be copied in any way, and leaves what was half copied
        for part in found:
            if not isinstance(part, torch.Tensor):
                memo.pop(id(part), None)
        memo.update({id(part): part for part in found if id(part) not in memo and not _is_copyable(part)})
    try:
        return copy.deepcopy(value, memo)
    except (Exception, SystemExit) as error:
        raise CaptureError(f"a {type(value).__name__} cannot be copied: {type(error).__name__}: {error}") from error


def _is_plain(value: Any) -> bool:
    """Whether nothing can change in it: a number, a text, a tuple of these."""
    kind = type(value)
    return kind in _ATOMIC or (kind is tuple and all(type(part) in _ATOMIC for part in value))


@functools.lru_cache(maxsize=None)
def _slots(kind: type) -> Tuple[str, ...]:
    found = (vars(base).get("__slots__", ()) for base in kind.__mro__)
    names = [name for slots in found for name in ((slots,) if isinstance(slots, str) else slots)]
    return tuple(name for name in names if not name.startswith("__"))


def _is_copyable(part: Any) -> bool:
    if isinstance(part, (list, tuple, dict, set, types.MethodType)) or hasattr(part, "__deepcopy__"):
        return True
    try:
        part.__reduce_ex__(4)
    except (Exception, SystemExit):
        return False
    return True


def parts_of(value: Any, known: Collection[int] = ()) -> Iterator[Any]:
    """Yields the value and all objects that it is made of, each once; classes, functions and modules are none.

    What is in one whose id is `known` is left out.
    """
    seen: Dict[int, Any] = {}
    left: List[Any] = [value]
    while left:
        part = left.pop()
        if id(part) in seen or isinstance(part, _NOT_PARTS):
            continue
        seen[id(part)] = part
        yield part
        if not isinstance(part, torch.Tensor) and id(part) not in known:
            left.extend(gc.get_referents(part))


def kept_parts(model: torch.nn.Module) -> List[Any]:
    """Returns all that the modules of a model keep: what a forward pass adds or replaces changes the list."""
    modules = list(model.modules())
    kept: List[Any] = []
    known = {id(module) for module in modules}
    for module in modules:
        attributes = vars(module)
        kept.extend(attributes.values())
        for name in _OF_EVERY_MODULE:
            kept.extend(attributes.get(name, {}).values())
        for name in attributes.keys() - _OF_EVERY_MODULE:
            if not _is_plain(attributes[name]):
                kept.extend(parts_of(attributes[name], known))
    return kept


def tensors_in(value: Any) -> Iterator[torch.Tensor]:
    """Yields the tensors that the value is made of, each once."""
    return (part for part in parts_of(value) if isinstance(part, torch.Tensor))


def lacks_values(value: Any) -> bool:
    """Returns whether any tensor that the value is made of is one without data: on the meta device, or a fake one."""
    return not all(map(has_values, tensors_in(value)))
