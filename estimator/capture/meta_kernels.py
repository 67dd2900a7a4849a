"""What each ATen op answers to shadows: the layouts of its results, and how the op stream names it.

Layouts come from PyTorch's own meta kernels, asked once per distinct call and process.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any, Callable, Dict, List, Mapping, Optional, Tuple

import torch
from torch.utils._mode_utils import no_dispatch

from ..errors import CaptureError
from ..opstream import Op
from .shadow import CHANNELS_LAST, Layout, freeze, is_channels_last, layout_of, map_tensors, shadow

_SAME_AS_FIRST_INPUT = ("aten._native_multi_head_attention", "aten._transformer_encoder_layer_fwd")
_ALLOCATIONS = ("aten.empty", "aten.empty_like", "aten.empty_strided", "aten.new_empty", "aten.new_empty_strided")
_METADATA_ONLY = (
    "aten._unsafe_view",
    "aten.as_strided_",
    "aten.resize_",
    "aten.squeeze_",
    "aten.t_",
    "aten.transpose_",
    "aten.unsqueeze_",
)
_PLAIN = (bool, int, float, str, type(None))
_READS_VALUES = ("aten._local_scalar_dense", "aten.item", "aten.is_nonzero", "aten.equal")


class NeedsValues(CaptureError):
    """The values of a tensor that has none decide what follows; the text says which op asks for them."""


@dataclass(frozen=True)
class _Alias:
    """A result that is one of the call's own inputs (an in-place op), and the layout that the call leaves it with."""

    index: int
    layout: Layout


@dataclass(frozen=True)
class Answer:
    """The op that a call is, None for one that launches nothing, and its results: a Layout for each new tensor."""

    op: Optional[Op]
    result: Any


@functools.lru_cache(maxsize=None)
def answer_to(func: Any, args: Tuple[Any, ...], kwargs: Tuple[Tuple[str, Any], ...]) -> Answer:
    """Returns what a call answers to arguments that `freeze` gave; NeedsValues where the data decide that."""
    name = op_name(func)
    if name in _READS_VALUES:
        raise NeedsValues(f"{name} needs the values of a tensor")
    if "nested_tensor" in name:
        raise CaptureError(f"{name} makes a nested tensor, whose shape is data; enable_nested_tensor=False avoids it")
    metas: List[torch.Tensor] = []

    def to_meta(layout: Layout) -> torch.Tensor:
        metas.append(layout.meta())
        return metas[-1]

    meta_args = _thaw(args, to_meta)
    result = _infer(func, name, meta_args, {k: _thaw(v, to_meta) for k, v in kwargs})
    frozen = _frozen_result(result, metas)
    return Answer(_as_op(func, name, args, kwargs, layouts_in(frozen)), frozen)


def _infer(func: Any, name: str, args: Any, kwargs: Dict[str, Any]) -> Any:
    if name in _SAME_AS_FIRST_INPUT:
        return torch.empty_like(args[0]) if name.endswith("fwd") else (torch.empty_like(args[0]), args[0].new_empty(0))
    if name == "aten._thnn_fused_gru_cell":  # the hidden state, and what training keeps of five gates
        return torch.empty_like(args[2]), args[2].new_empty((args[2].shape[0], 5 * args[2].shape[1]))
    if name == "aten._grouped_mm":  # which has a kernel for bfloat16, and falls back to products for other types
        return _grouped_product(*args, **kwargs)
    if "device" in kwargs:
        kwargs["device"] = torch.device("meta")
    try:
        found = func(*args, **kwargs)
    except NotImplementedError:
        return _infer_with_fakes(func, name, args, kwargs)
    if name == "aten.convolution" and any(map(is_channels_last, args[:2])):  # as cudnn_conv_suggest_memory_format says
        return found.contiguous(memory_format=CHANNELS_LAST[found.dim()])
    return found


def _grouped_product(
    left: torch.Tensor, right: torch.Tensor, offs: Optional[torch.Tensor] = None, *_: Any, **__: Any
) -> torch.Tensor:
    """A row of `offs` is where a group ends, along the rows of a matrix, or along what is summed where both are one."""
    groups = left.shape[:1] if left.dim() == 3 else () if right.dim() == 3 or offs is None else tuple(offs.shape)
    return left.new_empty((*groups, left.shape[-2], right.shape[-1]))


def _infer_with_fakes(func: Any, name: str, args: Any, kwargs: Dict[str, Any]) -> Any:
    """For the few ops without a meta kernel: PyTorch's slower fake tensors know more of them."""
    from torch._subclasses.fake_tensor import DynamicOutputShapeException, FakeTensorMode

    with FakeTensorMode():
        fakes: Callable[[Any], Any] = functools.partial(map_tensors, _fake_cpu)
        kwargs = {k: torch.device("cpu") if k == "device" else fakes(v) for k, v in kwargs.items()}
        try:
            return func(*fakes(args), **kwargs)
        except DynamicOutputShapeException as error:
            raise NeedsValues(f"{name} gives as many elements as the data have") from error


def _fake_cpu(t: torch.Tensor) -> torch.Tensor:
    return torch.empty_strided(t.shape, t.stride(), dtype=t.dtype, device="cpu")


def computed_op(func: Any, frozen: Tuple[Any, Any], results: Any) -> Optional[Op]:
    """Returns the op that a call with these frozen arguments is by the results that it gave, which the data decide."""
    return _as_op(func, op_name(func), *frozen, layouts_in(freeze(results)))


