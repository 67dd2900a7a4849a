"""The verdict at the end of a red session: what changed, what that did, and the commands to go on with."""

from __future__ import annotations

from statistics import fmean
from typing import Dict, Iterator, List, Optional, Sequence

from ..figures import signed_percent
from ..goldens.inputs import HELD_OUT
from .changes import Cause, InputChange, Review
from .sections import MOST_NAMES, alone_text, first_few, moved_text, ratings_text, spread_text, words

_MOST_LINES = 20


def verdict_lines(review: Review, accept: str, look_closer: str) -> Iterator[str]:
    """Yields the lines; `accept` and `look_closer` are commands."""
    causes = [*_result_free_inputs(review), *_other_causes(review.causes), *review.notices]
    yield "  What changed:"
    nothing = "only what cross-validation says of the constants" if review.inputs else "nothing that a golden keeps"
    yield from (f"    {line}" for line in causes[:_MOST_LINES] or [nothing])
    if len(causes) > _MOST_LINES:
        yield f"    ... and {len(causes) - _MOST_LINES} more"
    yield "  What that did:"
    yield from (f"    {line}" for line in _effects(review))
    yield f"  To accept it:    {accept}"
    yield f"  To look closer:  {look_closer}"


def _result_free_inputs(review: Review) -> Iterator[str]:
    by_title = {cause.title: cause for cause in review.causes if cause.kind == "input"}
    for change in review.inputs:
        if not change.is_result:
            yield input_text(change) + _alone(by_title.get(change.short_name))


def input_text(change: InputChange) -> str:
    """Returns "dispatch_kcycles 116.1 -> 117.3 kcycle of the CPU per op (+1.0 %), 7 boards"."""
    boards = change.boards[0] if len(change.boards) == 1 else f"{len(change.boards)} boards"
    if change.is_whole:
        return f"{change.short_name}: {'new' if change.before is None else 'gone'}, {boards}"
    by = f" ({signed_percent(change.change_pct)})" if change.change_pct is not None else ""
    return f"{change.short_name} {' -> '.join(change.texts)} {change.unit}{by}, {boards}"


def _alone(cause: Optional[Cause]) -> str:
    if cause is None:
        return ""
    moves_some = cause.shares_pct or cause.note
    return f": {alone_text(cause)}" if moves_some else ": moves none of the estimates that were judged"


def _other_causes(causes: Sequence[Cause]) -> Iterator[str]:
    for cause in causes:
        names = first_few(dict.fromkeys(name for _, _, name in cause.shares_pct))
        if cause.kind == "op stream":
            yield f"op stream of {names}: {cause.title} (another torch or torchvision, or another model)"
        elif cause.kind == "record":
            yield f"record of {names}: other runs were measured"
        elif cause.kind == "code":
            shares = [share for share in cause.shares_pct.values() if share]
            by = f" by{spread_text(shares)}" if shares else ", terms alone"
            only = "no input changed: " if len(causes) == 1 else ""
            yield f"{only}{cause.title} did, in {names}{by}"


def _effects(review: Review) -> Iterator[str]:
    judged = review.unchanged + len(review.differences)
    yield f"{moved_text(review)}{_ratings(review)}" if judged else "no estimate was judged in this session"
    missing = [d.name for d in review.differences if not d.before]
    if missing:
        yield f"no golden yet: {', '.join(missing[:MOST_NAMES])}{' ...' if len(missing) > MOST_NAMES else ''}"
    before, now = (list(map(abs, errors.values())) for errors in review.errors_pct)
    if before and now:
        yield (
            f"mean |error| {fmean(before):.1f} -> {fmean(now):.1f} %, "
            f"largest {max(before):.1f} -> {max(now):.1f} %, {len(now)} models"
        )
    yield from _held_out(review)


def _ratings(review: Review) -> str:
    changed = sorted((d for d in review.differences if d.rating_changed), key=lambda d: not d.got_worse)
    return f"; ratings: {ratings_text(changed)}" if changed else "; no rating changed"


def _held_out(review: Review) -> Iterator[str]:
    constants = any(change.name.startswith("constant.") for change in review.inputs)
    texts: Dict[str, List[str]] = {}
    for change in review.inputs:
        if change.is_result:
            kind = words(change.name[len(HELD_OUT) :])
            texts.setdefault(change.boards[0], []).append(
                f"{kind} {change.before or 'unknown'} -> {change.now or 'unknown'} %"
            )
    yield from (f"held-out mean |error|, {board}: {', '.join(found)}" for board, found in texts.items())
    if constants and not texts:
        yield "held-out error: as before, for no refit was recorded (python -m estimator calibrate --refit)"
