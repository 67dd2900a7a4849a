"""The repository's evidence fitted again: the profile and the cross-validation that it gives, digit for digit."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Dict, Mapping, Optional, Tuple

from ..commands import calibrate_command
from ..errors import CalibrationError
from ..files import read_text, write_atomically
from ..hardware.boards import Board
from ..hardware.profile import Profile
from ..hardware.public_gpus import with_priors
from ..hardware.reading import write_profile_text
from ..hardware.software import software_in
from ..records.kinds import MODEL_KIND, PATTERN_KIND
from ..records.record import load_record
from ..subjects.patterns import PATTERNS
from ..subjects.zoo import MODELS
from ..target import calibrated_target
from .evidence import MICROBENCHMARKS, RECORDS, Evidence, load_evidence
from .fit import Fitter
from .from_microbenchmarks import calibrate, constant_lines
from .microbenchmarks import FILE_NAME, load_microbenchmarks
from .profile_text import profile_text, summary
from .validation import as_golden, as_markdown, cross_validate, held_out_spread_pct

Files = Dict[Path, str]


def refitted(board: Board, goldens: Path, evidence: Optional[str], fit_only: bool) -> Files:
    """Returns by path the text that a refit gives; prints constants and cross-validation.

    `evidence` is one of EVIDENCE, None for all that there is. CalibrationError where no fit is found.
    """
    profile = with_priors(board.base_profile())
    if profile.transferred_from and not profile.own_host:  # its constants are of another board's mode
        profile = replace(profile, calibrated_mode=profile.default_mode)
    folder = board.folder(goldens) / calibrated_target(profile).label
    has_record = has_models(board, folder)
    if evidence == RECORDS or (evidence is None and has_record and not (folder / FILE_NAME).exists()):
        return _from_records(board, profile, folder, fit_only)
    return _from_microbenchmarks(board, profile, folder, evidence != MICROBENCHMARKS and (has_record or bool(evidence)))


def write(files: Files) -> int:
    """Writes the files and returns the exit code 0."""
    for path, text in files.items():
        (write_profile_text if path.suffix == ".toml" else write_atomically)(path, text)
        print(f"written: {path}")
    return 0


def compare(files: Files) -> int:
    """Returns the exit code: 1 where a file differs from what it would be, which is named."""
    differing = [path for path, text in files.items() if not path.exists() or read_text(path) != text]
    for path in differing:
        print(f"differs from what a refit gives: {path}; run without --check and review the diff", file=sys.stderr)
    return 1 if differing else 0


def has_models(board: Board, folder: Path) -> bool:
    """Returns whether there is a record of models to fit; a CPU's stay out of its fit, which they are held against."""
    return board.device == "cuda" and (folder / MODEL_KIND.record).exists()


def recorded(profile: Profile, folder: Path) -> Tuple[Tuple[Evidence, ...], Mapping[str, str]]:
    """Returns the evidence of a configuration's records, and the software that it was measured with."""
    models = load_record(folder / MODEL_KIND.record, [model.name for model in MODELS])
    patterns = load_record(folder / PATTERN_KIND.record, [pattern.name for pattern in PATTERNS])
    return load_evidence(profile.name, models, patterns), software_in(models.provenance["software"])


def _from_microbenchmarks(board: Board, profile: Profile, folder: Path, with_records: bool) -> Files:
    path = folder / FILE_NAME
    if not path.exists():
        raise CalibrationError(
            f"{path}: no micro-benchmarks to calibrate {profile.name} from; to measure them: "
            f"{calibrate_command(board.name)}"
        )
    models = recorded(profile, folder)[0] if with_records else ()
    made = calibrate(profile, load_microbenchmarks(path), profile.calibrated_mode, _say, models)
    print("\n".join(made.lines))
    return {board.profile_path: made.text}


def _from_records(board: Board, profile: Profile, folder: Path, fit_only: bool) -> Files:
    evidence, software = recorded(profile, folder)
    fitter = Fitter(profile, evidence)
    fit = fitter.fit()
    print(f"{profile.name} at {profile.calibrated_mode}, from {summary(evidence)}\n")
    print("\n".join(constant_lines(profile, fit)))
    constants = {name: replace(profile.constants[name], value=value) for name, value in fit.constants.items()}
    fitter, files = fitter.on(replace(profile, constants=constants, covariance=fit.covariance)), {}
    if not fit_only:
        rows = cross_validate(fitter, fit, progress=_say)
        fitter = fitter.on(replace(fitter.profile, held_out_spread_pct=held_out_spread_pct(fitter, rows)))
        files[folder / "cross-validation.json"] = json.dumps(as_golden(rows), indent=2) + "\n"
        files[folder / "cross-validation.md"] = as_markdown(rows)
        print(as_markdown(rows))
    return {**files, board.profile_path: profile_text(fitter, fit, software)}


def _say(step: str) -> None:
    print(f"  refit {step}", flush=True)
