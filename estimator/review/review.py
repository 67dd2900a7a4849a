"""Two sides to one review: what differs, why, and what that did to the errors."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Dict, Iterator, List, Mapping, Sequence, Tuple

from ..compare import UNMEASURED
from ..estimates import Estimates
from ..goldens.content import MEASURED_KEYS, RUNTIME_KEYS
from ..goldens.difference import Difference
from ..goldens.repository import CROSS_VALIDATION, ESTIMATES, OP_STREAMS, VALIDATION
from ..goldens.repository import TESTS as SESSION_FILE
from ..goldens.tables import Row
from ..goldens.whole_session import TESTS, session_changes, with_judges
from ..target import parts_of_label
from .causes import Inputs, Priced, changed_inputs, find_causes, of_another_code, priced_differences
from .changes import Place, RecordChange, Review, changed
from .deciding import NO_FILES, ChangedFiles
from .sides import Side

_READ = (ESTIMATES, OP_STREAMS, VALIDATION, SESSION_FILE, Path(CROSS_VALIDATION).stem)
_GOLDEN_DEPTH = len(("board", "configuration", "test_module", "test.json"))


def review(before: Side, now: Side, estimates: Estimates, changed_beside: ChangedFiles = NO_FILES) -> Review:
    """Returns what differs between two sides. Estimates, with this code, only where an estimate moved."""
    files = [name for name, *_ in changed(before.content, now.content)]
    judging, beside = (*_tests(before, now), *changed_beside.deciding), changed_beside.others
    if not files:
        return Review(before.name, now.name, unchanged=len(now.goldens), judging=judging, beside=beside)
    differences = list(_differences(before, now))
    found, priced = _explained(differences, (_inputs(before), _inputs(now)), estimates)
    whole = replace(
        found,
        base=before.name,
        head=now.name,
        unchanged=len(now.goldens) - sum(bool(d.now) for d in differences),
        unjudged=tuple(_unjudged(now)),
        errors_pct=(_errors_pct(before), _errors_pct(now)),
        cross_validations=(before.cross_validations, now.cross_validations),
        records=tuple(
            RecordChange(hardware, label, name, old or (), new or ())
            for (hardware, label, _), name, old, new in _changed_in_records("runs_ms", before, now)
        ),
        provenance=tuple(
            (f"{hardware} {label} ({tests.replace('test_', '', 1)})", key, old or "none", new or "none")
            for (hardware, label, tests), key, old, new in _changed_in_records("provenance", before, now)
        ),
        judging=judging,
        beside=beside,
        other_files=tuple(name for name in sorted(files) if not _is_read(name)),
        notices=(*_notices(before, now), *found.notices, *of_another_code(priced)),
    )
    return replace(whole, other_files=tuple(sorted(files))) if replace(whole, judging=()).is_empty else whole


def _inputs(side: Side) -> Inputs:
    """Those of the boards, and what judges them all."""
    return with_judges(side.inputs, side.session)


def _tests(before: Side, now: Side) -> Iterator[str]:
    """The tests of a whole session that came or went, where both sides say what it is made of."""
    if bool(before.session) != bool(now.session):
        yield f"{SESSION_FILE}.md {'came' if now.session else 'is gone'}"
    else:
        yield from session_changes(before.session, now.session, (TESTS,))


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
    found, _ = _explained(differences, inputs, estimates)
    now = {d.place: d.now["error_pct"] for d in differences if d.now.get("error_pct") is not None}
    errors_now_pct = {place: now.get(place, error_pct) for place, error_pct in errors_pct.items()}
    unchanged = total - sum(bool(d.before) for d in differences)
    return replace(found, unchanged=unchanged, errors_pct=(errors_pct, errors_now_pct))


def _explained(
    differences: Sequence[Difference], inputs: Tuple[Inputs, Inputs], estimates: Estimates
) -> Tuple[Review, List[Priced]]:
    """The differences with what changed and what caused them, and those that this code could price."""
    changes = changed_inputs(*inputs)
    priced, notices = priced_differences([d for d in differences if d.before and d.now], *inputs, estimates)
    causes = tuple(find_causes(differences, changes, priced))
    return Review("golden", "now", tuple(changes), tuple(differences), causes, notices=tuple(notices)), priced


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
    alike = ("host_terms_ms" in before) == ("host_terms_ms" in now)
    kept = {*(key for key in before if key in now), *MEASURED_KEYS, *(RUNTIME_KEYS if alike else ())}
    return [
        {key: value for key, value in data.items() if key in kept and value != UNMEASURED} for data in (before, now)
    ]


def _stream(side: Side, label: str, name: str) -> Row:
    table = side.streams.get(parts_of_label(label)[1])
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


def _changed_in_records(part: str, before: Side, now: Side) -> Iterator[Tuple[Place, str, Any, Any]]:
    """Board, configuration and folder of tests of a record, and what that part of it says otherwise."""
    for place in dict.fromkeys([*before.records, *now.records]):
        sides = (getattr(side.records.get(place), part, {}) for side in (before, now))
        yield from ((place, *change) for change in changed(*sides))


def _notices(before: Side, now: Side) -> Iterator[str]:
    for side in (before, now):
        if not any(table.rows for table in side.inputs.values()):
            yield f"{side.name}: its goldens keep no inputs, as those before the tables; causes cannot be told"


def _is_read(name: str) -> bool:
    """Whether the review reads the file, or the file repeats what another says."""
    path = Path(name)
    is_golden = len(path.parts) == _GOLDEN_DEPTH and path.suffix == ".json"
    return is_golden or path.stem.startswith("record-") or path.stem in _READ
