"""The verdict at the end of a red session: what changed, what that did, and the commands to go on with."""

from __future__ import annotations

from statistics import fmean
from typing import Dict, Iterable, Iterator, List, Optional, Sequence

from ..estimates import Estimates
from ..figures import signed_percent
from ..goldens.configuration import Configuration
from ..goldens.difference import Difference
from ..goldens.inputs import HELD_OUT, golden_inputs, inputs_now
from ..goldens.repository import Repository
from ..goldens.whole_session import JUDGE, golden_session, session_document, with_judges
from ..hardware.boards import known_hardware
from ..records.kinds import PATTERN_KIND
from .changes import Cause, InputChange, Review
from .review import review_differences
from .sections import MOST_NAMES, alone_text, first_few, moved_text, ratings_text, spread_text, words

_MOST_LINES = 20


def golden_verdict_lines(
    repository: Repository,
    configurations: Iterable[Configuration],
    judged: Optional[Sequence[str]],
    differences: Sequence[Difference],
    command: str,
    estimates: Estimates,
) -> Iterator[str]:
    """Yields the verdict over differences from the goldens that were judged; nothing where nothing changed.

    `judged` names the models and patterns of the configurations that were, None for all; `command` is the one that runs
    this session again.
    """
    before = {hardware: golden_inputs(repository, hardware) for hardware in repository.boards()}
    boards = dict.fromkeys([*before, *(difference.hardware for difference in differences)])
    now = {hardware: inputs_now(repository, hardware) for hardware in boards if hardware in known_hardware()}
    goldens = {
        (*configuration.where, name): (kind, golden.get("error_pct"))
        for configuration in configurations
        for kind, found in configuration.goldens.items()
        for name, golden in found.items()
        if judged is None or name in judged
    }
    measured = {place: pct for place, (kind, pct) in goldens.items() if kind is not PATTERN_KIND and pct is not None}
    inputs = with_judges(before, golden_session(repository)), with_judges(now, session_document(repository, ()))
    review = review_differences(differences, inputs, measured, len(goldens), estimates)
    if not review.is_empty:
        is_new = bool(differences) and not any(difference.before for difference in differences)
        accept = f"{command} --snapshot-update" if is_new else repository.update_command
        yield from verdict_lines(review, accept, f"{command} -v, or once accepted: python -m estimator review")


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
    causes = {cause.change: cause for cause in review.causes}
    for change in review.inputs:
        if not change.is_result:
            yield input_text(change) + _alone(causes.get(change))


def input_text(change: InputChange) -> str:
    """Returns "dispatch_kcycles 116.1 -> 117.3 kcycle of the CPU per op (+1.0 %), 7 boards"."""
    boards = change.boards[0] if len(change.boards) == 1 else f"{len(change.boards)} boards"
    if change.name.startswith(JUDGE):
        boards = "which judges"
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
