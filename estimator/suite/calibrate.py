"""A session with `--calibrate`: micro-benchmarks on the device, the fit, and the profile written, or nothing at all.

All of a board's constants, or with `--calibrate host` those of its host.
"""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING, Iterable, Iterator, List, Sequence, Tuple

import pytest

from ..digits import significant
from ..errors import GoldenLatencyError
from ..hardware.reading import write_profile_text
from ..measure.baseline import calibration_provenance
from ..measure.layers import QUEUE, WAYS
from ..measure.protocol import median_noise_pct
from .measuring import Measuring
from .selection import CALIBRATES, Test

if TYPE_CHECKING:
    from ..calibration.from_microbenchmarks import Calibrated
    from ..calibration.microbenchmarks import Microbenchmarks
    from ..measure.layers import ChainTimes
    from ..subjects.chains import Chain

CPU_BUDGET_S = 40.0
"""Seconds of passes over the chains on a CPU; a GPU's rounds are counted instead."""
HOST_BUDGET_S = 60.0
"""Seconds of passes over the short chains, of all processes together: with their start it is about two minutes."""


def finding_lines(spread_pct: float, noise_pct: float) -> Iterator[str]:
    """Yields in words how well estimates may be expected to hold: percent of unseen chains, and of a pass over all."""
    yield (
        f"  Found: of the chains that the fit has not seen, two in three are estimated to within {spread_pct:.0f} %; "
        "the next run says how well the estimates of models hold."
    )
    if noise_pct >= spread_pct / 2:
        yield f"  What limits it: the machine; what a pass over all chains takes is known to {noise_pct:.0f} % only."


class Calibrate(Measuring):
    """Measures the designed chains once and turns them into the profile of the board."""

    _lines: Tuple[str, ...] = ()

    def header(self) -> Iterator[str]:
        """Yields what is measured and written."""
        yield "CALIBRATION: micro-benchmarks are measured, the profile is written"

    def select(self, tests: Sequence[Test]) -> List[Test]:
        """Returns the test that calibrates, alone."""
        return [test for test in tests if test.role == CALIBRATES]

    def start(self, tests: Sequence[Test]) -> None:
        """Starts the process that measures."""
        if tests:
            self.start_measuring(1)

    def check_all(self, request: pytest.FixtureRequest) -> None:
        """Fails, with nothing written, where the device refuses, a chain fails or the fit does not converge."""
        __tracebackhide__ = True
        try:
            self._lines = tuple(self._calibrated())
        except GoldenLatencyError as error:
            pytest.fail(f"not calibrated: {error}", pytrace=False)

    def _calibrated(self) -> Iterator[str]:
        from ..calibration.design import design
        from ..calibration.from_microbenchmarks import calibrate
        from ..calibration.microbenchmarks import FILE_NAME, write_microbenchmarks

        device = self.plan.choice.device
        share = self.plan.calibration_share
        target = self.options.target
        chains = design(device, share)
        times = self.measuring.measure_chains(chains, CPU_BUDGET_S * share)
        found = self._found(chains, times)
        made = calibrate(target.profile, found, target.mode.name, self.measuring.progress.say)
        for folder in (target.board.profile_path.parent, self.configuration.folder):
            folder.mkdir(parents=True, exist_ok=True)
        write_microbenchmarks(self.configuration.folder / FILE_NAME, found)
        findings = finding_lines(made.spread_pct or 0.0, median_noise_pct(times.passes_us))
        yield from self._written(made, times.measuring_s, findings)

    def _found(self, chains: Sequence[Chain], times: ChainTimes) -> Microbenchmarks:
        from ..calibration.microbenchmarks import Microbenchmarks, timed_blocks

        ways = WAYS[self.plan.choice.device]
        about = calibration_provenance(self.measuring, self.configuration.root)
        anchor_ms = significant(statistics.median(times.anchors_ms)) if times.anchors_ms else None
        return Microbenchmarks(about, QUEUE, timed_blocks(chains, ways, times.layers_us), anchor_ms)

    def _written(self, made: Calibrated, measuring_s: float, findings: Iterable[str] = ()) -> Iterator[str]:
        """Writes the profile; yields what is in it, what was found, and what to do next."""
        target = self.options.target
        write_profile_text(target.board.profile_path, made.text)
        yield from (*made.lines, "", f"  {measuring_s:.0f} s of measuring; written: {target.board.profile_path}")
        yield from findings
        yield f"  Next: {target.command.split(' --thermal')[0]} --device {self.plan.choice.device}"

    def summary(self) -> Iterator[str]:
        """Yields the constants, what decides them, and what to do next."""
        return iter(self._lines)


class CalibrateHost(Calibrate):
    """Measures short chains in each process and writes the constants of the board's host; the device's stay."""

    def header(self) -> Iterator[str]:
        """Yields what is measured and written."""
        yield "CALIBRATION of the host: short chains are measured, its constants are written, the device's stay"

    def _calibrated(self) -> Iterator[str]:
        from ..calibration.host import calibrate_host, host_design, taken_together

        share, target = self.plan.calibration_share, self.options.target
        chains = host_design(share)
        runs = self.measuring.measure_host(chains, HOST_BUDGET_S * share)
        about = calibration_provenance(self.measuring, self.configuration.root)
        self.measuring.progress.say("fit")
        made = calibrate_host(target.profile, chains, taken_together(runs), target.mode.name, about)
        yield from self._written(made, sum(run.measuring_s for run in runs))
