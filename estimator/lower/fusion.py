"""The fused view of an op stream: the kernels that an inference compiler makes of it, by who reads what."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple

from ..opstream import Captured, Op, TensorSpec
from .flow import BATCHED, Flow
from .kernels import FUSED_ATTENTION, Kernel, Lowered, Product, function_name

_CONVOLUTIONS = ("aten.convolution", "aten._convolution")
_BATCH_NORMS = ("native_batch_norm", "cudnn_batch_norm", "_native_batch_norm_legit_no_training")
_FOLDED = (*_BATCH_NORMS, "bias")
"""What becomes a part of the weights before it."""
_IN_PLACE_OF_COPIES = ("clone", "_to_copy")
_SCALES = ("mul", "div", "add", "sub", "rsub", "masked_fill")
"""What an engine takes for a part of the convolution or product before it, where all else that it reads is constant."""
_SOFTMAXES = ("_softmax", "_safe_softmax")
_NOT_POINTWISE = (*_SOFTMAXES, "native_layer_norm")
"""Of the kernels that one op is made of."""
_BIAS = 2  # its place among a convolution's arguments
_TRAINING = 5  # its place among those of a BatchNorm
_NEED_WEIGHTS = 10  # its place among those of _native_multi_head_attention
_End = Tuple[int, int]
"""Of a group: the op whose result is the group's, and which of that op's kernels gives it."""


def fold_batch_norms(captured: Captured) -> Tuple[Op, ...]:
    """Returns the ops without each BatchNorm that alone reads a convolution.

    What it added to each channel becomes the convolution's bias, which is a kernel of its own.
    """
    flow, folded = Flow(captured), dict(enumerate(captured.ops))
    for place, op in enumerate(captured.ops):
        for made in flow.alone_reads(place)[:1] if _is_scale(op) else ():
            if captured.ops[made].name in _CONVOLUTIONS:
                folded[made] = _with_bias(captured.ops[made])
                del folded[place]
    return tuple(folded.values())


def _is_scale(op: Op) -> bool:
    """Returns whether it is a BatchNorm that takes no statistics of the data."""
    return function_name(op) in _BATCH_NORMS and not any(flag is True for flag in op.args[_TRAINING : _TRAINING + 1])


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

    `reads_more` says whether the first op reads more than one tensor that is not constant, `left` of a batch of
    products of activations who made the left operand, `activated` whether more than scales and sums was made of a
    product's result; `scores` is, of a softmax over keys, the end of the product that it alone reads.
    """

    place: int
    op: Lowered
    kernels: Tuple[Kernel, ...]
    reads_more: bool = False
    left: Optional[int] = None
    activated: bool = False
    scores: Optional[_End] = None

    @property
    def kernel(self) -> Kernel:
        """The only kernel, or the last."""
        return self.kernels[-1]


_Joined = Tuple[_Group, Tuple[_End, ...]]
"""A group, and the ends of those before it that it takes in."""


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
        tuple(replace(group.op, calls=int(group is found[0]), kernels=group.kernels) for group in found),
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
        before = [(made, self._last[made]) for made in flow.alone_reads(place)]
        left = flow.left_operand(place) if len(parts) == 1 else place
        for number, kernels in enumerate(parts):
            group = _Group(place, op, kernels, number == 0 and flow.made_inputs(place) > 1, left)
            if number == 0 and flow.concatenates(place):
                group = _copying(group, flow.copied(place))
            self._end(group, (place, number), before)
            before = [(place, number)]
        self._last[place] = len(parts) - 1

    def _end(self, group: _Group, end: _End, before: Sequence[_End]) -> None:
        """Ends a group, with what the first of those before it that can be joined has made."""
        found = (self._joined(each, group) for each in before)
        joined, taken_in = next((one for one in found if one is not None), (group, ()))
        for each in taken_in:
            del self._ends[each]
        self._ends[end] = joined

    def _joined(self, before: _End, group: _Group) -> Optional[_Joined]:
        """The group with those before it that it takes in; None where they stay apart."""
        known = self._ends.get(before)
        if known is None or not len(known.kernels) == len(group.kernels) == 1:
            return None
        if _are_scores(known, group):
            return replace(group, scores=before), ()
        if known.scores is not None and group.left == before[0]:
            scores = self._ends[known.scores]
            if _are_values(scores.kernel, group):
                return replace(scores, kernels=(_attention(scores.kernel, group.kernel),)), (known.scores, before)
        joined = _with_pointwise(known, group)
        return None if joined is None else (joined, (before,))


