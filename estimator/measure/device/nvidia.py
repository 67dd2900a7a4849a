"""The state of a discrete NVIDIA GPU: through NVML where nvidia-ml-py is installed, else what torch knows of it."""

from __future__ import annotations

import os
from typing import Any, Iterator, Mapping, Optional, Sequence

from .state import DeviceState, StateReader

_REASONS = {
    "SwPowerCap": "software power cap",
    "HwSlowdown": "hardware slowdown",
    "SwThermalSlowdown": "software thermal slowdown",
    "HwThermalSlowdown": "hardware thermal slowdown",
    "HwPowerBrakeSlowdown": "hardware power brake",
    "SyncBoost": "sync boost",
}


class NvmlReader(StateReader):
    """Reads the first visible GPU through a `pynvml` module."""

    def __init__(self, nvml: Any, visible: Optional[str] = None) -> None:
        self._nvml = nvml
        nvml.nvmlInit()
        self._handle = _handle(nvml, visible if visible is not None else os.environ.get("CUDA_VISIBLE_DEVICES", ""))

    def read(self, own_pids: Sequence[int] = ()) -> DeviceState:
        """Returns the state now; the power mode of such a GPU is its limit in watts."""
        nvml, handle = self._nvml, self._handle
        name = nvml.nvmlDeviceGetName(handle)  # bytes in older releases
        watts = _maybe(lambda: nvml.nvmlDeviceGetEnforcedPowerLimit(handle) / 1000)
        clock = _maybe(lambda: float(nvml.nvmlDeviceGetClockInfo(handle, nvml.NVML_CLOCK_SM)))
        cap = _maybe(lambda: float(nvml.nvmlDeviceGetMaxClockInfo(handle, nvml.NVML_CLOCK_SM)))
        return DeviceState(
            name=name.decode() if isinstance(name, bytes) else name,
            power_mode=None if watts is None else f"{watts:.0f}W",
            clocks_mhz={} if clock is None else {"gpu": clock},
            caps_mhz={} if cap is None else {"gpu": cap},
            temperature_c=_maybe(lambda: float(nvml.nvmlDeviceGetTemperature(handle, nvml.NVML_TEMPERATURE_GPU))),
            throttled=tuple(self._throttled()),
            load=_maybe(lambda: nvml.nvmlDeviceGetUtilizationRates(handle).gpu / 100),
            others=tuple(self._others({*own_pids, os.getpid()})),
            memory_gib=_maybe(lambda: nvml.nvmlDeviceGetMemoryInfo(handle).total / 2**30),
        )

    def _throttled(self) -> Iterator[str]:
        active = _maybe(lambda: int(self._nvml.nvmlDeviceGetCurrentClocksThrottleReasons(self._handle))) or 0
        for name, words in _REASONS.items():
            bit = getattr(self._nvml, f"nvmlClocksThrottleReason{name}", 0)
            if active & bit:
                yield words

    def _others(self, own_pids: Any) -> Iterator[str]:
        for process in _maybe(lambda: self._nvml.nvmlDeviceGetComputeRunningProcesses(self._handle)) or ():
            if process.pid not in own_pids and os.path.exists(f"/proc/{process.pid}"):
                yield f"process {process.pid}"


def _handle(nvml: Any, visible: str) -> Any:
    first = visible.split(",")[0].strip()
    if first.startswith(("GPU-", "MIG-")):
        return nvml.nvmlDeviceGetHandleByUUID(first.encode())
    return nvml.nvmlDeviceGetHandleByIndex(int(first) if first.isdecimal() else 0)


def _maybe(read: Any) -> Any:
    """NVML raises for what a GPU or driver does not support."""
    try:
        return read()
    except Exception:
        return None


class TorchReader(StateReader):
    """What the measuring process's torch knows: the GPU's name and memory; neither clocks nor other users."""

    unchecked = "the GPU's clocks, throttling and other users were not checked: pip install nvidia-ml-py"

    def __init__(self, environment: Mapping[str, Any]) -> None:
        self._environment = environment

    def read(self, own_pids: Sequence[int] = ()) -> DeviceState:
        """Returns the name and the memory."""
        return DeviceState(name=self._environment["name"], memory_gib=self._environment.get("memory_gib"))


def nvidia_reader(environment: Mapping[str, Any]) -> StateReader:
    """Returns the reader through NVML if it can be used, else the one through torch."""
    try:
        import pynvml

        return NvmlReader(pynvml)
    except Exception:  # not installed, or no driver it can talk to
        return TorchReader(environment)
