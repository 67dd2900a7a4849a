"""What the goldens of a board were made from: every constant, fact and power mode by value."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any, Dict, Iterator, Mapping, Optional, Tuple

from ..checked import Bounds, parsed, parsed_whole
from ..errors import RecordError
from ..hardware.generations import GENERATIONS
from ..hardware.profile import Profile, Quantity
from ..hardware.quantities import BOUND, FACTS, LEAST, MODE_BOUNDS, WATTS, WHOLE
from ..target import calibrated_target
from .repository import ESTIMATES, Repository
from .tables import INPUTS, Row, Table, with_section

NUMBERS = ("constant.", "fact.", "mode.")
"""What the name of an input begins with that estimates are made from."""
INPUT_TITLES: Row = ("Input", "Value", "Unit")
CALIBRATION = "calibration."
"""What the name of an input begins with that says where the constants are from, and how sure they are."""
HELD_OUT = "held_out."
"""What the name of an input begins with that says how well the constants estimate what no fit has seen."""

_WATTS = "watts"
_FIGURES: Mapping[str, Bounds] = {**MODE_BOUNDS["gpu"], _WATTS: WATTS}
"""What a power mode may say; its watts count where they, and not the clocks, keep a board within its power."""


def golden_inputs(repository: Repository, hardware: str) -> Table:
    """Returns what the goldens of a board were made from, no rows where they do not say it; RecordError if damaged."""
    path = repository.estimates_path(hardware)
    table = repository.document(path).get(INPUTS, Table(INPUT_TITLES, {}))
    if table.titles != INPUT_TITLES:
        raise RecordError(f"{path}: section {INPUTS}: columns must be {', '.join(INPUT_TITLES)}; {repository.repair}")
    for name, row in table.rows.items():
        try:
            if name.startswith(NUMBERS):
                _number(name, row[1])
        except ValueError as error:
            raise RecordError(f"{path}: section {INPUTS}, row {name}: {error}; {repository.repair}") from None
    return table


def _number(name: str, text: str) -> float:
    """The value of an input by its name; ValueError where that cannot be one."""
    kind, _, key = name.partition(".")
    figure = key.rpartition(".")[2]
    if kind == "mode" and figure in _FIGURES:
        bounds = _FIGURES[figure]
        return parsed_whole(text, bounds) if figure in WHOLE else parsed(text, bounds)
    if kind == "fact":
        return parsed(text, FACTS[key].bounds if key in FACTS else BOUND)
    return parsed(text, Bounds(LEAST, BOUND.upper))


def check_goldens(repository: Repository) -> None:
    """Reads what every board's goldens were made from, and the op streams; RecordError where one is damaged."""
    for path in sorted(repository.folder.glob(f"*/{ESTIMATES}.md")):
        golden_inputs(repository, path.parent.name)
    for stream_label in repository.document(repository.streams_path):
        repository.streams(stream_label)


def inputs_now(repository: Repository, hardware: str) -> Table:
    """Returns what they would be made from now."""
    profile = repository.profile(hardware)
    if profile.transferred_from:
        return inputs_table(profile, {})  # its constants were never held against this board
    folder = repository.configuration_folder(calibrated_target(profile))
    return inputs_table(profile, repository.held_out_means_pct(folder))


def write_inputs(repository: Repository, hardware: str) -> None:
    """Writes what the goldens of a board are made from now into its tables."""
    path = repository.estimates_path(hardware)
    document = with_section(repository.document(path), INPUTS, inputs_now(repository, hardware))
    repository.write(path, repository.document_text(path, document))


def inputs_table(profile: Profile, held_out_means_pct: Mapping[str, float]) -> Table:
    """Returns every constant and fact that the estimates of a board are made from, by value.

    `held_out_means_pct` is what cross-validation says of the constants, mean |error| by its kind; empty where they
    were not cross-validated on this board.
    """
    held_out = ((f"{HELD_OUT}{kind}", f"{pct!r}", "% mean error") for kind, pct in held_out_means_pct.items())
    return Table(INPUT_TITLES, {row[0]: row for row in (*_inputs(profile), *held_out)})


def with_inputs(profile: Profile, inputs: Mapping[str, Optional[str]]) -> Profile:
    """Returns the profile with the constants, facts and power modes that `inputs` gives by name as text.

    None takes an optional fact, or a mode's watts, away. What cannot be set is left as it is: see `can_be_set`.
    """
    constants, facts, modes = dict(profile.constants), dict(profile.facts), dict(profile.modes)
    for name, text in inputs.items():
        kind, _, key = name.partition(".")
        if not can_be_set(profile, name, text):
            continue
        if kind == "constant":
            constants[key] = replace(constants[key], value=_number(name, str(text)))
        elif kind == "fact" and text is None:
            facts.pop(key, None)
        elif kind == "fact":
            facts[key] = _fact(profile, key, _number(name, str(text)))
        else:
            mode, _, figure = key.rpartition(".")
            figures: Dict[str, Any] = {figure: None if text is None else _number(name, text)}
            modes[mode] = replace(modes[mode], **figures)
    return replace(profile, constants=constants, facts=facts, modes=modes)


def can_be_set(profile: Profile, name: str, text: Optional[str]) -> bool:
    """Whether this code can estimate with the input at that value, None being without it.

    It cannot where it does not know the input, or needs it: then the input came or went together with code.
    """
    kind, _, key = name.partition(".")
    if kind == "fact":
        return key in FACTS and (text is not None or FACTS[key].default is not None)
    if kind == "constant":
        return key in profile.constants and text is not None
    mode, _, figure = key.rpartition(".")
    is_known = kind == "mode" and mode in profile.modes and figure in _FIGURES
    return is_known and (text is not None or figure == _WATTS)


def optional_inputs(profile: Profile) -> Iterator[str]:
    """Yields what may be missing from inputs: then the goldens were made without it."""
    yield from (f"fact.{name}" for name in profile.facts)
    yield from (f"mode.{name}.{_WATTS}" for name in profile.modes)


def _fact(profile: Profile, name: str, value: float) -> Quantity:
    if name in profile.facts:
        return replace(profile.facts[name], value=value)
    bounds = FACTS[name].bounds
    return Quantity(name, value, bounds.unit, "inputs of goldens", bounds.lower, bounds.upper)


def _inputs(profile: Profile) -> Iterator[Tuple[str, str, str]]:
    yield f"{CALIBRATION}constants_of", profile.constants_of, "board"
    yield f"{CALIBRATION}power_mode", profile.calibrated_mode, "mode"
    yield f"{CALIBRATION}held_out_spread", f"{profile.held_out_spread_pct!r}", "%"
    yield f"{CALIBRATION}covariance", hashlib.sha256(repr(profile.covariance).encode()).hexdigest()[:12], "digest"
    for kind, pct in profile.spreads_pct.items():
        yield f"{CALIBRATION}spread.{kind}", f"{pct!r}", "%"
    for name, constant in profile.constants.items():
        yield f"constant.{name}", _text(constant.value), constant.unit
    for name, fact in profile.facts.items():
        yield f"fact.{name}", _text(fact.value), fact.unit
    generation = GENERATIONS.get(profile.compute_capability)
    may_slow_down = generation is not None and bool(generation.process)
    for mode in profile.modes.values():
        for key, bounds in _FIGURES.items():
            if key != _WATTS or (may_slow_down and mode.watts is not None):
                yield f"mode.{mode.name}.{key}", _text(getattr(mode, key)), bounds.unit


def _text(value: float) -> str:
    """Twelve digits: what is derived from other figures ends in the rounding of binary fractions."""
    return repr(value if isinstance(value, int) else float(f"{value:.12g}"))
