"""Model to op stream: run `model(x)` on tensors that have a shape but no data, and write down every ATen op.

A shadow tensor reports itself as a CPU tensor (PyTorch takes its inference fast paths only for real devices) and
owns no memory. Shapes come from PyTorch's own meta kernels, asked once per distinct call and session.
"""

from __future__ import annotations

import copy
import functools
import math
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Callable, Dict, Iterator, List, Mapping, Optional, Tuple

import torch
from torch.nn.modules import module as module_hooks
from torch.utils._mode_utils import no_dispatch
from torch.utils._python_dispatch import TorchDispatchMode

from .errors import CaptureError
from .on_cuda import ops_of_cuda
from .opstream import Captured, Op, TensorSpec

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
_NOT_EAGER: Mapping[str, Callable[[torch.nn.Module], bool]] = {
    "scripted": lambda module: isinstance(module, torch.jit.ScriptModule),
    "compiled": lambda module: hasattr(module, "_orig_mod") or getattr(module, "_compiled_call_impl", None) is not None,
    "spread over devices": lambda module: isinstance(
        module, (torch.nn.DataParallel, torch.nn.parallel.DistributedDataParallel)
    ),
}
_INSTEAD = {
    "scripted": "the module that it was made from",
    "compiled": "the module before torch.compile",
    "spread over devices": "its .module",
}
_CHANNELS_LAST = {4: torch.channels_last, 5: torch.channels_last_3d}
_PLAIN = (bool, int, float, str, type(None))
_DATA_DEPENDENT = ("aten._local_scalar_dense", "aten.item", "aten.is_nonzero", "aten.equal")


def capture(model: torch.nn.Module, example_inputs: Any, dtype: Optional[torch.dtype] = None) -> Tuple[Op, ...]:
    """Returns the ops of one forward pass in `eval()` and `no_grad()`, in order of issue.

    `example_inputs` is a tensor, a tuple or list of positional arguments, or a dict of keyword arguments; real and
    meta tensors will do, as they will for the model's weights. `dtype` replaces the floating-point type of weights
    and inputs, as `model.half()` would. The model is left as it was. Raises CaptureError when the forward pass
    depends on data or fails.
    """
    recorder = _Recorder()
    _run_on_shadows(model, example_inputs, dtype, recorder)
    return tuple(recorder.ops)


def capture_in_modules(model: torch.nn.Module, example_inputs: Any, dtype: Optional[torch.dtype] = None) -> Captured:
    """Returns the ops of `capture`, each with the module that issued it; raises as that does.

    A module that the model has under several names goes by the first of them.
    """
    with _calling(model) as current:
        recorder = _Recorder(current)
        _run_on_shadows(model, example_inputs, dtype, recorder)
    return Captured(tuple(recorder.ops), tuple(recorder.modules))


@contextmanager
def _calling(model: torch.nn.Module) -> Iterator[Callable[[], str]]:
    """Yields a function that returns the path of the module being called.

    By hooks of all modules of the process: hooks of the model's own would turn PyTorch's fast paths off.
    """
    paths = {id(module): path for path, module in model.named_modules()}
    called = [""]

    def enter(module: torch.nn.Module, _args: Any) -> None:
        called.append(paths.get(id(module), called[-1]))

    def leave(_module: torch.nn.Module, _args: Any, _result: Any) -> None:
        called.pop()

    handles = (
        module_hooks.register_module_forward_pre_hook(enter),
        module_hooks.register_module_forward_hook(leave, always_call=True),
    )
    try:
        yield lambda: called[-1]
    finally:
        for handle in handles:
            handle.remove()


def _run_on_shadows(
    model: torch.nn.Module, example_inputs: Any, dtype: Optional[torch.dtype], recorder: _Recorder
) -> None:
    _refuse(model)
    args, kwargs = call_arguments(example_inputs)
    shadow = functools.partial(_shadow_of, dtype=dtype)
    try:
        with _evaluating(model), ops_of_cuda(_Shadow, _weight_shadow), torch.no_grad(), recorder:
            state = {name: shadow(t) for name, t in _named_tensors(model)}
            inputs = [_map(shadow, a) for a in args], {k: _map(shadow, v) for k, v in kwargs.items()}
            torch.func.functional_call(model, state, tuple(inputs[0]), inputs[1])
    except CaptureError:
        raise
    except Exception as error:  # the model's own code may raise anything
        raise CaptureError(_explain(model, error)) from error


