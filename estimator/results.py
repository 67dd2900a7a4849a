"""One model or pattern on one target: estimated, and compared with what was measured of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Dict, MutableMapping, Optional, Tuple
from weakref import WeakKeyDictionary

from .compare import Comparison, compare

if TYPE_CHECKING:
    from .opstream import Op
    from .pipeline import Estimate
    from .subjects.all import Streamed
    from .target import Target

_ESTIMATES: MutableMapping[Streamed, Dict[Target, Estimate]] = WeakKeyDictionary()


@dataclass(frozen=True)
class Result:
    """The estimate with all its terms, the op stream it was made from, and its comparison with the measurement."""

    comparison: Comparison
    estimate: Estimate
    ops: Tuple[Op, ...] = ()


def validate(subject: Streamed, target: Target, meas_ms: Optional[float]) -> Result:
    """Returns the subject's estimate for the target, held against the measured latency in ms if there is one.

    Raises CaptureError where its op stream cannot be captured.
    """
    from .subjects.all import op_stream

    estimate = _estimate(subject, target)
    ops = op_stream(subject, target.batch_size, target.precision.name)
    where = target.hardware, target.label
    return Result(compare(subject.name, subject.family, estimate, meas_ms, where), estimate, ops)


def _estimate(subject: Streamed, target: Target) -> Estimate:
    """A subject is estimated once for a target, as long as somebody keeps it."""
    from .pipeline import estimate_stream
    from .subjects.all import op_stream

    known = _ESTIMATES.setdefault(subject, {})
    if target not in known:
        known[target] = estimate_stream(op_stream(subject, target.batch_size, target.precision.name), target)
    return known[target]