def _are_scores(before: _Group, group: _Group) -> bool:
    """Whether a softmax is over the keys of a batch of products of activations, and is not a result itself."""
    first, op = before.kernel.product, group.op.op
    if group.kernel.function not in _SOFTMAXES or before.kernel.function not in BATCHED or before.left is None:
        return False
    if function_name(op) in _SOFTMAXES and not _is_over_rows(op.args[0], op.args[1]):
        return False
    return first is not None and group.kernel.rows == first.batch * first.m and not _gives_weights(op)


def _is_over_rows(t: TensorSpec, dim: int) -> bool:
    return t.contiguous and dim in (-1, len(t.shape) - 1)


def _gives_weights(op: Op) -> bool:
    """Whether a composed attention gives its weights, as it does unless it is told not to."""
    return function_name(op) == "_native_multi_head_attention" and bool((*op.args[_NEED_WEIGHTS:], True)[0])


def _are_values(scores: Kernel, group: _Group) -> bool:
    """Whether a product sums up over the keys of these scores."""
    first, second, op = scores.product, group.kernel.product, group.op.op
    if first is None or second is None or (function_name(op) in BATCHED and not op.inputs[-2].contiguous):
        return False
    return (second.batch * second.m, second.k) == (first.batch * first.m, first.n)


def _with_pointwise(before: _Group, group: _Group) -> Optional[_Group]:
    """A sum that follows an activation starts a group of its own, which takes the activation's result."""
    takes_part = before.kernel.kind != "stream" or _is_pointwise(before)
    if not (takes_part and _is_pointwise(group)) or group.kernel.elements != before.kernel.elements:
        return None
    if group.reads_more and before.activated:
        return None
    activates = not group.reads_more and group.kernel.function not in (*_FOLDED, *_SCALES)
    activated = before.activated or (activates and before.kernel.kind != "stream")
    return replace(before, kernels=(_after(before.kernel, group.kernel),), activated=activated)


def _is_pointwise(group: _Group) -> bool:
    if group.kernel.kind != "stream":
        return False
    if group.op.host_kind in ("product", "convolution"):
        return group.kernel.function not in _NOT_POINTWISE
    is_copy = group.kernel.function in _IN_PLACE_OF_COPIES
    return group.op.host_kind == "pointwise" or is_copy or _is_scale(group.op.op)


def _after(kernel: Kernel, pointwise: Kernel) -> Kernel:
    """The kernel that goes on to compute what is pointwise: it reads other operands of that, and writes its result."""
    others_bytes = 0 if pointwise.function in _FOLDED else max(0, pointwise.read_bytes - kernel.write_bytes)
    is_in_weights = pointwise.function in _BATCH_NORMS and kernel.kind != "stream"
    return replace(
        kernel,
        flops=kernel.flops + (0 if is_in_weights else pointwise.flops),
        read_bytes=kernel.read_bytes + others_bytes,
        write_bytes=pointwise.write_bytes,
        cold_bytes=kernel.cold_bytes + pointwise.cold_bytes,
    )


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
        cold_bytes=scores.cold_bytes + values.cold_bytes,
        product=Product(first.batch, first.m, second.n, 2 * first.n),
    )


def _copying(group: _Group, copied: Sequence[TensorSpec]) -> _Group:
    copied_bytes = sum(t.nbytes for t in copied)
    kernel = replace(group.kernel, elements=sum(t.numel for t in copied), read_bytes=copied_bytes)
    return replace(group, kernels=(replace(kernel, write_bytes=copied_bytes),) if copied else ())
