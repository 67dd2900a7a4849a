"""What a measurement depends on: versions, switches, environment variables and the device, as plain values."""

from __future__ import annotations

import contextlib
import os
import platform
import re
import sys
from importlib import metadata
from pathlib import Path
from typing import Any, Callable, Dict, Mapping

from ...hardware.software import software_in
from .state import FileReader

VARIABLES = (
    "NVIDIA_TF32_OVERRIDE",
    "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE",
    "CUBLAS_WORKSPACE_CONFIG",
    "CUDA_LAUNCH_BLOCKING",
    "CUDA_VISIBLE_DEVICES",
    "CUDA_MODULE_LOADING",
    "PYTORCH_CUDA_ALLOC_CONF",
    "PYTORCH_NO_CUDA_MEMORY_CACHING",
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_CORETYPE",
    "ATEN_CPU_CAPABILITY",
    "DNNL_DEFAULT_FPMATH_MODE",
    "MALLOC_ARENA_MAX",
    "LD_PRELOAD",
)
"""Environment variables that change arithmetic, scheduling or memory; those that are set are recorded."""


def set_arithmetic(precision: str) -> None:
    """Switches TF32 in products on where the precision asks for it; everything else stays as PyTorch has it."""
    import torch

    if precision == "tf32":
        torch.backends.cuda.matmul.allow_tf32 = True


def describe_environment(device: str) -> Dict[str, Any]:
    """Returns versions, switches, variables, threads and the device, as text and numbers."""
    import torch

    from ...missing_operators import declare_missing_operators

    declare_missing_operators()
    import torchvision

    return {
        "python": sys.version.split()[0],
        "torch": torch.__version__,
        "torchvision": torchvision.__version__,
        "threads": torch.get_num_threads(),
        "switches": _switches(),
        "variables": {name: os.environ[name] for name in VARIABLES if name in os.environ},
        **(_describe_cuda() if device == "cuda" else {"name": cpu_name(Path("/"))}),
    }


def engine_versions() -> Dict[str, str]:
    """Returns the versions of what builds and runs an engine, as far as it is a Python package."""
    found = {}
    for name in ("tensorrt", "torch_tensorrt"):
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


def _switches() -> Dict[str, str]:
    import torch

    readers: Mapping[str, Callable[[], Any]] = {
        "cudnn.allow_tf32": lambda: torch.backends.cudnn.allow_tf32,
        "cuda.matmul.allow_tf32": lambda: torch.backends.cuda.matmul.allow_tf32,
        "float32_matmul_precision": torch.get_float32_matmul_precision,
        "cudnn.benchmark": lambda: torch.backends.cudnn.benchmark,
        "cudnn.deterministic": lambda: torch.backends.cudnn.deterministic,
        "mkldnn": torch.backends.mkldnn.is_available,
    }
    return {name: _value(read) for name, read in readers.items()}


def _value(read: Callable[[], Any]) -> str:
    try:
        return str(read())
    except RuntimeError as error:  # a switch set through both of torch's interfaces cannot be read
        return f"unreadable: {error}".splitlines()[0]


def _describe_cuda() -> Dict[str, Any]:
    import torch

    if not torch.cuda.is_available():
        raise RuntimeError(f"torch {torch.__version__} (CUDA {torch.version.cuda}) sees no GPU")
    properties = torch.cuda.get_device_properties(0)
    return {
        "name": properties.name,
        "sms": properties.multi_processor_count,
        "memory_gib": properties.total_memory / 2**30,
        "cuda": str(torch.version.cuda),
        "cudnn": str(torch.backends.cudnn.version()),
        "capability": f"{properties.major}.{properties.minor}",
    }


def cpu_name(root: Path) -> str:
    """Returns the processor's name from /proc/cpuinfo below `root`, the architecture where it has none."""
    name = re.search(r"^model name\s*:(.*)$", FileReader(root).text("proc/cpuinfo"), re.MULTILINE)
    return name.group(1).strip() if name else platform.machine()


def driver_version(root: Path) -> str:
    """Returns the first line that names NVIDIA's driver or Jetson Linux below `root`, "none" without either."""
    texts = map(FileReader(root).text, ("etc/nv_tegra_release", "proc/driver/nvidia/version"))
    return next((text.splitlines()[0].strip("# ") for text in texts if text), "none")


def installed_software(root: Path) -> Dict[str, str]:
    """Returns this machine's versions by the keys of SOFTWARE; CUDA's and cuDNN's would need torch loaded."""
    versions = [f"Python {platform.python_version()}"]
    for name in ("torch", "torchvision"):
        with contextlib.suppress(metadata.PackageNotFoundError):
            versions.append(f"{name} {metadata.version(name)}")
    return software_in(", ".join([*versions, f"driver {driver_version(root)}"]))
