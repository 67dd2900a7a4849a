"""`python -m estimator new-board NAME`: writes the profile of this machine's GPU, as far as the GPU itself tells.

What it cannot tell (the kind of memory, the host's clock under load) is guessed, and says so in the file.
"""

from __future__ import annotations

import argparse
import contextlib
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, Mapping, Optional, Tuple

from ..commands import calibrate_command
from ..errors import UsageError
from . import public_gpus
from .boards import DEFAULT_HARDWARE
from .generations import DRAM_EFFICIENCY, GENERATIONS
from .quantities import FACTS
from .reading import PROFILES, write_profile_text

HELP = "write the profile of this machine's GPU, as far as the device itself tells"
MEMORIES: Mapping[str, str] = {
    "7.0": "HBM2",
    "7.2": "LPDDR4X",
    "7.5": "GDDR6",
    "8.0": "HBM2e",
    "8.6": "GDDR6",
    "8.7": "LPDDR5",
    "8.9": "GDDR6",
    "9.0": "HBM3",
    "10.0": "HBM3e",
    "11.0": "LPDDR5X",
    "12.0": "GDDR7",
}
"""The memory that most boards of a compute capability have: no interface tells it."""
_HALF_RATE = ("GeForce", "A10G")
"""The words of a name that tensor cores of half the rate of their capability have."""
_ABOUT_CLOCK = "the highest; under load a GeForce runs 8 to 20 % above its advertised boost, no other above it"


@dataclass(frozen=True)
class Nvml:
    """What NVML tells of a GPU; None where it does not, as on a Jetson or without pynvml.

    The memory's peak is its clock x 2 (double data rate) x the width of its bus.
    """

    memory_gb_s: Optional[float] = None
    gpu_mhz: Optional[float] = None
    watts: Optional[float] = None
    has_ecc: Optional[bool] = None


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
    text = profile_of(_properties(), read_nvml(), cpu_mhz(Path("/")), platform.machine())
    write_profile_text(path, text)
    return path


def _properties() -> Any:
    import torch

    if not torch.cuda.is_available():
        raise UsageError(f"torch {torch.__version__} sees no GPU to describe")
    return torch.cuda.get_device_properties(0)


def read_nvml() -> Nvml:
    """Returns what can be read, each figure by itself."""
    try:
        import pynvml

        pynvml.nvmlInit()
        gpu = pynvml.nvmlDeviceGetHandleByIndex(0)
    except Exception:  # not installed, or no driver
        return Nvml()

    def clock_mhz(kind: int) -> float:
        return float(pynvml.nvmlDeviceGetMaxClockInfo(gpu, kind))

    return Nvml(
        _told(lambda: 2 * clock_mhz(pynvml.NVML_CLOCK_MEM) * pynvml.nvmlDeviceGetMemoryBusWidth(gpu) / 8e3),
        _told(lambda: clock_mhz(pynvml.NVML_CLOCK_SM)),
        _told(lambda: pynvml.nvmlDeviceGetPowerManagementLimit(gpu) / 1e3),
        _told(lambda: bool(pynvml.nvmlDeviceGetEccMode(gpu)[0])),
    )


def _told(figure: Callable[[], Any]) -> Any:
    with contextlib.suppress(Exception):  # a board without that figure
        return figure()
    return None


def cpu_mhz(root: Path) -> float:
    """Returns the highest clock that the kernel states for the first core below `root`; 3000 where it states none."""
    path = root / "sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq"
    try:
        return float(path.read_text(encoding="utf-8")) / 1e3
    except (OSError, ValueError):
        return 3000.0


