"""Whether a live failure is the suite's doing, by its inputs and op streams, or that of the board or its software."""

from __future__ import annotations

import contextlib
from typing import Iterator, List, Mapping, Tuple

from ..errors import UsageError
from ..goldens.inputs import golden_inputs, inputs_now
from ..goldens.repository import Repository
from ..records.record import Record
from ..target import Target
from .causes import changed_inputs
from .sides import exported
from .verdict import input_text

COMPARED = ("board", "mode", "software", "protocol", "clocks", "threads", "switches", "variables")
"""What a record says that a latency depends on."""


def live_verdict_lines(
    repository: Repository, target: Target, record: Record, now: Mapping[str, str], digests: Mapping[str, str]
) -> Iterator[str]:
    """Yields what of the suite changed since the record, and what of the device and its software.

    `now` is the provenance that a record made now would have, `digests` those of the op streams of
    the models that were measured.
    """
    with _at_record(repository, record) as (before, since):
        stream_lines, same = _streams(before, target, digests)
        lines = [*stream_lines, *_inputs(repository, before, target)]
    yield f"  This suite, since {since}:"
    yield from (f"    {line}" for line in lines)
    yield "  The board and its software, since the record:"
    if not record.runs_ms:
        yield "    there is no record to compare with"
        return
    yield from (f"    {line}" for line in _device_lines(record.provenance, now))
    if same:
        yield "  The same ops were measured: another latency is the doing of the board, its software or the protocol."


def _device_lines(then: Mapping[str, str], now: Mapping[str, str]) -> Iterator[str]:
    differing = [key for key in COMPARED if key in now and then.get(key, now[key]) != now[key]]
    yield from (f"{key}: {then[key]} -> {now[key]}" for key in differing)
    unknown = [key for key in COMPARED if key in now and key not in then]
    if unknown:
        yield f"the record does not say: {', '.join(unknown)}"
    if not differing:
        yield "nothing that the record says is different"


@contextlib.contextmanager
def _at_record(repository: Repository, record: Record) -> Iterator[Tuple[Repository, str]]:
    """The goldens of the revision that made the record where git has it, else those that are here."""
    revision = record.provenance.get("revision", "").split(" ")[0]
    with contextlib.ExitStack() as stack:
        found = repository, "the goldens were made"
        with contextlib.suppress(UsageError):
            folder = stack.enter_context(exported(repository.root, revision or "no revision"))
            found = Repository(folder, repository.has_zoo), f"the record's revision {revision[:12]}"
        yield found


def _inputs(repository: Repository, before: Repository, target: Target) -> Iterator[str]:
    """Yields the inputs that moved: they move estimates, and no latency."""
    if not target.board.has_goldens:
        return
    name = target.hardware
    golden = golden_inputs(before, name)
    if not golden.rows:
        yield "inputs: not known, for none were kept then"
    for change in changed_inputs({name: golden}, {name: inputs_now(repository, name)}):
        if not change.is_result:
            yield f"{input_text(change)} (moves estimates, no latency)"


def _streams(before: Repository, target: Target, digests: Mapping[str, str]) -> Tuple[List[str], bool]:
    """What is said of the op streams, and whether all are known to be the same."""
    table = before.streams(target.stream_label)
    then = {name: table.named(name)["Digest"] for name in digests if name in table.rows}
    others = [name for name in then if then[name] != digests[name]]
    if others:
        text = "another model, or another torch or torchvision, is measured"
        return [f"{name}: another op stream than then: {text}" for name in others], False
    if len(then) < len(digests):
        return [f"op streams: known of {len(then)} of {len(digests)}, and the same"], False
    return [f"op streams: the same, {len(then)} of {len(digests)}"], True
