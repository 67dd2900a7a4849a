"""Micro-benchmarks measured on the board itself, fitted, and the profile written; or nothing at all."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Iterable, Iterator, Mapping, Sequence, Tuple

from ..figures import significant
from ..goldens.repository import Repository
from ..hardware.reading import write_profile_text
from ..hardware.software import differing, software_in, software_text
from ..measure.baseline import calibration_provenance
from ..measure.chain_times import WAYS
from ..measure.device_session import MeasuringSession, session_on
from ..measure.progress import Progress
from ..measure.protocol import Plan, median_noise_pct
from ..target import Target
from .design import design, size_of
from .evidence import Evidence
from .from_microbenchmarks import Calibrated, calibrate
from .host import calibrate_host, host_design
from .microbenchmarks import FILE_NAME, Microbenchmarks, timed_blocks, write_microbenchmarks
from .profile_text import summary
from .refit import has_models, recorded

BUDGET_S = 40.0
"""Seconds of passes over the chains."""
HOST_BUDGET_S = 60.0
"""Seconds of passes over the short chains, of all processes together: with their start it is about two minutes."""


def calibrated(
    target: Target, plan: Plan, share: float, host_alone: bool, root: Path, progress: Progress
) -> Iterator[str]:
    """Yields what is done and found; MeasurementRefused, MeasurementError or CalibrationError leave nothing written."""
    session = session_on(target, plan, progress)
    try:
        session.start()
        yield from (_host if host_alone else _whole)(session, share, root)
    finally:
        session.close()


def finding_lines(spread_pct: float, noise_pct: float) -> Iterator[str]:
    """Yields in words how well estimates may be expected to hold: percent of unseen chains, and of a pass over all."""
    yield (
        f"  Found: of the chains that the fit has not seen, two in three are estimated to within {spread_pct:.0f} %; "
        "the next run says how well the estimates of models hold."
    )
    if noise_pct >= spread_pct / 2:
        yield f"  What limits it: the machine; what a pass over all chains takes is known to {noise_pct:.0f} % only."


def _whole(session: MeasuringSession, share: float, root: Path) -> Iterator[str]:
    yield "CALIBRATION: micro-benchmarks are measured, the profile is written"
    target, device = session.target, session.plan.choice.device
    path, about = Repository.at(root).configuration_folder(target) / FILE_NAME, calibration_provenance(session, root)
    models, lines = _models(target, path.parent, about)
    chains = design(size_of(target), share)
    (times,) = session.measure_chains(chains, BUDGET_S * share)
    reference_ms = significant(statistics.median(times.references_ms)) if times.references_ms else None
    blocks = timed_blocks(chains, WAYS[device], times.layers_us)
    found = Microbenchmarks(about, blocks, reference_ms)
    made = calibrate(target.profile, found, target.mode.name, session.progress.say, models)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_microbenchmarks(path, found)
    findings = finding_lines(made.spread_pct or 0.0, median_noise_pct(times.passes_us))
    yield from _written(session, made, times.measuring_s, root, (*lines, *findings))


def _models(target: Target, folder: Path, provenance: Mapping[str, str]) -> Tuple[Sequence[Evidence], Sequence[str]]:
    """What was recorded of models here, to be fitted along, and a line that says so or why not."""
    if not has_models(target.board, folder):
        return (), ()
    evidence, software = recorded(target.profile, folder)
    others = differing(software, software_in(provenance["software"]))
    if others:
        was = f"it was measured with {software_text(software, others)}"
        return (), (f"  The record in {folder} is left out: {was}; pytest ... --record measures it anew",)
    return evidence, (f"  Fitted along: the record in {folder}: {summary(evidence)}",)


def _host(session: MeasuringSession, share: float, root: Path) -> Iterator[str]:
    yield "CALIBRATION of the host: short chains are measured, its constants are written, the device's stay"
    target, chains = session.target, host_design(share)
    runs = session.measure_chains(chains, HOST_BUDGET_S * share, host_alone=True)
    about = calibration_provenance(session, root)
    session.progress.say("fit")
    made = calibrate_host(target.profile, chains, runs, target.mode.name, about)
    yield from _written(session, made, sum(run.measuring_s for run in runs), root)


def _written(
    session: MeasuringSession, made: Calibrated, measuring_s: float, root: Path, findings: Iterable[str] = ()
) -> Iterator[str]:
    """Writes the profile; yields what is in it, what was found, and what to do next."""
    target = session.target
    target.board.profile_path.parent.mkdir(parents=True, exist_ok=True)
    write_profile_text(target.board.profile_path, made.text)
    session.progress.say("")
    yield from (*made.lines, "", f"  {measuring_s:.0f} s of measuring; written: {target.board.profile_path}")
    yield from findings
    name = Repository.at(root).option_name
    yield f"  Next: pytest {name('--hardware')} {target.hardware} {name('--device')} {session.plan.choice.device}"
