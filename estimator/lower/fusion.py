"""The fused view of an op stream: the kernels that an inference compiler makes of it, by who reads what."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple

from ..opstream import CONSTANT, Captured, Op, TensorSpec
from .kernels import FUSED_ATTENTION, Kernel, Lowered, Product, function_name

_CONVOLUTIONS = ("aten.convolution", "aten._convolution")
_BATCH_NORMS = ("native_batch_norm", "cudnn_batch_norm", "_native_batch_norm_legit_no_training")
_FOLDED = (*_BATCH_NORMS, "bias")
"""What becomes a part of the weights before it."""
_IN_PLACE_OF_COPIES = ("clone", "_to_copy")
_SOFTMAXES = ("_softmax", "_safe_softmax")
_NOT_POINTWISE = (*_SOFTMAXES, "native_layer_norm")
"""Of the kernels that one op is made of."""
_BIAS = 2  # its place among a convolution's arguments
_End = Tuple[int, int]
"""Of a group: the op whose result is the group's, and which of that op's kernels gives it."""
_NOWHERE: _End = (-1, -1)


class Flow:
    """Who reads what of an op stream. A view is what it is a view of; what is made of constants alone is constant."""

    def __init__(self, captured: Captured) -> None:
        self._ops, self._raw = captured.ops, captured.sources
        self._origins: List[int] = []
        self.sources: List[Tuple[int, ...]] = []
        for place, op in enumerate(captured.ops):
            sources = tuple(self.origin(source) for source in captured.sources[place])
            is_constant = all(source == CONSTANT for source in sources)
            self._origins.append(CONSTANT if is_constant else sources[0] if op.is_view else place)
            self.sources.append(sources)
        self._readers: Dict[int, int] = dict.fromkeys(map(self.origin, captured.results), 1)
        self._joiners: Dict[int, int] = {}
        for place in filter(self.computes, range(len(captured.ops))):
            for source in set(self.sources[place]):
                self._readers[source] = self._readers.get(source, 0) + 1
                self._joiners[source] = self._joiners.get(source, 0) + self.concatenates(place)

    def origin(self, source: int) -> int:
        """Returns the op whose data a source is, or CONSTANT or INPUT."""
        return self._origins[source] if source >= 0 else source

    def computes(self, place: int) -> bool:
        """Returns whether an op is neither a view nor known before the model runs."""
        return self._origins[place] == place

    def concatenates(self, place: int) -> bool:
        """Returns whether the op joins tensors into one."""
        return self._ops[place].name == "aten.cat"

    def alone_reads(self, place: int) -> Optional[int]:
        """Returns the op whose data this one, and nothing else, reads first; None where there is none."""
        made = next((source for source in self.sources[place] if self._readers.get(source) == 1), CONSTANT)
        return made if made >= 0 else None

    def made_inputs(self, place: int) -> int:
        """Returns how many of its inputs are not constant."""
        return sum(source != CONSTANT for source in self.sources[place])

    def copied(self, place: int) -> Tuple[TensorSpec, ...]:
        """Returns the inputs of a concatenation that its makers cannot write to where they belong.

        These are views, inputs of the model and constants, and what several concatenations join.
        """
        inputs = zip(self._ops[place].inputs, self._raw[place])
        return tuple(t for t, raw in inputs if raw < 0 or self._ops[raw].is_view or self._joiners[self.origin(raw)] > 1)


def fold_batch_norms(captured: Captured) -> Tuple[Op, ...]:
    """Returns the ops without each BatchNorm that alone reads a convolution.

    What it added to each channel becomes the convolution's bias, which is a kernel of its own.
    """
    flow, folded = Flow(captured), dict(enumerate(captured.ops))
    for place, op in enumerate(captured.ops):
        made = flow.alone_reads(place) if function_name(op) in _BATCH_NORMS else None
        if made is not None and captured.ops[made].name in _CONVOLUTIONS:
            folded[made] = _with_bias(captured.ops[made])
            del folded[place]
    return tuple(folded.values())


def _with_bias(convolution: Op) -> Op:
    if convolution.args[_BIAS] is not None:
        return convolution
    out = convolution.outputs[0]
    bias = TensorSpec((out.shape[1],), out.dtype, out.item_bytes)
    args = (*convolution.args[:_BIAS], bias, *convolution.args[_BIAS + 1 :])
    return replace(convolution, args=args)


def in_nhwc(lowered: Lowered) -> Lowered:
    """Returns an op whose convolutions find their tensors in NHWC, as a network in that layout keeps them."""
    if lowered.host_kind != "convolution":
        return lowered
    return replace(lowered, kernels=tuple(replace(kernel, channels_last=True) for kernel in lowered.kernels))


def in_int8(lowered: Lowered) -> Lowered:
    """Returns an op whose tensors in half precision are of a byte each."""
    return replace(lowered, kernels=tuple(map(_in_int8, lowered.kernels)))


def _in_int8(kernel: Kernel) -> Kernel:
    if kernel.dtype != "float16":
        return kernel
    halves = {name: getattr(kernel, name) // 2 for name in ("read_bytes", "write_bytes", "cold_bytes")}
    return replace(kernel, dtype="int8", **halves)


class Fused(NamedTuple):
    """Ops with their kernels, and the module of each: fused, of the first op in it."""

    lowered: Tuple[Lowered, ...]
    modules: Tuple[str, ...]


@dataclass(frozen=True)
class _Group:
    """Ops that run as one: the place and what is known of the first, the kernels, how the first of these was changed.

    `activated` says whether more than scales and sums was made of a product's result; `scores` is, of a softmax, the
    end of the product that it alone reads.
    """

    place: int
    op: Lowered
    kernels: Tuple[Kernel, ...]
    activated: bool = False
    scores: Optional[_End] = None

    @property
    def kernel(self) -> Kernel:
        """The only kernel, or the last."""
        return self.kernels[-1]


def fuse(captured: Captured, lowered: Sequence[Lowered]) -> Fused:
    """Returns the stream as an inference compiler runs it, in the order in which the groups end.

    A convolution or product takes in the norm, bias, sum and activation behind it, attention is one kernel, what is
    pointwise is fused in chains; nothing is fused across what is read twice. A concatenation copies what could not be
    written to its place. Views and what is made of constants alone cost nothing; convolutions are in NHWC.
    """
    flow, groups = Flow(captured), _Groups()
    for place in filter(flow.computes, range(len(lowered))):
        groups.add(place, in_nhwc(lowered[place]), flow)
    found = groups.in_order()
    return Fused(
        tuple(replace(group.op, calls=0, kernels=group.kernels) for group in found),
        tuple(captured.modules[group.place] for group in found),
    )


class _Groups:
    """The groups so far, by the op and the kernel of it whose result is theirs."""

    def __init__(self) -> None:
        self._ends: Dict[_End, _Group] = {}
        self._last: Dict[int, int] = {}

    def in_order(self) -> List[_Group]:
        return [self._ends[end] for end in sorted(self._ends)]

    def add(self, place: int, op: Lowered, flow: Flow) -> None:
        """Each kernel of a composed op reads what the one before has made; other ops stay whole."""
        parts = [(kernel,) for kernel in op.kernels] if op.host_kind in ("convolution", "product") else [op.kernels]
        made = flow.alone_reads(place)
        before = _NOWHERE if made is None else (made, self._last[made])
        for number, kernels in enumerate(parts):
            group = _Group(place, op, kernels)
            if number == 0 and flow.concatenates(place):
                group = _copying(group, flow.copied(place))
            self._end(group, (place, number), before, number == 0 and flow.made_inputs(place) > 1)
            before = place, number
        self._last[place] = len(parts) - 1

    def _end(self, group: _Group, end: _End, before: _End, reads_more: bool) -> None:
        known = self._ends.get(before)
        if known is not None and len(known.kernels) == len(group.kernels) == 1:
            group, taken_in = self._joined(known, before, group, reads_more)
            for each in taken_in:
                del self._ends[each]
        self._ends[end] = group

    def _joined(self, known: _Group, before: _End, group: _Group, reads_more: bool) -> Tuple[_Group, Tuple[_End, ...]]:
        """The group with those before it that it takes in, and the ends of these."""
        kernel = group.kernel
        if kernel.function in _SOFTMAXES and known.kernel.kind == "product":
            return replace(group, scores=before), ()
        if kernel.kind == "product" and known.scores is not None:
            scores = self._ends[known.scores]
            return replace(scores, kernels=(_attention(scores.kernel, kernel),)), (known.scores, before)
        joined = _with_pointwise(known, group, reads_more)
        return (group, ()) if joined is None else (joined, (before,))


def _with_pointwise(before: _Group, group: _Group, reads_more: bool) -> Optional[_Group]:
    """A sum that follows an activation starts a group of its own, which takes the activation's result."""
    takes_part = before.kernel.kind != "stream" or _is_pointwise(before)
    if not (takes_part and _is_pointwise(group)) or group.kernel.elements != before.kernel.elements:
        return None
    if reads_more and before.activated:
        return None
    activates = not reads_more and group.kernel.function not in _FOLDED
    activated = before.activated or (activates and before.kernel.kind != "stream")
    return replace(before, kernels=(_after(before.kernel, group.kernel),), activated=activated)


