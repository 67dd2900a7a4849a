"""Published figures of kernels and models on many GPUs: what the constants of public GPUs are fitted to."""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, Iterator, Mapping, Tuple

from ..checked import BATCH, LATENCY_US, SHARE, Bounds, Checked, parsed, parsed_whole
from ..errors import CaptureError, LoweringError, RecordError, UsageError
from ..files import read_csv
from ..lower import Lowered, lower
from ..subjects.layers import make_layer
from ..subjects.streams import Streams
from ..subjects.zoo import find_models
from ..target import Target, resolve, tensor_dtype

PATH = Path(__file__).parent / "evidence" / "public-gpus.csv"
KINDS = ("product", "conv", "norm", "pointwise", "model")
_COLUMNS = "hardware thermal_profile precision kind input layers measured_us launch_us spread source".split()
_SIDE = Bounds(1, 2**31, "", "no tensor that fits a device is longer")
_LAUNCH_US = Bounds(0, LATENCY_US.upper, "us", LATENCY_US.why)


@dataclass(frozen=True)
class Figure:
    """One published figure: what ran where, how long its device took, and with which doubt (of the logarithm).

    `launch_us` are of what was measured: the host's, before the kernel of a single op starts.
    """

    target: Target
    kind: str
    measured_us: float
    launch_us: float
    spread: float
    lowered: Tuple[Lowered, ...]

    @property
    def family(self) -> str:
        """Returns the family of its GPU, which is its compute capability."""
        return self.target.profile.compute_capability


def read_figures(path: Path = PATH) -> Iterator[Figure]:
    """Yields the figures of a CSV table; RecordError names file, line and reason."""
    targets: Dict[Tuple[str, ...], Target] = {}
    for number, row in enumerate(read_csv(path), 2):
        table = Checked(path, {str(name): cell for name, cell in row.items()}, f"line {number}")
        table.only(_COLUMNS)
        place = hardware, mode, precision = [table.text(n) for n in ("hardware", "thermal_profile", "precision")]
        try:
            target = targets.setdefault(tuple(place), targets.get(tuple(place)) or resolve(hardware, mode, precision))
            yield _figure(table, target)
        except RecordError:
            raise
        except (UsageError, CaptureError, LoweringError) as error:
            raise table.error(str(error)) from error


def _figure(row: Checked, target: Target) -> Figure:
    kind = row.one_of("kind", KINDS)
    measured_us = row.check("measured_us", row.get("measured_us"), parsed, LATENCY_US)
    launch_us = row.check("launch_us", row.get("launch_us"), parsed, _LAUNCH_US)
    spread = row.check("spread", row.get("spread"), parsed, SHARE)
    if kind == "model":
        batch = row.check("input", row.get("input"), parsed_whole, BATCH)
        (model,) = find_models([row.text("layers")])
        return Figure(target, kind, measured_us, launch_us, spread, lower(Streams().ops(model, batch)))
    shape = tuple(row.check("input", part, parsed_whole, _SIDE) for part in row.text("input").split("x"))
    lowered = _lowered(row.text("layers"), shape, target.precision.name)
    return Figure(target, kind, measured_us, launch_us, spread, lowered)


@functools.lru_cache(maxsize=None)
def _lowered(layers: str, shape: Tuple[int, ...], precision: str) -> Tuple[Lowered, ...]:
    """The lowered ops of layers that are written as JSON, captured on the meta device."""
    import torch

    from ..capture import capture

    try:
        with torch.device("meta"):
            module = torch.nn.Sequential(*(make_layer(*layer) for layer in json.loads(layers))).eval()
            x = torch.empty(shape)
        return lower(capture(module, x, tensor_dtype(precision)))
    except (ValueError, TypeError, AttributeError, RuntimeError) as error:
        raise CaptureError(f"{layers}: {error}") from error


def by_family(figures: Tuple[Figure, ...]) -> Mapping[str, Tuple[int, ...]]:
    """Returns the places of the figures of each family of GPUs."""
    found: Dict[str, Any] = {}
    for place, figure in enumerate(figures):
        found.setdefault(figure.family, []).append(place)
    return {family: tuple(found[family]) for family in sorted(found, key=float)}
