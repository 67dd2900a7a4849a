"""Why estimates moved: each input alone, the op streams, the records, and what is left, which the code did.

The share of an input is the estimate now against the estimate now with that one input as before. Whatever is left when
all inputs are as before is the code's, or the op stream's where that is another one.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace
from typing import Any, Dict, Iterable, Iterator, List, Mapping, Optional, Sequence, Tuple

from ..errors import GoldenLatencyError, UsageError
from ..estimates import Estimates
from ..figures import counted
from ..goldens.content import MEASURED_KEYS, golden_data
from ..goldens.difference import Difference
from ..goldens.inputs import CALIBRATION, NUMBERS, can_be_set, optional_inputs, with_inputs
from ..goldens.tables import Row, Table
from ..goldens.whole_session import JUDGE, WHAT_JUDGES
from ..hardware.boards import find_board, load_profile
from ..lower import NO_RULES
from ..runtimes import own_constants
from ..subjects.custom import KeptModel
from ..subjects.registry import find_subject
from ..subjects.streams import Streamed
from ..target import Target, parse_label, parts_of_label
from .changes import LEAST_PCT, Cause, InputChange, Place, changed

Inputs = Mapping[str, Table]
"""The table of inputs by board."""
_RUNTIME = ("code", "the constants of the engine (estimator/cost/tensorrt.toml)")
WITH_CODE = "came or went together with code that asks for it: its share is the code's"
"""The note of an input that this code needs, or does not know."""


def changed_inputs(before: Inputs, now: Inputs) -> List[InputChange]:
    """Returns the inputs that differ, one for all boards on which it changed alike, and the boards that came or went.

    A side that keeps no inputs, of a board or at all, says nothing.
    """
    if not (before and now):
        return []
    boards: Dict[Tuple[str, str, Optional[str], Optional[str]], List[str]] = {}
    for hardware in dict.fromkeys([*before, *now]):
        if hardware == WHAT_JUDGES and not (hardware in before and hardware in now):
            continue
        for change in _changes_of(hardware, before.get(hardware), now.get(hardware)):
            boards.setdefault(change, []).append(hardware)
    return [InputChange(*key, tuple(names)) for key, names in boards.items()]


def _changes_of(
    hardware: str, before: Optional[Table], now: Optional[Table]
) -> Iterator[Tuple[str, str, Optional[str], Optional[str]]]:
    """Name, unit, value before and value now of each input of a board."""
    if before is None or now is None:
        values = ["all its inputs" if table is not None else None for table in (before, now)]
        yield f"board.{hardware}", "", values[0], values[1]
    elif before.rows and now.rows:
        for name, old, new in changed(_with_whole_modes(before, now), _with_whole_modes(now, before)):
            yield name, (new or old or ("", ""))[1], old[0] if old else None, new[0] if new else None


def _with_whole_modes(table: Table, other: Table) -> Dict[str, Tuple[str, str]]:
    """Value and unit of each input; the figures of a power mode that the other side lacks as one."""
    modes = {"", *map(_mode_of, other.rows)}
    found: Dict[str, Tuple[str, str]] = {}
    for name, value, unit in table.rows.values():
        mode = _mode_of(name)
        if mode in modes:
            found[name] = value, unit
        else:
            figures = [found[mode][0]] if mode in found else []
            found[mode] = ", ".join([*figures, f"{value} {unit}"]), ""
    return found


def _mode_of(name: str) -> str:
    """The name of the power mode that an input is a figure of, "mode.50W"; empty for another input."""
    return name.rpartition(".")[0] if name.startswith("mode.") else ""


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

    @functools.cached_property
    def now_ms(self) -> Tuple[float, float, float]:
        """The latency now, the host's time and the device's."""
        return self.times_ms(self.now)

    def times_ms(self, target: Target) -> Tuple[float, float, float]:
        """Returns the same on another target."""
        found = self.estimates.forward(self.subject, target)
        return found.latency_ms, found.host_ms, found.device_ms


def priced_differences(
    differences: Sequence[Difference], before: Inputs, now: Inputs, estimates: Estimates
) -> Tuple[List[Priced], List[str]]:
    """Returns the differences that this code can estimate, and a notice for each board that it cannot."""
    profile_of = functools.lru_cache(maxsize=None)(load_profile)

    @functools.lru_cache(maxsize=None)
    def targets_of(hardware: str, label: str) -> Tuple[Target, Target]:
        target = parse_label(find_board(hardware), profile_of(hardware), label)
        return _at(target, before.get(hardware)), _at(target, now.get(hardware))

    priced: List[Priced] = []
    notices: Dict[str, None] = {}
    for difference in differences:
        try:
            targets = targets_of(difference.hardware, difference.label)
            priced.append(_priced(difference, targets, before, now, estimates))
        except NotAvailable as error:
            notices[f"causes cannot be told of {error}"] = None
        except GoldenLatencyError as error:
            notices[f"{difference.hardware} {difference.label}: causes cannot be told: {error}"] = None
    for target in dict.fromkeys(item.now for item in priced):
        estimates.together([item.subject for item in priced if item.now is target], target)
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
    return KeptModel(name, tests, captured, estimates.streams.own_rules.get(difference.digest_now, NO_RULES))


def _priced(
    difference: Difference, targets: Tuple[Target, Target], before: Inputs, now: Inputs, estimates: Estimates
) -> Priced:
    subject = _subject(difference, estimates)
    tables = [inputs.get(difference.hardware) for inputs in (before, now)]
    same = len({tuple(row for row in _rows(table) if row[0].startswith(CALIBRATION)) for table in tables}) == 1
    knows = all(table is not None and table.rows for table in tables)
    return Priced(difference, subject, *targets, same, knows, estimates)


def find_causes(
    differences: Sequence[Difference], changes: Sequence[InputChange], priced: Sequence[Priced]
) -> List[Cause]:
    """Returns what moved the differences: each input, then op streams, records, and the code for what is left."""
    inputs = [_input_cause(change, differences, priced) for change in changes if not change.is_result]
    with_code = [cause.title for cause in inputs if cause.note == WITH_CODE]
    return [*inputs, *_stream_causes(differences), *_record_causes(differences), *_code_causes(priced, with_code)]


def of_another_code(priced: Sequence[Priced]) -> Iterator[str]:
    """Yields a notice where this code does not give the goldens of the side now from that side's inputs."""
    wrong = [item for item in priced if _golden_data_at(item, item.now)["est_ms"] != item.difference.now["est_ms"]]
    if wrong:
        yield (
            f"{len(wrong)} of {len(priced)} goldens are not what this code gives from their inputs, "
            f"{wrong[0].difference.name} on {' '.join(wrong[0].difference.place[:2])} for one: they were made by other "
            "code, or by another torch; causes are told by this code"
        )


