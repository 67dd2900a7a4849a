"""The state of the machine's own CPU, as far as /proc and /sys tell, and who else uses it.

Who that is: processes by their CPU time, what no process here accounts for, and what a hypervisor took. A forward waits
for the slowest of its threads: another process that has a CPU for a moment stops them all, niced or not. All is read
from Linux's /proc (proc(5)); where that says nothing, as often in a virtual machine, nothing is known.
"""

from __future__ import annotations

import contextlib
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import FrozenSet, Iterator, Mapping, Optional, Sequence, Tuple

from ...judging import judged_by
from .environment import cpu_name
from .state import DeviceState, FileReader

MOST_CPUS = judged_by("live.others")
"""How much of one CPU others may use, on average over a look, before that is contention."""
LOOK_S = 0.25
"""How long a look takes at least: clock ticks are 10 ms, and a shorter one tells nothing."""
_KERNEL_THREADS = 2  # the parent of all of them, kthreadd: what they do is done for somebody
_TICK_S = 1 / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class CpuTimes:
    """CPU seconds since boot: busy, stolen by the hypervisor, and by process id; and which are the kernel's own."""

    at_s: float
    busy_s: Optional[float]
    stolen_s: float
    processes: Mapping[int, Tuple[str, float]]
    kernel: FrozenSet[int] = frozenset()


def read_cpu_times(root: Path) -> CpuTimes:
    """Returns the times now, as far as /proc below `root` tells."""
    busy_s, stolen_s = _whole_machine_s(root)
    found = list(_processes(root))
    kernel = frozenset(pid for pid, parent, _, _ in found if parent == _KERNEL_THREADS)
    return CpuTimes(time.monotonic(), busy_s, stolen_s, {pid: (name, used_s) for pid, _, name, used_s in found}, kernel)


def contention(before: CpuTimes, now: CpuTimes, own_pids: Sequence[int]) -> Tuple[str, ...]:
    """Returns who used more than MOST_CPUS between two looks, in words, but `own_pids` and the kernel's threads."""
    look_s = now.at_s - before.at_s
    used = {pid: _used_s(before, now, pid) / look_s for pid in now.processes}
    others = {pid: cpus for pid, cpus in used.items() if pid not in own_pids and pid not in now.kernel}
    found = [f"{now.processes[pid][0]} (process {pid})" for pid, cpus in others.items() if cpus > MOST_CPUS]
    unnamed = sum(cpus for cpus in others.values() if cpus <= MOST_CPUS)
    if now.busy_s is not None and before.busy_s is not None:
        unnamed += max(0.0, (now.busy_s - before.busy_s) / look_s - sum(used.values()))
    stolen = (now.stolen_s - before.stolen_s) / look_s
    found += ["processes that are not seen here"] if unnamed > 2 * MOST_CPUS else []
    found += ["other guests of the hypervisor"] if stolen > MOST_CPUS else []
    return tuple(found)


def _used_s(before: CpuTimes, now: CpuTimes, pid: int) -> float:
    name, used_s = now.processes[pid]
    old_name, old_s = before.processes.get(pid, (name, 0.0))
    return used_s - (old_s if old_name == name else 0.0)


def _whole_machine_s(root: Path) -> Tuple[Optional[float], float]:
    """The first line of /proc/stat: user, nice, system, idle, iowait, irq, softirq, steal; a sandbox may say 0."""
    try:
        words = (root / "proc/stat").read_text(encoding="utf-8").splitlines()[0].split()[1:9]
        user, nice, system, _, _, _, _, steal = (int(word) * _TICK_S for word in words)
    except (OSError, ValueError, IndexError):
        return None, 0.0
    return (user + nice + system) or None, steal


def _processes(root: Path) -> Iterator[Tuple[int, int, str, float]]:
    """Id, parent, name and CPU seconds; a name may hold blanks and brackets."""
    for path in (root / "proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError, ValueError, IndexError):  # it may end while it is looked at
            before, _, after = path.read_text(encoding="utf-8", errors="replace").rpartition(")")
            words = after.split()
            used_s = (int(words[11]) + int(words[12])) * _TICK_S
            yield int(path.parent.name), int(words[1]), before.partition("(")[2], used_s


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
