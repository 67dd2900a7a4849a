"""Measured micro-benchmarks: one JSON file per configuration, kept so that a refit needs no device."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Iterator, List, Mapping, Optional, Sequence, Tuple

from ..checked import COUNT, LATENCY_MS, LATENCY_US, SIZE, Checked, whole
from ..commands import calibrate_command
from ..errors import one_line_with_type
from ..figures import significant
from ..files import read_json, write_atomically
from ..lower import Lowered
from ..measure.chain_times import WAYS
from ..subjects.chains import Block, Chain, checked_layer, lower_layers
from .evidence import DEVICE, HOST, MICROBENCHMARKS, PASS, Evidence

FILE_NAME = "microbenchmarks.json"
_KEYS = ("provenance", "reference_ms", "blocks")
_FORMER_KEY = "queue"
_SPREAD = 0.12
"""Relative: how well a layer's time is known, apart from what ran before it and after it."""
_FLOOR_SHARE, _FLOOR_US = 0.5, 8.0
"""Of a CPU's fastest layer of nothing but dispatch, and in us where none was measured: the spread's floor."""
_FLOORS_US = {HOST: _FLOOR_US, DEVICE: 1.0}
"""Of a GPU's blocks: a call from Python, and the resolution of two events."""
_TINY = "tiny"


@dataclass(frozen=True)
class TimedBlock:
    """A block of a chain and its us: of each layer "in chain", or of all its layers those of "host" and "device"."""

    chain: int
    block: Block
    us: Mapping[str, Tuple[float, ...]]


@dataclass(frozen=True)
class Microbenchmarks:
    """What was measured on a device, where and with what.

    `reference_ms` is what the reference workload took on a CPU meanwhile, None where it was not measured.
    """

    provenance: Mapping[str, str]
    blocks: Tuple[TimedBlock, ...]
    reference_ms: Optional[float] = None


def timed_blocks(chains: Sequence[Chain], ways: Sequence[str], layers_us: Any) -> Tuple[TimedBlock, ...]:
    """Returns each block with its times, `layers_us` being us by chain, block, way and layer; kept to four digits."""
    return tuple(
        TimedBlock(index, block, {way: tuple(map(significant, us)) for way, us in zip(ways, layers_us[index][place])})
        for index, chain in enumerate(chains)
        for place, block in enumerate(chain)
    )


def write_microbenchmarks(path: Path, found: Microbenchmarks) -> None:
    """Writes the file atomically: a line per block."""
    about = {"provenance": dict(found.provenance), "reference_ms": found.reference_ms}
    head = json.dumps(about, indent=1, ensure_ascii=False)[:-2]
    blocks = [{"chain": b.chain, **asdict(b.block), "us": dict(b.us)} for b in found.blocks]
    rows = ",\n".join("  " + json.dumps(block) for block in blocks)
    write_atomically(path, f'{head},\n "blocks": [\n{rows}\n ]\n}}\n')


def load_microbenchmarks(path: Path) -> Microbenchmarks:
    """Returns what the file holds; RecordError names the file and what is wrong with it."""
    repair = f"to measure anew: {calibrate_command(path.parents[1].name)}"  # the board's folder, as that of records
    data = Checked(path, read_json(path, repair), repair=repair)
    if data.has(_FORMER_KEY):
        raise data.error("times of single layers, as an earlier version measured them", _FORMER_KEY)
    data.only(_KEYS)
    provenance = data.table("provenance")
    blocks = tuple(_timed_block(data.part(f"blocks[{i}]", row)) for i, row in enumerate(data.items("blocks")))
    if not blocks:
        raise data.error("there are none", "blocks")
    return Microbenchmarks(
        {key: provenance.text(key) for key in (*provenance.content, "software")},
        blocks,
        data.number("reference_ms", LATENCY_MS) if data.content.get("reference_ms") is not None else None,
    )


def _timed_block(row: Checked) -> TimedBlock:
    row.only(("chain", *Block.__dataclass_fields__, "us"), needed=True)
    shape = tuple(row.check(f"input_shape[{i}]", size, whole, SIZE) for i, size in enumerate(row.items("input_shape")))
    layers = tuple(row.check(f"layers[{i}]", layer, checked_layer) for i, layer in enumerate(row.items("layers")))
    block = Block(row.text("group"), shape, layers)
    try:
        lower_layers(block)
    except Exception as error:  # whatever torch says of layers that do not fit together
        raise row.error(f"cannot be built: {one_line_with_type(error)}", "layers") from error
    times = row.table("us")
    times.only([way for ways in WAYS.values() for way in ways])
    return TimedBlock(
        row.whole("chain", COUNT),
        block,
        {way: times.numbers(way, LATENCY_US, _count(way, block)) for way in times.content},
    )


def _count(way: str, block: Block) -> int:
    return 1 if way in (HOST, DEVICE) else len(block.layers)


def as_evidence(found: Microbenchmarks) -> List[Evidence]:
    """Returns a piece of evidence per layer of a CPU, or per block for a GPU's host and one for the device.

    Those of one chain are a family, left out together.
    """
    evidence, floor_us = [], _floor_us(found)
    for place, timed in enumerate(found.blocks):
        group, chain = timed.block.group, f"chain {timed.chain}"
        for name, way, us, ops in _pieces(timed):
            parts = 1 if way not in _FLOORS_US else len(timed.block.layers)
            spread = micro_benchmark_spread(us, parts, _FLOORS_US.get(way, floor_us))
            part = way if way in _FLOORS_US else PASS
            about = (f"{group} {place}, {name}, {way}", group, chain, us, spread)
            evidence.append(Evidence(*about, ops, part, MICROBENCHMARKS))
    return evidence


def _pieces(timed: TimedBlock) -> Iterator[Tuple[str, str, float, Tuple[Lowered, ...]]]:
    """What each time is of, the way it was timed, its us, and its ops; a device without a kernel tells nothing."""
    layers = lower_layers(timed.block)
    whole = sum(layers, ())
    for way, times_us in timed.us.items():
        if way not in _FLOORS_US:
            yield from ((layer[0], way, us, ops) for layer, us, ops in zip(timed.block.layers, times_us, layers))
        elif way == HOST or any(op.kernels for op in whole):
            yield "block", way, times_us[0], whole


def micro_benchmark_spread(us: float, layers: int = 1, floor_us: float = _FLOOR_US) -> float:
    """Returns how well a time of so many us is known, relative; that of several layers is one of independent parts.

    `floor_us` is what a clock and a call add to any time.
    """
    return math.hypot(_SPREAD / math.sqrt(layers), floor_us / us)


def _floor_us(found: Microbenchmarks) -> float:
    tiny = (timed.us.values() for timed in found.blocks if timed.block.group == _TINY)
    fastest_us = min((us for ways in tiny for layers in ways for us in layers), default=None)
    return _FLOOR_US if fastest_us is None else _FLOOR_SHARE * fastest_us
