"""`python -m estimator.calibration`: refits a profile's constants and rewrites the profile and its cross-validation."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Tuple

from ..configuration import Configuration
from ..errors import CalibrationError, GoldenLatencyError
from ..files import write_atomically
from ..hardware.local import LOCAL_CPU, local_profile_path
from ..hardware.profile import DEFAULT_HARDWARE, Profile
from ..records.kinds import PATTERN_KIND
from ..records.places import record_folder
from ..records.record import FILE_NAME, load_measurements
from ..subjects.patterns import PATTERNS
from ..subjects.zoo import MODELS
from .evidence import Evidence, load_evidence
from .fit import Fit, Fitter
from .from_microbenchmarks import base_profile, calibrate
from .importance import constant_lines
from .microbenchmarks import FILE_NAME as MICROBENCHMARKS
from .microbenchmarks import load_microbenchmarks
from .profile_text import profile_text, summary
from .validation import as_golden, as_markdown, cross_validate, held_out_spread_pct


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
        choices=("models", "patterns", "both"),
        help="recorded models, micro-benchmarks, or both (default: models where there are any)",
    )
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if a refit gives other files")
    parser.add_argument("--fit-only", action="store_true", help="leave the cross-validation (29 refits) out")
    return parser


def _run(options: Any) -> int:
    profile = base_profile(options.hardware)
    label = Configuration(profile.name, profile.calibrated_mode).label
    folder = record_folder(options.golden.parent, profile.name, label, options.golden.name)
    wanted = options.evidence or ("models" if (folder / FILE_NAME).exists() else "patterns")
    files = _from_models(profile, folder, options) if wanted == "models" else _from_patterns(profile, folder, wanted)
    return _compare(files) if options.check else _write(files)


def _recorded(profile: Profile, folder: Path) -> Tuple[Evidence, ...]:
    measurements = load_measurements(folder / FILE_NAME, [model.name for model in MODELS])
    patterns = load_measurements(folder / PATTERN_KIND.record, [pattern.name for pattern in PATTERNS])
    return load_evidence(profile.name, measurements, patterns)


def _from_patterns(profile: Profile, folder: Path, wanted: str) -> Dict[Path, str]:
    path = folder / MICROBENCHMARKS
    if not path.exists():
        raise CalibrationError(f"{path}: no micro-benchmarks to calibrate {profile.name} from: pytest --calibrate")
    recorded = _recorded(profile, folder) if wanted == "both" else ()
    made = calibrate(profile, load_microbenchmarks(path), profile.calibrated_mode, _say, recorded)
    print("\n".join(made.lines))
    return {_written_to(profile): made.text}


def _from_models(profile: Profile, folder: Path, options: Any) -> Dict[Path, str]:
    fitter = Fitter(profile, _recorded(profile, folder))
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
    files[_written_to(profile)] = profile_text(fitter, fit)
    return files


def _written_to(profile: Profile) -> Path:
    return local_profile_path() if profile.name == LOCAL_CPU else profile.path


def _say(step: str) -> None:
    print(f"  refit {step}", flush=True)


def _write(files: Mapping[Path, str]) -> int:
    for path, text in files.items():
        write_atomically(path, text)
        print(f"written: {path}")
    return 0


def replace_constants(fitter: Fitter, fit: Fit) -> Fitter:
    """Returns the fitter with the profile that the fit gives."""
    old = fitter.profile.constants
    constants = {name: replace(old[name], value=value) for name, value in fit.constants.items()}
    return Fitter(replace(fitter.profile, constants=constants, covariance=fit.covariance), fitter.evidence)


def _compare(files: Mapping[Path, str]) -> int:
    differing = [path for path, text in files.items() if not path.exists() or path.read_text("utf-8") != text]
    for path in differing:
        print(f"differs from what a refit gives: {path}; run without --check and review the diff", file=sys.stderr)
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main())