def _rows(table: Optional[Table]) -> Iterable[Row]:
    return table.rows.values() if table is not None else ()


def _at(target: Target, inputs: Optional[Table]) -> Target:
    """The target with these inputs, and without the facts and watts that they lack; as it is without any."""
    if inputs is None or not inputs.rows:
        return target
    lacking = dict.fromkeys(optional_inputs(target.profile))
    return _with(target, {**lacking, **{name: row[1] for name, row in inputs.rows.items()}})


def _with(target: Target, inputs: Mapping[str, Optional[str]]) -> Target:
    """The inputs of a board are those of eager PyTorch: what a runtime has values of its own for keeps them."""
    own = {f"constant.{name}" for name in own_constants(target.runtime)}
    profile = with_inputs(target.profile, {name: text for name, text in inputs.items() if name not in own})
    return replace(target, profile=profile, mode=profile.mode(target.mode.name))


def _input_cause(change: InputChange, differences: Sequence[Difference], priced: Sequence[Priced]) -> Cause:
    if change.is_whole:
        return Cause("input", change.short_name, {}, _came_or_went(change, differences), change)
    if change.name.startswith(JUDGE):
        return Cause("judge", change.short_name, _rerated(differences), _judged_otherwise(differences), change)
    concerned = [item for item in priced if item.difference.hardware in change.boards]
    is_number = change.name.startswith(NUMBERS)
    if is_number and any(not can_be_set(item.now.profile, change.name, change.before) for item in concerned):
        return Cause("input", change.short_name, {}, WITH_CODE, change)
    shares = {}
    alone = {now: _with(now, {change.name: change.before}) for now in dict.fromkeys(item.now for item in concerned)}
    for item in concerned:
        latency_pct, *terms_pct = _shares_pct(item, alone[item.now])
        if max(map(abs, (latency_pct, *terms_pct))) >= LEAST_PCT:
            shares[item.difference.place] = latency_pct
    return Cause("input", change.short_name, shares, change=change)


