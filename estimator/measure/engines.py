"""A TensorRT engine of a module: built by torch_tensorrt, or exported to ONNX, and built and timed by trtexec."""

from __future__ import annotations

import importlib.util
import inspect
import json
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, List, Mapping, Optional, Sequence

from ..errors import MeasurementError, UsageError, one_line
from ..runtimes import TENSORRT
from .protocol import Protocol, Rounds

if TYPE_CHECKING:
    import torch

TORCH_TENSORRT, TRTEXEC = "torch_tensorrt", "trtexec"
_ON_JETSON = "/usr/src/tensorrt/bin/trtexec"
"""Where JetPack puts it, which no PATH names."""
_FLAGS: Mapping[str, Sequence[str]] = {"fp32": (), "fp16": ("--fp16",), "int8": ("--int8", "--fp16")}
"""Of trtexec: an INT8 engine keeps in FP16 what has no kernel in INT8."""
_BUILD_S = 3600.0


def trtexec() -> Optional[str]:
    """Returns the program, None where it is not installed."""
    return shutil.which(TRTEXEC) or shutil.which(_ON_JETSON)


def builder(precision: str) -> Optional[str]:
    """Returns which of both is installed and builds engines of this precision, None where neither is."""
    if precision != "int8" and _is_installed(TORCH_TENSORRT):
        return TORCH_TENSORRT
    return TRTEXEC if trtexec() is not None and _is_installed("onnx") else None


def _is_installed(name: str) -> bool:
    return importlib.util.find_spec(name) is not None


def refuse_without_builder(precision: str) -> None:
    """Raises UsageError with what to install where no engine of this precision can be built."""
    if builder(precision) is None:
        by_pip = "" if precision == "int8" else "torch_tensorrt (pip install torch-tensorrt), or "
        needed = f"{by_pip}trtexec of TensorRT on the PATH (JetPack: apt install tensorrt) and onnx (pip install onnx)"
        raise UsageError(f"measuring on runtime {TENSORRT} at {precision} needs {needed}")


def built_engine(module: torch.nn.Module, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """Returns the module as torch_tensorrt compiles it in the type of its weights; MeasurementError where it cannot."""
    import torch
    import torch_tensorrt  # type: ignore[import-not-found, unused-ignore]

    _refuse_keywords(kwargs)
    tensors = [value for value in (*module.parameters(), *args) if isinstance(value, torch.Tensor)]
    dtypes = {t.dtype for t in tensors if t.is_floating_point()}
    try:
        return torch_tensorrt.compile(module, inputs=list(args), enabled_precisions=dtypes or {torch.float32})
    except Exception as error:  # the compiler may raise anything
        raise MeasurementError(f"torch_tensorrt builds no engine: {one_line(error)}") from error


def _refuse_keywords(kwargs: Mapping[str, Any]) -> None:
    if kwargs:
        raise MeasurementError(f"an engine takes positional inputs alone, and these are named: {', '.join(kwargs)}")


def timed_by_trtexec(
    module: torch.nn.Module, args: Sequence[Any], kwargs: Mapping[str, Any], precision: str, protocol: Protocol
) -> Rounds:
    """Returns the rounds of an engine that trtexec builds of the module: what the GPU computes, without copies.

    MeasurementError with the last line that trtexec wrote where it fails.
    """
    _refuse_keywords(kwargs)
    start_s = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        network, times = Path(folder, "model.onnx"), Path(folder, "times.json")
        _export(module, tuple(args), network)
        _run([str(trtexec()), *_arguments(network, times, precision, protocol)])
        samples_ms = _samples_ms(times)[: protocol.rounds]
    rounds_s = sum(samples_ms) / 1e3
    return Rounds(tuple(samples_ms), max(0.0, time.perf_counter() - start_s - rounds_s), rounds_s, 0)


def _export(module: torch.nn.Module, args: Any, path: Path) -> None:
    import torch

    older: Mapping[str, Any] = {"dynamo": False} if "dynamo" in inspect.signature(torch.onnx.export).parameters else {}
    try:
        torch.onnx.export(module, args, str(path), **older)
    except Exception as error:  # the exporter may raise anything
        raise MeasurementError(f"cannot be exported to ONNX: {one_line(error)}") from error


def _arguments(network: Path, times: Path, precision: str, protocol: Protocol) -> List[str]:
    """So many rounds, however long they take; at least one warm-up, which trtexec counts in ms."""
    rounds = [f"--iterations={protocol.rounds}", "--duration=0", f"--warmUp={200 if protocol.warmup else 0}"]
    timing = ["--avgRuns=1", "--noDataTransfers", "--useSpinWait", f"--exportTimes={times}"]
    return [f"--onnx={network}", *_FLAGS[precision], *rounds, *timing]


def _run(command: Sequence[str]) -> None:
    try:
        done = subprocess.run(command, capture_output=True, timeout=_BUILD_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise MeasurementError(f"trtexec: {error}") from error
    if done.returncode:
        lines = (done.stderr.decode(errors="replace").strip() or done.stdout.decode(errors="replace")).splitlines()
        raise MeasurementError(f"trtexec ended with exit code {done.returncode}: {lines[-1] if lines else 'no output'}")


def _samples_ms(path: Path) -> List[float]:
    try:
        found = [float(row["computeMs"]) for row in json.loads(path.read_text(encoding="utf-8"))]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise MeasurementError(f"trtexec wrote no times that can be read: {error}") from error
    if not found:
        raise MeasurementError("trtexec timed no round")
    return found
