"""The op streams of a module at several precisions and batches, each captured once, and its forward passes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Callable, Dict, Sequence, Tuple

from ..lower import lower
from ..pipeline import ForwardPass, forward_pass
from ..target import Target, tensor_dtype
from .batches import at_batch

if TYPE_CHECKING:
    import torch

    from ..capture import Captured
    from ..opstream import Op

BATCHES = (1, 2, 4, 8, 16, 32)
CAPTURED = (1, 2, 32)
"""Those from which the op streams of the others follow, if they do."""
_POINTS = 3
_Key = Tuple[str, int]


class Streams:
    """A module's op streams by the type of its tensors and the batch; precisions with the same tensors share one."""

    def __init__(self, model: torch.nn.Module, inputs_at: Callable[[int], Any]) -> None:
        self._model, self._inputs_at = model, inputs_at
        self._captured: Dict[_Key, Captured] = {}
        self._passes: Dict[_Key, ForwardPass] = {}

    def captured(self, target: Target) -> Captured:
        """Returns the op stream at the target's precision and batch, in modules; CaptureError where there is none."""
        from ..capture import capture_in_modules

        key = _key_of(target)
        if key not in self._captured:
            inputs = self._inputs_at(target.batch_size)
            self._captured[key] = capture_in_modules(self._model, inputs, tensor_dtype(target.precision.name))
        return self._captured[key]

    def ops(self, target: Target) -> Sequence[Op]:
        """Returns the ops alone: captured, or by the straight line through those of other batches that are."""
        key = tensors, batch = _key_of(target)
        known = {at: captured.ops for (kind, at), captured in self._captured.items() if kind == tensors}
        largest = sorted(known)[-_POINTS:]  # at batch 1 some views are copies, so that it may not be on the line
        if key in self._captured or len(largest) < _POINTS:
            return self.captured(target).ops
        return at_batch(batch, {at: known[at] for at in largest}) or self.captured(target).ops

    def forward(self, target: Target) -> ForwardPass:
        """Returns the forward pass on the target; raises as `captured` does."""
        key = _key_of(target)
        if key not in self._passes:
            self._passes[key] = forward_pass(lower(self.ops(target)), target)
        return self._passes[key].with_constants(target, target.profile.values())


def _key_of(target: Target) -> _Key:
    return target.precision.tensors, target.batch_size
