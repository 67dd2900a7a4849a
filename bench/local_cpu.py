"""`python -m bench.local_cpu`: this machine's CPU calibrated by micro-benchmarks alone, estimates beside latencies.

Twice: end to end, as a user calibrates and then measures (bench.end_to_end), and with chains and models interleaved
(bench.interleaved), ten models outside the suite among them. The tables are printed and, with --output, kept.
"""

from __future__ import annotations

import argparse
import datetime
import json
import math
import platform
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Iterator, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from estimator.calibration.design import CPU, design
from estimator.calibration.from_microbenchmarks import calibrate
from estimator.calibration.microbenchmarks import Microbenchmarks, timed_blocks
from estimator.capture import capture
from estimator.hardware.boards import ThisCpu
from estimator.hardware.profile import Profile
from estimator.hardware.reading import read_profile
from estimator.lower import lower
from estimator.measure.device.environment import cpu_name
from estimator.pipeline import estimate_lowered
from estimator.report.bars import MICROBENCHMARK_BARS, beside_bar
from estimator.report.table import Table, left, right
from estimator.subjects.zoo import MODELS
from estimator.target import calibrated_target

from .end_to_end import Door, go_through
from .interleaved import FILE_NAME, subject

ROOT = Path(__file__).parents[1]
OUTSIDE = (
    "densenet121",
    "convnext_tiny",
    "swin_t",
    "regnet_y_800mf",
    "resnext50_32x4d",
    "shufflenet_v2_x1_0",
    "squeezenet1_1",
    "mnasnet1_0",
    "inception_v3:299",
    "googlenet",
)
MODE = "default"
DOOR_SHARE, DOOR_S = 0.75, 240
"""Of the tries end to end, how many must hold; and how long a newcomer waits for both commands, in seconds."""
INSIDE_PCT, OUTSIDE_PCT = 5.0, 6.0
"""Mean |error| of interleaved rounds, at most: of the suite's models, and of models outside it."""


class Priced(NamedTuple):
    """A model's estimate, the median of its rounds, and how far the rounds are from it."""

    name: str
    est_ms: float
    median_ms: float
    spread_pct: float

    @property
    def error_pct(self) -> float:
        """Returns the error of the estimate in percent."""
        return 100 * (self.est_ms / self.median_ms - 1)


def main(arguments: Optional[List[str]] = None) -> int:
    """Measures, prints the table and the bars, and returns 0."""
    parser = argparse.ArgumentParser(prog="python -m bench.local_cpu", description=__doc__)
    parser.add_argument("--tries", default=4, type=int, metavar="N", help="end to end (default: %(default)s)")
    parser.add_argument("--rounds", default=9, type=int, metavar="N", help="default: %(default)s")
    parser.add_argument("--share", default=1.0, type=float, help="of the micro-benchmarks (default: %(default)s)")
    parser.add_argument("--output", type=Path, metavar="FILE.md", help="keep the table here")
    options = parser.parse_args(arguments)
    doors = [through_the_door() for _ in range(options.tries)]
    with tempfile.TemporaryDirectory() as folder:
        times = measured(options.rounds, options.share, [*(model.name for model in MODELS), *OUTSIDE], Path(folder))
        profile = calibrated(times, options.share, Path(folder))
    inside = [price_model(model.name, profile, times["turns_ms"]) for model in MODELS]
    outside = [price_model(name, profile, times["turns_ms"]) for name in OUTSIDE]
    text = "\n".join(table_lines(profile, doors, inside, outside, options.rounds)) + "\n"
    print(text)
    print("\n".join(bar_lines(doors, inside, outside)))
    if options.output:
        options.output.write_text(text, encoding="utf-8")
    return 0


def through_the_door() -> Door:
    """Returns one try of the two commands, nothing known from any before."""
    with tempfile.TemporaryDirectory() as folder:
        return go_through(Path(folder))


def measured(rounds: int, share: float, names: Sequence[str], folder: Path) -> Mapping[str, Any]:
    """Returns what bench.interleaved measures, in a process of its own."""
    command = [sys.executable, "-m", "bench.interleaved", str(folder), str(rounds), str(share), *names]
    subprocess.run(command, cwd=ROOT, check=True)
    times: Mapping[str, Any] = json.loads((folder / FILE_NAME).read_text(encoding="utf-8"))
    return times


def calibrated(times: Mapping[str, Any], share: float, folder: Path) -> Profile:
    """Returns the profile that the times of the chains give."""
    about = {"board": cpu_name(Path("/")), "software": platform.python_version()}
    about.update(date="", revision="", threads=str(times["threads"]))
    blocks = timed_blocks(design(CPU, share), ("in chain",), times["layers_us"])
    made = calibrate(ThisCpu().base_profile(), Microbenchmarks(about, blocks), MODE, lambda _: None)
    path = folder / f"{ThisCpu.NAME}.toml"
    path.write_text(made.text, encoding="utf-8")
    return read_profile(path)


