"""Chains and models measured in rounds in one process, so that a machine's slow minutes fall on both.

    python -m bench.interleaved FOLDER ROUNDS SHARE MODEL[:PIXELS]...

Writes FOLDER/times.json: us of each layer of the chains, ms of each model by round, typical both.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any, Dict, List, Sequence, Tuple

from estimator.measure.protocol import typical
from estimator.measure.worker import keep_memory
from estimator.subjects.zoo import ZooModel

CHAINS_S, MODEL_S, LEAST_ROUNDS, MOST_ROUNDS = 6.0, 0.5, 3, 25
FILE_NAME = "times.json"
SamplesUs = Dict[Tuple[int, int, int], List[float]]


def main(folder: str, rounds: str, share: str, *names: str) -> None:
    """Measures and writes the file."""
    keep_memory()
    times = measure(int(rounds), float(share), names)
    Path(folder, FILE_NAME).write_text(json.dumps(times), encoding="utf-8")


def measure(rounds: int, share: float, names: Sequence[str]) -> Dict[str, Any]:
    """Returns the times of chains and models, and the threads that they had."""
    import torch

    from estimator.calibration.design import CPU, design
    from estimator.measure.build import build_model, make_input
    from estimator.measure.built_blocks import build_block

    chains = design(CPU, share)
    built = [[build_block(block, "cpu") for block in chain] for chain in chains]
    subjects = [subject(name) for name in names]
    models = [(s.name, build_model(s, "cpu"), make_input(s, 1, "cpu")) for s in subjects]
    samples_us: SamplesUs = {}
    turns_ms: Dict[str, List[float]] = {s.name: [] for s in subjects}
    with torch.no_grad():
        for _ in range(rounds):
            time_chains(built, samples_us, CHAINS_S * share)
            for name, model, x in models:
                turns_ms[name].append(slice_ms(model, x))
    layers_us = [
        [[[typical(samples_us[c, b, i]) for i in range(len(block.layers))]] for b, block in enumerate(chain)]
        for c, chain in enumerate(chains)
    ]
    return {"layers_us": layers_us, "turns_ms": turns_ms, "threads": torch.get_num_threads()}


def subject(name: str) -> ZooModel:
    """Returns the model of torchvision by "name" or "name:pixels", whether it is one of the suite or not."""
    from estimator.missing_operators import declare_missing_operators
    from estimator.subjects.zoo import MODELS

    declare_missing_operators()
    name, _, pixels = name.partition(":")
    known = [model for model in MODELS if model.name == name]
    return known[0] if known else ZooModel(name, "outside", int(pixels or 224))


def time_chains(built: Sequence[Any], samples_us: SamplesUs, budget_s: float) -> None:
    """Adds the us of each layer by chain, block and layer; passes over all chains until the budget is used."""
    from estimator.measure.built_blocks import run_chain

    start_s, passes = time.perf_counter(), 0
    while passes == 0 or time.perf_counter() - start_s < budget_s:
        for index, chain in enumerate(built):
            run_chain(chain)
            for block, layer, us in run_chain(chain):
                samples_us.setdefault((index, block, layer), []).append(us)
        passes += 1


def slice_ms(model: Any, x: Any) -> float:
    """Returns the typical ms of a few forwards, after one to warm up."""
    model(x)
    samples_ms: List[float] = []
    start_s = time.perf_counter()
    while len(samples_ms) < LEAST_ROUNDS or (len(samples_ms) < MOST_ROUNDS and time.perf_counter() - start_s < MODEL_S):
        before_s = time.perf_counter()
        model(x)
        samples_ms.append(1e3 * (time.perf_counter() - before_s))
    return typical(samples_ms)


if __name__ == "__main__":
    main(*sys.argv[1:])
