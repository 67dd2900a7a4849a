"""The data of a review: what changed in inputs, op streams and records, and what each change moved."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Iterator, Mapping, Optional, Tuple, TypeVar

from ..goldens.difference import Difference
from ..goldens.inputs import HELD_OUT
from ..judging import judged_by

_Value = TypeVar("_Value")
_Changed = Tuple[Any, Optional[_Value], Optional[_Value]]
Place = Tuple[str, str, str]
"""Board, configuration and name of a model or pattern."""


def changed(before: Mapping[Any, _Value], now: Mapping[Any, _Value]) -> Iterator[_Changed[_Value]]:
    """Yields key, value before and value now of each key whose values differ, None where a side lacks it."""
    for key in dict.fromkeys([*before, *now]):
        if before.get(key) != now.get(key):
            yield key, before.get(key), now.get(key)


LEAST_PCT = judged_by("review.least_move")
"""What moves an estimate by less does not move it."""
_WHOLE = {"mode": "power mode", "board": "board"}
"""What an input is that came or went with all its figures."""


@dataclass(frozen=True)
class InputChange:
    """A constant, fact or figure of a power mode with another value, on the boards that have it so; None is without it.

    "mode.MAXN" and "board.NVIDIA-H200" are a power mode and a board that came or went.
    """

    name: str
    unit: str
    before: Optional[str]
    now: Optional[str]
    boards: Tuple[str, ...]

    @property
    def short_name(self) -> str:
        """Returns the name as its profile has it."""
        kind, _, name = self.name.partition(".")
        if self.is_whole:
            return f"{_WHOLE[kind]} {name}"
        return name if kind in ("constant", "fact", "judge") else self.name

    @property
    def is_whole(self) -> bool:
        """Whether it is a power mode or a board that came or went."""
        kind, *names = self.name.split(".")
        return kind == "board" or (kind == "mode" and len(names) == 1)

    @property
    def change_pct(self) -> Optional[float]:
        """Returns by how much the value moved, in percent; None where it is no number on both sides."""
        try:
            before, now = float(str(self.before)), float(str(self.now))
        except ValueError:
            return None
        return 100 * (now / before - 1) if before else None

    @property
    def texts(self) -> Tuple[str, str]:
        """Returns the values before and now to six digits, to all where that would show no change."""
        short = _six_digits(self.before), _six_digits(self.now)
        return short if short[0] != short[1] else (str(self.before), str(self.now))

    @property
    def is_result(self) -> bool:
        """Whether it says how good the constants are, and moves no estimate."""
        return self.name.startswith(HELD_OUT)


def _six_digits(text: Optional[str]) -> str:
    try:
        return f"{float(str(text)):.6g}"
    except ValueError:
        return text or "none"


@dataclass(frozen=True)
class Cause:
    """One thing that changed, and by how many percent it alone moved each estimate.

    `kind` is "input", "op stream", "record", "code", or "unknown" where one side keeps no inputs. `note` says what else
    it did, where no estimate can tell it. `change` is that of an input: one fact may have come with several values.
    """

    kind: str
    title: str
    shares_pct: Mapping[Place, float]
    note: str = ""
    change: Optional[InputChange] = None


@dataclass(frozen=True)
class CrossValidation:
    """Mean and largest |error| in percent by kind: "in_sample", "leave_one_model_out", "leave_one_family_out"."""

    mean_pct: Mapping[str, float]
    max_pct: Mapping[str, float]


@dataclass(frozen=True)
class RecordChange:
    """One model's (or pattern's) recorded runs in ms on both sides, empty where there are none."""

    hardware: str
    label: str
    name: str
    before_ms: Tuple[float, ...]
    now_ms: Tuple[float, ...]


@dataclass(frozen=True)
class Review:
    """Everything that two sides differ in.

    `differences` are the subjects whose golden is not the same on both sides, `unchanged` counts the others, `unjudged`
    the configurations without a measurement, `other_files` what changed beside the goldens. `errors_pct` are those of
    all measured models before and now by place, `provenance` what records say otherwise: where, key, before, now.
    `judging` names the tests that came or went, and the files that decide and changed, with their number of lines,
    `beside` other files that changed and are no documents. `notices` say what the review cannot see.
    """

    base: str
    head: str
    inputs: Tuple[InputChange, ...] = ()
    differences: Tuple[Difference, ...] = ()
    causes: Tuple[Cause, ...] = ()
    unchanged: int = 0
    unjudged: Tuple[str, ...] = ()
    errors_pct: Tuple[Mapping[Place, float], Mapping[Place, float]] = ({}, {})
    cross_validations: Tuple[Mapping[str, CrossValidation], Mapping[str, CrossValidation]] = ({}, {})
    records: Tuple[RecordChange, ...] = ()
    provenance: Tuple[Tuple[str, str, str, str], ...] = ()
    other_files: Tuple[str, ...] = ()
    judging: Tuple[str, ...] = ()
    beside: Tuple[str, ...] = ()
    notices: Tuple[str, ...] = ()

    @property
    def is_empty_but_for_judging(self) -> bool:
        """Whether nothing changed but what decides beside the goldens."""
        return bool(self.judging) and replace(self, judging=()).is_empty

    @property
    def is_empty(self) -> bool:
        """Whether nothing changed."""
        found = (self.inputs, self.differences, self.records, self.provenance, self.other_files, self.judging)
        before, now = self.cross_validations
        return not any(found) and before == now
