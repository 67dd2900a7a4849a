"""The process that measures: reads one request per line, answers in JSON lines, dies alone if a model kills it."""

from __future__ import annotations

import argparse
import contextlib
import gc
import json
import math
import os
import sys
import time
from typing import Any, Callable, Dict, Iterable, List

from .allocator import give_memory_back, keep_memory
from .protocol import Protocol, run_rounds

Send = Callable[[Dict[str, Any]], None]


def main(arguments: List[str]) -> int:
    """Serves requests from standard input until it ends; what libraries print goes to standard error."""
    parser = argparse.ArgumentParser(prog="python -m estimator.measure", description=__doc__)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--precision", default="fp32")
    options = parser.parse_args(arguments)
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)

    def send(message: Dict[str, Any]) -> None:
        answers.write(json.dumps(message) + "\n")

    serve(options.device, options.precision, sys.stdin, send)
    return 0


def serve(device: str, precision: str, requests: Iterable[str], send: Send) -> None:
    """Sends what there is to know about device and software, then an answer per request."""
    mallopt = keep_memory() if device == "cpu" else False
    from .device.environment import describe_environment, set_arithmetic

    try:
        set_arithmetic(precision)
        send({"kind": "hello", "mallopt": mallopt, **describe_environment(device)})
    except Exception as error:
        send({"kind": "error", "message": _one_line(error)})
        return
    gc.collect()
    gc.freeze()  # what the imports left stays: collecting it again after each model would take longer than small models
    for line in requests:
        if line.strip():
            send(_answer(device, precision, json.loads(line), send))


def _is_fatal(error: Exception) -> bool:
    """Whether the device is of no more use to this process: an error of CUDA itself stays until the process ends."""
    return "CUDA error" in str(error) and "out of memory" not in str(error)


def _answer(device: str, precision: str, request: Dict[str, Any], send: Send) -> Dict[str, Any]:
    try:
        work = _calibrate if "chains" in request else _measure
        return {"kind": "done", **work(device, precision, request, send)}
    except Exception as error:
        return {"kind": "error", "message": _one_line(error), "fatal": _is_fatal(error)}
    finally:
        with contextlib.suppress(RuntimeError):
            _release(device)


def _one_line(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())


def _measure(device: str, precision: str, request: Dict[str, Any], send: Send) -> Dict[str, Any]:
    import torch

    from ..subjects.all import find_subject
    from ..target import tensor_dtype
    from .build import build_model, make_input
    from .timers import ONCE

    start_s = time.perf_counter()
    model = find_subject(request["model"])
    dtype = tensor_dtype(precision)
    with torch.no_grad():
        module, example = build_model(model, device, dtype), make_input(model, request["batch_size"], device, dtype)
        build_s = time.perf_counter() - start_s
        last: List[Any] = []

        def forward() -> None:
            last[:] = [module(example)]

        rounds = run_rounds(ONCE[device](forward), Protocol(**request["protocol"]), _reporter(send))
        finite = _is_finite(last[0])
    return {**vars(rounds), "build_s": build_s, "finite": finite}


def _calibrate(device: str, precision: str, request: Dict[str, Any], send: Send) -> Dict[str, Any]:
    from ..subjects.chains import Block
    from .layers import measure_chains

    chains = [tuple(map(Block.from_data, chain)) for chain in request["chains"]]
    return vars(measure_chains(chains, device, request["budget_s"], _reporter(send), request["host_alone"]))


def _reporter(send: Send) -> Callable[[str, int, int], None]:
    return lambda phase, done, of: send({"kind": "progress", "phase": phase, "done": done, "of": of})


def _is_finite(output: Any) -> bool:
    tensor = output["out"] if isinstance(output, dict) else output
    return math.isfinite(float(tensor.float().abs().max()))


def _release(device: str) -> None:
    gc.collect()
    if device == "cuda":
        import torch

        torch.cuda.empty_cache()
    else:
        give_memory_back()
