"""A run with `--calibrate`: micro-benchmarks on the device, the fit, and the profile written, or nothing at all."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Iterator, Sequence, Tuple

import pytest

from ..errors import GoldenLatencyError
from ..files import write_atomically
from ..hardware.local import LOCAL_CPU, local_profile_path
from ..measure.baseline import calibration_provenance
from ..measure.layers import QUEUE, WAYS

if TYPE_CHECKING:
    from ..calibration.microbenchmarks import Microbenchmarks
    from ..measure.layers import ChainTimes
    from ..measure.session import LiveSession
    from ..subjects.chains import Chain
    from .options import Settings

CPU_BUDGET_S = 45.0
"""Seconds of passes over the chains on a CPU; a GPU's rounds are counted instead."""


class Calibration:
    """Measures the designed chains once and turns them into the profile of the run's hardware."""

    def __init__(self, session: LiveSession, settings: Settings, root: Path, share: float) -> None:
        self._session, self._settings, self._root, self._share = session, settings, root, share
        self.lines: Tuple[str, ...] = ()

    def check(self) -> None:
        """Fails, with nothing written, where the device refuses, a chain fails or the fit does not converge."""
        __tracebackhide__ = True
        try:
            self.lines = tuple(self._calibrate())
        except GoldenLatencyError as error:
            pytest.fail(f"not calibrated: {error}", pytrace=False)

    def _calibrate(self) -> Iterator[str]:
        from ..calibration.design import design
        from ..calibration.from_microbenchmarks import base_profile, calibrate
        from ..calibration.microbenchmarks import FILE_NAME, write_microbenchmarks

        device, case = self._session.options.choice.device, self._settings.configuration
        chains = design(device, self._share)
        times = self._session.measure_chains(chains, CPU_BUDGET_S * self._share)
        found = self._found(chains, times)
        made = calibrate(base_profile(case.hardware), found, case.thermal_profile, self._session.progress.say)
        path = self._profile_path()
        path.parent.mkdir(parents=True, exist_ok=True)
        self._settings.folder.mkdir(parents=True, exist_ok=True)
        write_microbenchmarks(self._settings.folder / FILE_NAME, found)
        write_atomically(path, made.text)
        yield from (*made.lines, "", f"  {times.measuring_s:.0f} s of measuring; written: {path}")
        yield f"  Next: {self._settings.command.split(' --thermal')[0]} --device {device}"

    def _profile_path(self) -> Path:
        from ..calibration.from_microbenchmarks import base_profile

        hardware = self._settings.configuration.hardware
        return local_profile_path() if hardware == LOCAL_CPU else base_profile(hardware).path

    def _found(self, chains: Sequence[Chain], times: ChainTimes) -> Microbenchmarks:
        from ..calibration.microbenchmarks import Microbenchmarks, timed_blocks

        ways = WAYS[self._session.options.choice.device]
        about = calibration_provenance(self._session, self._root)
        return Microbenchmarks(about, QUEUE, timed_blocks(chains, ways, times.layers_us))
