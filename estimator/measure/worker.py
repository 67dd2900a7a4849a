"""The process that measures: reads one request per line, answers in JSON lines, dies alone if a model kills it."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import json
import math
from typing import Any, Callable, Dict, Iterable, List, Tuple

from ..errors import one_line_with_type
from ..runtimes import EAGER
from .device.state import FileReader
from .engines import TORCH_TENSORRT, TRTEXEC, builder, built_engine, timed_by_trtexec
from .protocol import ONCE, Protocol, run_rounds

_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4  # of glibc's mallopt
Send = Callable[[Dict[str, Any]], None]
ROOM_GIB = 6.0
"""What must be left to keep a model: as much as the largest takes while it is built, and something for the machine."""


def serve(device: str, precision: str, requests: Iterable[str], send: Send, runtime: str = EAGER) -> None:
    """Sends what there is to know about device and software, then an answer per request."""
    mallopt = keep_memory() if device == "cpu" else False
    from .device.environment import describe_environment, engine_versions, set_arithmetic

    try:
        set_arithmetic(precision)
        versions = {} if runtime == EAGER else engine_versions()
        send({"kind": "hello", "mallopt": mallopt, **describe_environment(device), **versions})
    except (Exception, SystemExit) as error:
        send({"kind": "error", "message": one_line_with_type(error)})
        return
    gc.collect()
    gc.freeze()  # what the imports left stays: collecting it again after each model would take longer than small models
    worker = Worker(device, precision, send, runtime)
    for line in requests:
        if line.strip():
            send(worker.answer(json.loads(line)))


class Worker:
    """Answers requests, one after another. Models that are to be measured again stay, as long as memory is left."""

    def __init__(self, device: str, precision: str, send: Send, runtime: str = EAGER) -> None:
        self._device, self._precision, self._send = device, precision, send
        self._builder = None if runtime == EAGER else builder(precision)
        self._kept: Dict[str, Tuple[Any, Any]] = {}
        self._reference: Any = None

    def answer(self, request: Dict[str, Any]) -> Dict[str, Any]:
        """Returns the answer to a request, or the error that kept it from being one."""
        try:
            return {"kind": "done", **self._work(request)}
        except (Exception, SystemExit) as error:
            text = str(error)  # an error of CUDA itself stays until the process ends
            is_fatal = "CUDA error" in text and "out of memory" not in text
            return {"kind": "error", "message": one_line_with_type(error), "fatal": is_fatal}
        finally:
            if not self._kept:
                with contextlib.suppress(RuntimeError):
                    _release(self._device)

    def _work(self, request: Dict[str, Any]) -> Dict[str, Any]:
        if "chains" in request:
            return self._calibrate(request)
        if "reference" in request:
            return self._time_reference()
        if "forget" in request:
            self._kept.clear()
            return {}
        return self._measure(request)

    def _measure(self, request: Dict[str, Any]) -> Dict[str, Any]:
        import torch

        from ..capture import call_arguments

        with torch.no_grad():
            module, example = self._built(request)
            args, kwargs = call_arguments(example)
            last: List[Any] = []

            def forward() -> None:
                last[:] = [module(*args, **kwargs)]

            protocol = Protocol(**request["protocol"])
            if self._builder == TRTEXEC:
                forward()  # which says whether the output is finite
                rounds = timed_by_trtexec(module, args, kwargs, self._precision, protocol)
            else:
                rounds = run_rounds(ONCE[self._device](forward), protocol, self._report)
            finite = _is_finite(last[0])
        return {**vars(rounds), "finite": finite}

    def _built(self, request: Dict[str, Any]) -> Tuple[Any, Any]:
        from ..capture import call_arguments
        from ..target import tensor_dtype
        from .build import build_model, make_input

        name, batch_size = request["model"], request["batch_size"]
        if name in self._kept:
            return self._kept[name]
        model = _subject(request)
        dtype = None if self._builder == TRTEXEC else tensor_dtype(self._precision)  # which lowers it by itself
        built = (build_model(model, self._device, dtype), make_input(model, batch_size, self._device, dtype))
        if self._builder == TORCH_TENSORRT:
            built = (built_engine(built[0], *call_arguments(built[1])), built[1])
        if request.get("keep") and (FileReader().memory_gib("MemAvailable") or 0.0) > ROOM_GIB:
            self._kept[name] = built
        return built

    def _time_reference(self) -> Dict[str, Any]:
        import torch

        from .chain_times import ReferenceWorkload

        with torch.no_grad():
            self._reference = self._reference or ReferenceWorkload()
            return {"reference_ms": self._reference.measure_ms()}

    def _calibrate(self, request: Dict[str, Any]) -> Dict[str, Any]:
        from ..subjects.chains import Block
        from .chain_times import measure_chains

        chains = [tuple(map(Block.from_data, chain)) for chain in request["chains"]]
        budget_s, host_alone = request["budget_s"], request["host_alone"]
        return vars(measure_chains(chains, self._device, budget_s, self._report, host_alone))

    def _report(self, phase: str, done: int, of: int) -> None:
        self._send({"kind": "progress", "phase": phase, "done": done, "of": of})


def _subject(request: Dict[str, Any]) -> Any:
    """A subject of the zoo by its name, one of the user's own from the test that checks it."""
    from ..subjects.from_pytest import Place, tested_model
    from ..subjects.registry import find_subject

    name = request["model"]
    if "test" not in request:
        return find_subject(name)
    return tested_model(Place(request["test"]["node"], tuple(request["test"]["options"])), name)


def _is_finite(output: Any) -> bool:
    """Whether every number of a model's output is: of a tensor, or of those in lists, tuples and dicts."""
    if isinstance(output, dict):
        output = list(output.values())
    if isinstance(output, (list, tuple)):
        return all(map(_is_finite, output))
    if not hasattr(output, "is_floating_point"):
        return True
    return not output.is_floating_point() or output.numel() == 0 or math.isfinite(float(output.float().abs().max()))


def _release(device: str) -> None:
    gc.collect()
    if device == "cuda":
        import torch

        torch.cuda.empty_cache()
    else:
        give_memory_back()


def keep_memory() -> bool:
    """Keeps glibc from giving memory back, else each forward may fault its activations in; False where it cannot."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    return bool(mallopt(_M_MMAP_MAX, 0)) and bool(mallopt(_M_TRIM_THRESHOLD, -1))


def give_memory_back() -> None:
    """Returns a deleted model's memory to the system, where the C library can."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
