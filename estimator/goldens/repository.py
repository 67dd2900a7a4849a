"""The goldens of a repository: where they are, and what is in them; damaged ones are refused in one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Callable, Dict, Iterable, Iterator, List, Mapping, Optional, Tuple

from ..checked import ERROR_PCT, LATENCY_MS, PERCENT, TERM_MS, Checked, number, one_of, shown, text_of
from ..commands import option_name
from ..compare import BANDS_PCT, BOUNDS, UNMEASURED
from ..errors import RecordError
from ..files import read_json, read_text, write_atomically
from ..hardware.boards import find_board
from ..hardware.profile import Profile
from ..records.kinds import KINDS, MODEL_KIND, Kind, kinds_in
from ..report.bars import CROSS_VALIDATION_BARS_PCT
from ..target import Target, parse_label
from .content import RUNTIME_KEYS, STREAM_TITLES, row_data
from .tables import INPUTS, Document, Table, document_text, parse_document

ESTIMATES = "estimates"
"""The file of a board that has a row for each model in each configuration that nobody measured."""
OP_STREAMS = "op-streams"
"""The file that says once what each model is."""
TESTS = "tests"
"""The file that says what a whole session is made of."""
VALIDATION = "validation"
UPDATE_ALL = "pytest --every-configuration --snapshot-update"
"""The command that rewrites every golden of the zoo."""
UPDATE_OWN = "pytest --snapshot-update"
"""The command that rewrites every golden of another repository."""
CROSS_VALIDATION = "cross-validation.json"
IN_SAMPLE = "in_sample"
HELD_OUT = ("without_model_pct", "without_family_pct")
"""Errors of fits that have not seen the model, or its family, as the cross-validation names them."""
_RATINGS = (*BANDS_PCT, UNMEASURED)
_REPAIR = f"restore it with git, or delete it and run {UPDATE_OWN}"
INI_FILES = ("pyproject.toml", "pytest.toml", ".pytest.toml", "pytest.ini", ".pytest.ini", "tox.ini", "setup.cfg")
"""What may hold pytest's settings; one of them stands at the root of a repository."""


def golden_root(root: Path) -> Path:
    """Returns the folder of all goldens of a repository."""
    return root / "golden"


def is_measured(folder: Path) -> bool:
    """Whether a configuration of the zoo has a folder with records or goldens: then it has no row in a table."""
    return any((folder / kind.record).exists() or (folder / kind.folder).is_dir() for kind in KINDS)


