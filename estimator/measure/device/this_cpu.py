"""The state of the machine's own CPU, as far as /proc and /sys tell; in a virtual machine often only name and load."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Optional, Sequence, Tuple

from .contention import LOOK_S, CpuTimes, contention, read_cpu_times
from .environment import cpu_name
from .state import DeviceState, FileReader


class CpuReader(FileReader):
    """Reads below `root`. The name has "local cpu" in it: whatever the machine is, it is its own local-cpu."""

    def __init__(self, root: Path = Path("/")) -> None:
        super().__init__(root)
        self._look_s = LOOK_S
        self._last: Optional[CpuTimes] = None

    def begin(self, look_s: float = 0.0) -> None:
        """Forgets who used the CPU before now; from here on a look takes at least this long."""
        self._last, self._look_s = read_cpu_times(self.root), max(look_s, LOOK_S)

    def read(self, own_pids: Sequence[int] = ()) -> DeviceState:
        """Returns the state now; `load` is the run queue of the last minute, `others` used it since the last look."""
        zones = list(self.numbers("sys/class/thermal/thermal_zone*/temp"))
        loads = self.text("proc/loadavg").split()
        return DeviceState(
            name=f"local cpu: {cpu_name(self.root)}",
            power_mode=self.text("sys/devices/system/cpu/cpu0/cpufreq/scaling_governor").strip() or None,
            clocks_mhz=self.cpu_mhz("scaling_cur_freq"),
            temperature_c=max(zones) / 1000 if zones else None,
            load=float(loads[0]) if loads else None,
            others=self._others((*own_pids, os.getpid())),
        )

    def _others(self, own_pids: Sequence[int]) -> Tuple[str, ...]:
        """Who else used the CPU since the last look; nobody where it was not long enough ago."""
        if self._last is None or time.monotonic() - self._last.at_s < self._look_s:
            return ()
        before, self._last = self._last, read_cpu_times(self.root)
        return contention(before, self._last, own_pids)
