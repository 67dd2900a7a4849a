"""How syrupy compares and counts goldens; the repository alone reads and writes them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Mapping, Optional, Type

from syrupy.data import SnapshotCollections
from syrupy.extensions.single_file import SingleFileSnapshotExtension, WriteMode

from .repository import Repository
from .tables import Row, Table, table_text, with_section

if TYPE_CHECKING:
    from syrupy.assertion import SnapshotAssertion


class GoldenFiles:
    """A repository's goldens as one test's fixture `snapshot` compares them, or rewrites them when it updates.

    All methods return whether the golden says the same, when goldens are updated True once it does. They raise
    RecordError where it cannot be read, and OSError where it cannot be written.
    """

    def __init__(self, repository: Repository, snapshot: SnapshotAssertion) -> None:
        self._repository, self._snapshot = repository, snapshot
        self._extension = _extension_of(repository)

    def has_text(self, path: Path, text: str, *part: str) -> bool:
        """Compares a whole file; `part` names what of it the text is about."""
        before = self._repository.text(path)
        snapshot = self._snapshot(name="\n".join((str(path), *part)), extension_class=self._extension)
        is_same = bool(snapshot == text)
        if snapshot.session.update_snapshots and text != before:
            self._repository.write(path, text)
        return is_same

    def has_data(self, path: Path, data: Mapping[str, Any]) -> bool:
        """Compares a JSON object."""
        return self.has_text(path, json_text(data))

    def has_section(self, path: Path, section: str, table: Table) -> bool:
        """Compares a table of a file; what is beside it stays as it is."""
        return self._has_table(path, section, self._repository.document(path).get(section), table)

    def has_row(self, path: Path, section: str, titles: Row, row: Row) -> bool:
        """Compares a row of a table of a file by its first cell; what is beside it stays as it is."""
        from ..subjects.registry import subject_names

        old = self._repository.document(path).get(section, Table(titles, {}))
        now = Table(titles, old.rows).with_rows({row[0]: row}, subject_names())
        return self._has_table(path, section, old, old if old == now else now, row[0])

    def _has_table(self, path: Path, section: str, old: Optional[Table], now: Table, *part: str) -> bool:
        if old is now or (old is not None and table_text(old) == table_text(now)):
            text = self._repository.text(path) or ""
        else:
            document = with_section(self._repository.document(path), section, now)
            text = self._repository.document_text(path, document)
        return self.has_text(path, text, section, *part)


def _extension_of(repository: Repository) -> Type[SingleFileSnapshotExtension]:
    class Golden(SingleFileSnapshotExtension):
        """A snapshot whose name is its file, and a line each for section and row."""

        _write_mode = WriteMode.TEXT

        @classmethod
        def get_location(cls, *, index: Any, **_: Any) -> str:
            return str(index).split("\n")[0]

        @classmethod
        def get_snapshot_name(cls, *, index: Any = 0, **_: Any) -> str:
            return str(index)

        def discover_snapshots(self, **_: Any) -> SnapshotCollections:
            """Nothing: syrupy deletes on update what it takes for unused; goldens are deleted by people."""
            return SnapshotCollections()

        def read_snapshot_data_from_location(self, *, snapshot_location: str, **_: Any) -> Optional[str]:
            return repository.text(Path(snapshot_location))

        @classmethod
        def write_snapshot_collection(cls, **_: Any) -> None:
            """Nothing: before syrupy 5 it writes at the end of the session, where no test can fail any more."""

        _read_snapshot_data_from_location = read_snapshot_data_from_location  # before syrupy 5
        _write_snapshot_collection = write_snapshot_collection

    return Golden


def json_text(data: Mapping[str, Any]) -> str:
    """Returns the object as JSON with sorted keys, one a line; ValueError for a number that is not finite."""
    lines = (f"  {json.dumps(key)}: {json.dumps(data[key], allow_nan=False)}" for key in sorted(data))
    return "{\n" + ",\n".join(lines) + "\n}\n"
