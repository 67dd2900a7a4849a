"""The verdict over goldens that differ: what changed, what that did to what was judged, and how to accept it."""

from __future__ import annotations

from typing import Any, Iterable, Iterator, Mapping, Optional, Sequence

from ..estimates import Estimates
from ..goldens.configuration import Configuration
from ..goldens.difference import Difference
from ..goldens.inputs import golden_inputs, inputs_now
from ..goldens.repository import Repository
from ..hardware.boards import known_hardware
from ..records.kinds import PATTERN_KIND
from .changes import Place
from .review import review_differences
from .verdict import verdict_lines

Goldens = Mapping[Place, Mapping[str, Any]]
"""What goldens keep, by board, configuration and name."""


def golden_verdict_lines(
    repository: Repository,
    goldens: Goldens,
    models: Iterable[str],
    differences: Sequence[Difference],
    command: str,
    estimates: Estimates,
) -> Iterator[str]:
    """Yields the verdict over differences from the goldens that were judged; nothing where nothing changed.

    `models` names those of the goldens that are models; `command` is the one that runs this session again.
    """
    before = {hardware: golden_inputs(repository, hardware) for hardware in repository.boards()}
    boards = dict.fromkeys([*before, *(difference.hardware for difference in differences)])
    now = {hardware: inputs_now(repository, hardware) for hardware in boards if hardware in known_hardware()}
    names = set(models)
    errors_pct = {place: golden.get("error_pct") for place, golden in goldens.items() if place[-1] in names}
    measured = {place: error_pct for place, error_pct in errors_pct.items() if error_pct is not None}
    found = review_differences(differences, (before, now), measured, len(goldens), estimates)
    if not found.is_empty:
        is_new = bool(differences) and not any(difference.before for difference in differences)
        accept = f"{command} --snapshot-update" if is_new else repository.update_command
        yield from verdict_lines(found, accept, f"{command} -v, or once accepted: python -m estimator review")


def goldens_of(configuration: Configuration, judged: Optional[Sequence[str]] = None) -> Goldens:
    """Returns the goldens of a configuration's models and patterns, of the judged ones where those are given."""
    target = configuration.target
    found = {name: golden for goldens in configuration.goldens.values() for name, golden in goldens.items()}
    wanted = [name for name in found if judged is None or name in judged]
    return {(target.hardware, target.label, name): found[name] for name in wanted}


def model_names(configurations: Iterable[Configuration]) -> Iterator[str]:
    """Yields the names of the models that have goldens."""
    for configuration in configurations:
        yield from (name for kind, found in configuration.goldens.items() if kind is not PATTERN_KIND for name in found)
