"""The state of a device, whatever it is, and the reasons not to trust a measurement taken in it."""

from __future__ import annotations

import contextlib
import re
import statistics
from dataclasses import dataclass, field
from pathlib import Path
from typing import Dict, Iterator, List, Mapping, Optional, Sequence, Tuple

from ...judging import judged_by

LEAST_CLOCK_SHARE = judged_by("live.clock")
"""Share of its cap that a clock must reach under load."""
_BUSY = judged_by("live.busy")


@dataclass(frozen=True)
class DeviceState:
    """A device at one moment; what cannot be read is None or empty.

    Clocks are by name ("gpu", "cpu"), `throttle_events` since boot; `load` is the busy share of the device.
    """

    name: str
    power_mode: Optional[str] = None
    clocks_mhz: Mapping[str, float] = field(default_factory=dict)
    caps_mhz: Mapping[str, float] = field(default_factory=dict)
    temperature_c: Optional[float] = None
    throttled: Tuple[str, ...] = ()
    throttle_events: Mapping[str, int] = field(default_factory=dict)
    load: Optional[float] = None
    others: Tuple[str, ...] = ()
    memory_gib: Optional[float] = None


class StateReader:
    """Reads the state of a device; `unchecked` says what it can never see, and what to do about it."""

    unchecked: str = ""

    def begin(self, look_s: float = 0.0) -> None:
        """Called before a measurement: what other processes did until now is forgotten.

        From here on they are judged by what they do on average over `look_s` seconds, where that is how they are seen.
        """

    def read(self, own_pids: Sequence[int] = ()) -> DeviceState:
        """Returns the state now; `own_pids` do not count as other users."""
        raise NotImplementedError


class FileReader(StateReader):
    """Reads what the kernel says in files below `root`; a file that is not there, or no number, says nothing."""

    def __init__(self, root: Path = Path("/")) -> None:
        self.root = root

    def text(self, name: str) -> str:
        """Returns the text of a file, empty where it cannot be read."""
        try:
            return (self.root / name).read_text(encoding="utf-8", errors="replace")
        except OSError:
            return ""

    def numbers(self, *patterns: str) -> Iterator[float]:
        """Yields the numbers in the files that match."""
        for path in (path for pattern in patterns for path in self.root.glob(pattern)):
            with contextlib.suppress(ValueError):
                yield float(self.text(str(path.relative_to(self.root))))

    def folders(self, pattern: str) -> List[str]:
        """Returns the names that match, sorted."""
        return sorted(str(path.relative_to(self.root)) for path in self.root.glob(pattern))

    def memory_gib(self, which: str = "MemTotal") -> Optional[float]:
        """Returns what /proc/meminfo says in GiB, None where it does not."""
        kib = re.search(rf"{which}:\s+(\d+) kB", self.text("proc/meminfo"))
        return int(kib.group(1)) / 2**20 if kib else None

    def cpu_mhz(self, which: str) -> Dict[str, float]:
        """Returns the highest clock of the cores in MHz, by the name "cpu"; empty where none can be read."""
        khz = list(self.numbers(f"sys/devices/system/cpu/cpu[0-9]*/cpufreq/{which}"))
        return {"cpu": max(khz) / 1000} if khz else {}


def is_named(hardware: str, name: str, memory_gib: Optional[float] = None) -> bool:
    """Whether `name` has all words of the hardware; a size ("32GB") may be missing where the memory is about that."""
    words, wanted = (set(re.findall(r"[a-z0-9]+", text.lower())) for text in (name, hardware))
    missing = wanted - words - {"nvidia"}
    return "mig" not in words and all(_is_size(word, memory_gib) for word in missing)  # a MIG slice is not that GPU


def _is_size(word: str, memory_gib: Optional[float]) -> bool:
    size = re.fullmatch(r"(\d+)gb", word)
    return bool(size and memory_gib is not None and 0.75 <= memory_gib / int(size.group(1)) <= 1.05)


def refusals_before(state: DeviceState, hardware: str, power_mode: Optional[str]) -> Iterator[str]:
    """Yields why nothing should be measured in this state; `power_mode` is the one wanted, None for any."""
    if not is_named(hardware, state.name, state.memory_gib):
        yield f"the device is {state.name!r}, not {hardware}"
    elif power_mode is not None and state.power_mode is None:
        yield f"its power mode cannot be read, {power_mode} is needed (see docs/runner.md)"
    elif power_mode is not None and not same_mode(power_mode, str(state.power_mode)):
        yield f"its power mode is {state.power_mode}, not {power_mode}: sudo nvpmodel -m <id>, or ask for that one"
    if state.throttled:
        yield f"it is throttled: {', '.join(state.throttled)}"
    if state.others:
        yield f"another process uses it: {', '.join(state.others)}"


def same_mode(wanted: str, found: str) -> bool:
    """Whether two names of a power mode are the same: nvpmodel says MODE_50W or 50W."""
    plain = [re.sub("^MODE_", "", name.strip().upper()) for name in (wanted, found)]
    return plain[0] == plain[1]


def refusals_after(before: DeviceState, during: Sequence[DeviceState], after: DeviceState) -> Iterator[str]:
    """Yields why what was measured between two states should not be kept."""
    reasons = sorted({reason for state in (*during, after) for reason in state.throttled})
    if reasons:
        yield f"it throttled meanwhile: {', '.join(reasons)}"
    counts = {name: n - before.throttle_events.get(name, 0) for name, n in after.throttle_events.items()}
    events = [f"{name} {count} times" for name, count in counts.items() if count > 0]
    if events:
        yield f"it was throttled by over-current meanwhile: {', '.join(events)}"
    others = sorted({other for state in (*during, after) for other in state.others})
    if others:
        yield f"another process used it meanwhile: {', '.join(others)}"
    yield from _slow_clocks(during)


def _slow_clocks(during: Sequence[DeviceState]) -> Iterator[str]:
    for name in sorted({name for state in during for name in state.caps_mhz}):
        seen = [s for s in during if name in s.clocks_mhz and name in s.caps_mhz]
        clock_mhz = _under_load_mhz(seen, name)
        if clock_mhz is not None and clock_mhz < LEAST_CLOCK_SHARE * seen[-1].caps_mhz[name]:
            yield (
                f"the {name} clock was {clock_mhz:.0f} MHz under load, below {LEAST_CLOCK_SHARE:.0%} of its cap of "
                f"{seen[-1].caps_mhz[name]:.0f} MHz: let it cool, or lock the clocks (docs/runner.md)"
            )


def _under_load_mhz(seen: Sequence[DeviceState], name: str) -> Optional[float]:
    """Of a device the median while it was busy; of the host, or where nothing says how busy it was, the highest.

    None of a device that only waited for its host: a governor that left its clock down then slowed nothing.
    """
    clocks_mhz = [s.clocks_mhz[name] for s in seen]
    loads = [None if name == "cpu" else s.load for s in seen]
    busy = [mhz for mhz, load in zip(clocks_mhz, loads) if load is not None and load >= _BUSY]
    if busy:
        return statistics.median(busy)
    return max(clocks_mhz) if None in loads else None
