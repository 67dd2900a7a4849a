"""From subject and target to estimate: the one way, used by the suite, the commands and the studies."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Dict, MutableMapping, Optional, Sequence, Tuple
from weakref import WeakKeyDictionary

from .compare import Comparison, compare
from .cost.shared import SharedPrices
from .errors import GoldenLatencyError
from .lower import Lowered
from .lower.fusion import Fused
from .opstream import Captured, Op
from .pipeline import Estimate, ForwardPass, estimate_pass, forward_pass, run_by
from .runtimes import EAGER
from .subjects.custom import rules_of
from .subjects.streams import Streamed, Streams

if TYPE_CHECKING:
    from .target import Target


def _pass_key(target: Target) -> Tuple[str, ...]:
    """What decides the ops and kernels of a pass; an engine's tensors are of its precision."""
    eager = target.runtime == EAGER
    return target.runtime, str(target.batch_size), target.precision.tensors if eager else target.precision.name


@dataclass(frozen=True)
class Result:
    """The estimate with all its terms, the op stream it was made from, and its comparison with the measurement.

    `rules` names the ops that rules of the subject's own price, `runtime` what runs it.
    """

    comparison: Comparison
    estimate: Estimate
    ops: Tuple[Op, ...] = ()
    rules: Tuple[str, ...] = ()
    runtime: str = EAGER


class Estimates:
    """The estimates of a session or a command, each made once while this and its subject are held.

    All methods raise CaptureError where the subject's op stream cannot be captured.
    """

    def __init__(self, streams: Optional[Streams] = None) -> None:
        self.streams = streams or Streams()
        self._passes: MutableMapping[Streamed, Dict[Tuple[str, ...], ForwardPass]] = WeakKeyDictionary()
        self._estimates: MutableMapping[Streamed, Dict[Target, Estimate]] = WeakKeyDictionary()

    def ops(self, subject: Streamed, target: Target) -> Tuple[Op, ...]:
        """Returns the subject's op stream at the target's precision and batch."""
        return self.streams.ops(subject, target.batch_size, target.precision.name)

    def forward(self, subject: Streamed, target: Target) -> ForwardPass:
        """Returns one forward pass of the subject on the target."""
        known, key = self._passes.setdefault(subject, {}), _pass_key(target)
        if key in known:
            return known[key].with_constants(target, target.profile.values())
        known[key] = forward_pass(self.run(subject, target).lowered, target)
        return known[key]

    def captured(self, subject: Streamed, target: Target) -> Captured:
        """Returns the subject's op stream at the target's precision and batch, with who reads what."""
        return self.streams.of(subject, target.batch_size, target.precision.name)

    def run(self, subject: Streamed, target: Target) -> Fused:
        """Returns what the target's runtime runs of the subject."""
        return run_by(target, self.captured(subject, target), rules_of(subject))

    def together(self, subjects: Sequence[Streamed], target: Target) -> None:
        """Prices the intervals of these subjects together, which takes a fraction of the time, if nothing knows them.

        A subject whose op stream cannot be captured is left out: whoever asks for its estimate is told why.
        """
        key = _pass_key(target)
        lowered: Dict[Streamed, Tuple[Lowered, ...]] = {}
        for subject in subjects:
            if key not in self._passes.setdefault(subject, {}):
                with suppress(GoldenLatencyError):
                    lowered[subject] = self.run(subject, target).lowered
        shared = SharedPrices(list(lowered.values()))
        for index, (subject, ops) in enumerate(lowered.items()):
            self._passes[subject][key] = forward_pass(ops, target, partial(shared.costs, index))

    def estimate(self, subject: Streamed, target: Target) -> Estimate:
        """Returns the subject's estimate for the target."""
        known = self._estimates.setdefault(subject, {})
        if target not in known:
            captured = self.streams.of(subject, target.batch_size, target.precision.name)
            known[target] = estimate_pass(self.forward(subject, target), target, captured)
        return known[target]

    def compared(self, subject: Streamed, target: Target, meas_ms: Optional[float] = None) -> Result:
        """Returns the estimate beside the measured latency in ms, if there is one."""
        estimate = self.estimate(subject, target)
        comparison = compare(subject.name, subject.family, estimate, meas_ms, (target.hardware, target.label))
        return Result(comparison, estimate, self.ops(subject, target), tuple(rules_of(subject)), target.runtime)