def profile_of(properties: Any, nvml: Nvml, host_mhz: float, machine: str) -> str:
    """Returns the profile for `torch.cuda.get_device_properties`; UsageError for an unknown compute capability."""
    capability = f"{properties.major}.{properties.minor}"
    if capability not in GENERATIONS:
        raise UsageError(f"{properties.name}: compute capability {capability} is not known: {', '.join(GENERATIONS)}")
    watts = f"watts = {nvml.watts:.1f}" if nvml.watts else "# watts = 300  # what the board may take: data sheet"
    gpu_mhz = nvml.gpu_mhz or getattr(properties, "clock_rate", 0) / 1e3 or 1500.0
    origin = DEFAULT_HARDWARE if capability == "8.7" else public_gpus.NAME
    facts = "\n".join(_facts(properties, nvml, capability))
    return f"""# Written by `python -m estimator new-board`. To check by hand: what is a guess; cpu_mhz and gpu_mhz
# under load; and the peak, where neither NVML nor torch states it (200 GB/s stands for "not known").

[board]
description = "{properties.name}"
source = "torch.cuda.get_device_properties, NVML, /sys/devices/system/cpu"
compute_capability = "{capability}"
memory = "{_memory(properties.name, capability, nvml)}"  # a guess, of {", ".join(DRAM_EFFICIENCY)}
host = "{_host(properties.name, machine)}"  # a guess, of {", ".join(public_gpus.read_public_gpus().hosts)}

[power_mode.default]
{watts}
cpu_mhz = {host_mhz:.1f}
gpu_mhz = {gpu_mhz:.1f}  # {_ABOUT_CLOCK}
sms = {properties.multi_processor_count}

[facts]
{facts}

[calibration]
transferred_from = "{origin}"
"""


def _memory(name: str, capability: str, nvml: Nvml) -> str:
    """By its name ("H100 80GB HBM3"), else by its capability; with ECC as NVML says, else unless it is for a desk."""
    named = [kind for kind in DRAM_EFFICIENCY if kind in name.split()]
    kind = named[0] if named else MEMORIES[capability]
    has_ecc = nvml.has_ecc if nvml.has_ecc is not None else "RTX" not in name
    return f"{kind} with ECC" if has_ecc and f"{kind} with ECC" in DRAM_EFFICIENCY else kind


def _host(name: str, machine: str) -> str:
    if machine == "aarch64":
        return machine
    return "x86 desktop" if "GeForce" in name else "x86 server"


def _facts(properties: Any, nvml: Nvml, capability: str) -> Iterator[str]:
    yield f"dram_peak_gb_s = {nvml.memory_gb_s or _peak_of(properties) or 200.0:.1f}"
    yield f"l2_mib = {getattr(properties, 'L2_cache_size', 0) / 2**20 or 4.0:.2f}"
    for name, flops in _half_rates(properties.name, capability).items():
        yield f"{name} = {flops}  # half of what the capability implies, as of every {' and '.join(_HALF_RATE)}"
    known = {"memory_gb": getattr(properties, "total_memory", 0) / 1e9}
    yield from (_optional_fact(name, known.get(name, 0.0)) for name, f in FACTS.items() if f.default is not None)


def _half_rates(name: str, capability: str) -> Dict[str, int]:
    """Of tensor cores at half the rate; FP32 cores take TF32 where there are no others for it."""
    own = GENERATIONS[capability]
    if not set(_HALF_RATE) & set(name.split()):
        return {}
    rates: Tuple[Tuple[str, int], ...] = (("tf32", own.tf32), ("fp16", own.fp16))
    return {f"{kind}_flops_per_clock_per_sm": rate // 2 for kind, rate in rates if rate > own.fp32}


def _optional_fact(name: str, value: float) -> str:
    """The line of a fact with its value; where that is not known (0), a comment with what holds without."""
    fact = FACTS[name]
    return f"{name} = {value:.1f}" if value else f"# {name} = {fact.default:g}  # {fact.bounds.unit}: {fact.meaning}"


def _peak_of(properties: Any) -> float:
    """Newer releases of torch know the memory's clock (kHz) and the width of its bus (bits); else it is 0."""
    khz, bits = getattr(properties, "memory_clock_rate", 0), getattr(properties, "memory_bus_width", 0)
    return float(2 * khz * bits / 8e6)
