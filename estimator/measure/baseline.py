"""What a measuring session leaves behind: the record with its provenance, and the medians for the next session."""

from __future__ import annotations

import contextlib
import datetime
import json
import re
import statistics
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any, Dict, Iterator, Mapping, Optional, Sequence

from ..checked import LATENCY_MS, Checked
from ..errors import MeasurementRefused, RecordError
from ..files import cache_folder, read_json, write_atomically
from ..goldens.repository import Repository
from ..records.record import PARTIAL, Record, load_record, write_record
from ..runtimes import EAGER, TENSORRT
from .device.environment import driver_version

if TYPE_CHECKING:
    from .device_session import MeasuringSession

_RUN_AS = {EAGER: "eager module", TENSORRT: "TensorRT engine of the module"}
_TIMED_BY = {"cuda": "CUDA events around each forward, synchronised", "cpu": "perf_counter around each forward"}
_IDENTITY = ("board", "mode", "software")
"""Rows that differ in one of these do not belong in one file."""


def refuse_mixing(session: MeasuringSession, old: Record) -> None:
    """Raises MeasurementRefused where a partial recording would put rows of two devices or softwares in one file."""
    if not old.runs_ms:
        return
    new = _identity(session)
    for key in _IDENTITY:
        if old.provenance[key] != new[key]:
            raise MeasurementRefused(
                f"a recording of some models would mix records: {key} was {old.provenance[key]!r}, is {new[key]!r}; "
                "record all models, none left out"
            )


def record(session: MeasuringSession, old: Record, root: Path, names: Sequence[str]) -> Optional[str]:
    """Writes what was measured of these, atomically; returns the line that says so, None where nothing was measured.

    Other rows stay where device and software are the same.
    """
    from filelock import FileLock

    from .device_session import lock_path

    rows = {name: session.measured[name].runs_ms for name in names if name in session.measured}
    if not rows:
        return None
    about = provenance(session, root)
    old.path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(lock_path("recording"), mode=0o666):  # another recording may have written meanwhile
        there = load_record(old.path, ())
        if not {*rows, *session.refused} >= {*there.runs_ms}:  # -k and node ids select, too
            refuse_mixing(session, there)
        merged = merge(there, about, rows)
        for left_over in merged.path.parent.glob(f".{merged.path.name}.*.tmp"):
            left_over.unlink()  # of a recording that was killed
        write_record(merged)
    left_out = [f"{name} ({reason})" for name, reason in session.refused.items() if name in names]
    return f"Recorded {len(rows)} figures to {merged.path}" + (f"; left out: {'; '.join(left_out)}" if left_out else "")


def merge(old: Record, new: Mapping[str, str], rows: Mapping[str, Sequence[float]]) -> Record:
    """Returns the record with these rows replaced: of the same device and software, or of the new one alone."""
    from ..subjects.registry import subject_names

    same = bool(old.runs_ms) and all(old.provenance[key] == new[key] for key in _IDENTITY)
    merged = {**(old.runs_ms if same else {}), **{name: tuple(runs) for name, runs in rows.items()}}
    ordered = {name: merged[name] for name in dict.fromkeys((*subject_names(), *merged)) if name in merged}
    if not same or set(rows) >= set(old.runs_ms):
        return Record(old.path, dict(new), ordered)
    changed = "; ".join(f"{key}: {value}" for key, value in new.items() if old.provenance.get(key) != value)
    note = {PARTIAL + re.sub(r"\W", "_", new["date"]): f"{', '.join(rows)}: {changed}"}
    return Record(old.path, {**old.provenance, **note}, ordered)


def provenance(session: MeasuringSession, root: Path) -> Dict[str, str]:
    """Returns where the figures of this run come from, as the record keeps it."""
    seen, plan = list(session.measured.values()), session.plan
    return {
        **_identity(session),
        "protocol": f"{_RUN_AS[session.target.runtime]}, seeded random weights, eval(), no_grad(), "
        f"batch {session.target.batch_size}, {session.target.precision.name}; "
        f"{plan.protocol.text}, median; {_TIMED_BY[plan.choice.device]}",
        "runs": f"{plan.runs}, each a fresh process for all models; the runs of a model follow each other",
        "clocks": "; ".join(sorted({measured.clocks for measured in seen})),
        "temperature": f"{_temperature(seen[0].before)} at the start, {_temperature(seen[-1].after)} at the end",
        "page_faults": f"at most {max(run.page_faults for m in seen for run in m.runs)} a forward",
        **_circumstances(session, root),
        "source": f"pytest {Repository.at(root).option_name('--record')}",
    }


def calibration_provenance(session: MeasuringSession, root: Path) -> Dict[str, str]:
    """Returns where micro-benchmarks come from, as their file keeps it."""
    return {**_identity(session), **_circumstances(session, root), "source": "python -m estimator calibrate"}


def _circumstances(session: MeasuringSession, root: Path) -> Dict[str, str]:
    environment = session.environment()
    return {
        "threads": str(environment["threads"]),
        "switches": _pairs(environment["switches"]),
        "variables": _pairs(environment["variables"]) or "none of those that matter is set",
        "revision": revision(root),
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
    }


def _identity(session: MeasuringSession) -> Dict[str, str]:
    environment = session.environment()
    state = next(iter(session.measured.values())).before if session.measured else session.state()
    known = ("torch", "torchvision", "cuda", "cudnn", "tensorrt", "torch_tensorrt")
    libraries = [name for name in known if name in environment]
    versions = [f"{name} {environment[name]}" for name in libraries]
    driver = driver_version(Path("/")) if session.plan.choice.device == "cuda" else "none"
    return {
        "board": state.name,
        "mode": state.power_mode or session.target.mode.name,
        "software": ", ".join([f"Python {environment['python']}", *versions, f"driver {driver}"]),
    }


def _temperature(state: Any) -> str:
    return "not readable" if state.temperature_c is None else f"{state.temperature_c:.1f} °C"


def _pairs(values: Mapping[str, str]) -> str:
    return ", ".join(f"{name}={value}" for name, value in values.items())


def revision(root: Path) -> str:
    """Returns the commit of the suite, with "and changes" where the tree differs from it; "unknown" without git."""
    commit, changes = ["git", "-C", str(root), "rev-parse", "HEAD"], ["git", "-C", str(root), "status", "--porcelain"]
    try:
        found = [subprocess.check_output(words, stderr=subprocess.DEVNULL).decode() for words in (commit, changes)]
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return found[0].strip() + (" and changes" if found[1] else "")


def repeat_lines(session: MeasuringSession) -> Iterator[str]:
    """Yields how far this run's medians are from those of the last run here, and keeps this run's for the next."""
    path = cache_folder() / session.target.hardware / session.target.label / "last-run.json"
    now = {name: measured.median_ms for name, measured in session.measured.items()}
    before: Dict[str, float] = {}
    try:
        last = Checked(path, read_json(path) if path.exists() else {})
        before = {name: last.number(name, LATENCY_MS) for name in last.content}
    except RecordError as error:
        yield f"  Against the last run here: not known, written anew: {error}"
    differences = [100 * abs(ms / before[name] - 1) for name, ms in now.items() if name in before]
    if differences:
        mean_pct, most_pct = statistics.fmean(differences), max(differences)
        yield (
            f"  Against the last run here: mean |difference| of medians {mean_pct:.1f} %, "
            f"max {most_pct:.1f} %, {len(differences)} models"
        )
    with contextlib.suppress(OSError):  # it only serves the next run's comparison
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, json.dumps({**before, **now}, indent=1) + "\n")