class Repository:
    """A repository's files of goldens, each read once and written here alone.

    `has_zoo` says whether its tests are those of the models and patterns: in any other, all check modules of their own.
    """

    def __init__(self, root: Path, has_zoo: bool) -> None:
        self.root, self.has_zoo = root, has_zoo
        self.folder = golden_root(root)
        self._texts: Dict[Path, Optional[str]] = {}
        self._documents: Dict[Path, Document] = {}
        self._objects: Dict[Path, Checked] = {}
        self._profiles: Dict[str, Profile] = {}

    @classmethod
    def at(cls, root: Path) -> Repository:
        """Returns the repository in a folder."""
        return cls(root, (root / "estimator" / "subjects" / "zoo.py").is_file())

    def text(self, path: Path) -> Optional[str]:
        """Returns the text of a file, None where there is none; RecordError where it cannot be read."""
        if path not in self._texts:
            self._texts[path] = read_text(path) if path.exists() else None
        return self._texts[path]

    def document(self, path: Path) -> Document:
        """Returns the tables of a file, none if there is no file; RecordError names the file and what is wrong."""
        if path not in self._documents:
            try:
                self._documents[path] = parse_document(self.text(path) or "")
            except ValueError as error:
                raise RecordError(f"{path}: {error}; {self.repair}") from error
        return self._documents[path]

    def write(self, path: Path, text: str) -> None:
        """Writes a file whole or not at all; OSError where it cannot."""
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, text)
        self._texts[path] = text
        self._documents.pop(path, None)

    def document_text(self, path: Path, document: Document) -> str:
        """Returns the text of a file of tables: what wrote it, how, and what the columns are stands above them."""
        rest = _ABOUT_CONFIGURATIONS if self.has_zoo else ""
        shared = {self.streams_path: _ABOUT_STREAMS, self.tests_path: _ABOUT_TESTS}
        about = shared.get(path) or _ABOUT_INPUTS.format(path.parent.name, rest)
        return document_text(f"<!-- written by golden-latency -->\n<!-- {self.update_command} -->\n\n{about}", document)

    @property
    def update_command(self) -> str:
        """Returns the command that rewrites every golden."""
        return UPDATE_ALL if self.has_zoo else UPDATE_OWN

    @property
    def repair(self) -> str:
        """Returns what to do with a damaged file of tables."""
        return f"restore it with git, or delete it and run {self.update_command}"

    def option_name(self, option: str) -> str:
        """Returns what an option of the suite is called here."""
        return option_name(option, self.has_zoo)

    @property
    def streams_path(self) -> Path:
        """Returns the file that says what each model is."""
        return self.folder / f"{OP_STREAMS}.md"

    @property
    def tests_path(self) -> Path:
        """Returns the file that says what a whole session of the zoo is made of."""
        return self.folder / f"{TESTS}.md"

    def estimates_path(self, hardware: str) -> Path:
        """Returns the file of a board's tables."""
        return self.folder / hardware / f"{ESTIMATES}.md"

    def profile(self, name: str) -> Profile:
        """Returns the profile of the hardware of that name, read once; raises as `find_board` and `Board.profile`."""
        if name not in self._profiles:
            self._profiles[name] = find_board(name).profile(self.profile)
        return self._profiles[name]

    def target(self, hardware: str, label: str) -> Target:
        """Returns the target of a board's configuration; RecordError or UsageError for a name that is none."""
        folder = self.folder / hardware / label
        path = folder if is_measured(folder) else self.estimates_path(hardware)
        return parse_label(find_board(hardware), self.profile(hardware), label, path)

    def configuration_folder(self, target: Target) -> Path:
        """Returns the folder of a configuration's records and goldens; of this machine's CPU it is in the cache."""
        return target.board.folder(self.folder) / target.label

    def boards(self) -> Tuple[str, ...]:
        """Returns the names of the boards that have goldens, sorted."""
        folders = (path for path in self.folder.glob("*") if path.is_dir())
        return tuple(sorted(path.name for path in folders if any(self.labels(path.name))))

    def labels(self, hardware: str) -> List[str]:
        """Returns the names of the board's configurations that have goldens, those with a folder first."""
        measured = [
            path.name for path in sorted((self.folder / hardware).glob("*")) if path.is_dir() and kinds_in(path)
        ]
        sections = self.document(self.estimates_path(hardware))
        return [*measured, *(title for title in sections if title not in (INPUTS, *measured))]

    def targets(self) -> List[Target]:
        """Returns the configurations of the zoo that have goldens; raises as `target`."""
        return [
            self.target(hardware, label)
            for hardware in self.boards()
            for label in self.labels(hardware)
            if label in self.document(self.estimates_path(hardware)) or is_measured(self.folder / hardware / label)
        ]

    def drop_section(self, target: Target) -> None:
        """Removes the configuration's section from its board's tables, where it has one: it has a folder now."""
        path = self.estimates_path(target.hardware)
        document = self.document(path)
        if target.label in document:
            others = {title: table for title, table in document.items() if title != target.label}
            self.write(path, self.document_text(path, others))

    def goldens(self, target: Target, known_names: Optional[Iterable[str]], kind: Kind) -> Dict[str, Dict[str, Any]]:
        """Returns the goldens of a configuration by name. RecordError for a damaged one or one of no known subject.

        `known_names` is None where only the tests know them.
        """
        known = None if known_names is None else tuple(known_names)
        found = {}
        for where, name, data in self.read_goldens(target.hardware, target.label, kind):
            if known is not None and name not in known:
                names = ", ".join(known)
                raise RecordError(
                    f"{where}: belongs to no {kind.parameter}, delete it; known {kind.parameter}s: {names}"
                )
            found[name] = data
        return found

    def read_goldens(self, hardware: str, label: str, kind: Kind) -> Iterator[Tuple[str, str, Dict[str, Any]]]:
        """Yields where it stands, name and content of each golden of a configuration; RecordError for a damaged one."""
        folder = self.folder / hardware / label
        if kind not in KINDS or is_measured(folder):
            yield from (
                _checked_golden(self._object(path), kind) for path in sorted(folder.glob(f"{kind.folder}/*.json"))
            )
        elif kind is MODEL_KIND:
            yield from self._read_rows(self.estimates_path(hardware), label)

    def _read_rows(self, path: Path, label: str) -> Iterator[Tuple[str, str, Dict[str, Any]]]:
        table = self.document(path).get(label)
        for name in table.rows if table is not None else ():
            where = f"{path}: section {label}, row {name}"
            try:
                yield where, name, row_data(table.named(name))  # type: ignore[union-attr]
            except ValueError as error:
                raise RecordError(f"{where}: {error}; {_REPAIR}") from error

    def streams(self, stream_label: str) -> Table:
        """Returns what each subject is at this precision and batch, by the columns of `stream_row`.

        RecordError where the columns are others.
        """
        path = self.streams_path
        table = self.document(path).get(stream_label, Table(STREAM_TITLES, {}))
        if table.titles != STREAM_TITLES:
            raise RecordError(
                f"{path}: section {stream_label}: columns must be {', '.join(STREAM_TITLES)}; {self.repair}"
            )
        return table

    def held_out_means_pct(self, folder: Path) -> Dict[str, float]:
        """Returns mean |error| in percent by kind of cross-validation; empty where the configuration has none."""
        errors_pct = self.cross_validation(folder)
        return {kind: errors_pct[kind][0] for kind in CROSS_VALIDATION_BARS_PCT if kind in errors_pct}

    def cross_validation(self, folder: Path) -> Dict[str, Tuple[float, float]]:
        """Returns mean and largest |error| in percent in-sample and by kind of cross-validation; empty without one."""
        found = self._cross_validation(folder)
        tables = {} if found is None else {kind: found.table(kind) for kind in (IN_SAMPLE, *CROSS_VALIDATION_BARS_PCT)}
        return {
            kind: (table.number("mean_abs_error_pct", PERCENT), table.number("max_abs_error_pct", PERCENT))
            for kind, table in tables.items()
        }

    def held_out_pct(self, folder: Path) -> Dict[str, Dict[str, float]]:
        """Returns by model its errors in percent by what the fit has not seen; empty without a cross-validation."""
        found = self._cross_validation(folder)
        models = found.table("models").tables() if found is not None and found.has("models") else {}
        return {
            name: {key: row.number(key, ERROR_PCT) for key in HELD_OUT if row.has(key)} for name, row in models.items()
        }

    def _cross_validation(self, folder: Path) -> Optional[Checked]:
        path = folder / CROSS_VALIDATION
        if path not in self._objects and path.exists():
            self._objects[path] = self._object(path)
        return self._objects.get(path)

    def _object(self, path: Path) -> Checked:
        return Checked(path, read_json(path, _REPAIR, self.text(path)), repair=_REPAIR)