class _Shadow(torch.Tensor):
    """A tensor of the CPU by all it says, without memory."""

    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        raise CaptureError(f"{func} reached a captured tensor after its capture had ended")


class _Recorder(TorchDispatchMode):
    """Answers each op with shadows of its results and keeps a list of the ops, and of what `current` says at each."""

    def __init__(self, current: Callable[[], str] = str) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.ops: List[Op] = []
        self.modules: List[str] = []
        self._current = current

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        signature = _freeze(args), tuple((k, _freeze(v)) for k, v in (kwargs or {}).items())
        answer = _answer(func, *signature)
        if answer.op is not None:
            self.ops.append(answer.op)
            self.modules.append(self._current())
        return _map_leaves(answer.result, functools.partial(_materialise, inputs=_tensors_of(args, kwargs)))


@dataclass(frozen=True)
class _Layout:
    """All that a meta kernel looks at in a tensor."""

    shape: Tuple[int, ...]
    stride: Tuple[int, ...]
    dtype: torch.dtype

    def meta(self) -> torch.Tensor:
        return torch.empty_strided(self.shape, self.stride, dtype=self.dtype, device="meta")

    @functools.cached_property
    def spec(self) -> TensorSpec:
        meta = self.meta()
        dtype = str(self.dtype).replace("torch.", "")
        return TensorSpec(self.shape, dtype, meta.element_size(), meta.is_contiguous(), _is_channels_last(meta))


@dataclass(frozen=True)
class _Alias:
    """A result that is one of the call's own inputs (an in-place op), and the layout that the call leaves it with."""

    index: int
    layout: _Layout


@dataclass(frozen=True)
class _Answer:
    op: Optional[Op]
    result: Any


@functools.lru_cache(maxsize=None)
def _answer(func: Any, args: Tuple[Any, ...], kwargs: Tuple[Tuple[str, Any], ...]) -> _Answer:
    name = _op_name(func)
    if name in _DATA_DEPENDENT:
        raise CaptureError(f"{name} needs the values of a tensor, so the op stream depends on data")
    if "nested_tensor" in name:
        raise CaptureError(f"{name} makes a nested tensor, whose shape is data; enable_nested_tensor=False avoids it")
    metas: List[torch.Tensor] = []

    def to_meta(layout: _Layout) -> torch.Tensor:
        metas.append(layout.meta())
        return metas[-1]

    meta_args = _thaw(args, to_meta)
    result = _infer(func, name, meta_args, {k: _thaw(v, to_meta) for k, v in kwargs})
    frozen = _freeze_result(result, metas)
    return _Answer(_as_op(func, name, args, kwargs, _layouts(frozen)), frozen)


def _infer(func: Any, name: str, args: Any, kwargs: Dict[str, Any]) -> Any:
    if name in _SAME_AS_FIRST_INPUT:
        return torch.empty_like(args[0]) if name.endswith("fwd") else (torch.empty_like(args[0]), args[0].new_empty(0))
    if name == "aten._thnn_fused_gru_cell":  # the hidden state, and what training keeps of five gates
        return torch.empty_like(args[2]), args[2].new_empty((args[2].shape[0], 5 * args[2].shape[1]))
    if "device" in kwargs:
        kwargs["device"] = torch.device("meta")
    try:
        found = func(*args, **kwargs)
    except NotImplementedError:
        return _infer_with_fakes(func, args, kwargs)
    if name == "aten.convolution" and any(map(_is_channels_last, args[:2])):  # as cudnn_conv_suggest_memory_format says
        return found.contiguous(memory_format=_CHANNELS_LAST[found.dim()])
    return found


def _is_channels_last(t: torch.Tensor) -> bool:
    layout = _CHANNELS_LAST.get(t.dim())
    return layout is not None and not t.is_contiguous() and t.is_contiguous(memory_format=layout)


def _infer_with_fakes(func: Any, args: Any, kwargs: Dict[str, Any]) -> Any:
    """For the few ops without a meta kernel: PyTorch's slower fake tensors know more of them."""
    from torch._subclasses.fake_tensor import FakeTensorMode

    with FakeTensorMode():
        fakes: Callable[[Any], Any] = functools.partial(_map, _fake_cpu)
        kwargs = {k: torch.device("cpu") if k == "device" else fakes(v) for k, v in kwargs.items()}
        return func(*fakes(args), **kwargs)


