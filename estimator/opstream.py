"""The op stream: what capture writes down and lower reads. Plain data, no torch."""

from __future__ import annotations

import functools
import hashlib
import json
from dataclasses import dataclass, fields
from typing import Any, Dict, Iterable, Iterator, List, Mapping, Sequence, Tuple


@dataclass(frozen=True)
class TensorSpec:
    """Shape (elements per dimension), dtype name ("float32") and layout of one tensor.

    `contiguous` says whether it lies in the order of its elements, `channels_last` whether it lies as NHWC (NDHWC).
    """

    shape: Tuple[int, ...]
    dtype: str
    item_bytes: int
    contiguous: bool = True
    channels_last: bool = False

    @functools.cached_property
    def numel(self) -> int:
        """Number of elements."""
        return functools.reduce(lambda a, b: a * b, self.shape, 1)

    @property
    def nbytes(self) -> int:
        """Size of the data in bytes."""
        return self.numel * self.item_bytes


@dataclass(frozen=True)
class Op:
    """One call into ATen: its name ("aten.convolution"), arguments with a TensorSpec for each tensor, and outputs.

    Arguments are tensors, numbers, texts, None and tuples of these; a dtype or a memory format is its name. `flops` is
    what a formula says that PyTorch's counter was given for an op of another library (`register_flop_formula`), else 0.
    """

    name: str
    args: Tuple[Any, ...]
    kwargs: Tuple[Tuple[str, Any], ...]
    outputs: Tuple[TensorSpec, ...]
    is_view: bool
    in_place: bool
    flops: int = 0

    @functools.cached_property
    def inputs(self) -> Tuple[TensorSpec, ...]:
        """The tensors among the arguments, in order; those inside lists included."""
        return tuple(_tensors((self.args, tuple(value for _, value in self.kwargs))))

    @functools.cached_property
    def line(self) -> str:
        """What a digest says of it."""
        return f"{self.name} {_canonical((self.args, self.kwargs, self.outputs))}"


CONSTANT, INPUT = -1, -2
"""In place of an op that made a tensor: a weight or a constant has no maker, and neither has an input of the model."""


@dataclass(frozen=True)
class Captured:
    """An op stream, and for each op the path of the module that issued it: "layer4.0.conv2", "" for the model.

    `sources` has for each op, and of that for each of its `inputs`, the place of the op that made it or has written
    into its memory since, or CONSTANT or INPUT; `results` are such places of what the model returns.
    `decided_by` names an op whose values decided what followed, its module and the elements that it gave, where the
    stream is that of these weights and inputs alone; "" where it is of all. `weight_bytes` is the size of all
    parameters and buffers of the model, whether the forward pass reads them or not.
    """

    ops: Tuple[Op, ...]
    modules: Tuple[str, ...]
    decided_by: str = ""
    weight_bytes: int = 0
    sources: Tuple[Tuple[int, ...], ...] = ()
    results: Tuple[int, ...] = ()


def _tensors(value: Any) -> Iterator[TensorSpec]:
    if isinstance(value, TensorSpec):
        yield value
    elif isinstance(value, tuple):
        for part in value:
            yield from _tensors(part)


def distinct(ops: Iterable[Op]) -> List[Op]:
    """Returns each op once, in order: models repeat their blocks, and a captured stream has one op for equal calls.

    By identity: as keys, 1, 1.0 and True would be equal.
    """
    return list({id(op): op for op in ops}.values())


def digest(ops: Sequence[Op], rules: Iterable[str] = ()) -> str:
    """Returns twelve hexadecimal digits that change with any name, shape, dtype or whole number of the stream.

    `rules` names the ops that rules of a test's own price: no stream without these may be taken for it.

    Other numbers (momentum, eps, a probability) do not count: none decides a latency, and releases of torchvision
    differ in them.
    """
    text = "\n".join([*(op.line for op in ops), *sorted(rules)])
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _canonical(value: Any) -> str:
    if isinstance(value, TensorSpec):
        return f"{value.dtype}{list(value.shape)}{'' if value.contiguous else ' strided'}"
    if isinstance(value, tuple):
        return "(" + ",".join(map(_canonical, value)) + ")"
    return "float" if isinstance(value, float) else str(value)


def stream_text(captured: Captured) -> str:
    """Returns the stream as one line of JSON, each op and each tensor once; `parse_stream` makes an equal one of it."""
    ops = captured.ops
    tensors: Dict[TensorSpec, int] = {}
    once = distinct(ops)
    written = [[_written(getattr(op, name), tensors) for name in _FIELDS["op_fields"]] for op in once]
    places = {id(op): place for place, op in enumerate(once)}
    found = {
        **_FIELDS,
        "tensors": [[getattr(tensor, name) for name in _FIELDS["tensor_fields"]] for tensor in tensors],
        "ops": written,
        "stream": [places[id(op)] for op in ops],
        "modules": captured.modules,
        "decided_by": captured.decided_by,
        "weight_bytes": captured.weight_bytes,
        "sources": captured.sources,
        "results": captured.results,
    }
    return json.dumps(found, separators=(",", ":"))


def parse_stream(text: str) -> Captured:
    """Returns the stream that `stream_text` wrote; ValueError where it has other fields than those known here."""
    found = json.loads(text)
    if {key: found.get(key) for key in _FIELDS} != _FIELDS:
        raise ValueError("an op stream of another version")
    tensors = [TensorSpec(*map(_tuples, values)) for values in found["tensors"]]
    once = [Op(*(_read(value, tensors) for value in values)) for values in found["ops"]]
    ops = tuple(once[place] for place in found["stream"])
    flow = tuple(map(tuple, found["sources"])), tuple(found["results"])
    return Captured(ops, tuple(found["modules"]), str(found["decided_by"]), int(found["weight_bytes"]), *flow)


_FIELDS: Mapping[str, List[str]] = {
    "captured_fields": [f.name for f in fields(Captured)],
    "tensor_fields": [f.name for f in fields(TensorSpec)],
    "op_fields": [f.name for f in fields(Op)],
}


def _written(value: Any, tensors: Dict[TensorSpec, int]) -> Any:
    if isinstance(value, TensorSpec):
        return {"tensor": tensors.setdefault(value, len(tensors))}
    return [_written(part, tensors) for part in value] if isinstance(value, tuple) else value


def _read(value: Any, tensors: Sequence[TensorSpec]) -> Any:
    if isinstance(value, dict):
        return tensors[value["tensor"]]
    return tuple([_read(part, tensors) for part in value]) if isinstance(value, list) else value


def _tuples(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
