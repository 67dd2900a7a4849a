"""The state of a Jetson, from the files that nvpmodel and the kernel keep; JetPack 5 and 6 differ in some names."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import Dict, Iterator, Optional, Sequence, Set, Tuple

from .state import DeviceState, StateReader

_GPU_NODES = ("dev/nvhost-gpu", "dev/nvgpu/igpu0/", "dev/nvhost-as-gpu")
_GPU_FREQUENCIES = ("*.gpu", "*.ga10b", "*.gv11b", "*.gp10b")
_GPU_LOADS = ("sys/devices/gpu.0/load", "sys/devices/platform/gpu.0/load", "sys/class/devfreq/*.gpu/device/load")


class JetsonReader(StateReader):
    """Reads below `root`, "/" on the device itself; `ask_nvpmodel` is what to do where the files say no mode."""

    def __init__(self, root: Path = Path("/"), ask_nvpmodel: bool = True) -> None:
        self._root = root
        self._ask_nvpmodel = ask_nvpmodel

    def read(self, own_pids: Sequence[int] = ()) -> DeviceState:
        """Returns the state now."""
        mode, limits = self._modes().get(self._mode_id(), (None, {}))
        if mode is None and self._ask_nvpmodel:
            mode = _nvpmodel_mode()
        return DeviceState(
            name=self._name(),
            power_mode=mode,
            clocks_mhz=self._highest_mhz("cur_freq", "scaling_cur_freq"),
            caps_mhz={**self._highest_mhz("max_freq", "scaling_max_freq"), **limits},
            temperature_c=self._temperature_c(),
            throttled=tuple(self._throttled()),
            throttle_events=self._throttle_events(),
            load=self._load(),
            others=tuple(self._others({*own_pids, os.getpid()})),
            memory_gib=self._memory_gib(),
        )

    def _name(self) -> str:
        name = (_text(self._root / "proc/device-tree/model") or "no Jetson").rstrip("\0\n ")
        return name if "jetson" in name.lower() else name.replace("NVIDIA", "NVIDIA Jetson", 1)

    def _mode_id(self) -> Optional[int]:
        found = re.search(r"pmode:0*(\d+)", _text(self._root / "var/lib/nvpmodel/status") or "")
        return int(found.group(1)) if found else None

    def _modes(self) -> Dict[Optional[int], Tuple[Optional[str], Dict[str, float]]]:
        """Each mode's name and its limits in MHz, where it has any."""
        modes: Dict[Optional[int], Tuple[Optional[str], Dict[str, float]]] = {}
        limits: Dict[str, float] = {}
        for line in (_text(self._root / "etc/nvpmodel.conf") or "").splitlines():
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
        files = {
            "gpu": [p for kind in _GPU_FREQUENCIES for p in self._root.glob(f"sys/class/devfreq/{kind}/{gpu}")],
            "cpu": list(self._root.glob(f"sys/devices/system/cpu/cpu[0-9]*/cpufreq/{cpu}")),
        }
        scales = {"gpu": 1e6, "cpu": 1e3}
        values = {clock: [n for n in map(_number, paths) if n is not None] for clock, paths in files.items()}
        return {clock: max(found) / scales[clock] for clock, found in values.items() if found}

    def _temperature_c(self) -> Optional[float]:
        zones = self._root.glob("sys/class/thermal/thermal_zone*/temp")
        values = [n for n in map(_number, zones) if n is not None and n > -1000]  # a zone that is off reads -256000
        return max(values) / 1000 if values else None

    def _throttled(self) -> Iterator[str]:
        for path in sorted(self._root.glob("sys/class/thermal/cooling_device*/type")):
            kind = (_text(path) or "").strip()
            if kind.endswith(("throttle-alert", "hot-surface-alert")) and _number(path.with_name("cur_state")):
                yield kind

    def _throttle_events(self) -> Dict[str, int]:
        paths = sorted(self._root.glob("sys/class/hwmon/hwmon*/oc*_event_cnt"))
        counts = {path.name.split("_")[0]: _number(path) for path in paths if _is_soctherm(path)}
        return {name: int(count) for name, count in counts.items() if count is not None}

    def _load(self) -> Optional[float]:
        loads = (_number(path) for pattern in _GPU_LOADS for path in self._root.glob(pattern))
        return next((load / 1000 for load in loads if load is not None), None)

    def _others(self, own_pids: Set[int]) -> Iterator[str]:
        """Processes with the GPU's nodes open, as far as this user may look: all of them for root, else its own."""
        for folder in sorted(self._root.glob("proc/[0-9]*")):
            if int(folder.name) not in own_pids and _has_open(folder / "fd", _GPU_NODES):
                yield f"{(_text(folder / 'comm') or 'process').strip()} ({folder.name})"

    def _memory_gib(self) -> Optional[float]:
        found = re.search(r"MemTotal:\s+(\d+) kB", _text(self._root / "proc/meminfo") or "")
        return int(found.group(1)) / 2**20 if found else None


def is_jetson(root: Path = Path("/")) -> bool:
    """Whether the machine below `root` is a Jetson; under JetPack 5, Orin Nano and Orin NX do not say so by name."""
    named = "jetson" in (_text(root / "proc/device-tree/model") or "").lower()
    return named or "nvidia,tegra" in (_text(root / "proc/device-tree/compatible") or "")


def _is_soctherm(path: Path) -> bool:
    return "soctherm" in (_text(path.with_name("name")) or "soctherm")


def _nvpmodel_mode() -> Optional[str]:
    """What `nvpmodel -q` says; it only reads."""
    try:
        done = subprocess.run(["nvpmodel", "-q"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return mode_in_answer(done.stdout.decode(errors="replace"))


def mode_in_answer(text: str) -> Optional[str]:
    """Returns the mode that the output of `nvpmodel -q` names."""
    found = re.search(r"NV Power Mode:\s*(\S+)", text)
    return found.group(1) if found else None


def _has_open(folder: Path, nodes: Sequence[str]) -> bool:
    try:
        targets = [os.readlink(link) for link in folder.iterdir()]
    except OSError:
        return False
    return any(target.lstrip("/").startswith(tuple(nodes)) for target in targets)


def _text(path: Path) -> Optional[str]:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None


def _number(path: Path) -> Optional[float]:
    try:
        return float((_text(path) or "").strip())
    except ValueError:
        return None
