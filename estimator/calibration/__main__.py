"""`python -m estimator.calibration`: refits a profile's constants and rewrites the profile and its cross-validation."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Tuple

from ..errors import CalibrationError, GoldenLatencyError, UsageError
from ..files import read_text, write_atomically
from ..hardware.boards import DEFAULT_HARDWARE, Board, find_board
from ..hardware.profile import Profile
from ..hardware.reading import write_profile_text
from ..hardware.software import software_in
from ..needed import CALIBRATION, refuse_missing
from ..records.kinds import MODEL_KIND, PATTERN_KIND
from ..records.record import Record, load_record
from ..subjects.patterns import PATTERNS
from ..subjects.zoo import MODELS
from ..target import calibrated_target
from .evidence import MICROBENCHMARKS, RECORDS, Evidence, load_evidence
from .fit import Fit, Fitter
from .from_microbenchmarks import calibrate
from .importance import constant_lines
from .microbenchmarks import FILE_NAME as MICROBENCHMARKS_FILE
from .microbenchmarks import load_microbenchmarks
from .profile_text import profile_text, summary
from .validation import as_golden, as_markdown, cross_validate, held_out_spread_pct

_BOTH = "both"
_EVIDENCE = (RECORDS, MICROBENCHMARKS, _BOTH)
_FORMER_EVIDENCE = {"models": RECORDS, "patterns": MICROBENCHMARKS}


def main(arguments: Optional[List[str]] = None) -> int:
    """Returns the exit code: 0 when written (or, with --check, unchanged), 1 when --check found a difference."""
    options = _parser().parse_args(arguments)
    try:
        return _run(options)
    except GoldenLatencyError as error:
        print(f"error: {error}", file=sys.stderr)
        return 4


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m estimator.calibration", description=__doc__)
    parser.add_argument("--hardware", default=DEFAULT_HARDWARE, metavar="NAME", help="profile (default: %(default)s)")
    parser.add_argument("--golden", default="golden", type=Path, metavar="FOLDER", help="default: %(default)s")
    parser.add_argument(
        "--evidence",
        metavar="|".join(_EVIDENCE),
        help="records of models and patterns, micro-benchmarks, or both (default: records where there are any)",
    )
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if a refit gives other files")
    parser.add_argument("--fit-only", action="store_true", help="leave the cross-validation (29 refits) out")
    return parser


def _run(options: Any) -> int:
    wanted = _wanted_evidence(options.evidence)
    refuse_missing("a refit", CALIBRATION)
    board = find_board(options.hardware)
    profile = board.base_profile()
    folder = board.folder(options.golden) / calibrated_target(profile).label
    has_record = (folder / MODEL_KIND.record).exists()
    if wanted == RECORDS or (wanted is None and has_record):
        files = _from_records(board, profile, folder, options)
    else:
        files = _from_microbenchmarks(board, profile, folder, wanted == _BOTH)
    return _compare(files) if options.check else _write(files)


def _wanted_evidence(name: Optional[str]) -> Optional[str]:
    if name in _FORMER_EVIDENCE:
        raise UsageError(f"--evidence {name} is called --evidence {_FORMER_EVIDENCE[name]} now")
    if name is not None and name not in _EVIDENCE:
        raise UsageError(f"--evidence {name}: unknown; known: {', '.join(_EVIDENCE)}")
    return name


def _models_record(folder: Path) -> Record:
    return load_record(folder / MODEL_KIND.record, [model.name for model in MODELS])


def _recorded(profile: Profile, folder: Path) -> Tuple[Evidence, ...]:
    models = _models_record(folder)
    patterns = load_record(folder / PATTERN_KIND.record, [pattern.name for pattern in PATTERNS])
    return load_evidence(profile.name, models, patterns)


def _from_microbenchmarks(board: Board, profile: Profile, folder: Path, with_records: bool) -> Dict[Path, str]:
    path = folder / MICROBENCHMARKS_FILE
    if not path.exists():
        raise CalibrationError(
            f"{path}: no micro-benchmarks to calibrate {profile.name} from; to measure them: {board.calibrate_command}"
        )
    recorded = _recorded(profile, folder) if with_records else ()
    made = calibrate(profile, load_microbenchmarks(path), profile.calibrated_mode, _say, recorded)
    print("\n".join(made.lines))
    return {board.profile_path: made.text}


def _from_records(board: Board, profile: Profile, folder: Path, options: Any) -> Dict[Path, str]:
    fitter = Fitter(profile, _recorded(profile, folder))
    software = software_in(_models_record(folder).provenance["software"])
    fit = fitter.fit()
    units = {name: constant.unit for name, constant in profile.constants.items()}
    print(f"{profile.name} at {profile.calibrated_mode}, from {summary(fitter.evidence)}\n")
    print("\n".join(constant_lines(fit, units)))
    fitter = replace_constants(fitter, fit)
    files = {}
    if not options.fit_only:
        rows = cross_validate(fitter, fit, progress=_say)
        fitter = Fitter(replace(fitter.profile, held_out_spread_pct=held_out_spread_pct(fitter, rows)), fitter.evidence)
        files[folder / "cross-validation.json"] = json.dumps(as_golden(rows), indent=2) + "\n"
        files[folder / "cross-validation.md"] = as_markdown(rows)
        print(as_markdown(rows))
    files[board.profile_path] = profile_text(fitter, fit, software)
    return files


def _say(step: str) -> None:
    print(f"  refit {step}", flush=True)


def _write(files: Mapping[Path, str]) -> int:
    for path, text in files.items():
        (write_profile_text if path.suffix == ".toml" else write_atomically)(path, text)
        print(f"written: {path}")
    return 0


def replace_constants(fitter: Fitter, fit: Fit) -> Fitter:
    """Returns the fitter with the profile that the fit gives."""
    old = fitter.profile.constants
    constants = {name: replace(old[name], value=value) for name, value in fit.constants.items()}
    return Fitter(replace(fitter.profile, constants=constants, covariance=fit.covariance), fitter.evidence)


def _compare(files: Mapping[Path, str]) -> int:
    differing = [path for path, text in files.items() if not path.exists() or read_text(path) != text]
    for path in differing:
        print(f"differs from what a refit gives: {path}; run without --check and review the diff", file=sys.stderr)
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main())
