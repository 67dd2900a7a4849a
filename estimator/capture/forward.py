"""The doors to a capture: from a module and its inputs to the ops of one warm forward pass."""

from __future__ import annotations

from itertools import chain
from typing import Any, List, Mapping, Optional, Tuple

import torch
from torch.utils._pytree import tree_flatten

from ..errors import CaptureError
from ..opstream import Captured, Op
from .copies import Copies, kept_parts, lacks_values
from .meta_kernels import NeedsValues
from .recorder import Recorder
from .refusals import Calls, cause_of, place_of, refuse_what_is_not_eager
from .stand_ins import as_on_cuda
from .surroundings import plain_surroundings


class FailedWithoutData(CaptureError):
    """A forward pass failed on tensors without values; with values it may run."""


Call = Tuple[Tuple[Any, ...], Mapping[str, Any]]
"""Positional and keyword arguments."""


def capture(model: torch.nn.Module, example_inputs: Any, dtype: Optional[torch.dtype] = None) -> Tuple[Op, ...]:
    """Returns the ops of `capture_in_modules` alone; raises as that does."""
    return capture_in_modules(model, example_inputs, dtype).ops


def capture_in_modules(model: torch.nn.Module, example_inputs: Any, dtype: Optional[torch.dtype] = None) -> Captured:
    """Returns the ops of one warm forward pass in `eval()` and `no_grad()`, in order of issue, each with its module.

    `example_inputs` is a tensor, a tuple or list of positional arguments, or a mapping of keyword arguments; real and
    meta tensors will do, as they will for the model's weights. `dtype` replaces the floating-point type of weights
    and inputs, as `model.half()` would. A copy is captured, in its second pass where that may differ from the first:
    what a module, or a cache of the process, makes once and keeps is no part of it. A module that the model has under
    several names goes by the first of them.

    Where the values of an activation decide, the copy runs on the real weights and inputs, and `decided_by` says where.
    Raises CaptureError, with module and line, where some of these have no data, and when the forward pass fails.
    """
    refuse_what_is_not_eager(model)
    call = call_arguments(example_inputs)
    with plain_surroundings():
        try:
            return _captured(model, call, dtype, with_data=False)
        except (NeedsValues, FailedWithoutData) as failure:
            if lacks_values((model, call)):
                advice = "; with data in all weights and inputs it may be captured"
                raise CaptureError(f"{failure}{advice if isinstance(failure, NeedsValues) else ''}") from failure
        return _captured(model, call, dtype, with_data=True)


def call_arguments(example_inputs: Any) -> Call:
    """Returns the positional and the keyword arguments that example inputs stand for."""
    if isinstance(example_inputs, Mapping):
        return (), example_inputs
    return (tuple(example_inputs) if isinstance(example_inputs, (list, tuple)) else (example_inputs,)), {}


def _captured(model: torch.nn.Module, call: Call, dtype: Optional[torch.dtype], with_data: bool) -> Captured:
    copies = Copies(dtype, with_data)
    own = copies.of_module(model)
    calls = Calls(own)
    try:
        with calls.followed():
            own.eval()
            before = kept_parts(own)
            found, results = _forward(own, copies, call, calls, with_data)
            if found.makes_constants or list(map(id, kept_parts(own))) != list(map(id, before)):
                found, results = _forward(own, copies, call, calls, with_data)
    except (Exception, SystemExit) as error:  # the model's own code may raise anything
        raise _refusal(model, error, calls.raised_in(error), with_data) from error
    weight_bytes = sum(t.numel() * t.element_size() for t in chain(own.parameters(), own.buffers()))
    flow = tuple(found.sources), results
    return Captured(tuple(found.ops), tuple(found.modules), found.decided_by, weight_bytes, *flow)


def _forward(
    own: torch.nn.Module, copies: Copies, call: Call, calls: Calls, with_data: bool
) -> Tuple[Recorder, Tuple[int, ...]]:
    """The recorder, and which ops made what the model returns."""
    args, kwargs = copies.of_inputs(call)
    recorder = Recorder(calls.current, copies.known, _tensors_in((args, kwargs)), copies.borrowed, with_data)
    with as_on_cuda(recorder), recorder:
        returned = own(*args, **kwargs)
    return recorder, tuple(sorted(set(recorder.made_by(_tensors_in(returned)))))


def _tensors_in(value: Any) -> List[torch.Tensor]:
    return [leaf for leaf in tree_flatten(value)[0] if isinstance(leaf, torch.Tensor)]


def _refusal(model: torch.nn.Module, error: BaseException, path: str, with_data: bool) -> CaptureError:
    place = place_of(error, path)
    if isinstance(error, CaptureError):
        return type(error)(f"{error}{place}")
    kind, how = (CaptureError, "") if with_data else (FailedWithoutData, " without data")
    return kind(f"cannot capture the op stream of {type(model).__name__}{how}: {cause_of(error)}{place}")
