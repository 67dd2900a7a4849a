"""The state of the machine's own CPU, as far as /proc and /sys tell; in a virtual machine often only name and load."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Dict, Optional, Sequence

from .contention import LOOK_S, Looks
from .environment import cpu_name
from .state import DeviceState, StateReader


class CpuReader(StateReader):
    """Reads below `root`. The name has "local cpu" in it: whatever the machine is, it is its own local-cpu."""

    def __init__(self, root: Path = Path("/")) -> None:
        self._root = root
        self._looks = Looks(root)

    def begin(self, look_s: float = 0.0) -> None:
        """Forgets who used the CPU before now."""
        self._looks.begin(max(look_s, LOOK_S))

    def read(self, own_pids: Sequence[int] = ()) -> DeviceState:
        """Returns the state now; `load` is the run queue of the last minute, `others` used it since the last look."""
        return DeviceState(
            name=f"local cpu: {cpu_name(self._root)}",
            power_mode=self._first_text("sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
            clocks_mhz=self._clocks(),
            temperature_c=self._temperature_c(),
            load=self._load(),
            others=self._looks.contention((*own_pids, os.getpid())),
        )

    def _clocks(self) -> Dict[str, float]:
        paths = self._root.glob("sys/devices/system/cpu/cpu[0-9]*/cpufreq/scaling_cur_freq")
        values = [number for number in map(_number, paths) if number is not None]
        return {"cpu": max(values) / 1000} if values else {}

    def _temperature_c(self) -> Optional[float]:
        values = [n for n in map(_number, self._root.glob("sys/class/thermal/thermal_zone*/temp")) if n is not None]
        return max(values) / 1000 if values else None

    def _load(self) -> Optional[float]:
        text = self._first_text("proc/loadavg")
        return float(text.split()[0]) if text else None

    def _first_text(self, path: str) -> Optional[str]:
        try:
            return (self._root / path).read_text(encoding="utf-8").strip() or None
        except OSError:
            return None


def _number(path: Path) -> Optional[float]:
    try:
        return float(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
