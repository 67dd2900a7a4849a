"""Why estimates moved: each input alone, the op streams, the records, and what is left, which the code did.

The share of an input is the estimate now against the estimate now with that one input as before. Whatever is left when
all inputs are as before is the code's, or the op stream's where that is another one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Dict, Iterable, Iterator, List, Mapping, Optional, Sequence, Tuple

from ..errors import GoldenLatencyError, UsageError
from ..estimates import Estimates
from ..goldens.content import ESTIMATE_TITLES, MEASURED_KEYS, estimate_row, golden_data, row_data
from ..goldens.difference import Difference
from ..goldens.inputs import CALIBRATION, with_inputs
from ..goldens.tables import Row, Table
from ..hardware.boards import find_board
from ..lower import lower
from ..pipeline import times_ms
from ..subjects.custom import KeptModel
from ..subjects.registry import find_subject
from ..subjects.streams import Streamed
from ..target import Target, parse_label
from .changes import LEAST_PCT, Cause, InputChange, Place

Inputs = Mapping[str, Table]
"""The table of inputs by board."""


def changed_inputs(before: Inputs, now: Inputs) -> List[InputChange]:
    """Returns the inputs that differ on boards of both sides, one for all boards on which it changed alike."""
    boards: Dict[Tuple[str, str, Optional[str], Optional[str]], List[str]] = {}
    for hardware in (name for name in before if name in now and before[name].rows and now[name].rows):
        old, new = before[hardware].rows, now[hardware].rows
        for name in dict.fromkeys([*old, *new]):
            if old.get(name) != new.get(name):
                row = new.get(name) or old[name]
                values = [rows[name][1] if name in rows else None for rows in (old, new)]
                boards.setdefault((name, row[2], values[0], values[1]), []).append(hardware)
    return [InputChange(*key, tuple(names)) for key, names in boards.items()]


@dataclass(frozen=True)
class Priced:
    """A difference with its subject, and its target as the inputs are before and now.

    Of the covariance the inputs keep a digest only: intervals can be made again where `same_uncertainty` says so.
    """

    difference: Difference
    subject: Streamed
    before: Target
    now: Target
    same_uncertainty: bool
    knows_inputs: bool
    estimates: Estimates


def priced_differences(
    differences: Sequence[Difference], before: Inputs, now: Inputs, estimates: Estimates
) -> Tuple[List[Priced], List[str]]:
    """Returns the differences that the code at hand can estimate, and a notice for each board that it cannot."""
    priced: List[Priced] = []
    notices: Dict[str, None] = {}
    for difference in differences:
        try:
            priced.append(_priced(difference, before, now, estimates))
        except NotAvailable as error:
            notices[f"causes cannot be told of {error}"] = None
        except GoldenLatencyError as error:
            notices[f"{difference.hardware} {difference.label}: causes cannot be told: {error}"] = None
    return priced, list(notices)


class NotAvailable(UsageError):
    """Nobody on this machine has captured the op stream of a test's own module."""


def _subject(difference: Difference, estimates: Estimates) -> Streamed:
    """Of a test's own modules the op stream, which whoever ran the test has kept: no other process can build them."""
    name, tests = difference.name, difference.own_tests
    if not tests:
        return find_subject(name)
    captured = estimates.streams.own(difference.digest_now)
    if captured is None:
        raise NotAvailable(f"{name}: its op stream is not available; {tests}.py run here once provides it")
    return KeptModel(name, tests, captured)


def _priced(difference: Difference, before: Inputs, now: Inputs, estimates: Estimates) -> Priced:
    subject = _subject(difference, estimates)
    board = find_board(difference.hardware)
    target = parse_label(board, board.profile(), difference.label)
    tables = [inputs.get(difference.hardware) for inputs in (before, now)]
    same = len({tuple(row for row in _rows(table) if row[0].startswith(CALIBRATION)) for table in tables}) == 1
    knows = all(table is not None and table.rows for table in tables)
    return Priced(difference, subject, _at(target, tables[0]), _at(target, tables[1]), same, knows, estimates)


def find_causes(
    differences: Sequence[Difference], changes: Sequence[InputChange], priced: Sequence[Priced]
) -> List[Cause]:
    """Returns what moved the differences: each input, then op streams, records, and the code for what is left."""
    inputs = [_input_cause(change, priced) for change in changes if not change.is_result]
    return [*inputs, *_stream_causes(differences), *_record_causes(differences), *_code_causes(priced)]