def _is_pointwise(group: _Group) -> bool:
    if group.kernel.kind != "stream":
        return False
    if group.op.host_kind in ("product", "convolution"):
        return group.kernel.function not in _NOT_POINTWISE
    return group.op.host_kind == "pointwise" or group.kernel.function in (*_FOLDED, *_IN_PLACE_OF_COPIES)


def _after(kernel: Kernel, pointwise: Kernel) -> Kernel:
    """The kernel that goes on to compute what is pointwise: it reads other operands of that, and writes its result."""
    others_bytes = 0 if pointwise.function in _FOLDED else max(0, pointwise.read_bytes - kernel.write_bytes)
    return replace(kernel, read_bytes=kernel.read_bytes + others_bytes, write_bytes=pointwise.write_bytes)


def _attention(scores: Kernel, values: Kernel) -> Kernel:
    """Both products in one loop over the keys, which keeps the scores on the chip, as `attention` has it."""
    first, second = scores.product, values.product
    assert first is not None, "kernels of kind product have one"
    assert second is not None, "kernels of kind product have one"
    return replace(
        values,
        function=FUSED_ATTENTION,
        flops=scores.flops + values.flops,
        read_bytes=scores.read_bytes + max(0, values.read_bytes - scores.write_bytes),
        product=Product(first.batch, first.m, second.n, 2 * first.n),
    )


def _copying(group: _Group, copied: Sequence[TensorSpec]) -> _Group:
    copied_bytes = sum(t.nbytes for t in copied)
    kernel = replace(group.kernel, elements=sum(t.numel for t in copied), read_bytes=copied_bytes)
    return replace(group, kernels=(replace(kernel, write_bytes=copied_bytes),) if copied else ())
