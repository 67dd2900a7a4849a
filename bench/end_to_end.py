"""A newcomer's two commands on this machine's CPU, each in a process of its own: calibrate, then measure all models."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, List, Mapping, NamedTuple, Tuple

from estimator.hardware.boards import ThisCpu
from estimator.subjects.zoo import MODELS

ROOT = Path(__file__).parents[1]
_BENCHMARKS = "benchmarks.json"


class Door(NamedTuple):
    """What one try gave: signed error and repeatability of each model in percent, and the seconds of both commands.

    `refused` names the models without a measurement.
    """

    errors_pct: Mapping[str, float]
    repeatability_pct: float
    calibrating_s: float
    measuring_s: float
    refused: Tuple[str, ...]

    @property
    def mean_pct(self) -> float:
        """Returns the mean |error| in percent."""
        return statistics.fmean(map(abs, self.errors_pct.values()))

    @property
    def worst(self) -> str:
        """Returns the model with the largest |error|."""
        return max(self.errors_pct, key=lambda name: abs(self.errors_pct[name]))

    @property
    def max_pct(self) -> float:
        """Returns the largest |error| in percent."""
        return abs(self.errors_pct[self.worst])


def go_through(folder: Path) -> Door:
    """Returns what the two commands give, with a cache of their own in `folder`.

    RuntimeError, with what was printed, where they give nothing.
    """
    environment = {**os.environ, "XDG_CACHE_HOME": str(folder)}
    command = ["--hardware", ThisCpu.NAME, "--device", ThisCpu.device]
    calibrating_s, said = _run(["estimator", "calibrate", ThisCpu.NAME], environment)
    if not list(folder.rglob(f"{ThisCpu.NAME}.toml")):
        raise RuntimeError("the calibration wrote nothing:\n" + "\n".join(said))
    kept = folder / _BENCHMARKS
    measuring_s, said = _run(["pytest", "test_models", *command, "--benchmark-json", str(kept)], environment)
    if not kept.exists():
        raise RuntimeError("no model was measured:\n" + "\n".join(said))
    return read_door(json.loads(kept.read_text(encoding="utf-8")), calibrating_s, measuring_s)


def read_door(data: Mapping[str, Any], calibrating_s: float, measuring_s: float) -> Door:
    """Returns the try whose benchmarks pytest-benchmark kept."""
    info = {bench["name"].split("[")[1].rstrip("]"): bench["extra_info"] for bench in data["benchmarks"]}
    repeats = [facts["repeatability_pct"] for facts in info.values() if facts["repeatability_pct"] is not None]
    return Door(
        {name: float(facts["error_pct"]) for name, facts in info.items()},
        statistics.fmean(repeats) if repeats else float("nan"),
        calibrating_s,
        measuring_s,
        tuple(model.name for model in MODELS if model.name not in info),
    )


def _run(words: List[str], environment: Mapping[str, str]) -> Tuple[float, List[str]]:
    start_s = time.monotonic()
    command = [sys.executable, "-m", *words]
    done = subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    return time.monotonic() - start_s, done.stdout.decode(errors="replace").splitlines()
