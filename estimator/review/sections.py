"""What a review says, in order, as paragraphs and tables: the same for every format."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import fmean, median
from typing import Dict, Iterable, Iterator, List, Mapping, Optional, Sequence, Tuple

from ..figures import counted, signed_percent
from ..goldens.difference import Difference
from ..judging import judged_by
from ..report.table import Table, left, right
from .changes import LEAST_PCT, Cause, CrossValidation, Place, RecordChange, Review

Cells = Tuple[str, ...]
_NO_TABLE = Table((), ())
_LEAST_RISE_PCT = judged_by("review.least_rise")
MOST_NAMES = 4
"""How many names a line has before it counts the others."""


@dataclass(frozen=True)
class Section:
    """A title, paragraphs, and a table; `folded` where it repeats in full what stands above in short."""

    title: str
    paragraphs: Tuple[str, ...] = ()
    table: Table = _NO_TABLE
    folded: bool = False


def _table(titles: Cells, rows: Sequence[Cells]) -> Table:
    first, *others = titles
    return Table((left(first), *map(right, others)), rows)


def sections_of(review: Review) -> List[Section]:
    """Returns the sections: headline, counts, causes with their rows, errors, records, what is not seen, the rest."""
    sections = [
        Section(f"{review.base} -> {review.head}", tuple(headline(review))),
        Section("What judges changed", review.judging),
        _counts(review),
        *_causes(review),
        _unjudged(review),
        _errors(review),
        _records(review),
        Section("What this review cannot see", tuple(_unseen(review))),
        *_folded(review),
    ]
    return [section for section in sections if section.paragraphs or section.table.rows]


def headline(review: Review) -> Iterator[str]:
    """Yields the verdict, and what whoever accepts it has to check."""
    same = f"{review.unchanged} goldens, inputs and records are the same."
    beside = f" Other files changed: {first_few(review.beside)}." if review.beside else ""
    if review.is_empty:
        yield f"All {same}{beside}" if beside else f"Nothing changed: all {same}"
        return
    if review.is_empty_but_for_judging:
        yield f"What judges changed: {first_few(review.judging)}. All {same}{beside}"
        yield "To check: is what judges weaker than before, and does the message say why."
        return
    worse = [d for d in review.differences if d.got_worse]
    judging = [f"What judges changed: {first_few(review.judging)}"] if review.judging else []
    yield ". ".join([*_overfitting(review), *_worse(worse), *judging, moved_text(review)]) + "."
    yield "To check: " + "; ".join(dict.fromkeys(_asked(review, worse))) + "."


def _overfitting(review: Review) -> Iterator[str]:
    for name, before, now in _validated_on_both(review):
        held_out = [kind for kind in now.mean_pct if kind != "in_sample"]
        rising = [kind for kind in held_out if rises(before.mean_pct, now.mean_pct, kind)]
        if rising and rises(now.mean_pct, before.mean_pct, "in_sample"):
            means = ((words(kind), before.mean_pct[kind], now.mean_pct[kind]) for kind in ("in_sample", *rising))
            figures = ", ".join(f"{title} {old:.2f} -> {new:.2f} %" for title, old, new in means)
            yield f"OVER-FITTING on {name}: the in-sample error falls while the held-out error rises ({figures})"


def rises(before: Mapping[str, float], now: Mapping[str, float], kind: str) -> bool:
    """Whether an error in percent is higher now, by what would show beside a bar."""
    return kind in before and now[kind] - before[kind] >= _LEAST_RISE_PCT


def _validated_on_both(review: Review) -> Iterator[Tuple[str, CrossValidation, CrossValidation]]:
    before, now = review.cross_validations
    yield from ((name, before[name], now[name]) for name in now if name in before)


def _worse(worse: Sequence[Difference]) -> List[str]:
    return [f"{counted(len(worse), 'rating')} got worse: {ratings_text(sorted(worse, key=_by_size))}"] if worse else []


def ratings_text(differences: Iterable[Difference]) -> str:
    """Returns "NAME GOOD -> FAIR" of each of the first few."""
    return first_few(f"{difference.name} {' -> '.join(difference.ratings)}" for difference in differences)


def first_few(texts: Iterable[str]) -> str:
    """Returns "a, b, c, d and 3 more"."""
    found = list(texts)
    more = f" and {len(found) - MOST_NAMES} more" if len(found) > MOST_NAMES else ""
    return ", ".join(found[:MOST_NAMES]) + more


def moved_text(review: Review) -> str:
    """Returns how many estimates moved, and how far."""
    moved = [d for d in review.differences if d.moved]
    total = review.unchanged + sum(bool(d.now) for d in review.differences)
    if not moved:
        return f"No estimate moved, of {total}"
    by = " by" + spread_text([d.change_pct or 0.0 for d in moved])
    return f"{len(moved)} of {total} estimates moved{by}"


def spread_text(shares_pct: Sequence[float]) -> str:
    """Returns " +0.1 to +0.9 %, mean +0.5 %", one figure where they are all alike."""
    low, high = (f"{value:+.1f}" for value in (min(shares_pct), max(shares_pct)))
    return f" {low} %" if low == high else f" {low} to {high} %, mean {fmean(shares_pct):+.1f} %"


def _asked(review: Review, worse: Sequence[Difference]) -> Iterator[str]:
    kinds = [cause.kind for cause in review.causes]
    if worse:
        yield "does the message say why a worse rating is accepted"
    if "code" in kinds:
        yield "is it meant that the code moves estimates"
    if "op stream" in kinds:
        yield "which release of torch or torchvision, or which model, brought the other op stream"
    if any(change.name.startswith(("constant.", "fact.", "mode.")) for change in review.inputs):
        yield "does the message say where the new values come from, and is the held-out error no worse"
    if review.judging or any(change.name.startswith("judge.") for change in review.inputs):
        yield "is what judges weaker than before, and does the message say why"
    if review.records or review.provenance:
        yield "was the device measured as its record says"
    if any(not d.before or not d.now for d in review.differences):
        yield "are the models or configurations that came and went meant to"
    yield "does what moved follow from what changed"


def _counts(review: Review) -> Section:
    found = review.differences
    figures = {
        "estimates moved": sum(d.moved for d in found),
        "other terms only": sum(bool(d.before) and bool(d.now) and not d.moved for d in found),
        "unchanged": review.unchanged,
        "new": sum(not d.before for d in found),
        "vanished": sum(not d.now for d in found),
        "ratings worse": sum(d.got_worse for d in found),
        "ratings better": sum(d.got_better for d in found),
        "configurations not judged": len(review.unjudged),
    }
    rows = () if review.is_empty else (tuple(str(number) for number in figures.values()),)
    return Section("Counts", table=_table(tuple(figures), rows))


def _causes(review: Review) -> Iterator[Section]:
    """All causes in short; then the rows of measured configurations, each below the cause that moved it most."""
    titles = ("Cause", "Before", "Now", "Change", "Alone")
    by_size = sorted(review.causes, key=lambda cause: -max(map(abs, cause.shares_pct.values()), default=0.0))
    rows = list(map(cause_cells, by_size))
    yield Section("Why, each cause alone", table=_table(titles, rows))
    rated = [d for d in review.differences if d.ratings != ("UNMEASURED", "UNMEASURED")]
    for cause, members in _by_cause(review.causes, rated):
        title = f"Moved most by {cause.title}" if cause is not None else "New, vanished, or without a cause"
        yield Section(title, table=_table(ROW_TITLES, list(map(row_cells, members))))


def cause_cells(cause: Cause) -> Cells:
    """Returns cause, value before and now, change, and what it moves by itself."""
    change = cause.change
    values = (*change.texts, signed_percent(change.change_pct)) if change else ("", "", "")
    boards = f" ({len(change.boards)} boards)" if change and len(change.boards) > 1 else ""
    kind = "" if cause.kind in ("input", "code") else f"{cause.kind}: "
    return (kind + cause.title + boards, *values, alone_text(cause))


def alone_text(cause: Cause) -> str:
    """Returns "moves 14 estimates by +0.6 to +0.9 %, mean +0.8 %"; what else it did, where it has a note."""
    if cause.note:
        return cause.note
    shares = [share for share in cause.shares_pct.values() if abs(share) >= LEAST_PCT]
    others = len(cause.shares_pct) - len(shares)
    terms = f"other terms of {others}" if others else ""
    if not shares:
        return f"moves {terms or 'no estimate'}"
    by = spread_text(shares) if max(map(abs, shares)) >= 0.05 else " less than 0.1 %"
    return f"moves {counted(len(shares), 'estimate')} by{by}" + (f", {terms}" if terms else "")


def _by_cause(
    causes: Sequence[Cause], differences: Sequence[Difference]
) -> Iterator[Tuple[Optional[Cause], List[Difference]]]:
    groups: Dict[Optional[str], Tuple[Optional[Cause], List[Difference]]] = {}
    for difference in sorted(differences, key=_by_size):
        cause = _main_cause(causes, difference.place)
        key = cause.kind + cause.title if cause is not None else None
        groups.setdefault(key, (cause, []))[1].append(difference)
    yield from groups.values()


def _main_cause(causes: Sequence[Cause], place: Place) -> Optional[Cause]:
    own = [cause for cause in causes if place in cause.shares_pct]
    return max(own, key=lambda cause: abs(cause.shares_pct[place]), default=None)


def _by_size(difference: Difference) -> Tuple[bool, bool, float]:
    """Worse ratings first, then other ratings, then the largest change."""
    return not difference.got_worse, not difference.rating_changed, -abs(difference.change_pct or 0.0)


ROW_TITLES: Cells = ("Model", "Before", "Now", "Change", "Error before", "Error now", "Rating", "Band used")


def row_cells(difference: Difference) -> Cells:
    """Returns the row of one subject: ms, change, errors, rating, and how much of the rating's band the error uses."""
    before, now = difference.ratings
    return (
        difference.name,
        _figure(difference.before.get("est_ms")),
        _figure(difference.now.get("est_ms")),
        signed_percent(difference.change_pct),
        signed_percent(difference.before.get("error_pct")),
        signed_percent(difference.now.get("error_pct")),
        now if before == now else f"{before} -> {now}",
        _band_used(difference),
    )