def price_model(name: str, profile: Profile, turns_ms: Mapping[str, Sequence[float]]) -> Priced:
    """Returns the model's estimate beside its rounds."""
    model = subject(name)
    module = model.build("cpu")  # some cannot be built without data
    lowered = lower(capture(module, model.example_input(1)))
    est_ms = estimate_lowered(lowered, calibrated_target(profile)).latency_ms
    median_ms = statistics.median(turns_ms[model.name])
    spread_pct = statistics.fmean(100 * abs(ms / median_ms - 1) for ms in turns_ms[model.name])
    return Priced(model.name, est_ms, median_ms, spread_pct)


def holds(door: Door) -> bool:
    """Whether a try end to end kept what micro-benchmarks alone promise of a CPU, for every model."""
    bars = MICROBENCHMARK_BARS["cpu"]
    return door.mean_pct <= bars.mean_pct and door.max_pct < bars.max_pct and not door.refused


def bar_lines(doors: Sequence[Door], inside: Sequence[Priced], outside: Sequence[Priced]) -> Iterator[str]:
    """Yields what is reached end to end and interleaved, each beside its bar."""
    if doors:
        bars, kept = MICROBENCHMARK_BARS["cpu"], sum(map(holds, doors))
        wanted = math.ceil(DOOR_SHARE * len(doors))
        words = f"end to end, mean <= {bars.mean_pct:g} % and max < {bars.max_pct:g} %: in {kept} of {len(doors)} tries"
        yield beside_bar(words, f">= {wanted}", kept >= wanted)
        slowest_s = max(door.calibrating_s + door.measuring_s for door in doors)
        yield beside_bar(f"both commands: {slowest_s:.0f} s", f"< {DOOR_S} s", slowest_s < DOOR_S)
    for name, rows, bar_pct in (("the models", inside, INSIDE_PCT), ("models outside", outside, OUTSIDE_PCT)):
        pct = statistics.fmean(abs(row.error_pct) for row in rows)
        yield beside_bar(f"interleaved, {name}, mean |error|: {pct:.1f} %", f"<= {bar_pct:g} %", pct <= bar_pct)


def table_lines(
    profile: Profile, doors: Sequence[Door], inside: Sequence[Priced], outside: Sequence[Priced], rounds: int
) -> Iterator[str]:
    """Yields the document: machine, software, tries end to end, and interleaved models."""
    import torch
    import torchvision

    yield "# A CPU calibrated by micro-benchmarks alone"
    yield ""
    yield "Written by `tox -e bench`. No model was seen by any fit."
    yield ""
    yield f"- machine: {profile.board['description']}, {profile.mode().threads} threads"
    versions = f"torch {torch.__version__}, torchvision {torchvision.__version__}"
    yield f"- software: Python {platform.python_version()}, {versions}"
    yield f"- date: {datetime.date.today().isoformat()}"
    yield "- repeatability: mean |round - median| of a model, the machine's own"
    yield from door_lines(doors)
    yield from (
        "",
        "## Interleaved",
        "",
        f"Chains and models in {rounds} rounds of one process, one calibration for all.",
    )
    titles = f"The {len(inside)} models", f"{len(outside)} models outside the suite"
    for title, rows in zip(titles, (inside, outside)):
        yield from ("", f"### {title}", "", *_priced_table(rows).markdown())


def _priced_table(rows: Sequence[Priced]) -> Table:
    columns = (right("measured (ms)", _one_digit), right("error (%)"), right("repeatability (%)", _one_digit))
    cells: List[Tuple[Any, ...]] = [(row.name, row.median_ms, f"{row.error_pct:+.1f}", row.spread_pct) for row in rows]
    errors, spread_pct = [abs(row.error_pct) for row in rows], statistics.fmean(row.spread_pct for row in rows)
    cells.append(("**mean |error|**", None, f"{statistics.fmean(errors):.1f}, max {max(errors):.1f}", spread_pct))
    return Table((left("model"), *columns), cells)


def _one_digit(value: Optional[float]) -> str:
    return "" if value is None else f"{value:.1f}"


def door_lines(doors: Sequence[Door]) -> Iterator[str]:
    """Yields a row for each try end to end."""
    if not doors:
        return
    text = "`calibrate local-cpu`, then all models, as a user would; each try from nothing."
    yield from ("", "## End to end", "", text, "")
    errors = (right("mean |error| (%)", _one_digit), right("max (%)", _one_digit), left("model"))
    times = (right("calibrating (s)", _seconds), right("measuring (s)", _seconds), left("not measured"))
    rows = [_door_cells(number, door) for number, door in enumerate(doors, 1)]
    yield from Table((right("try"), *errors, right("repeatability (%)", _one_digit), *times), rows).markdown()


def _door_cells(number: int, door: Door) -> Tuple[Any, ...]:
    errors = (door.mean_pct, door.max_pct, door.worst, door.repeatability_pct)
    return number, *errors, door.calibrating_s, door.measuring_s, ", ".join(door.refused) or "-"


def _seconds(value: float) -> str:
    return f"{value:.0f}"


if __name__ == "__main__":
    sys.exit(main())
