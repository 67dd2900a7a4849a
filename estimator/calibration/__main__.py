"""`python -m estimator.calibration`: refits a profile's constants and rewrites the profile and its cross-validation."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any, List, Mapping, Optional

from ..configuration import Configuration
from ..errors import GoldenLatencyError
from ..hardware.profile import DEFAULT_HARDWARE, Profile, load_profile
from ..patterns import PATTERNS
from ..suite.files import write_atomically
from ..suite.goldens import PATTERN_KIND
from ..suite.recorded import FILE_NAME, load_measurements
from ..zoo import MODELS
from .evidence import load_evidence
from .fit import SYNCHRONISED_CALL_US, Fit, Fitter
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
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if a refit gives other files")
    parser.add_argument("--fit-only", action="store_true", help="leave the cross-validation (29 refits) out")
    return parser


def _run(options: Any) -> int:
    profile = load_profile(options.hardware)
    folder = options.golden / profile.name / Configuration(profile.name, profile.calibrated_mode).label
    measurements = load_measurements(folder / FILE_NAME, [model.name for model in MODELS])
    patterns = load_measurements(folder / PATTERN_KIND.record, [pattern.name for pattern in PATTERNS])
    fitter = Fitter(profile, load_evidence(profile.name, measurements, patterns))
    fit = fitter.fit()
    print(_report(profile, fitter, fit))
    fitter = replace_constants(fitter, fit)
    files = {}
    if not options.fit_only:
        rows = cross_validate(fitter, fit, progress=lambda step: print(f"  refit {step}", flush=True))
        fitter = Fitter(replace(fitter.profile, held_out_spread_pct=held_out_spread_pct(fitter, rows)), fitter.evidence)
        files[folder / "cross-validation.json"] = json.dumps(as_golden(rows), indent=2) + "\n"
        files[folder / "cross-validation.md"] = as_markdown(rows)
        print(as_markdown(rows))
    files[profile.path] = profile_text(fitter, fit)
    return _compare(files) if options.check else _write(files)


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


def profile_text(fitter: Fitter, fit: Fit) -> str:
    """Returns the profile's TOML with the fit's constants, uncertainties and residuals; facts stay as they are."""
    import tomlkit

    document: Any = tomlkit.parse(fitter.profile.path.read_text(encoding="utf-8"))
    for name, value in fit.constants.items():
        document["constants"][name]["value"] = value
        document["constants"][name]["uncertainty_pct"] = fit.uncertainty_pct[name]
    errors = {item.name: round(float(e), 1) for item, e in zip(fitter.evidence, fitter.errors_pct(fit))}
    calibration = document["calibration"]
    calibration["evidence"] = _evidence_summary(fitter)
    calibration["held_out_spread_pct"] = fitter.profile.held_out_spread_pct
    calibration[SYNCHRONISED_CALL_US] = fit.synchronised_call_us
    calibration["at_bound"] = list(fit.at_bound)
    calibration["covariance"] = tomlkit.item([list(row) for row in fit.covariance]).multiline(True)
    calibration["residuals_pct"] = tomlkit.item(errors)
    return str(tomlkit.dumps(document))


def _evidence_summary(fitter: Fitter) -> str:
    groups = [item.group for item in fitter.evidence]
    return ", ".join(f"{groups.count(group)} {group}s" for group in dict.fromkeys(groups))


def _report(profile: Profile, fitter: Fitter, fit: Fit) -> str:
    lines = [f"{profile.name} at {profile.calibrated_mode}, from {_evidence_summary(fitter)}", ""]
    for name, value in fit.constants.items():
        note = "  at its bound" if name in fit.at_bound else ""
        unit = profile.constants[name].unit
        lines.append(f"  {name:28} {value:>9g} +- {fit.uncertainty_pct[name]:>3g} %  {unit}{note}")
    return "\n".join(lines)


def _compare(files: Mapping[Path, str]) -> int:
    differing = [path for path, text in files.items() if not path.exists() or path.read_text("utf-8") != text]
    for path in differing:
        print(f"differs from what a refit gives: {path}; run without --check and review the diff", file=sys.stderr)
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main())
