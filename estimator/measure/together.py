"""All models of a run judged together: what its processes' own speed did to every one of them is taken out first.

A process keeps a speed of its own (where its memory lies, how warm the board is), which host-bound models share and
device-bound ones do not. So each run's common speed is the median, over the models that share it, of their deviations
from the baseline; what is left of a model varies half as much as the model.
"""

from __future__ import annotations

import statistics
from collections import Counter
from dataclasses import dataclass
from typing import Collection, List, Mapping, Optional, Sequence

from ..judging import judged_by
from .regression import Verdict, judge_logs, logs

LEAST_SHARING = int(judged_by("live.sharing"))
"""Fewer models than this do not tell what is common to them."""
ALPHA = judged_by("live.alarm.together")
"""Level of the intervals beside the common speed, see `regression.ALPHA`."""
Runs = Mapping[str, Sequence[float]]


@dataclass(frozen=True)
class Together:
    """The verdict on the speed that models share, and on what each model did beside it."""

    common: Verdict
    models: Mapping[str, Verdict]


def judge_together(baseline_ms: Runs, live_ms: Runs, sharing: Collection[str]) -> Optional[Together]:
    """Returns the verdicts on models with a baseline and as many runs as most; ms, one per run, in the same order.

    `sharing` names the models that the speed of the host moves. None where too few of them have a baseline.
    """
    names = _comparable(baseline_ms, live_ms)
    shared = [name for name in names if name in sharing]
    if len(shared) < LEAST_SHARING:
        return None
    deviations = {name: _deviations(baseline_ms[name], live_ms[name]) for name in names}
    common = [statistics.median(column) for column in zip(*(deviations[name] for name in shared))]
    recorded = len(baseline_ms[names[0]])
    for name in shared:
        deviations[name] = [x - y for x, y in zip(deviations[name], common)]
    judged = {name: judge_logs(d[:recorded], d[recorded:], ALPHA) for name, d in {**deviations, "": common}.items()}
    return Together(judged.pop(""), judged)


def _comparable(baseline_ms: Runs, live_ms: Runs) -> List[str]:
    counts = {name: (len(baseline_ms[name]), len(runs)) for name, runs in live_ms.items() if baseline_ms.get(name)}
    usual = Counter(counts.values()).most_common(1)
    return [name for name, count in counts.items() if count == usual[0][0]]


def _deviations(baseline_ms: Sequence[float], live_ms: Sequence[float]) -> List[float]:
    before = logs(baseline_ms)
    return [x - statistics.fmean(before) for x in (*before, *logs(live_ms))]