def _as_op(func: Any, name: str, args: Any, kwargs: Any, outputs: Tuple[Layout, ...]) -> Optional[Op]:
    """Allocations launch nothing; a slice that takes all is there in some releases of PyTorch and not in others."""
    written = tuple(layout for arg in written_arguments(func, args, {}) for layout in layouts_in(arg))
    specs = tuple(layout.spec for layout in outputs or written)
    out = {a.name for a in func._schema.arguments if a.kwarg_only and _is_written(a)}
    spec_args, spec_kwargs = _to_specs(args), tuple((k, _to_specs(v)) for k, v in kwargs if k not in out)
    everything = name == "aten.alias" or (name == "aten.slice" and specs[0].shape == spec_args[0].shape)
    not_an_op = not specs and not (name.startswith("aten.") and layouts_in((args, tuple(v for _, v in kwargs))))
    if name in _ALLOCATIONS or not_an_op or everything:
        return None
    aliases = [r.alias_info for r in func._schema.returns if r.alias_info is not None]
    is_view = name in _METADATA_ONLY or any(not alias.is_write for alias in aliases)
    flops = 0 if name.startswith("aten.") else _registered_flops(func, args, kwargs, outputs)
    return Op(name, spec_args, spec_kwargs, specs, is_view, bool(func._schema.is_mutable) and not out, flops)


def _registered_flops(func: Any, args: Any, kwargs: Any, outputs: Tuple[Layout, ...]) -> int:
    from torch.utils import flop_counter

    formula = getattr(flop_counter, "flop_registry", {}).get(func.overloadpacket)  # older ones take no formula
    if formula is None:
        return 0
    results = [layout.meta() for layout in outputs]
    given = _thaw(args, Layout.meta), {name: _thaw(value, Layout.meta) for name, value in kwargs}
    return int(formula(*given[0], **given[1], out_val=results[0] if len(results) == 1 else tuple(results)))


def _is_written(argument: Any) -> bool:
    return argument.alias_info is not None and bool(argument.alias_info.is_write)


def written_arguments(func: Any, args: Any, kwargs: Mapping[str, Any]) -> Tuple[Any, ...]:
    """Returns the arguments that an op writes into: the positional ones are the results of one that gives back none."""
    named = [(place, argument.name) for place, argument in enumerate(func._schema.arguments) if _is_written(argument)]
    return tuple(args[place] if place < len(args) else kwargs.get(name) for place, name in named)


def op_name(func: Any) -> str:
    """Returns the op's name without its overload: "aten.add"."""
    return str(func._schema.name).replace("::", ".")


def _thaw(value: Any, to_meta: Callable[[Layout], torch.Tensor]) -> Any:
    if isinstance(value, Layout):
        return to_meta(value)
    if _is_typed_scalar(value):
        return value[1]
    return [_thaw(v, to_meta) for v in value] if isinstance(value, tuple) else value


def _is_typed_scalar(value: Any) -> bool:
    """1, 1.0 and True are equal as keys of a cache, but not as arguments; so `freeze` keeps their type."""
    return isinstance(value, tuple) and len(value) == 2 and isinstance(value[0], type)


def _frozen_result(result: Any, metas: List[torch.Tensor]) -> Any:
    if isinstance(result, torch.Tensor):
        index = next((i for i, meta in enumerate(metas) if meta is result), None)
        return layout_of(result) if index is None else _Alias(index, layout_of(result))
    if isinstance(result, (list, tuple)):
        return tuple(_frozen_result(r, metas) for r in result)
    return result


def _map_leaves(result: Any, function: Callable[[Any], Any]) -> Any:
    return tuple(_map_leaves(r, function) for r in result) if isinstance(result, tuple) else function(result)


def materialised(result: Any, inputs: List[torch.Tensor]) -> Any:
    """Returns the results of an answer: new shadows, and the call's own inputs where it gives these back."""
    return _map_leaves(result, functools.partial(_materialised_leaf, inputs=inputs))


def _materialised_leaf(leaf: Any, inputs: List[torch.Tensor]) -> Any:
    if isinstance(leaf, _Alias):
        return _laid_out(inputs[leaf.index], leaf.layout)
    return shadow(leaf) if isinstance(leaf, Layout) else leaf


def _laid_out(t: torch.Tensor, layout: Layout) -> torch.Tensor:
    """The shadow that the caller holds, in the shape that an op (t_, or one with an empty `out`) has given it."""
    if layout_of(t) != layout:
        if t.numel() not in (0, layout.numel):
            raise CaptureError(f"an op resizes a tensor of shape {tuple(t.shape)} to {layout.shape}")
        with no_dispatch():
            t.resize_(layout.shape).as_strided_(layout.shape, layout.stride)
    return t


def layouts_in(frozen: Any) -> Tuple[Layout, ...]:
    """Returns all layouts in a frozen argument or result."""
    if isinstance(frozen, _Alias):
        return (frozen.layout,)
    if isinstance(frozen, tuple):
        return tuple(layout for part in frozen for layout in layouts_in(part))
    return (frozen,) if isinstance(frozen, Layout) else ()


def _to_specs(value: Any) -> Any:
    if isinstance(value, Layout):
        return value.spec
    if _is_typed_scalar(value):
        return value[1]
    if isinstance(value, tuple):
        return tuple(_to_specs(v) for v in value)
    return value if isinstance(value, _PLAIN) else str(value)  # torch.float16, torch.channels_last, cpu
