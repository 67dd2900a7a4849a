"""What the main job costs, beside the least it could: importing torch and torchvision."""

import os
import random
import signal
import statistics
import subprocess
import sys
import time

import pytest

from estimator.files import read_toml

ROUNDS = 3
KILLS = 20
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


@pytest.mark.bench
def test_a_recording_session_killed_at_any_moment_leaves_a_whole_baseline_or_none(request, tmp_path):
    moments = random.Random(20)
    usual_s = _killed_after(None, request, tmp_path)
    before = _baseline(tmp_path)
    assert before
    for _ in range(KILLS):
        _killed_after(moments.uniform(0, usual_s), request, tmp_path)
        left = _baseline(tmp_path)
        assert list(left["runs_ms"]) == list(before["runs_ms"])
        assert len(left["provenance"]) == len(before["provenance"])
    print(f"\n{KILLS} sessions of {usual_s:.1f} s killed: the baseline was whole each time")


def _killed_after(seconds, request, folder):
    """Records two models; SIGKILL to the whole session after so many seconds. Returns how long it ran."""
    command = [*MAIN_JOB, "--hardware", "local-cpu", "--device", "cpu", "--record", "--rounds", "1", "--warmup", "0"]
    command += ["--models", "mobilenet_v3_small,resnet18"]
    environment = {**os.environ, "XDG_CACHE_HOME": str(folder), "TMPDIR": str(folder)}
    start = time.perf_counter()
    process = subprocess.Popen(
        command, cwd=request.config.rootpath, env=environment, stdout=subprocess.DEVNULL, start_new_session=True
    )
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    return time.perf_counter() - start


def _baseline(folder):
    path = folder / "golden-latency" / "local-cpu" / "default-fp32-b1" / "record-models.toml"
    return read_toml(path) if path.exists() else {}


def _cost(command, request):
    """Wall time in seconds and peak memory in GB of a process that must succeed."""
    start = time.perf_counter()
    process = subprocess.Popen(command, cwd=request.config.rootpath, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    assert status == 0
    return seconds, usage.ru_maxrss * 1024 / 1e9
