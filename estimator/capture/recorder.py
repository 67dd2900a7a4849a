"""Answers each op of a forward pass, computes those whose inputs all have values, and keeps a list of the ops."""

from __future__ import annotations

from typing import Any, Callable, Dict, Iterable, List, Mapping, NamedTuple, Optional, Sequence, Tuple

import torch
from torch.utils._mode_utils import no_dispatch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.weak import WeakTensorKeyDictionary

from ..missing_operators import COMPUTED
from ..opstream import CONSTANT, INPUT, Op
from .copies import MOST_KNOWN_ELEMENTS
from .meta_kernels import Answer, answer_to, computed_op, layouts_in, materialised, op_name, written_arguments
from .shadow import Shadow, freeze, has_values, map_tensors, shadow_like, tensors_of

_SELECTING = (torch.ops.aten.index.Tensor, torch.ops.aten.masked_select.default)
_MASKS = (torch.bool, torch.uint8)
_HALVES = (torch.float16, torch.bfloat16)


class Decision(NamedTuple):
    """An op whose values decided what followed: its name, the module that issued it, and what it gave."""

    op: str
    module: str
    elements: int

    def __str__(self) -> str:
        """As a person reads it: "nms kept 87 boxes in roi_heads"."""
        name = self.op.rpartition(".")[2].lstrip("_")
        what = f"{name} kept {self.elements} boxes" if name == "nms" else f"{name} gave {self.elements}"
        where = f" in {self.module}" if self.module else ""
        return f"{what if self.elements else name}{where}"


class _Memory:
    """What a tensor and its views share, and the place of the op that wrote into any of them last."""

    written_by = INPUT


class _Made(NamedTuple):
    """Of a tensor: the place of the op that made it, or CONSTANT or INPUT, and the memory that it lies in."""

    place: int
    memory: _Memory


