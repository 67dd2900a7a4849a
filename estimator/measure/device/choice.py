"""Which device a run uses and why; decided from device nodes, without torch."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Optional, Tuple

from ...commands import option_name
from ...errors import UsageError
from ...hardware.boards import Board, ThisCpu
from .jetson import JetsonReader, is_jetson
from .state import is_named

DEVICES = ("auto", "recorded", "cpu", "cuda")
_NODES = ("dev/nvidia[0-9]*", "dev/nvgpu/*", "dev/nvhost-gpu")


@dataclass(frozen=True)
class Choice:
    """The device of a run, "recorded", "cpu" or "cuda", and why."""

    device: str
    why: str

    @property
    def live(self) -> bool:
        """Whether the run measures."""
        return self.device != "recorded"


def choose_device(
    wanted: str, board: Board, root: Path = Path("/"), name: Callable[[str], str] = option_name
) -> Choice:
    """Returns the device for `--device wanted`; UsageError when there is no such device, or it cannot be that one.

    `name` says what an option is called.
    """
    device, hardware = name("--device"), name("--hardware")
    if wanted not in DEVICES:
        raise UsageError(f"{device} {wanted}: unknown device; known: {', '.join(DEVICES)}")
    if wanted == "auto":
        return _automatic(board, root, device)
    if wanted != "cpu" and not board.has_goldens:
        raise UsageError(f"{hardware} {board.name} is this machine's own CPU and is only measured: add {device} cpu")
    if wanted == "cpu" and board.device != "cpu":
        raise UsageError(
            f"{device} cpu measures this machine's own CPU, not {board.name}: add {hardware} {ThisCpu.NAME}"
        )
    if wanted == "cuda" and not has_gpu(root):
        raise UsageError(f"{device} cuda: the device is absent, there is no NVIDIA GPU here (no /{', /'.join(_NODES)})")
    return Choice(wanted, "as asked")


def _automatic(board: Board, root: Path, device: str) -> Choice:
    if not board.has_goldens:
        return Choice(board.device, f"{board.name} is only measured")
    if not has_gpu(root):
        return Choice("recorded", "no NVIDIA GPU here")
    name, memory_gib = visible_gpu(root)
    if name is None:
        return Choice("recorded", f"there is a GPU, but nothing says which; {device} cuda measures on it")
    if not is_named(board.name, name, memory_gib):
        return Choice("recorded", f"the GPU here is {name}, not {board.name}")
    return Choice("cuda", f"the GPU here is {name}")


def has_gpu(root: Path = Path("/")) -> bool:
    """Whether the kernel shows a node of an NVIDIA GPU."""
    return any(True for pattern in _NODES for _ in root.glob(pattern))


def visible_gpu(root: Path = Path("/")) -> Tuple[Optional[str], Optional[float]]:
    """Returns name and memory in GiB of the GPU, as Jetson's device tree or NVIDIA's driver states them; or None."""
    reader = JetsonReader(root)
    if is_jetson(root):
        return reader.name(), reader.memory_gib()
    texts = "\n".join(map(reader.text, reader.folders("proc/driver/nvidia/gpus/*/information")))
    model = re.search(r"^Model:(.*)$", texts, re.MULTILINE)
    return (model.group(1).strip() if model else None), None
