"""`python -m bench.killed_recording`: recording sessions killed at random moments, and the baseline each one leaves.

How long a session takes is only printed. A baseline that is not whole is no figure: the exit code is 1.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, List, Mapping, Optional

from estimator.files import read_toml

from .cost import PYTEST, ROOT

SEED = 20
RECORD = (
    sys.executable,
    *PYTEST,
    *("--hardware", "local-cpu", "--device", "cpu", "--record", "--rounds", "1", "--warmup", "0"),
    *("--models", "mobilenet_v3_small,resnet18"),
)


def main(arguments: Optional[List[str]] = None) -> int:
    """Returns 0 if each killed session left the baseline whole, else 1."""
    parser = argparse.ArgumentParser(prog="python -m bench.killed_recording", description=__doc__)
    parser.add_argument("--kills", default=20, type=int, metavar="N", help="default: %(default)s")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        return kill_sessions(Path(folder), options.kills)


def kill_sessions(folder: Path, kills: int) -> int:
    """Records once, then kills so many sessions, each at a random moment of its usual time."""
    moments, broken = random.Random(SEED), 0
    usual_s = run_session(folder, None)
    before = baseline(folder)
    for _ in range(kills):
        run_session(folder, moments.uniform(0, usual_s))
        broken += not before or is_broken(before, baseline(folder))
    print(f"{kills} sessions of {usual_s:.1f} s killed: the baseline was whole {kills - broken} times")
    return 1 if broken else 0


def run_session(folder: Path, kill_after_s: Optional[float]) -> float:
    """Records two models; SIGKILL to the whole session after so many seconds. Returns how long it ran."""
    environment = {**os.environ, "XDG_CACHE_HOME": str(folder), "TMPDIR": str(folder)}
    start_s = time.perf_counter()
    process = subprocess.Popen(RECORD, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, start_new_session=True)
    try:
        process.wait(kill_after_s)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    return time.perf_counter() - start_s


def baseline(folder: Path) -> Mapping[str, Any]:
    """Returns the recorded baseline, empty if there is none."""
    path = folder / "golden-latency" / "local-cpu" / "default-fp32-b1" / "record-models.toml"
    return read_toml(path) if path.exists() else {}


def is_broken(before: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
    """Whether models or provenance are missing that were there before."""
    whole = after and list(after["runs_ms"]) == list(before["runs_ms"])
    return not whole or len(after["provenance"]) != len(before["provenance"])


if __name__ == "__main__":
    sys.exit(main())
