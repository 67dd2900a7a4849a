"""What the main job costs, beside the least it could: importing torch and torchvision."""

import os
import statistics
import subprocess
import sys
import time

import pytest

ROUNDS = 3
MAIN_JOB = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
BARE_IMPORT = [sys.executable, "-c", "from estimator import estimate; import torch, torchvision"]
BAR_TIMES_IMPORT = 4
BAR_MEMORY_GB = 0.6


@pytest.mark.bench
def test_all_models_take_little_more_than_the_import_of_torch_and_torchvision(request):
    rounds = [(_cost(MAIN_JOB, request), _cost(BARE_IMPORT, request)) for _ in range(ROUNDS)]
    job_s = statistics.median(job[0] for job, _ in rounds)
    import_s = statistics.median(bare[0] for _, bare in rounds)
    memory_gb = max(job[1] for job, _ in rounds)
    ratio = job_s / import_s
    print(f"\nmain job {job_s:.1f} s, bare import {import_s:.1f} s: {ratio:.1f} times (bar {BAR_TIMES_IMPORT})")
    print(f"peak memory {memory_gb:.2f} GB (bar {BAR_MEMORY_GB} GB); medians of {ROUNDS} rounds")
    assert ratio <= BAR_TIMES_IMPORT
    assert memory_gb <= BAR_MEMORY_GB


def _cost(command, request):
    """Wall time in seconds and peak memory in GB of a process that must succeed."""
    start = time.perf_counter()
    process = subprocess.Popen(command, cwd=request.config.rootpath, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    assert status == 0
    return seconds, usage.ru_maxrss * 1024 / 1e9
