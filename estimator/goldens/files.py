"""Where goldens are, and what is in them: read once before anything runs, refused in one line where damaged."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Callable, Dict, Iterable, Iterator, List, Mapping, Optional, Tuple

from ..checked import ERROR_PCT, LATENCY_MS, PERCENT, TERM_MS, Checked, number, one_of, shown
from ..compare import BANDS_PCT, BOUNDS, UNMEASURED
from ..errors import RecordError
from ..files import read_json, write_atomically
from ..hardware.boards import find_board
from ..records.kinds import KINDS, MODEL_KIND, Kind, kinds_in
from ..report import CROSS_VALIDATION_BARS_PCT
from ..subjects.registry import zoo_is_in
from ..target import Target, parse_label
from .content import STREAM_TITLES, row_data
from .tables import INPUTS, REPAIR, Table, document_text, read_document

ESTIMATES = "estimates"
"""The file of a board that has a row for each model in each configuration that nobody measured."""
OP_STREAMS = "op-streams"
"""The file that says once what each model is."""
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


def golden_root(root: Path) -> Path:
    """Returns the folder of all goldens of a repository."""
    return root / "golden"


def update_command(root: Path) -> str:
    """Returns the command that rewrites every golden of a repository."""
    return UPDATE_ALL if zoo_is_in(root) else UPDATE_OWN


def document_head(path: Path) -> str:
    """Returns what stands above the tables of a golden file: what wrote it, how, and what the columns are."""
    is_streams = path.stem == OP_STREAMS
    root = path.parents[1 if is_streams else 2]
    of_board = _ABOUT_ESTIMATES if zoo_is_in(root) else _ABOUT_INPUTS
    about = _ABOUT_STREAMS if is_streams else of_board.format(board=path.parent.name)
    return f"<!-- written by golden-latency -->\n<!-- {update_command(root)} -->\n\n{about}"


_ABOUT_ESTIMATES = """# Estimates for {board}

Inputs: what every golden of this board was made from. Then a section for each configuration that nobody has measured
(power mode, precision, batch): the estimate, what host and device would take alone, and which of them bounds it.
"""
_ABOUT_INPUTS = """# Estimates for {board}

Inputs: what every golden of this board was made from.
"""
_ABOUT_STREAMS = """# Op streams

What each model is, by precision and batch: ops that the host issues, kernels that the device runs, their work and
traffic, the ops priced by their bytes alone, and a digest of the op stream with all shapes.
"""


def estimates_path(root: Path, hardware: str) -> Path:
    """Returns the file of a board's tables."""
    return golden_root(root) / hardware / f"{ESTIMATES}.md"


def is_measured(folder: Path) -> bool:
    """Whether a configuration of the zoo has a folder with records or goldens: then it has no row in a table."""
    return any((folder / kind.record).exists() or (folder / kind.folder).is_dir() for kind in KINDS)


def boards_with_goldens(root: Path) -> Tuple[str, ...]:
    """Returns the names of the boards that have goldens, sorted."""
    folders = (path for path in golden_root(root).glob("*") if path.is_dir())
    return tuple(sorted(path.name for path in folders if any(labels_of(root, path.name))))


def labels_of(root: Path, hardware: str) -> Iterator[str]:
    """Yields the names of the board's configurations that have goldens, those with a folder first."""
    folder = golden_root(root) / hardware
    measured = [path.name for path in sorted(folder.glob("*")) if path.is_dir() and kinds_in(path)]
    yield from measured
    sections = read_document(estimates_path(root, hardware)).sections
    yield from (title for title in sections if title not in (INPUTS, *measured))


def every_target(root: Path) -> List[Target]:
    """Returns the configurations of the zoo that have goldens. RecordError or UsageError for a name that is none."""
    targets: List[Target] = []
    for hardware in boards_with_goldens(root):
        board = find_board(hardware)
        profile = board.profile()
        for label in _labels_of_zoo(root, hardware):
            targets.append(parse_label(board, profile, label, _place(root, hardware, label)))
    return targets


def _labels_of_zoo(root: Path, hardware: str) -> Iterator[str]:
    sections = read_document(estimates_path(root, hardware)).sections
    for label in labels_of(root, hardware):
        if label in sections or is_measured(golden_root(root) / hardware / label):
            yield label


def _place(root: Path, hardware: str, label: str) -> Path:
    """Where the goldens of a configuration are: its folder, or the board's tables."""
    folder = golden_root(root) / hardware / label
    return folder if is_measured(folder) else estimates_path(root, hardware)