def _checked_golden(golden: Checked, kind: Kind) -> Tuple[str, str, Dict[str, Any]]:
    name = kind.name_of(golden.path)
    if not name:
        raise RecordError(f"{golden.path}: belongs to no {kind.parameter}, delete it")
    for key in _GOLDEN_KEYS:
        if not golden.has(key):
            raise golden.error(f"is missing; required: {', '.join(_GOLDEN_KEYS)}", key)
        golden.check(key, golden.get(key), _GOLDEN_KEYS[key])
    for key, value in golden.content.items():
        golden.check(key, value, _OTHER_KEYS.get(key, _plain_value))
    return str(golden.path), name, dict(golden.content)


def _optional(check: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda value: None if value is None else check(value)


def _plain_value(value: Any) -> Any:
    """A text, a number, none of both, or an object of those: what can be compared and printed."""
    for part in value.values() if isinstance(value, dict) else (value,):
        if part is not None and not isinstance(part, (str, bool)):
            number(part)


_GOLDEN_KEYS: Mapping[str, Callable[[Any], Any]] = {
    "est_ms": lambda value: number(value, LATENCY_MS),
    "host_ms": lambda value: number(value, TERM_MS),
    "device_ms": lambda value: number(value, TERM_MS),
    "meas_ms": _optional(lambda value: number(value, LATENCY_MS)),
    "error_pct": _optional(lambda value: number(value, ERROR_PCT)),
    "rating": lambda value: one_of(value, _RATINGS),
    "bound": lambda value: one_of(value, BOUNDS),
}
"""The keys that the suite itself reads, with what they must be; all others are only compared and printed."""


def _terms(value: Any) -> None:
    if not isinstance(value, dict):
        raise ValueError(f"must be an object, got {shown(value)}")
    for part in value.values():
        number(part, TERM_MS)


_OTHER_KEYS: Mapping[str, Callable[[Any], Any]] = {
    "interval_pct": _optional(lambda value: number(value, PERCENT)),
    "host_terms_ms": _terms,
    "device_terms_ms": _terms,
    **dict.fromkeys(RUNTIME_KEYS, text_of),
}
"""What the suite prints the differences of, where it is there."""


_ABOUT_INPUTS = """# Estimates for {}

Inputs: what every golden of this board was made from.{}
"""
_ABOUT_CONFIGURATIONS = """ Then a section for each configuration that nobody has measured
(power mode, precision, batch): the estimate, what host and device would take alone, and which of them bounds it."""
_ABOUT_TESTS = """# What a whole session is made of

Its tests, each with the model, pattern or configuration that it is about; the records that estimates are compared with;
and what judges them, whose reasons stand in estimator/judging.toml and estimator/uncertainty.toml.
"""
_ABOUT_STREAMS = """# Op streams

What each model is, by precision and batch: ops that the host issues, kernels that the device runs, their work and
traffic, the ops priced by their bytes alone, and a digest of the op stream with all shapes.
"""
