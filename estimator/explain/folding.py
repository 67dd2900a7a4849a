"""BatchNorm folded into the convolution before it, in the op stream: as `torch.nn.utils.fusion` does with weights."""

from __future__ import annotations

from dataclasses import replace
from typing import List, Sequence, Tuple

from ..opstream import Op, TensorSpec

_CONVOLUTIONS = ("aten.convolution", "aten._convolution")
_BATCH_NORMS = ("aten.native_batch_norm", "aten.cudnn_batch_norm", "aten._native_batch_norm_legit_no_training")
_BIAS = 2  # its place among a convolution's arguments


def fold_batch_norms(ops: Sequence[Op]) -> Tuple[Op, ...]:
    """Returns the ops without each BatchNorm that takes the output of a convolution right before it.

    What it added to each channel becomes the convolution's bias, which is a kernel of its own.
    """
    folded: List[Op] = []
    for op in ops:
        if folded and op.name in _BATCH_NORMS and _takes_output_of(op, folded[-1]):
            folded[-1] = _with_bias(folded[-1])
        else:
            folded.append(op)
    return tuple(folded)


def _takes_output_of(norm: Op, before: Op) -> bool:
    return before.name in _CONVOLUTIONS and norm.args[0] == before.outputs[0]


def _with_bias(convolution: Op) -> Op:
    if convolution.args[_BIAS] is not None:
        return convolution
    out = convolution.outputs[0]
    bias = TensorSpec((out.shape[1],), out.dtype, out.item_bytes)
    args = (*convolution.args[:_BIAS], bias, *convolution.args[_BIAS + 1 :])
    return replace(convolution, args=args)
