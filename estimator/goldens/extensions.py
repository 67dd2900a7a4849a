"""How syrupy reads, compares and writes goldens: JSON, whole text files, and tables of which it compares parts.

A snapshot is asked for by its place: `snapshot(name="Jetson-Orin-AGX/50W-fp32-b1/validation")` is that file below the
golden folder; a part of a table adds a section and, if one row alone is meant, the row's name, a line each:
`snapshot(name=part_of("Jetson-Orin-NX-16GB/estimates", "15W-fp32-b1", "MODEL"))`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Dict, List, Mapping, Optional, Tuple, Type

from syrupy.data import SnapshotCollection, SnapshotCollections
from syrupy.extensions.single_file import SingleFileSnapshotExtension, WriteMode
from syrupy.location import PyTestLocation

from ..files import write_atomically
from .files import document_head, golden_root
from .root import repository_root
from .tables import Document, Table, document_text, parse_table, read_document, table_text

if TYPE_CHECKING:
    from syrupy.assertion import SnapshotAssertion
    from syrupy.session import SnapshotSession


def matches(snapshot: SnapshotAssertion, place: str, extension: Type[TextGolden], data: Any) -> bool:
    """Returns whether the golden at a place says the same; when goldens are updated, True once it does.

    Raises what went wrong with reading or writing it (OSError, GoldenLatencyError): syrupy keeps that for itself, and
    takes the golden for another one.
    """
    asked = snapshot(name=place, extension_class=extension)
    is_same = bool(asked == data)
    wrong = asked.executions[asked.num_executions - 1].exception
    if wrong is not None:
        raise wrong
    if asked.session.update_snapshots:
        _write_now(asked.session)
    return is_same


def _write_now(session: SnapshotSession) -> None:
    """Before release 5, syrupy writes at the end of the session, where no test can fail any more."""
    try:
        session.flush_snapshot_write_queue()
    except OSError:
        getattr(session, "_queued_snapshot_writes", {}).clear()  # else it is tried again at the end
        raise


class TextGolden(SingleFileSnapshotExtension):
    """A golden that is one text file, written whole or not at all.

    Discovery finds nothing, so that syrupy never takes a golden for unused and deletes it on update, as its older
    releases do with the goldens of models that `-k` left out.
    """

    _write_mode = WriteMode.TEXT
    file_extension = "md"
    _file_extension = "md"  # its name before syrupy 5

    @classmethod
    def get_location(cls, *, test_location: PyTestLocation, index: Any) -> str:
        """Returns the file that a snapshot's name says."""
        place = str(index).split("\n")[0]
        return str(golden_root(repository_root(test_location.item.config)) / f"{place}.{cls.file_extension}")

    @classmethod
    def get_snapshot_name(cls, *, test_location: PyTestLocation, index: Any = 0) -> str:
        """Returns the snapshot's name as it was asked for."""
        return str(index)

    def discover_snapshots(self, **_: Any) -> SnapshotCollections:
        """Returns no snapshot: goldens are deleted by people."""
        return SnapshotCollections()

    @classmethod
    def write_snapshot_collection(cls, *, snapshot_collection: SnapshotCollection, **_: Any) -> None:
        """Writes the file."""
        path = Path(snapshot_collection.location)
        write_atomically(path, "".join(str(snapshot.data) for snapshot in snapshot_collection))

    @classmethod
    def _write_snapshot_collection(cls, *, snapshot_collection: SnapshotCollection, **_: Any) -> None:
        """The same before syrupy 5."""
        cls.write_snapshot_collection(snapshot_collection=snapshot_collection)


class JsonGolden(TextGolden):
    """A golden that is a JSON object: a line per key, so that a diff has a line per term that moved."""

    file_extension = "json"
    _file_extension = "json"

    def serialize(self, data: Any, **_: Any) -> str:
        """Returns the text of a flat object; objects inside it stay on their line."""
        return json_text(data)


def json_text(data: Mapping[str, Any]) -> str:
    """Returns the object as JSON with sorted keys, one a line; ValueError for a number that is not finite."""
    lines = (f"  {json.dumps(key)}: {json.dumps(data[key], allow_nan=False)}" for key in sorted(data))
    return "{\n" + ",\n".join(lines) + "\n}\n"


class TableGolden(TextGolden):
    """A golden that is a section, or one row of a section, in a file of tables; what is beside it stays as it is."""

    def serialize(self, data: Table, **_: Any) -> str:
        """Returns the table in Markdown."""
        return table_text(data)

    def read_snapshot_data_from_location(
        self, *, snapshot_location: str, snapshot_name: str, session_id: str
    ) -> Optional[str]:
        """Returns the section or the row with its titles, None where there is none."""
        section, row = _part(snapshot_name)
        table = read_document(Path(snapshot_location)).sections.get(section)
        if table is None or (row is not None and row not in table.rows):
            return None
        return table_text(table if row is None else Table(table.titles, {row: table.rows[row]}))

    def _read_snapshot_data_from_location(self, **place: Any) -> Optional[str]:
        """The same before syrupy 5."""
        return self.read_snapshot_data_from_location(**place)

    @classmethod
    def write_snapshot_collection(cls, *, snapshot_collection: SnapshotCollection, **_: Any) -> None:
        """Puts the parts into the file."""
        path = Path(snapshot_collection.location)
        document = read_document(path)
        for section, found in _by_section(snapshot_collection).items():
            document = document.with_section(section, _merged(document, section, found))
        write_atomically(path, document_text(document_head(path), document))


def part_of(place: str, section: str, row: str = "") -> str:
    """Returns the name of the snapshot of a table's section, or of one row of it."""
    return "\n".join([place, section, *([row] if row else [])])


def _part(snapshot_name: str) -> Tuple[str, Optional[str]]:
    """The section and row of a snapshot's name."""
    _, section, row = [*snapshot_name.split("\n"), "", ""][:3]
    return section, row or None


def _by_section(collection: SnapshotCollection) -> Dict[str, List[Tuple[Optional[str], Table]]]:
    parts: Dict[str, List[Tuple[Optional[str], Table]]] = {}
    for snapshot in collection:
        section, row = _part(snapshot.name)
        parts.setdefault(section, []).append((row, parse_table(str(snapshot.data))))
    return parts


def _merged(document: Document, section: str, parts: List[Tuple[Optional[str], Table]]) -> Table:
    from ..subjects.registry import subject_names

    whole = [table for row, table in parts if row is None]
    old = whole[-1] if whole else document.sections.get(section, Table(parts[-1][1].titles, {}))
    rows = {name: cells for row, table in parts if row is not None for name, cells in table.rows.items()}
    return Table(parts[-1][1].titles, old.rows).with_rows(rows, subject_names())
