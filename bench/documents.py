"""`python -m bench.documents`: writes what documents and the README's plot say of goldens and estimates.

With --coverage also docs/coverage.md, which says what is estimated of other people's models. Only what stands between
the markers of a document is written. A test fails where it is not what the goldens say.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path
from typing import Callable, Dict, Iterable, List, Mapping, Optional

from estimator.cost import recurrence
from estimator.errors import GoldenLatencyError, RecordError, one_line
from estimator.estimate_text import estimate_lines
from estimator.estimates import Estimates
from estimator.explain.dispatch_free import KERNEL, REPLAY
from estimator.files import read_text, write_atomically
from estimator.hardware.boards import DEFAULT_HARDWARE, load_profile
from estimator.needed import refuse_missing
from estimator.report.html import NEEDED
from estimator.runtimes import TENSORRT, tensorrt_constants
from estimator.subjects.zoo import find_models
from estimator.target import Target, resolve

from . import accuracy, coverage, elsewhere, language_models
from .cost import ROOT
from .parity import PARITY, parity_svg

COMMAND = "python -m bench.documents"
EXAMPLE_MODEL, EXAMPLE_BOARD = "resnet50", "Jetson-Orin-Nano-8GB"
"""What docs/options.md estimates as an example; docs/deploying.md the same model as an engine."""
H200 = Path(__file__).with_name("nvidia_h200.csv")
"""Latencies of the 22 models on a data-centre GPU, which no constant was fitted to."""
_BLOCK = re.compile(r"(<!-- begin (?P<name>[a-z-]+): [^\n]*-->\n).*?(<!-- end (?P=name) -->)", re.DOTALL)
Writer = Callable[[Path], Iterable[str]]


def _estimate(target: Target) -> Iterable[str]:
    model = find_models([EXAMPLE_MODEL])[0]
    return ("```text", *estimate_lines(model.name, target, Estimates().estimate(model, target)), "```")


DOCUMENTS: Mapping[str, Mapping[str, Writer]] = {
    "README.md": {"table": lambda root: accuracy.example_table(accuracy.measured(root), ("resnet18", "vgg11"))},
    "docs/method.md": {
        "constants": lambda _: accuracy.constants_table(load_profile(DEFAULT_HARDWARE).constants.values()),
        "graph": lambda _: accuracy.constants_table((REPLAY, KERNEL)),
        "engine": lambda _: accuracy.constants_table(tensorrt_constants().constants.values()),
        "library": lambda _: accuracy.constants_table(recurrence.CONSTANTS),
        "facts": lambda _: accuracy.facts_table(),
    },
    "docs/accuracy.md": {
        "families": lambda root: accuracy.family_table(accuracy.measured(root)),
        "configurations": accuracy.configuration_table,
        "evidence": accuracy.evidence_line,
        "left-out": lambda root: accuracy.left_out_table(accuracy.measured(root)),
        "uncertainty": lambda _: accuracy.uncertainty_table(),
        "data-centre": lambda _: elsewhere.batch_table(elsewhere.read_latencies(H200)),
    },
    "docs/language-models.md": {"steps": lambda _: language_models.steps_table()},
    "docs/new-device.md": {"facts": lambda _: accuracy.known_facts_table()},
    "docs/options.md": {"estimate": lambda _: _estimate(resolve(EXAMPLE_BOARD))},
    "docs/deploying.md": {"engine": lambda _: _estimate(resolve(DEFAULT_HARDWARE, "30W", "fp16", runtime=TENSORRT))},
}
"""By document: what writes each of its blocks, given the root of the repository."""
COVERAGE: Mapping[str, Mapping[str, Writer]] = {
    "docs/coverage.md": {
        "torchvision": lambda _: coverage.torchvision_table(),
        "timm": lambda _: coverage.timm_table(),
        "others": lambda _: coverage.architectures_table(),
    },
}
"""What takes minutes and needs the libraries that have the models: written with --coverage alone."""


def main(arguments: Optional[List[str]] = None) -> int:
    """Writes the documents and the plot; returns 0, or with --check 1 where one of them is not what it should be.

    4 where what draws the plot is not installed, or a file cannot be read or written.
    """
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if a document is stale")
    parser.add_argument("--coverage", action="store_true", help="write docs/coverage.md as well")
    options = parser.parse_args(arguments)
    try:
        refuse_missing(COMMAND, NEEDED)
        return _written(options)
    except (GoldenLatencyError, OSError) as error:
        print(f"error: {one_line(error)}", file=sys.stderr)
        return 4


def _written(options: argparse.Namespace) -> int:
    names = [*DOCUMENTS, *(COVERAGE if options.coverage else ())]
    texts = {**{ROOT / name: document_text(ROOT, name) for name in names}, ROOT / PARITY: parity_svg(ROOT)}
    stale = [path for path, text in texts.items() if not path.exists() or read_text(path) != text]
    for path in stale:
        if not options.check:
            write_atomically(path, texts[path])
        print(f"{'stale' if options.check else 'written'}: {path.relative_to(ROOT)}")
    return 1 if stale and options.check else 0


def document_text(root: Path, name: str) -> str:
    """Returns the document with its blocks written anew; RecordError where it lacks one of them."""
    writers = {**DOCUMENTS, **COVERAGE}[name]
    found: Dict[str, None] = {}

    def written(match: re.Match[str]) -> str:
        found[match["name"]] = None
        return match[1] + "\n".join(writers[match["name"]](root)) + "\n" + match[3]

    text = _BLOCK.sub(written, read_text(root / name))
    missing = [block for block in writers if block not in found]
    if missing:
        raise RecordError(f"{name}: no block {missing[0]!r}; it begins with <!-- begin {missing[0]}: ... -->")
    return text


if __name__ == "__main__":
    sys.exit(main())