def _fake_cpu(t: torch.Tensor) -> torch.Tensor:
    return torch.empty_strided(t.shape, t.stride(), dtype=t.dtype, device="cpu")


def _as_op(func: Any, name: str, args: Any, kwargs: Any, outputs: Tuple[_Layout, ...]) -> Optional[Op]:
    """Allocations launch nothing; a slice that takes all is there in some releases of PyTorch and not in others."""
    written = _written(func, args)
    specs = tuple(layout.spec for layout in outputs or written)
    out = {a.name for a in func._schema.arguments if a.kwarg_only and _is_written(a)}
    spec_args, spec_kwargs = _to_specs(args), tuple((k, _to_specs(v)) for k, v in kwargs if k not in out)
    everything = name == "aten.alias" or (name == "aten.slice" and specs[0].shape == spec_args[0].shape)
    not_an_op = not specs and not name.startswith("aten.")
    if name in _ALLOCATIONS or not_an_op or everything:
        return None
    aliases = [r.alias_info for r in func._schema.returns if r.alias_info is not None]
    is_view = name in _METADATA_ONLY or any(not alias.is_write for alias in aliases)
    return Op(name, spec_args, spec_kwargs, specs, is_view, bool(func._schema.is_mutable) and not out)


def _is_written(argument: Any) -> bool:
    return argument.alias_info is not None and bool(argument.alias_info.is_write)


def _written(func: Any, args: Any) -> Tuple[_Layout, ...]:
    """The tensors that an op writes into in place: the results of one that gives back nothing."""
    places = [i for i, argument in enumerate(func._schema.arguments) if _is_written(argument)]
    return tuple(layout for i in places if i < len(args) for layout in _layouts(args[i]))


def _op_name(func: Any) -> str:
    return str(func._schema.name).replace("::", ".")


def _map(function: Callable[[torch.Tensor], Any], value: Any) -> Any:
    """Applies `function` to each tensor in nested lists, tuples and dicts."""
    if isinstance(value, torch.Tensor):
        return function(value)
    if isinstance(value, dict):
        mapped_dict = copy.copy(value)  # of its own class, which a model may ask for attributes
        mapped_dict.update({k: _map(function, v) for k, v in value.items()})
        return mapped_dict
    if isinstance(value, (list, tuple)):
        mapped = [_map(function, v) for v in value]
        return type(value)(*mapped) if hasattr(value, "_fields") else type(value)(mapped)
    return value


def _freeze(value: Any) -> Any:
    """A hashable copy: a _Layout for each tensor, a tuple for each list."""
    if isinstance(value, torch.Tensor):
        return _layout_of(value)
    if isinstance(value, (list, tuple)):
        return tuple(_freeze(v) for v in value)
    return (type(value), value) if isinstance(value, (bool, int, float)) else value


def _thaw(value: Any, to_meta: Callable[[_Layout], torch.Tensor]) -> Any:
    if isinstance(value, _Layout):
        return to_meta(value)
    if _is_typed_scalar(value):
        return value[1]
    return [_thaw(v, to_meta) for v in value] if isinstance(value, tuple) else value


def _is_typed_scalar(value: Any) -> bool:
    """1, 1.0 and True are equal as keys of a cache, but not as arguments; so _freeze keeps their type."""
    return isinstance(value, tuple) and len(value) == 2 and isinstance(value[0], type)


def _freeze_result(result: Any, metas: List[torch.Tensor]) -> Any:
    if isinstance(result, torch.Tensor):
        index = next((i for i, meta in enumerate(metas) if meta is result), None)
        return _layout_of(result) if index is None else _Alias(index, _layout_of(result))
    if isinstance(result, (list, tuple)):
        return tuple(_freeze_result(r, metas) for r in result)
    return result


def _map_leaves(result: Any, function: Callable[[Any], Any]) -> Any:
    return tuple(_map_leaves(r, function) for r in result) if isinstance(result, tuple) else function(result)


def _materialise(leaf: Any, inputs: List[torch.Tensor]) -> Any:
    if isinstance(leaf, _Alias):
        return _laid_out(inputs[leaf.index], leaf.layout)
    return _shadow(leaf) if isinstance(leaf, _Layout) else leaf


def _laid_out(shadow: torch.Tensor, layout: _Layout) -> torch.Tensor:
    """The shadow that the caller holds, in the shape that an op (t_, or one with an empty `out`) has given it."""
    if _layout_of(shadow) != layout:
        if shadow.numel() not in (0, math.prod(layout.shape)):
            raise CaptureError(f"an op resizes a tensor of shape {tuple(shadow.shape)} to {layout.shape}")
        with no_dispatch():
            shadow.resize_(layout.shape).as_strided_(layout.shape, layout.stride)
    return shadow


