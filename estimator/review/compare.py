"""Two sides to one review: what differs, why, and what that did to the errors."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple

from ..compare import UNMEASURED
from ..estimates import Estimates
from ..goldens.content import MEASURED_KEYS
from ..goldens.difference import Difference
from ..goldens.repository import CROSS_VALIDATION, ESTIMATES, OP_STREAMS, VALIDATION
from ..goldens.tables import Row
from ..records.record import Record
from .causes import Inputs, changed_inputs, find_causes, of_another_code, priced_differences
from .changes import Place, RecordChange, Review
from .sides import Side, changed_files

_READ = (ESTIMATES, OP_STREAMS, VALIDATION, Path(CROSS_VALIDATION).stem)
_GOLDEN_DEPTH = len(("board", "configuration", "test_module", "test.json"))
_OLD_LAYOUT = "{}: its goldens keep no inputs, as those before the tables; causes cannot be told"


def review(before: Side, now: Side, estimates: Estimates) -> Review:
    """Returns what differs between two sides. Estimates, with the code at hand, only where an estimate moved."""
    if not changed_files(before, now):
        return Review(before.name, now.name, unchanged=len(now.goldens))
    differences = list(_differences(before, now))
    changes = changed_inputs(before.inputs, now.inputs)
    both = [d for d in differences if d.before and d.now]
    priced, notices = priced_differences(both, before.inputs, now.inputs, estimates)
    return Review(
        before.name,
        now.name,
        tuple(changes),
        tuple(differences),
        tuple(find_causes(differences, changes, priced)),
        len(now.goldens) - sum(bool(d.now) for d in differences),
        tuple(_unjudged(now)),
        (_errors_pct(before), _errors_pct(now)),
        (before.cross_validations, now.cross_validations),
        tuple(_record_changes(before, now)),
        tuple(_provenance_changes(before, now)),
        tuple(name for name in changed_files(before, now) if not _is_read(name)),
        (*_notices(before, now), *notices, *of_another_code(priced)),
    )


def review_differences(
    differences: Sequence[Difference],
    inputs: Tuple[Inputs, Inputs],
    errors_pct: Mapping[Place, float],
    total: int,
    estimates: Estimates,
) -> Review:
    """Returns the review of estimates just made against their goldens, `total` in number.

    `inputs` are those of the goldens and those now, `errors_pct` the goldens' errors of all measured models.
    """
    changes = changed_inputs(*inputs)
    priced, notices = priced_differences([d for d in differences if d.before and d.now], *inputs, estimates)
    found = {d.place: d.now["error_pct"] for d in differences if d.now.get("error_pct") is not None}
    return Review(
        "golden",
        "now",
        tuple(changes),
        tuple(differences),
        tuple(find_causes(differences, changes, priced)),
        total - sum(bool(d.before) for d in differences),
        errors_pct=(errors_pct, {place: found.get(place, error_pct) for place, error_pct in errors_pct.items()}),
        notices=tuple(notices),
    )


def _differences(before: Side, now: Side) -> Iterator[Difference]:
    for place in dict.fromkeys([*now.goldens, *before.goldens]):
        hardware, label, name = place
        golden = now.goldens.get(place) or before.goldens[place]
        old, new = _comparable(*(side.goldens[place].data if place in side.goldens else {} for side in (before, now)))
        streams = (_stream(before, label, name), _stream(now, label, name))
        difference = Difference(hardware, label, golden.kind, name, old, new, *streams, golden.own_tests)
        if difference.terms or difference.another_stream:
            yield difference


def _comparable(before: Mapping[str, Any], now: Mapping[str, Any]) -> List[Dict[str, Any]]:
    """Both with what both layouts keep, and with what a measurement adds: a table keeps less than a JSON does."""
    if not (before and now):
        return [dict(before), dict(now)]
    kept = {*(key for key in before if key in now), *MEASURED_KEYS}
    return [
        {key: value for key, value in data.items() if key in kept and value != UNMEASURED} for data in (before, now)
    ]


def _stream(side: Side, label: str, name: str) -> Row:
    table = side.streams.sections.get("-".join(label.rsplit("-", 2)[1:]))
    return table.rows.get(name, ()) if table is not None else ()


def _unjudged(side: Side) -> Iterator[str]:
    """The configurations none of whose goldens has a measurement."""
    measured = {place[:2] for place, golden in side.goldens.items() if golden.data.get("meas_ms") is not None}
    for hardware, label in dict.fromkeys(place[:2] for place in side.goldens):
        if (hardware, label) not in measured:
            yield f"{hardware} {label}"


def _errors_pct(side: Side) -> Dict[Place, float]:
    pairs = ((place, golden.data.get("error_pct")) for place, golden in side.goldens.items() if golden.kind == "model")
    return {place: error_pct for place, error_pct in pairs if error_pct is not None}


def _record_changes(before: Side, now: Side) -> Iterator[RecordChange]:
    for key in dict.fromkeys([*before.records, *now.records]):
        old, new = (_runs_ms(side.records.get(key)) for side in (before, now))
        for name in dict.fromkeys([*old, *new]):
            if old.get(name) != new.get(name):
                yield RecordChange(key[0], key[1], name, old.get(name, ()), new.get(name, ()))


def _runs_ms(record: Optional[Record]) -> Mapping[str, Tuple[float, ...]]:
    return record.runs_ms if record is not None else {}


def _provenance_changes(before: Side, now: Side) -> Iterator[Tuple[str, str, str, str]]:
    """Where it stands, key, text before and now."""
    for key in dict.fromkeys([*before.records, *now.records]):
        old, new = (_about(side.records.get(key)) for side in (before, now))
        for name in dict.fromkeys([*old, *new]):
            if old.get(name) != new.get(name):
                yield (
                    f"{key[0]} {key[1]} ({key[2].replace('test_', '', 1)})",
                    name,
                    old.get(name, "none"),
                    new.get(name, "none"),
                )


def _about(record: Optional[Record]) -> Mapping[str, str]:
    return record.provenance if record is not None else {}


def _notices(before: Side, now: Side) -> Iterator[str]:
    yield from (_OLD_LAYOUT.format(side.name) for side in (before, now) if not side.inputs)


def _is_read(name: str) -> bool:
    """Whether the review reads the file, or the file repeats what another says."""
    path = Path(name)
    is_golden = len(path.parts) == _GOLDEN_DEPTH and path.suffix == ".json"
    return is_golden or path.stem.startswith("record-") or path.stem in _READ
