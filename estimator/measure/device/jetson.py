"""The state of a Jetson, from the files that nvpmodel and the kernel keep; JetPack 5 and 6 differ in some names."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import Dict, Iterator, Optional, Sequence, Set, Tuple

from .state import DeviceState, FileReader

_GPU_NODES = ("dev/nvhost-gpu", "dev/nvgpu/igpu0/", "dev/nvhost-as-gpu")
_GPU_FREQUENCIES = tuple(f"sys/class/devfreq/*.{kind}" for kind in ("gpu", "ga10b", "gv11b", "gp10b"))
_GPU_LOADS = ("sys/devices/gpu.0/load", "sys/devices/platform/gpu.0/load", "sys/class/devfreq/*.gpu/device/load")
_THROTTLES = ("throttle-alert", "hot-surface-alert")
_ZONE_OFF = -1000.0  # one that is off reads -256000


class JetsonReader(FileReader):
    """Reads below `root`; where the files say no power mode, nvpmodel is asked."""

    def read(self, own_pids: Sequence[int] = ()) -> DeviceState:
        """Returns the state now."""
        mode_id = re.search(r"pmode:0*(\d+)", self.text("var/lib/nvpmodel/status"))
        mode, limits = self._modes().get(int(mode_id.group(1)) if mode_id else None, (None, {}))
        zones = [n for n in self.numbers("sys/class/thermal/thermal_zone*/temp") if n > _ZONE_OFF]
        loads = list(self.numbers(*_GPU_LOADS))
        return DeviceState(
            name=self.name(),
            power_mode=mode or _nvpmodel_mode(),
            clocks_mhz=self._highest_mhz("cur_freq", "scaling_cur_freq"),
            caps_mhz={**self._highest_mhz("max_freq", "scaling_max_freq"), **limits},
            temperature_c=max(zones) / 1000 if zones else None,
            throttled=tuple(self._throttled()),
            throttle_events=self._throttle_events(),
            load=loads[0] / 1000 if loads else None,
            others=tuple(self._others({*own_pids, os.getpid()})),
            memory_gib=self.memory_gib(),
        )

    def name(self) -> str:
        """Returns the board's name, which has "Jetson" in it."""
        name = (self.text("proc/device-tree/model") or "no Jetson").rstrip("\0\n ")
        return name if "jetson" in name.lower() else name.replace("NVIDIA", "NVIDIA Jetson", 1)

    def _modes(self) -> Dict[Optional[int], Tuple[Optional[str], Dict[str, float]]]:
        """Each mode's name and its limits in MHz, where it has any."""
        modes: Dict[Optional[int], Tuple[Optional[str], Dict[str, float]]] = {}
        limits: Dict[str, float] = {}
        for line in self.text("etc/nvpmodel.conf").splitlines():
            model = re.match(r"\s*<\s*POWER_MODEL\s+ID=(\d+)\s+NAME=(\S+)\s*>", line)
            if model:
                limits = {}
                modes[int(model.group(1))] = model.group(2), limits
            limit = re.match(r"\s*(GPU|CPU_\w+)\s+MAX_FREQ\s+(\d+)\s*$", line)
            if limit:
                clock, scale = ("gpu", 1e6) if limit.group(1) == "GPU" else ("cpu", 1e3)
                limits[clock] = int(limit.group(2)) / scale
        return modes

    def _highest_mhz(self, gpu: str, cpu: str) -> Dict[str, float]:
        hz = list(self.numbers(*(f"{folder}/{gpu}" for folder in _GPU_FREQUENCIES)))
        return {**({"gpu": max(hz) / 1e6} if hz else {}), **self.cpu_mhz(cpu)}

    def _throttled(self) -> Iterator[str]:
        for folder in self.folders("sys/class/thermal/cooling_device*"):
            kind = self.text(f"{folder}/type").strip()
            if kind.endswith(_THROTTLES) and any(self.numbers(f"{folder}/cur_state")):
                yield kind

    def _throttle_events(self) -> Dict[str, int]:
        found = {}
        for folder in self.folders("sys/class/hwmon/hwmon*"):
            if "soctherm" in (self.text(f"{folder}/name") or "soctherm"):
                for name in self.folders(f"{folder}/oc*_event_cnt"):
                    found.update({Path(name).name.split("_")[0]: int(n) for n in self.numbers(name)})
        return found

    def _others(self, own_pids: Set[int]) -> Iterator[str]:
        """Processes with the GPU's nodes open, as far as this user may look: all of them for root, else its own."""
        for folder in self.folders("proc/[0-9]*"):
            pid = Path(folder).name
            if int(pid) not in own_pids and _has_open(self.root / folder / "fd", _GPU_NODES):
                yield f"{(self.text(f'{folder}/comm') or 'process').strip()} ({pid})"


def is_jetson(root: Path = Path("/")) -> bool:
    """Whether the machine below `root` is a Jetson; under JetPack 5, Orin Nano and Orin NX do not say so by name."""
    text = FileReader(root).text
    return "jetson" in text("proc/device-tree/model").lower() or "nvidia,tegra" in text("proc/device-tree/compatible")


def _nvpmodel_mode() -> Optional[str]:
    """What `nvpmodel -q` says; it only reads."""
    try:
        done = subprocess.run(["nvpmodel", "-q"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = re.search(r"NV Power Mode:\s*(\S+)", done.stdout.decode(errors="replace"))
    return found.group(1) if found else None


def _has_open(folder: Path, nodes: Sequence[str]) -> bool:
    try:
        targets = [os.readlink(link) for link in folder.iterdir()]
    except OSError:
        return False
    return any(target.lstrip("/").startswith(tuple(nodes)) for target in targets)