def _layouts(frozen: Any) -> Tuple[_Layout, ...]:
    if isinstance(frozen, _Alias):
        return (frozen.layout,)
    if isinstance(frozen, tuple):
        return tuple(layout for part in frozen for layout in _layouts(part))
    return (frozen,) if isinstance(frozen, _Layout) else ()


def _to_specs(value: Any) -> Any:
    if isinstance(value, _Layout):
        return value.spec
    if _is_typed_scalar(value):
        return value[1]
    if isinstance(value, tuple):
        return tuple(_to_specs(v) for v in value)
    return value if isinstance(value, _PLAIN) else str(value)  # torch.float16, torch.channels_last, cpu


def _tensors_of(args: Any, kwargs: Any) -> List[torch.Tensor]:
    found: List[torch.Tensor] = []
    _map(found.append, [args, list((kwargs or {}).values())])
    return found


def _layout_of(t: torch.Tensor) -> _Layout:
    return _Layout(tuple(t.shape), tuple(t.stride()), t.dtype)


def _shadow(layout: _Layout) -> torch.Tensor:
    cpu = torch.device("cpu")
    return torch.Tensor._make_wrapper_subclass(
        _Shadow, layout.shape, strides=layout.stride, dtype=layout.dtype, device=cpu, requires_grad=False
    )


def _shadow_of(t: torch.Tensor, dtype: Optional[torch.dtype]) -> torch.Tensor:
    layout = _layout_of(t)
    wanted = dtype if dtype is not None and t.dtype.is_floating_point else t.dtype
    return _shadow(_Layout(layout.shape, layout.stride, wanted))


def _weight_shadow(weight: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    return weight if isinstance(weight, _Shadow) else _shadow_of(weight, dtype)


def _named_tensors(model: torch.nn.Module) -> Iterator[Tuple[str, torch.Tensor]]:
    yield from model.named_parameters()
    yield from model.named_buffers()


def call_arguments(example_inputs: Any) -> Tuple[Tuple[Any, ...], Mapping[str, Any]]:
    """Returns the positional and the keyword arguments that example inputs stand for."""
    if isinstance(example_inputs, Mapping):
        return (), example_inputs
    return (tuple(example_inputs) if isinstance(example_inputs, (list, tuple)) else (example_inputs,)), {}


def _refuse(model: torch.nn.Module) -> None:
    """One line for what does not run as eager PyTorch runs a module."""
    if not isinstance(model, torch.nn.Module):
        raise CaptureError(f"a {type(model).__name__} is no torch.nn.Module: estimates are made of modules")
    for path, module in model.named_modules():
        kind = next((kind for kind, is_one in _NOT_EAGER.items() if is_one(module)), None)
        if kind is not None:
            where = f"{path}, a {type(module).__name__}," if path else f"this {type(module).__name__}"
            raise CaptureError(f"{where} is {kind}: estimates are of eager mode; pass {_INSTEAD[kind]}")


@contextmanager
def _evaluating(model: torch.nn.Module) -> Iterator[None]:
    """Puts the model into `eval()`, and everything that its modules keep back as it was."""
    kept = [(module, dict(vars(module)), _tables(module)) for module in model.modules()]
    try:
        model.eval()
        yield
    finally:
        for module, attributes, tables in kept:
            vars(module).clear()
            vars(module).update(attributes)
            for table, entries in zip(_tables_of(module), tables):
                table.clear()
                table.update(entries)


def _tables_of(module: torch.nn.Module) -> Tuple[Dict[str, Any], ...]:
    return module._parameters, module._buffers, module._modules


def _tables(module: torch.nn.Module) -> Tuple[Dict[str, Any], ...]:
    return tuple(dict(table) for table in _tables_of(module))


def _explain(model: torch.nn.Module, error: Exception) -> str:
    if type(error).__name__ == "DynamicOutputShapeException":
        return (
            f"{str(error).rpartition('.')[0]} gives as many elements as the data have, so the op stream depends on data"
        )
    reason = (str(error).strip() or type(error).__name__).splitlines()[0].split(". This could be because")[0]
    return f"cannot capture the op stream of {type(model).__name__} without data: {type(error).__name__}: {reason}"
