"""Where goldens are, and what is in them: read once before anything runs, refused in one line where damaged."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, Callable, Dict, Iterable, Iterator, List, Mapping, Optional, Tuple

from ..compare import BANDS_PCT, UNMEASURED
from ..errors import RecordError
from ..files import read_text, write_atomically
from ..hardware.boards import find_board
from ..records.kinds import KINDS, MODEL_KIND, Kind, kinds_in
from ..report import CROSS_VALIDATION_BARS_PCT
from ..subjects.all import zoo_is_in
from ..target import Target, parse_label
from .content import row_data
from .tables import INPUTS, document_text, read_document

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
        targets += [parse_label(board, profile, label) for label in _labels_of_zoo(root, hardware)]
    return targets


def _labels_of_zoo(root: Path, hardware: str) -> Iterator[str]:
    sections = read_document(estimates_path(root, hardware)).sections
    for label in labels_of(root, hardware):
        if label in sections or is_measured(golden_root(root) / hardware / label):
            yield label


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
        except (KeyError, ValueError) as error:
            raise RecordError(f"{where}: {error}; {_REPAIR}") from error


def _read_golden(path: Path, kind: Kind) -> Tuple[str, str, Dict[str, Any]]:
    name = kind.name_of(path)
    if not name:
        raise RecordError(f"{path}: belongs to no {kind.parameter}, delete it")
    data = _read_json(path)
    for key, (is_valid, expected) in _GOLDEN_KEYS.items():
        if key not in data:
            raise RecordError(f"{path}: missing key {key!r}; required: {', '.join(_GOLDEN_KEYS)}; {_REPAIR}")
        if not is_valid(data[key]):
            raise RecordError(f"{path}: {key} must be {expected}, got {data[key]!r}; {_REPAIR}")
    return str(path), name, data


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _is_time(value: Any) -> bool:
    return _is_number(value) and value >= 0


_GOLDEN_KEYS: Mapping[str, Tuple[Callable[[Any], bool], str]] = {
    "est_ms": (_is_time, "a finite number of ms"),
    "host_ms": (_is_time, "a finite number of ms"),
    "device_ms": (_is_time, "a finite number of ms"),
    "meas_ms": (lambda value: value is None or _is_time(value), "a finite number of ms or null"),
    "error_pct": (lambda value: value is None or _is_number(value), "a finite number or null"),
    "rating": (lambda value: value in _RATINGS, f"one of {', '.join(_RATINGS)}"),
    "bound": (lambda value: value in ("host", "device"), "one of host, device"),
}
"""The keys that the suite itself reads, with what they must be; all others are only compared."""


def load_held_out_means_pct(folder: Path) -> Dict[str, float]:
    """Returns mean |error| in percent by kind of cross-validation; empty where the configuration has none."""
    errors_pct = read_cross_validation(folder)
    return {kind: errors_pct[kind][0] for kind in CROSS_VALIDATION_BARS_PCT if kind in errors_pct}


def read_cross_validation(folder: Path) -> Dict[str, Tuple[float, float]]:
    """Returns mean and largest |error| in percent in-sample and by kind of cross-validation; empty without one."""
    path = folder / CROSS_VALIDATION
    if not path.exists():
        return {}
    data = _read_json(path)
    kinds = (IN_SAMPLE, *CROSS_VALIDATION_BARS_PCT)
    return {kind: (_error_pct(path, data, kind, "mean"), _error_pct(path, data, kind, "max")) for kind in kinds}


def load_held_out_pct(folder: Path) -> Dict[str, Dict[str, float]]:
    """Returns by model its errors in percent by what the fit has not seen; empty without a cross-validation."""
    path = folder / CROSS_VALIDATION
    models = _read_json(path).get("models", {}) if path.exists() else {}
    if not isinstance(models, dict) or not all(isinstance(row, dict) for row in models.values()):
        raise RecordError(f"{path}: models must be an object of objects; {_REPAIR}")
    return {name: {key: row[key] for key in HELD_OUT if _is_number(row.get(key))} for name, row in models.items()}


def _error_pct(path: Path, data: Mapping[str, Any], kind: str, which: str) -> float:
    key = f"{which}_abs_error_pct"
    part = data.get(kind)
    value = part.get(key) if isinstance(part, dict) else None
    if not _is_time(value):
        kinds = ", ".join((IN_SAMPLE, *CROSS_VALIDATION_BARS_PCT))
        raise RecordError(f"{path}: {kind}.{key} must be a finite number, got {value!r}; required: {kinds}")
    return float(value)  # type: ignore[arg-type]


def _read_json(path: Path) -> Dict[str, Any]:
    try:
        data = json.loads(read_text(path))
    except ValueError as error:
        raise RecordError(f"{path}: no valid JSON: {error}; {_REPAIR}") from error
    if not isinstance(data, dict):
        raise RecordError(f"{path}: must be a JSON object, got {type(data).__name__}; {_REPAIR}")
    return data
