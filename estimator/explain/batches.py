"""The op stream at a batch from those at three others, where every size in it is a straight line over the batch.

Shapes and the whole numbers among an op's arguments are sizes. Two batches give the line, a third one proves it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Dict, Mapping, Optional, Sequence, Tuple

from ..opstream import Op, TensorSpec

Ops = Sequence[Op]


class NotStraight(Exception):
    """A size is no straight line over the batch, or the ops are not the same ones."""


def at_batch(batch: int, known: Mapping[int, Ops]) -> Optional[Tuple[Op, ...]]:
    """Returns the ops at a batch, given those at three others; None where those do not lie on one line.

    The least of the three proves the line that the others give. There, strides may differ: a dimension of one element
    makes them contiguous.
    """
    proof, first, last = sorted(known)
    try:
        if not _same_sizes(_along(proof, first, last, known), known[proof]):
            return None
        return _along(batch, first, last, known)
    except NotStraight:
        return None


def _along(batch: int, first: int, last: int, known: Mapping[int, Ops]) -> Tuple[Op, ...]:
    before, after = known[first], known[last]
    if len(before) != len(after):
        raise NotStraight
    line, found = _Line(batch, first, last), []
    seen: Dict[Tuple[int, int], Op] = {}
    for pair in zip(before, after):
        key = id(pair[0]), id(pair[1])  # a capture gives equal calls the same op
        if key not in seen:
            seen[key] = line.op(*pair)
        found.append(seen[key])
    return tuple(found)


class _Line:
    """Values at a batch, from those at two others."""

    def __init__(self, batch: int, first: int, last: int) -> None:
        self._batch, self._first, self._last = batch, first, last

    def op(self, before: Op, after: Op) -> Op:
        if (before.name, before.is_view, before.in_place) != (after.name, after.is_view, after.in_place):
            raise NotStraight
        parts = ("args", "kwargs", "outputs")
        return replace(before, **{part: self.value(getattr(before, part), getattr(after, part)) for part in parts})

    def value(self, before: Any, after: Any) -> Any:
        if type(before) is not type(after):
            raise NotStraight
        if isinstance(before, TensorSpec):
            if replace(before, shape=()) != replace(after, shape=()):
                raise NotStraight
            return replace(before, shape=self.value(before.shape, after.shape))
        if isinstance(before, tuple):
            if len(before) != len(after):
                raise NotStraight
            return tuple(map(self.value, before, after))
        if before == after:
            return before
        return self._size(before, after)

    def _size(self, before: Any, after: Any) -> int:
        if not isinstance(before, int) or isinstance(before, bool):
            raise NotStraight
        slope, rest = divmod(after - before, self._last - self._first)
        if rest:
            raise NotStraight
        return int(before + slope * (self._batch - self._first))


def _same_sizes(found: Ops, expected: Ops) -> bool:
    return len(found) == len(expected) and all(
        one is other or _without_strides(one) == _without_strides(other) for one, other in zip(found, expected)
    )


def _without_strides(value: Any) -> Any:
    if isinstance(value, Op):
        return value.name, *(_without_strides(part) for part in (value.args, value.kwargs, value.outputs))
    if isinstance(value, TensorSpec):
        return value.dtype, value.shape
    return tuple(map(_without_strides, value)) if isinstance(value, tuple) else value
