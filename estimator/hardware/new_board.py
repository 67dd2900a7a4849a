"""`python -m estimator new-board NAME`: writes the profile of this machine's GPU, as far as the GPU itself tells.

What it cannot tell (the host's clock under load, the bandwidth that copies reach) is guessed, and says so in the file.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, Optional

from ..commands import calibrate_command
from ..errors import UsageError
from .boards import DEFAULT_HARDWARE
from .quantities import CAPABILITIES, FACTS
from .reading import PROFILES, write_profile_text

HELP = "write the profile of this machine's GPU, as far as the device itself tells"
_REACHED = 0.85  # of the memory's peak, by the copies of most boards


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the argument."""
    parser.add_argument("hardware", metavar="NAME", help="the words of the device's own name, joined by hyphens")


def run(options: argparse.Namespace) -> int:
    """Writes the profile and returns 0; UsageError where that cannot be."""
    path = write_profile(options.hardware, PROFILES)
    print(f"written: {path}; check it, then: {calibrate_command(options.hardware)}")
    return 0


def write_profile(name: str, folder: Path) -> Path:
    """Returns the path of the new profile; UsageError where there is one already, or no GPU to describe."""
    path = folder / f"{name}.toml"
    if path.exists():
        raise UsageError(f"{path}: is there already; delete it first")
    text = profile_of(_properties(), _memory_gb_s(), cpu_mhz(Path("/")))
    write_profile_text(path, text)
    return path


def _properties() -> Any:
    import torch

    if not torch.cuda.is_available():
        raise UsageError(f"torch {torch.__version__} sees no GPU to describe")
    return torch.cuda.get_device_properties(0)


def _memory_gb_s() -> Optional[float]:
    """Peak by NVML: memory clock x 2 (double data rate) x bus width; None where that cannot be read."""
    try:
        import pynvml

        pynvml.nvmlInit()
        handle = pynvml.nvmlDeviceGetHandleByIndex(0)
        mhz = pynvml.nvmlDeviceGetMaxClockInfo(handle, pynvml.NVML_CLOCK_MEM)
        return float(2 * mhz * pynvml.nvmlDeviceGetMemoryBusWidth(handle)) / 8e3
    except Exception:  # not installed, no driver, or a board (Jetson) without NVML's memory
        return None


def cpu_mhz(root: Path) -> float:
    """Returns the highest clock that the kernel states for the first core below `root`; 3000 where it states none."""
    path = root / "sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq"
    try:
        return float(path.read_text(encoding="utf-8")) / 1e3
    except (OSError, ValueError):
        return 3000.0


def profile_of(properties: Any, memory_gb_s: Optional[float], host_mhz: float) -> str:
    """Returns the ten lines for `torch.cuda.get_device_properties`; UsageError for an unknown compute capability."""
    capability = f"{properties.major}.{properties.minor}"
    if capability not in CAPABILITIES:
        raise UsageError(f"{properties.name}: compute capability {capability} is not known: {', '.join(CAPABILITIES)}")
    gpu_mhz = getattr(properties, "clock_rate", 0) / 1e3 or 1500.0
    about = "cpu_mhz and gpu_mhz under load; bandwidth_gb_s, guessed"
    peak = memory_gb_s or _peak_of(properties) or 200.0
    l2_mib = getattr(properties, "L2_cache_size", 0) / 2**20 or 4.0
    known = {"memory_gb": getattr(properties, "total_memory", 0) / 1e9}
    optional = [_optional_fact(name, known.get(name, 0.0)) for name, f in FACTS.items() if f.default is not None]
    optional_lines = "\n".join(optional)
    return f"""# Written by `python -m estimator new-board`. To check by hand: {about}
# as {_REACHED:.0%} of the peak; and the peak, where neither NVML nor torch states it (200 GB/s stands for "not known").

[board]
description = "{properties.name}"
source = "torch.cuda.get_device_properties, NVML, /sys/devices/system/cpu"
compute_capability = "{capability}"

[power_mode.default]
cpu_mhz = {host_mhz:.1f}
gpu_mhz = {gpu_mhz:.1f}
sms = {properties.multi_processor_count}
bandwidth_gb_s = {_REACHED * peak:.1f}

[facts]
dram_peak_gb_s = {peak:.1f}
l2_mib = {l2_mib:.2f}
{optional_lines}

[calibration]
transferred_from = "{DEFAULT_HARDWARE}"
"""


def _optional_fact(name: str, value: float) -> str:
    """The line of a fact with its value; where that is not known (0), a comment with what holds without."""
    fact = FACTS[name]
    return f"{name} = {value:.1f}" if value else f"# {name} = {fact.default:g}  # {fact.bounds.unit}: {fact.meaning}"


def _peak_of(properties: Any) -> float:
    """Newer releases of torch know the memory's clock (kHz) and the width of its bus (bits); else it is 0."""
    khz, bits = getattr(properties, "memory_clock_rate", 0), getattr(properties, "memory_bus_width", 0)
    return float(2 * khz * bits / 8e6)