def _band_used(difference: Difference) -> str:
    error_pct, band_pct = difference.now.get("error_pct"), difference.band_pct
    if error_pct is None or band_pct is None:
        return "-"
    return f"{100 * abs(error_pct) / band_pct:.0f} % of {band_pct:.0f} %"


def _unjudged(review: Review) -> Section:
    """Configurations without a measurement: a row each, since nobody can say which of their models is right."""
    rows = []
    for configuration in review.unjudged:
        found = [d for d in review.differences if " ".join(d.place[:2]) == configuration]
        if found:
            shares = [d.change_pct or 0.0 for d in found if d.moved]
            came = sum(not d.before for d in found)
            what = spread_text(shares).strip() if shares else f"{came} new" if came else "other terms only"
            rows.append((configuration, str(len(shares)), what))
    return Section("Not judged: nothing was measured there", table=_table(("Configuration", "Moved", "By"), rows))


def _errors(review: Review) -> Section:
    """In-sample beside held-out, means with the largest behind."""
    if review.is_empty:
        return Section("")
    rows = [*_golden_errors(review)]
    for name, before, now in _validated_on_both(review):
        rows += [
            (
                name,
                words(kind),
                *(f"{v.mean_pct[kind]:.2f} % ({v.max_pct[kind]:.1f})" for v in (before, now)),
                _trend(before.mean_pct[kind], now.mean_pct[kind]),
            )
            for kind in now.mean_pct
            if kind in before.mean_pct
        ]
    titles = ("Configuration", "Mean (largest) |error|", "Before", "Now", "")
    return Section("In-sample beside held-out", table=_table(titles, rows))