def _rerated(differences: Sequence[Difference]) -> Dict[Place, float]:
    """The estimates that did not move and are rated otherwise."""
    return {d.place: 0.0 for d in differences if d.rating_changed and not d.moved}


def _judged_otherwise(differences: Sequence[Difference]) -> str:
    """What changed of estimates that did not move: ratings and intervals."""
    still = [difference for difference in differences if difference.before and difference.now and not difference.moved]
    widths = sum(d.before.get("interval_pct") != d.now.get("interval_pct") for d in still)
    worse, better = sum(d.got_worse for d in still), sum(d.got_better for d in still)
    counts = (worse, "rating", " worse"), (better, "rating", " better"), (widths, "interval", "")
    found = [f"{counted(count, word)}{how}" for count, word, how in counts if count]
    return f"{', '.join(found)}; nothing moved" if found else "nothing moved"


def _came_or_went(change: InputChange, differences: Sequence[Difference]) -> str:
    """How many estimates came or went with a board or a power mode."""
    kind, _, name = change.name.partition(".")
    own = [
        difference
        for difference in differences
        if difference.hardware in change.boards and (kind == "board" or parts_of_label(difference.label)[0] == name)
    ]
    count = sum(not (difference.before and difference.now) for difference in own)
    verb = "came" if change.before is None else "went"
    return f"{counted(count, 'estimate')} {verb} with it"


def _shares_pct(item: Priced, alone: Target) -> List[float]:
    """By how much a change alone moves the latency, the host's time and the device's, in percent."""
    pairs = zip(item.times_ms(alone), item.now_ms)
    return [100 * (after / before - 1) if before else 0.0 for before, after in pairs]


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


def _code_causes(priced: Sequence[Priced], with_code: Sequence[str]) -> Iterator[Cause]:
    also = f" (with {', '.join(with_code)})" if with_code else ""
    code, unknown = ("code", f"the code{also}"), ("unknown", "not known: one side keeps no inputs")
    found: Dict[Tuple[str, str], Dict[Place, float]] = {code: {}, _RUNTIME: {}, unknown: {}}
    for item in priced:
        difference = item.difference
        share_pct = None if difference.another_stream else _code_share_pct(item)
        if share_pct is not None:
            cause = _RUNTIME if difference.another_runtime else code if item.knows_inputs else unknown
            found[cause][difference.place] = share_pct
    yield from (Cause(*cause, shares) for cause, shares in found.items() if shares)


def _code_share_pct(item: Priced) -> Optional[float]:
    """By how much this code moves the estimate of the golden before; None where it gives that, and all its terms."""
    golden, again = item.difference.before, _golden_data_at(item, item.before)
    ignored = {*MEASURED_KEYS, *(() if item.same_uncertainty else ("interval_pct",))}
    if all(golden[key] == again.get(key) for key in golden if key not in ignored):
        return None
    return 100 * (again["est_ms"] / golden["est_ms"] - 1) if golden["est_ms"] else 0.0


def _golden_data_at(item: Priced, target: Target) -> Mapping[str, Any]:
    result = item.estimates.compared(item.subject, target)
    return golden_data(result, in_row="host_terms_ms" not in item.difference.before)