def drop_section(root: Path, target: Target) -> None:
    """Removes the configuration's section from its board's tables, where it has one: it has a folder now."""
    path = estimates_path(root, target.hardware)
    document = read_document(path)
    if target.label in document.sections:
        write_atomically(path, document_text(document_head(path), document.without_section(target.label)))


def load_goldens(
    root: Path, target: Target, known_names: Optional[Iterable[str]], kind: Kind
) -> Dict[str, Dict[str, Any]]:
    """Returns the goldens of a configuration by name. RecordError for a damaged one or one of no known subject.

    `known_names` is None where only the tests know them.
    """
    known = None if known_names is None else tuple(known_names)
    found = {}
    for where, name, data in read_goldens(root, target.hardware, target.label, kind):
        if known is not None and name not in known:
            names = ", ".join(known)
            raise RecordError(f"{where}: belongs to no {kind.parameter}, delete it; known {kind.parameter}s: {names}")
        found[name] = data
    return found


def read_goldens(root: Path, hardware: str, label: str, kind: Kind) -> Iterator[Tuple[str, str, Dict[str, Any]]]:
    """Yields where it stands, name and content of each golden of a configuration; RecordError for a damaged one."""
    folder = golden_root(root) / hardware / label
    if kind not in KINDS or is_measured(folder):
        yield from (_read_golden(path, kind) for path in sorted(folder.glob(f"{kind.folder}/*.json")))
    elif kind is MODEL_KIND:
        yield from _read_rows(estimates_path(root, hardware), label)


def _read_rows(path: Path, label: str) -> Iterator[Tuple[str, str, Dict[str, Any]]]:
    table = read_document(path).sections.get(label)
    for name in table.rows if table is not None else ():
        where = f"{path}: section {label}, row {name}"
        try:
            yield where, name, row_data(table.named(name))  # type: ignore[union-attr]
        except ValueError as error:
            raise RecordError(f"{where}: {error}; {_REPAIR}") from error


def golden_streams(root: Path, stream_label: str) -> Table:
    """Returns what each subject is at this precision and batch, by the columns of `stream_row`; RecordError if none."""
    path = golden_root(root) / f"{OP_STREAMS}.md"
    table = read_document(path).sections.get(stream_label, Table(STREAM_TITLES, {}))
    if table.titles != STREAM_TITLES:
        raise RecordError(f"{path}: section {stream_label}: columns must be {', '.join(STREAM_TITLES)}; {REPAIR}")
    return table


def _read_golden(path: Path, kind: Kind) -> Tuple[str, str, Dict[str, Any]]:
    name = kind.name_of(path)
    if not name:
        raise RecordError(f"{path}: belongs to no {kind.parameter}, delete it")
    golden = _read_object(path)
    for key in _GOLDEN_KEYS:
        if not golden.has(key):
            raise golden.error(f"is missing; required: {', '.join(_GOLDEN_KEYS)}", key)
        golden.check(key, golden.get(key), _GOLDEN_KEYS[key])
    for key, value in golden.content.items():
        golden.check(key, value, _OTHER_KEYS.get(key, _plain_value))
    return str(path), name, dict(golden.content)


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
}
"""What the suite prints the differences of, where it is there."""


def load_held_out_means_pct(folder: Path) -> Dict[str, float]:
    """Returns mean |error| in percent by kind of cross-validation; empty where the configuration has none."""
    errors_pct = read_cross_validation(folder)
    return {kind: errors_pct[kind][0] for kind in CROSS_VALIDATION_BARS_PCT if kind in errors_pct}


def read_cross_validation(folder: Path) -> Dict[str, Tuple[float, float]]:
    """Returns mean and largest |error| in percent in-sample and by kind of cross-validation; empty without one."""
    path = folder / CROSS_VALIDATION
    if not path.exists():
        return {}
    tables = {kind: _read_object(path).table(kind) for kind in (IN_SAMPLE, *CROSS_VALIDATION_BARS_PCT)}
    return {kind: (_error_pct(table, "mean"), _error_pct(table, "max")) for kind, table in tables.items()}


def _error_pct(table: Checked, which: str) -> float:
    return table.number(f"{which}_abs_error_pct", PERCENT)


def load_held_out_pct(folder: Path) -> Dict[str, Dict[str, float]]:
    """Returns by model its errors in percent by what the fit has not seen; empty without a cross-validation."""
    path = folder / CROSS_VALIDATION
    if not path.exists() or not _read_object(path).has("models"):
        return {}
    models = _read_object(path).table("models").tables()
    return {name: {key: row.number(key, ERROR_PCT) for key in HELD_OUT if row.has(key)} for name, row in models.items()}


def _read_object(path: Path) -> Checked:
    return Checked(path, read_json(path, _REPAIR), repair=_REPAIR)