def _golden_errors(review: Review) -> Iterator[Cells]:
    before, now = review.errors_pct
    for place in dict.fromkeys(place[:2] for place in now):
        both = [p for p in now if p[:2] == place and p in before]
        old, new = ([abs(errors[p]) for p in both] for errors in (before, now))
        if old and new:
            cells = (f"{fmean(errors):.2f} % ({max(errors):.1f})" for errors in (old, new))
            yield (" ".join(place), "models, as in the goldens", *cells, _trend(fmean(old), fmean(new)))


def _trend(before: float, now: float) -> str:
    return "as before" if abs(now - before) < _LEAST_RISE_PCT else "better" if now < before else "WORSE"


def words(kind: str) -> str:
    """Returns "one family left out" for "leave_one_family_out"."""
    return {"leave_one_model_out": "a model left out", "leave_one_family_out": "a family left out"}.get(
        kind, kind.replace("_", "-")
    )


def _records(review: Review) -> Section:
    about = [f"{where}: {key} was {before!r}, is {now!r}" for where, key, before, now in review.provenance]
    rows = [_record_cells(change) for change in review.records]
    titles = ("Record", "Median before", "Now", "Change", "Runs", "Spread before", "Now")
    return Section("Records that changed", tuple(about), _table(titles, rows))


def _record_cells(change: RecordChange) -> Cells:
    before, now = (median(runs) if runs else None for runs in (change.before_ms, change.now_ms))
    moved = signed_percent(100 * (now / before - 1)) if before and now else "-"
    runs = f"{len(change.before_ms)} -> {len(change.now_ms)}"
    spreads = (_spread(runs_ms) for runs_ms in (change.before_ms, change.now_ms))
    return (f"{change.hardware} {change.label} {change.name}", _figure(before), _figure(now), moved, runs, *spreads)


def _spread(runs_ms: Sequence[float]) -> str:
    return f"{100 * (max(runs_ms) / min(runs_ms) - 1):.1f} %" if runs_ms else "-"


def _unseen(review: Review) -> Iterator[str]:
    if review.is_empty:
        return
    yield from review.notices
    if review.other_files:
        yield f"What these changed files say: {', '.join(review.other_files)}."
    if review.unjudged:
        yield f"Whether {counted(len(review.unjudged), 'configuration')} without a record got better or worse."
    yield "Whether a device still runs as its record says: that takes a live session."


def _folded(review: Review) -> Iterator[Section]:
    for configuration in review.unjudged:
        found = sorted((d for d in review.differences if " ".join(d.place[:2]) == configuration), key=_by_size)
        titles = ("Model", "Before", "Now", "Change")
        rows = [row_cells(d)[:4] for d in found]
        yield Section(f"Every row of {configuration}", table=_table(titles, rows), folded=True)
    results = [c for c in review.inputs if c.is_result or c.name.startswith("calibration.")]
    cells = [(c.name, str(c.before), str(c.now), ", ".join(c.boards)) for c in results]
    table = _table(("Input", "Before", "Now", "Boards"), cells)
    yield Section("What the calibration says of itself", table=table, folded=True)


def _figure(value: Optional[float]) -> str:
    return "-" if value is None else f"{value:.4g}"
