"""`python -m bench.cost`: what a run of the suite costs, cold and warm, beside a bare import of torch and torchvision.

Cold is a run without op streams in the cache, warm one that finds them all there. Rounds are interleaved, so that a
busy machine slows all alike; each command has its bytecode, as after any first run.
"""

from __future__ import annotations

import argparse
import itertools
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Dict, Iterator, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from estimator.hardware.boards import DEFAULT_HARDWARE
from estimator.report.bars import beside_bar

ROOT = Path(__file__).parents[1]
IMPORT = "bare import"
MAIN_COLD, MAIN_WARM = "main job, cold", "main job, warm"
EVERY_COLD, EVERY_WARM = "every configuration, cold", "every configuration, warm"
MAIN_SPACE, MAIN_EQUALS = "main job, warm, --hardware NAME", "main job, warm, --hardware=NAME"
CHECK = "calibration --check, warm"
PYTEST = ("-m", "pytest", "-q", "-p", "no:cacheprovider")
_EVERY = (*PYTEST, "--every-configuration", "-n", "2")
COMMANDS: Mapping[str, Tuple[str, ...]] = {
    IMPORT: ("-c", "from estimator import estimate; import torch, torchvision"),
    MAIN_COLD: PYTEST,
    MAIN_WARM: PYTEST,
    MAIN_SPACE: (*PYTEST, "--hardware", DEFAULT_HARDWARE),
    MAIN_EQUALS: (*PYTEST, f"--hardware={DEFAULT_HARDWARE}"),
    EVERY_COLD: _EVERY,
    EVERY_WARM: _EVERY,
    CHECK: ("-m", "estimator", "calibrate", "--check"),
}
"""By name the arguments of Python; each cold one leaves the cache as the warm one behind it finds it."""
BARS_TIMES_IMPORT = {MAIN_WARM: 0.5, MAIN_COLD: 2.0, CHECK: 2.6}
BARS_S = {EVERY_WARM: 5.0, EVERY_COLD: 12.0}
BAR_WARM_MB = 150.0
BAR_TIMES_BARE = 1.1


class Cost(NamedTuple):
    """Wall time and time of the CPU in seconds, and peak memory of the first process in MB."""

    seconds: float
    cpu_s: float
    memory_mb: float


def main(arguments: Optional[List[str]] = None) -> int:
    """Prints the costs beside their bars; returns 0."""
    parser = argparse.ArgumentParser(prog="python -m bench.cost", description=__doc__)
    parser.add_argument("--rounds", default=5, type=int, metavar="N", help="of all, in turns (default: %(default)s)")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        environment = {name: text for name, text in os.environ.items() if name not in ("CI", "PYTHONDONTWRITEBYTECODE")}
        environment["XDG_CACHE_HOME"] = folder
        for name in (IMPORT, MAIN_COLD, CHECK):
            cost(COMMANDS[name], environment)  # writes bytecode, and what the check finds in the cache
        rounds = [measured(Path(folder), environment) for _ in range(options.rounds)]
    print("\n".join(cost_lines(rounds)))
    return 0


def measured(cache: Path, environment: Mapping[str, str]) -> Dict[str, Cost]:
    """Returns the cost of each command, one behind another."""
    found = {}
    for name, command in COMMANDS.items():
        if name in (MAIN_COLD, EVERY_COLD):
            shutil.rmtree(cache / "golden-latency", ignore_errors=True)
        if name == CHECK:
            cost(command, environment)
        found[name] = cost(command, environment)
    return found


def cost(arguments: Sequence[str], environment: Mapping[str, str]) -> Cost:
    """Returns what a Python with these arguments costs; CalledProcessError if it fails."""
    start_s = time.perf_counter()
    process = subprocess.Popen([sys.executable, *arguments], cwd=ROOT, env=environment, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start_s
    if status != 0:
        raise subprocess.CalledProcessError(status, arguments)
    return Cost(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024 / 1e6)


def cost_lines(rounds: Sequence[Mapping[str, Cost]]) -> Iterator[str]:
    """Yields the medians of all commands, then each ratio, time and memory that has a bar beside it."""
    yield f"medians of {len(rounds)} rounds; load of the machine now {os.getloadavg()[0]:.1f}, cores {os.cpu_count()}"
    for name in COMMANDS:
        seconds, cpu_s, memory_mb = (statistics.median(values) for values in zip(*(found[name] for found in rounds)))
        yield f"{name:<32} {seconds:5.1f} s, CPU {cpu_s:5.1f} s, {memory_mb:4.0f} MB"
    for name, bar in BARS_TIMES_IMPORT.items():
        times = statistics.median(found[name].seconds / found[IMPORT].seconds for found in rounds)
        cpu_times = statistics.median(found[name].cpu_s / found[IMPORT].cpu_s for found in rounds)
        yield beside_bar(f"{name} / {IMPORT}: {times:.2f} (CPU {cpu_times:.2f})", f"<= {bar:g}", times <= bar)
    for name, figure in itertools.product((MAIN_SPACE, MAIN_EQUALS), ("seconds", "memory_mb")):
        times = statistics.median(getattr(found[name], figure) / getattr(found[MAIN_WARM], figure) for found in rounds)
        yield beside_bar(
            f"{name} / bare pytest, {figure}: {times:.2f}", f"<= {BAR_TIMES_BARE:g}", times <= BAR_TIMES_BARE
        )
    for name, bar in BARS_S.items():
        seconds = statistics.median(found[name].seconds for found in rounds)
        yield beside_bar(f"{name}: {seconds:.1f} s", f"<= {bar:g} s", seconds <= bar)
    memory_mb = max(found[MAIN_WARM].memory_mb for found in rounds)
    met = memory_mb <= BAR_WARM_MB
    yield beside_bar(f"{MAIN_WARM}, peak memory: {memory_mb:.0f} MB", f"<= {BAR_WARM_MB:g} MB", met)


if __name__ == "__main__":
    sys.exit(main())
