"""The options of measuring: on what, how often, and whether to keep it; checked before anything runs."""

from __future__ import annotations

from dataclasses import replace
from typing import Callable, Iterator, Optional, Sequence

import pytest

from ..checked import COUNT, checked_option, parsed_whole
from ..commands import calibrate_command
from ..errors import UsageError
from ..goldens.repository import Repository
from ..hardware.boards import Board, find_board
from ..measure.device.choice import Choice, choose_device
from ..measure.engines import refuse_without_builder
from ..measure.protocol import Plan, make_protocol
from ..needed import MEASURING, refuse_missing
from ..runtimes import TENSORRT
from .options import adder, asked, hardware_names, is_parallel, is_updating, setting

_RUNS = {"cuda": 3, "cpu": 1}
_COUNTS = {"runs": 1, "rounds": 1, "warmup": 0}
"""The least of each."""


def add_live_options(parser: pytest.Parser, repository: Repository) -> None:
    """Declares the options of measuring."""
    add = adder(parser, repository)
    add(
        "--device",
        metavar="auto|recorded|cpu|cuda",
        default="auto",
        help="measure on the device, or replay the record (default: auto, measures if the named GPU is here)",
    )
    add("--record", action="store_true", help="write what is measured live as the new baseline")
    add("--runs", metavar="N", help="fresh processes per model (default: 3 on cuda, 1 on cpu)")
    add("--rounds", metavar="N", help="measured forwards per run (default: 100, fewer for slow models)")
    add("--warmup", metavar="N", help="forwards before those (default: 50, fewer for slow models)")
    if repository.has_zoo:
        add("--calibrate", nargs="?", const="all", metavar="PART", help="now a command: python -m estimator calibrate")


def read_plan(config: pytest.Config, repository: Repository) -> Plan:
    """Returns what the options ask for; UsageError for a bad value, or one that cannot go with the others."""
    name = repository.option_name
    boards = [find_board(each) for each in hardware_names(config)]
    _refuse_calibration(asked(config, "calibrate"), boards[0])
    choice = _choice(config, boards, name)
    runs, rounds, warmup = (_count(name(f"--{each}"), asked(config, each), least) for each, least in _COUNTS.items())
    if choice.live:
        refuse_missing("measuring", MEASURING)
        _refuse_runtime(config, boards[0])
    for refusal in _refusals(config, choice, boards[0], name):
        raise UsageError(refusal)
    device = choice.device if choice.live else "cpu"
    return Plan(choice, make_protocol(device, warmup, rounds), runs or _RUNS[device], bool(asked(config, "record")))


def _refuse_runtime(config: pytest.Config, board: Board) -> None:
    if setting(config, "runtime") == TENSORRT and board.device == "cuda":
        refuse_without_builder(setting(config, "precision") or "")


def _choice(config: pytest.Config, boards: Sequence[Board], name: Callable[[str], str]) -> Choice:
    wanted = asked(config, "device")
    chosen = choose_device(wanted, boards[0], name=name) if len(boards) == 1 else _replayed(wanted, boards, name)
    choice = _alone(chosen, wanted, is_parallel(config), name("--device"))
    if choice.live and wanted == "auto" and asked(config, "every_configuration"):
        return Choice("recorded", "--every-configuration holds the records against their goldens")
    return choice


def _replayed(wanted: str, boards: Sequence[Board], name: Callable[[str], str]) -> Choice:
    """Several boards are estimated, and none is measured."""
    names = ", ".join(board.name for board in boards)
    if wanted not in ("auto", "recorded") or not all(board.has_goldens for board in boards):
        several = f"measures one board, and these are several: {names}"
        raise UsageError(f"{name('--device')} {wanted} {several}; add {name('--hardware')} NAME")
    return Choice("recorded", "several boards")


def _refuse_calibration(part: Optional[str], board: Board) -> None:
    """It was an option of pytest until lately."""
    if part is not None:
        command = calibrate_command(board.name, host_alone=part == "host" and board.device == "cuda")
        raise UsageError(f"--calibrate is a command of its own now: {command}")


def _alone(choice: Choice, wanted: str, parallel: bool, device: str) -> Choice:
    if not (choice.live and parallel):
        return choice
    if wanted == "auto":
        return Choice("recorded", f"{choice.why}, but -n cannot share it: leave -n out to measure")
    raise UsageError(
        f"{device} {wanted} cannot be combined with -n: one device, one measurement at a time; "
        f"leave -n out, or replay with {device} recorded"
    )


def _count(option: str, text: Optional[str], least: int) -> Optional[int]:
    bounds = replace(COUNT, lower=least)
    return None if text is None else checked_option(option, lambda: parsed_whole(text, bounds))


def _refusals(config: pytest.Config, choice: Choice, board: Board, name: Callable[[str], str]) -> Iterator[str]:
    """What cannot be done where this session measures, or where it replays."""
    device, record = name("--device"), name("--record")
    if choice.live and is_updating(config):
        yield (
            "--snapshot-update cannot be combined with a live device: goldens hold records; "
            f"{record} first, then {device} recorded --snapshot-update"
        )
    if choice.live and asked(config, "every_configuration"):
        yield "--every-configuration replays records: add --device recorded"
    if not choice.live and asked(config, "record"):
        yield f"{record} needs a live device, and this run replays ({choice.why}): add {device} cuda"
    if not choice.live and not board.has_goldens:
        yield f"{name('--hardware')} {board.name} is only measured: add {device} {board.device}, leave -n out"
