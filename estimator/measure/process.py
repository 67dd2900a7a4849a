"""The measuring process as its owner sees it: started once, asked per model, replaced when a model killed it."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, Mapping, Optional, Sequence, Tuple

from ..errors import MeasurementError
from ..runtimes import EAGER
from ..subjects.chains import Chain
from .built_blocks import ChainTimes
from .protocol import Protocol, Report, Rounds

_TICK_S = 1.0
_SILENCE_S = 600.0
Tick = Callable[[], None]


def _unheard(*_: Any) -> None:
    pass


@dataclass(frozen=True)
class Run(Rounds):
    """What one process measured of a model, and of interleaved parts each typical round."""

    finite: bool
    parts_ms: Tuple[float, ...] = ()

    @property
    def latency_ms(self) -> float:
        """Returns the median of the parts, or of the rounds where they are one."""
        return statistics.median(self.parts_ms or self.samples_ms)


class MeasuringProcess:
    """A fresh process of `python -m estimator.measure`; it stays for further models until `close` or its death."""

    def __init__(self, device: str, precision: str, runtime: str = EAGER) -> None:
        self._command = [sys.executable, "-m", "estimator.measure", "--device", device, "--precision", precision]
        self._command += [] if runtime == EAGER else ["--runtime", runtime]
        self._process: Any = None  # a Popen
        self._environment: Mapping[str, Any] = {}
        self._greeted = False
        self._errors: Any = None
        self._unread = b""

    @property
    def pid(self) -> Optional[int]:
        """Returns the id of the process, None while there is none."""
        return self._process.pid if self._process else None

    def start(self) -> None:
        """Starts the process, which loads torch meanwhile, unless it runs."""
        if self._process is None:
            self._errors, self._unread, self._greeted = tempfile.TemporaryFile(), b"", False  # noqa: SIM115  closed by close()
            path = os.pathsep.join(filter(None, (str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH"))))
            environment = {**os.environ, "PYTHONPATH": path}
            pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": self._errors}
            self._process = subprocess.Popen(self._command, env=environment, **pipes)

    def environment(self) -> Mapping[str, Any]:
        """Returns versions, switches and device, also of a closed process; MeasurementError if it does not start."""
        if self._process is not None or not self._environment:
            self._greet()
        return self._environment

    def _greet(self) -> None:
        self.start()
        if not self._greeted:
            self._environment = self._answer("hello", "start")
            self._greeted = True

    def measure(self, request: Mapping[str, Any], protocol: Protocol, progress: Report, tick: Tick) -> Run:
        """Returns a run of a model; `tick` is called about once a second meanwhile.

        The request names the "model" and its "batch_size", for one of the user's own the "test" that checks it; with
        "keep" the model stays if there is room. MeasurementError when it does not fit, fails or kills the process.
        """
        done = self._ask({**request, "protocol": asdict(protocol)}, str(request["model"]), progress, tick)
        return Run(**{**done, "samples_ms": tuple(done["samples_ms"])})

    def reference_ms(self, tick: Callable[[], None]) -> float:
        """Returns what the reference workload takes now; raises as `measure`."""
        return float(self._ask({"reference": True}, "reference", tick=tick)["reference_ms"])

    def forget(self) -> None:
        """Lets go of the models that were kept."""
        self._ask({"forget": True}, "forget")

    def measure_chains(
        self, chains: Sequence[Chain], budget_s: float, progress: Report, tick: Tick, host_alone: bool = False
    ) -> ChainTimes:
        """Returns the times of all layers, or of the host's calls of each block; raises as `measure`."""
        plain = [[asdict(block) for block in chain] for chain in chains]
        request = {"chains": plain, "budget_s": budget_s, "host_alone": host_alone}
        return ChainTimes(**self._ask(request, "calibration", progress, tick))

    def _ask(
        self, request: Mapping[str, Any], what: str, progress: Report = _unheard, tick: Tick = _unheard
    ) -> Dict[str, Any]:
        self._greet()
        with contextlib.suppress(OSError):  # it died: reading says how
            self._process.stdin.write((json.dumps(request) + "\n").encode())
            self._process.stdin.flush()
        return self._answer("done", what, progress, tick)

    def close(self) -> None:
        """Ends the process."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._errors.close()
            self._process = None

    def _answer(self, kind: str, what: str, progress: Report = _unheard, tick: Tick = _unheard) -> Dict[str, Any]:
        try:
            for message in self._messages(what, tick):
                found = message.pop("kind")
                if found == kind:
                    return message
                if found == "progress":
                    progress(message["phase"], message["done"], message["of"])
                elif found == "error":
                    if kind == "hello" or message.get("fatal"):
                        self.close()
                    raise MeasurementError(f"{what}: {message['message']}")
            raise MeasurementError(f"{what}: {self._death()}")
        except MeasurementError:
            raise
        except BaseException:
            self.close()  # what it would still answer must not be taken for the next model's
            raise

    def _messages(self, what: str, tick: Tick) -> Iterator[Dict[str, Any]]:
        heard_s = time.monotonic()
        while True:
            *lines, self._unread = self._unread.split(b"\n")
            yield from (json.loads(line) for line in lines)
            ready = select.select([self._process.stdout], [], [], _TICK_S)[0]
            if ready:
                data = os.read(self._process.stdout.fileno(), 1 << 20)
                if not data:
                    return
                self._unread, heard_s = self._unread + data, time.monotonic()
            elif time.monotonic() - heard_s > _SILENCE_S:
                self.close()
                raise MeasurementError(f"{what}: the measuring process said nothing for {_SILENCE_S:.0f} s")
            tick()

    def _death(self) -> str:
        status = self._process.wait()
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").strip().splitlines()
        self.close()
        how = f"was killed by {signal.Signals(-status).name}" if status < 0 else f"ended with exit code {status}"
        hint = " (out of memory?)" if status == -signal.SIGKILL else ""
        return f"the measuring process {how}{hint}" + (f": {lines[-1]}" if lines else "")
