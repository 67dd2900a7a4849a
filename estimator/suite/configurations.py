"""Every configuration that has goldens in one run, and power modes side by side."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Dict, Iterator, List, Sequence

import pytest

from ..configuration import Configuration
from ..files import write_atomically
from ..subjects.zoo import MODELS, ZooModel
from .checks import Golden, ValidationReport
from .goldens import GoldenExtension, golden_data
from .options import settings_of
from .results import Result, validate


class ConfigurationGoldens:
    """Holds all models of any configuration against its goldens and its validation table."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config

    def check(self, configuration: Configuration) -> None:
        """Fails with all differences of the configuration; `--snapshot-update` rewrites its goldens instead."""
        __tracebackhide__ = True
        settings = settings_of(self._config, configuration)
        measured = settings.measurements.median_ms
        results = [validate(model, configuration, measured(model.name)) for model in MODELS]
        if settings.updating:
            for result in results:
                _rewrite(result, settings.kind.golden_path(settings.folder, result.comparison.model))
        else:
            golden = Golden(settings, None, self._config.rootpath)
            problems = [line for result in results for line in golden.problems(result)]
            if problems:
                pytest.fail("\n".join(problems), pytrace=False)
        ValidationReport(settings, self._config.rootpath).check(results)


def _rewrite(result: Result, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, str(GoldenExtension().serialize(golden_data(result))))


def mode_lines(models: Sequence[ZooModel], configuration: Configuration, modes: Sequence[str]) -> Iterator[str]:
    """Yields the table of models x power modes in ms, the fastest mode marked, and the surprises below.

    A surprise is a mode with fewer watts that is faster: host-bound models follow the clock of the CPU.
    """
    table = {model.name: _latencies_ms(model, configuration, modes) for model in models}
    yield f"  {'Est (ms) by power mode':<24}" + "".join(f"{mode:>12}" for mode in modes)
    yield "  " + "-" * (24 + 12 * len(modes))
    for name, latencies_ms in table.items():
        best = min(latencies_ms.values())
        cells = (f"{ms:.2f}{'*' if ms == best else ' '}" for ms in latencies_ms.values())
        yield f"    {name:<22}" + "".join(f"{cell:>12}" for cell in cells)
    yield "  * fastest"
    yield from _surprises(table, configuration.hardware, modes)


def _latencies_ms(model: ZooModel, configuration: Configuration, modes: Sequence[str]) -> Dict[str, float]:
    cases = {mode: replace(configuration, thermal_profile=mode) for mode in modes}
    return {mode: float(validate(model, case, None).comparison.est_ms or 0.0) for mode, case in cases.items()}


def _surprises(table: Dict[str, Dict[str, float]], hardware: str, modes: Sequence[str]) -> Iterator[str]:
    from ..hardware.profile import load_profile

    watts = {mode: load_profile(hardware).mode(mode).watts or float("inf") for mode in modes}
    for low, high in ((a, b) for a in modes for b in modes if watts[a] < watts[b]):
        faster: List[str] = [name for name, ms in table.items() if ms[low] < ms[high]]
        if faster:
            yield f"  {low} is faster than {high} for {len(faster)} of {len(table)} models: {', '.join(faster)}"