def of_another_code(priced: Sequence[Priced]) -> Iterator[str]:
    """Yields a notice where the code at hand does not give the goldens of the side now from that side's inputs."""
    wrong = [item for item in priced if _golden_data_at(item, item.now)["est_ms"] != item.difference.now["est_ms"]]
    if wrong:
        yield (
            f"{len(wrong)} of {len(priced)} goldens are not what the code at hand gives from their inputs, "
            f"{wrong[0].difference.name} on {' '.join(wrong[0].difference.place[:2])} for one: they were made by other "
            "code, or by another torch; causes are told by the code at hand"
        )


def _rows(table: Optional[Table]) -> Iterable[Row]:
    return table.rows.values() if table is not None else ()


def _at(target: Target, inputs: Optional[Table]) -> Target:
    """The target with these inputs; as it is without any."""
    if inputs is None:
        return target
    profile = with_inputs(target.profile, {name: row[1] for name, row in inputs.rows.items()})
    return replace(target, profile=profile, mode=profile.mode(target.mode.name))


def _input_cause(change: InputChange, priced: Sequence[Priced]) -> Cause:
    shares = {}
    for item in priced:
        if item.difference.hardware in change.boards and change.before is not None and change.now is not None:
            latency_pct, *terms_pct = _shares_pct(item, change)
            if max(map(abs, (latency_pct, *terms_pct))) >= LEAST_PCT:
                shares[item.difference.place] = latency_pct
    return Cause("input", change.short_name, shares)


def _shares_pct(item: Priced, change: InputChange) -> List[float]:
    """By how much the change alone moves the latency, the host's time and the device's, in percent."""
    alone = _at(item.now, Table(("", "", ""), {change.name: (change.name, str(change.before), "")}))
    lowered = lower(item.estimates.ops(item.subject, item.now))
    without, now = times_ms(lowered, [alone, item.now])
    return [100 * (after / before - 1) if before else 0.0 for before, after in zip(without, now)]


def _stream_causes(differences: Sequence[Difference]) -> Iterator[Cause]:
    """One for all subjects in which the same ops came and went."""
    found: Dict[str, Dict[Place, float]] = {}
    for difference in differences:
        if difference.another_stream:
            title = ", ".join(difference.ops_text()) or "the same ops with other shapes"
            found.setdefault(title, {})[difference.place] = difference.change_pct or 0.0
    return (Cause("op stream", title, shares) for title, shares in found.items())


def _record_causes(differences: Sequence[Difference]) -> Iterator[Cause]:
    found = {d.place: 0.0 for d in differences if d.measured_anew}
    if found:
        yield Cause("record", "what was measured", found)


def _code_causes(priced: Sequence[Priced]) -> Iterator[Cause]:
    found: Dict[bool, Dict[Place, float]] = {True: {}, False: {}}
    for item in priced:
        difference = item.difference
        if difference.before and difference.now and not difference.another_stream and _code_moved(item):
            found[item.knows_inputs][difference.place] = _code_share_pct(item)
    if found[True]:
        yield Cause("code", "the code", found[True])
    if found[False]:
        yield Cause("unknown", "not known: one side keeps no inputs", found[False])


def _code_moved(item: Priced) -> bool:
    """Whether the code at hand gives another estimate or term from the inputs before than the golden before has."""
    golden, again = item.difference.before, _golden_data_at(item, item.before)
    ignored = {*MEASURED_KEYS, *(() if item.same_uncertainty else ("interval_pct",))}
    return any(golden[key] != again.get(key) for key in golden if key not in ignored)


def _golden_data_at(item: Priced, target: Target) -> Mapping[str, Any]:
    result = item.estimates.compared(item.subject, target)
    if "host_terms_ms" in item.difference.before:
        return golden_data(result)
    return row_data(dict(zip(ESTIMATE_TITLES, estimate_row(result))))


def _code_share_pct(item: Priced) -> float:
    again_ms, golden_ms = _golden_data_at(item, item.before)["est_ms"], item.difference.before["est_ms"]
    return 100 * (again_ms / golden_ms - 1) if golden_ms else 0.0
