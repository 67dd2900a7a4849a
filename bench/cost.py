"""`python -m bench.cost`: time and memory of the whole main job beside the least it could take, a bare import."""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import List, NamedTuple, Optional, Sequence

from .bars import beside_bar

ROOT = Path(__file__).parents[1]
MAIN_JOB = (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider")
BARE_IMPORT = (sys.executable, "-c", "from estimator import estimate; import torch, torchvision")
BAR_TIMES_IMPORT, BAR_MEMORY_GB = 4, 0.6


class Cost(NamedTuple):
    """Wall time in seconds and peak memory in GB of a process."""

    seconds: float
    memory_gb: float


def main(arguments: Optional[List[str]] = None) -> int:
    """Prints both costs and their ratio beside the bars; returns 0."""
    parser = argparse.ArgumentParser(prog="python -m bench.cost", description=__doc__)
    parser.add_argument("--rounds", default=3, type=int, metavar="N", help="of both, in turns (default: %(default)s)")
    options = parser.parse_args(arguments)
    rounds = [(cost(MAIN_JOB), cost(BARE_IMPORT)) for _ in range(options.rounds)]
    print("\n".join(cost_lines([job for job, _ in rounds], [bare for _, bare in rounds])))
    return 0


def cost(command: Sequence[str]) -> Cost:
    """Returns what the command costs; CalledProcessError if it fails."""
    start_s = time.perf_counter()
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start_s
    if status != 0:
        raise subprocess.CalledProcessError(status, command)
    return Cost(seconds, usage.ru_maxrss * 1024 / 1e9)


def cost_lines(jobs: Sequence[Cost], imports: Sequence[Cost]) -> List[str]:
    """Returns the medians, their ratio and the peak of memory, each beside its bar."""
    job_s, import_s = (statistics.median(cost.seconds for cost in costs) for costs in (jobs, imports))
    times, memory_gb = job_s / import_s, max(job.memory_gb for job in jobs)
    return [
        f"main job {job_s:.1f} s, bare import {import_s:.1f} s; medians of {len(jobs)} rounds",
        beside_bar(f"main job / bare import: {times:.1f}", f"<= {BAR_TIMES_IMPORT}", times <= BAR_TIMES_IMPORT),
        beside_bar(f"peak memory: {memory_gb:.2f} GB", f"<= {BAR_MEMORY_GB} GB", memory_gb <= BAR_MEMORY_GB),
    ]


if __name__ == "__main__":
    sys.exit(main())
