"""The options of measuring: on what, how often, and whether to keep it; checked before anything runs."""

from __future__ import annotations

from dataclasses import replace
from typing import Iterator, Optional, Sequence

import pytest

from ..checked import COUNT, checked_option, parsed_whole
from ..commands import calibrate_command
from ..errors import UsageError
from ..hardware.boards import Board, find_board
from ..measure.device.choice import Choice, choose_device
from ..measure.protocol import Plan, make_protocol
from ..needed import MEASURING, refuse_missing
from .options import hardware_names, is_parallel, is_updating

_RUNS = {"cuda": 3, "cpu": 1}


def add_live_options(parser: pytest.Parser) -> None:
    """Declares the options of measuring."""
    group = parser.getgroup("golden-latency")
    group.addoption(
        "--device",
        metavar="auto|recorded|cpu|cuda",
        default="auto",
        help="measure on the device, or replay the record (default: auto, measures if the named GPU is here)",
    )
    group.addoption("--record", action="store_true", help="write what is measured live as the new baseline")
    group.addoption("--runs", metavar="N", help="fresh processes per model (default: 3 on cuda, 1 on cpu)")
    group.addoption("--rounds", metavar="N", help="measured forwards per run (default: 100, fewer for slow models)")
    group.addoption("--warmup", metavar="N", help="forwards before those (default: 50, fewer for slow models)")
    group.addoption("--calibrate", nargs="?", const="all", help="now a command: python -m estimator calibrate")


def read_plan(config: pytest.Config) -> Plan:
    """Returns what the options ask for; UsageError for a bad value, or one that cannot go with the others."""
    option = config.getoption
    board, *others = map(find_board, hardware_names(config))
    _refuse_calibration(option("calibrate"), board)
    chosen = choose_device(option("device"), board) if not others else _replayed(option("device"), [board, *others])
    choice = _alone(chosen, option("device"), is_parallel(config))
    if choice.live and option("device") == "auto" and option("every_configuration"):
        choice = Choice("recorded", "--every-configuration holds the records against their goldens")
    counts = {name: _count(name, option(name)) for name in ("runs", "rounds", "warmup")}
    if choice.live:
        refuse_missing("measuring", MEASURING)
    for refusal in _refusals(config, choice, board):
        raise UsageError(refusal)
    device = choice.device if choice.live else "cpu"
    protocol = make_protocol(device, counts["warmup"], counts["rounds"])
    return Plan(choice, protocol, counts["runs"] or _RUNS[device], option("record"))


def _replayed(wanted: str, boards: Sequence[Board]) -> Choice:
    """Several boards are estimated, and none is measured."""
    names = ", ".join(board.name for board in boards)
    if wanted not in ("auto", "recorded") or not all(board.has_goldens for board in boards):
        raise UsageError(f"--device {wanted} measures one board, and these are several: {names}; add --hardware NAME")
    return Choice("recorded", "several boards")


def _refuse_calibration(part: Optional[str], board: Board) -> None:
    """It was an option of pytest until lately."""
    if part is not None:
        command = calibrate_command(board.name, host_alone=part == "host" and board.device == "cuda")
        raise UsageError(f"--calibrate is a command of its own now: {command}")


def _alone(choice: Choice, wanted: str, parallel: bool) -> Choice:
    if not (choice.live and parallel):
        return choice
    if wanted == "auto":
        return Choice("recorded", f"{choice.why}, but -n cannot share it: leave -n out to measure")
    raise UsageError(
        f"--device {wanted} cannot be combined with -n: one device, one measurement at a time; "
        "leave -n out, or replay with --device recorded"
    )


def _count(name: str, text: Optional[str]) -> Optional[int]:
    bounds = COUNT if name == "warmup" else replace(COUNT, lower=1)
    return None if text is None else checked_option(f"--{name}", lambda: parsed_whole(text, bounds))


def _refusals(config: pytest.Config, choice: Choice, board: Board) -> Iterator[str]:
    """What cannot be done where this session measures, or where it replays."""
    if choice.live and is_updating(config):
        yield (
            "--snapshot-update cannot be combined with a live device: goldens hold records; "
            "--record first, then --device recorded --snapshot-update"
        )
    if choice.live and config.getoption("every_configuration"):
        yield "--every-configuration replays records: add --device recorded"
    if not choice.live and config.getoption("record"):
        yield f"--record needs a live device, and this run replays ({choice.why}): add --device cuda"
    if not choice.live and not board.has_goldens:
        yield f"--hardware {board.name} is only measured: add --device {board.device}, leave -n out"