class Recorder(TorchDispatchMode):
    """Keeps the ops of one forward pass, and what `current` says at each: the module that issued it.

    A tensor with values is an ordinary one, so that a cache outside of the module may keep it. `on_device` has those
    that a GPU would hold: what the module and its inputs have, and all that is made from it; a constant is the host's.
    `inputs` are those of the model. With `with_data` every op is computed, however large, but for one that would write
    into what is `borrowed` from the user's own model. `makes_constants` says whether any was computed.
    """

    def __init__(
        self,
        current: Callable[[], str],
        on_device: Sequence[torch.Tensor],
        inputs: Sequence[torch.Tensor],
        borrowed: Sequence[torch.Tensor],
        with_data: bool,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.ops: List[Op] = []
        self.modules: List[str] = []
        self.sources: List[Tuple[int, ...]] = []
        self._made = WeakTensorKeyDictionary((t, _Made(INPUT, _Memory())) for t in inputs)
        self._decisions: List[Decision] = []
        self.makes_constants = False
        self._current, self._with_data = current, with_data
        self._borrowed = {_storage_of(t) for t in borrowed}
        self._on_device = WeakTensorKeyDictionary((t, True) for t in on_device)
        self._overwritten: Dict[int, Any] = {}  # storages of ordinary tensors whose values are known no more

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """No, or the first op imports the compiler, and every op asks it to look away."""
        return False

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Optional[Mapping[str, Any]] = None
    ) -> Any:
        kwargs = kwargs or {}
        if torch.is_inference_mode_enabled():  # where PyTorch takes no op apart before a mode sees it
            with self:
                parts = func.decompose(*args, **kwargs)
            if parts is not NotImplemented:
                return parts
        if kwargs.get("device") is not None:
            kwargs = _on_one_device(kwargs)
        tensors: List[torch.Tensor] = []
        frozen = freeze(args, tensors), tuple((name, freeze(value, tensors)) for name, value in kwargs.items())
        if all(map(self.knows, tensors)):
            return self._computed(func, args, kwargs, frozen, tensors)
        return self._inferred(func, args, kwargs, frozen, tensors)

    @property
    def decided_by(self) -> str:
        """What decided the op stream: of boxes the last choice, else of what gave most elements; "" for nothing."""
        kept = [decision for decision in self._decisions if decision.op == "torchvision.nms"]
        most = max(self._decisions, key=lambda decision: decision.elements, default="")
        return str(kept[-1] if kept else most)

    def knows(self, t: torch.Tensor) -> bool:
        """Returns whether the tensor has values, and nothing without values was written into it."""
        if isinstance(t, Shadow) or not has_values(t) or t.layout != torch.strided:
            return False
        return not self._overwritten or _storage_of(t) not in self._overwritten

    def issued_as(self, issue: Callable[..., Any], compute: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        """Records the ops of `issue`, which a GPU alone has, and returns what `compute` does where that is known."""
        if not all(map(self.knows, tensors_of(args, kwargs))):
            return issue(*args, **kwargs)
        shadows = map_tensors(shadow_like, [list(args), dict(kwargs)])
        issue(*shadows[0], **shadows[1])
        with no_dispatch():
            return compute(*args, **kwargs)

    def _inferred(self, func: Any, args: Any, kwargs: Any, frozen: Any, tensors: List[torch.Tensor]) -> Any:
        answer = self._selected(func, args, frozen) or answer_to(func, *frozen)
        written = _written(func, args, kwargs)
        self._forget(written)
        results = materialised(answer.result, tensors)
        self._record(func, answer.op, tensors, written, tensors_of([results], {}))
        return results

    def _selected(self, func: Any, args: Any, frozen: Any) -> Optional[Answer]:
        """Where a mask with values selects of a tensor without: the values decide how many, not which."""
        if func not in _SELECTING or not any(t.dtype in _MASKS for t in tensors_of(args[1], {})):
            return None
        if not all(map(self.knows, tensors_of(args[1], {}))):
            return None
        results = func(torch.zeros((), dtype=args[0].dtype).expand(args[0].shape), *args[1:])
        return Answer(computed_op(func, frozen, results), freeze(results))

    def _forget(self, written: Sequence[torch.Tensor]) -> None:
        for t in filter(self.knows, written):
            self._overwritten[_storage_of(t)] = t.untyped_storage()

    def _computed(self, func: Any, args: Any, kwargs: Any, frozen: Any, tensors: List[torch.Tensor]) -> Any:
        answer = _answer_if_any(func, frozen)
        is_large = answer is not None and not self._with_data and _is_large(answer.result)
        if is_large or any(_storage_of(t) in self._borrowed for t in _written(func, args, kwargs)):
            return self._inferred(func, args, kwargs, frozen, tensors)
        try:
            results = _computed(func, args, kwargs)
        except (NotImplementedError, RuntimeError):
            if answer is None:
                raise
            return self._inferred(func, args, kwargs, frozen, tensors)
        made = tensors_of([results], {})
        if any(t in self._on_device for t in tensors):
            self._on_device.update((t, True) for t in made)
        elif answer is None and not made:
            return results  # to read a value that the host has is no op of the device's
        op = answer.op if answer is not None else computed_op(func, frozen, results)
        self._note(answer, op, made)
        self._record(func, op, tensors, _written(func, args, kwargs), made)
        return results

    def _note(self, answer: Optional[Answer], op: Optional[Op], made: Sequence[torch.Tensor]) -> None:
        self.makes_constants = self.makes_constants or bool(made and op)
        if answer is None and op is not None and self._with_data:
            self._decisions.append(
                Decision(op.name, self._current(), made[0].shape[0] if made and made[0].dim() else 0)
            )

    def _record(
        self,
        func: Any,
        op: Optional[Op],
        inputs: Sequence[torch.Tensor],
        written: Sequence[torch.Tensor],
        made: Sequence[torch.Tensor],
    ) -> None:
        """What an alias gives was made by the op that made its input; an allocation has no maker."""
        viewed = inputs[:1] if _gives_views(func) else ()
        place = len(self.ops) if op is not None else max(self.made_by(viewed), default=CONSTANT)
        if op is not None:
            self.ops.append(op)
            self.modules.append(self._current())
            self.sources.append(self.made_by(inputs)[: len(op.inputs)])
        for t in written:
            self._known(t).memory.written_by = place
        memories = [self._known(t).memory for t in viewed]
        for t in made:
            if memories or t not in self._made:
                self._made[t] = _Made(place, *(memories or [_Memory()]))

    def _known(self, t: torch.Tensor) -> _Made:
        if t not in self._made:
            self._made[t] = _Made(CONSTANT, _Memory())
        return self._made[t]  # type: ignore[no-any-return]

    def made_by(self, tensors: Iterable[torch.Tensor]) -> Tuple[int, ...]:
        """Returns for each tensor the place of the op that made it, or has written into its memory since.

        CONSTANT or INPUT where none did.
        """
        return tuple(max(made.place, made.memory.written_by) for made in map(self._known, tensors))


def _written(func: Any, args: Any, kwargs: Mapping[str, Any]) -> List[torch.Tensor]:
    return tensors_of(written_arguments(func, args, kwargs), {}) if func._schema.is_mutable else []


def _gives_views(func: Any) -> bool:
    """Returns whether its results lie in the memory of its first tensor."""
    aliases = [result.alias_info for result in func._schema.returns if result.alias_info is not None]
    return any(not alias.is_write for alias in aliases) or op_name(func) == "aten._unsafe_view"


def _storage_of(t: torch.Tensor) -> int:
    return t.untyped_storage().data_ptr() if has_values(t) else 0


def _answer_if_any(func: Any, frozen: Any) -> Optional[Answer]:
    """None where the values decide the answer; some operators of libraries say that in errors of their own."""
    try:
        return answer_to(func, *frozen)
    except Exception:
        return None


def _is_large(result: Any) -> bool:
    return any(layout.numel > MOST_KNOWN_ELEMENTS for layout in layouts_in(result))


def _on_one_device(kwargs: Mapping[str, Any]) -> Mapping[str, Any]:
    """All is on one device: a forward pass that names it moves nothing."""
    return kwargs if kwargs["device"].type in ("cpu", "meta") else {**kwargs, "device": torch.device("cpu")}


def _computed(func: Any, args: Any, kwargs: Mapping[str, Any]) -> Any:
    """In single precision where a CPU has no kernel in half."""
    try:
        return func(*args, **kwargs)
    except RuntimeError:
        if op_name(func) in COMPUTED:
            return COMPUTED[op_name(func)](*args, **kwargs)
        halves = [t.dtype for t in tensors_of(args, kwargs) if t.dtype in _HALVES]
        if not halves or func._schema.is_mutable:
            raise
    wide = map_tensors(_widened, [list(args), dict(kwargs)])
    return map_tensors(lambda t: t.to(halves[0]) if t.dtype == torch.float32 else t, func(*wide[0], **wide[1]))


def _widened(t: torch.Tensor) -> torch.Tensor:
    return t.float() if t.dtype in _HALVES else t
