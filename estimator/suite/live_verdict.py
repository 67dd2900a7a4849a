"""Whether a live failure is the suite's doing, by its inputs and op streams, or that of the board or its software."""

from __future__ import annotations

from pathlib import Path
from typing import Dict, Iterator, List, Mapping, Sequence, Tuple

from ..errors import UsageError
from ..goldens.content import STREAM_TITLES
from ..goldens.files import OP_STREAMS, golden_root
from ..goldens.inputs import golden_inputs, inputs_now
from ..goldens.tables import Table, read_document
from ..opstream import digest
from ..records.record import Record
from ..review.causes import changed_inputs
from ..review.sides import exported
from ..review.verdict import input_text
from ..subjects.all import find_subject, op_stream
from ..target import Target

COMPARED = ("board", "mode", "software", "clocks", "threads", "switches", "variables")
"""What a record says that a latency depends on."""


def live_verdict_lines(
    root: Path, target: Target, record: Record, now: Mapping[str, str], names: Sequence[str]
) -> Iterator[str]:
    """Yields what of the suite changed since the record, and what of the device and its software.

    `now` is the provenance that a record made now would have, `names` the models that were measured.
    """
    since, changes = _suite_changes(root, target, record, names)
    yield f"  This suite, since {since}:"
    yield from (f"    {line}" for line in changes or ["inputs and op streams are the same: it changed nothing"])
    yield "  The board and its software, since the record:"
    if not record.runs_ms:
        yield "    there is no record to compare with"
        return
    differing = [
        key for key in COMPARED if key in now and key in record.provenance and now[key] != record.provenance[key]
    ]
    yield from (f"    {key}: {record.provenance[key]} -> {now[key]}" for key in differing)
    unknown = [key for key in COMPARED if key in now and key not in record.provenance]
    if unknown:
        yield f"    the record does not say: {', '.join(unknown)}"
    if not differing:
        yield f"    {'nothing else' if unknown else 'nothing'} that the record says is different"
    if not changes:
        yield "  So another latency is the doing of the board or its software."


def _suite_changes(root: Path, target: Target, record: Record, names: Sequence[str]) -> Tuple[str, List[str]]:
    """Since the revision that made the record where git has it, else since the goldens were made."""
    revision = record.provenance.get("revision", "").split(" ")[0]
    try:
        with exported(root, revision or "no revision") as folder:
            return f"the record's revision {revision[:12]}", list(_changes(root, folder, target, names))
    except UsageError:
        return "the goldens were made", list(_changes(root, root, target, names))


def _changes(root: Path, before: Path, target: Target, names: Sequence[str]) -> Iterator[str]:
    if target.board.has_goldens:
        inputs = (
            {target.hardware: golden_inputs(before, target.hardware)},
            {target.hardware: inputs_now(root, target.hardware)},
        )
        yield from (f"{input_text(change)} (moves estimates, no latency)" for change in changed_inputs(*inputs))
    for name, digests in _digests(before, target, names).items():
        if digests[0] != digests[1]:
            yield f"{name}: another op stream than then: another model, torch or torchvision is measured"


def _digests(before: Path, target: Target, names: Sequence[str]) -> Dict[str, Tuple[str, str]]:
    path = golden_root(before) / f"{OP_STREAMS}.md"
    table = read_document(path).sections.get(target.stream_label, Table(STREAM_TITLES, {}))
    known = {name: table.named(name)["Digest"] for name in names if name in table.rows}
    precision = target.precision.name
    return {
        name: (then, digest(op_stream(find_subject(name), target.batch_size, precision)))
        for name, then in known.items()
    }
