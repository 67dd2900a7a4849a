"""The options of measuring: on what, how often, and whether to keep it; checked before anything runs."""

from __future__ import annotations

from dataclasses import replace
from typing import Optional, Sequence

import pytest

from ..checked import COUNT, Bounds, checked_option, parsed, parsed_whole
from ..errors import UsageError
from ..hardware.boards import Board, find_board
from ..measure.device.choice import Choice, choose_device
from ..measure.plan import Plan
from ..measure.protocol import make_protocol
from ..needed import CALIBRATION, MEASURING, refuse_missing
from .options import hardware_names, is_updating, setting

ALL, HOST = "all", "host"
"""Whose constants `--calibrate` fits."""
_SHARE = Bounds(1e-3, 1, "", "a share of the micro-benchmarks: fewer than one is none")
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
    group.addoption(
        "--calibrate",
        metavar="all|host",
        nargs="?",
        const=ALL,
        help="measure micro-benchmarks on the device and write its profile: all constants, or those of the host alone",
    )
    group.addoption(
        "--calibration-share",
        metavar="SHARE",
        default="1",
        help="measure only this share of the micro-benchmarks: quicker, less sure (default: %(default)s)",
    )


def read_plan(config: pytest.Config) -> Plan:
    """Returns what the options ask for; UsageError for a bad value, or one that cannot go with the others."""
    option = config.getoption
    board, *others = map(find_board, hardware_names(config))
    _refuse_parts(option("calibrate"), board)
    chosen = choose_device(option("device"), board) if not others else _replayed(option("device"), [board, *others])
    choice = _alone(chosen, option("device"), _is_parallel(config))
    if choice.live and option("device") == "auto" and option("every_configuration"):
        choice = Choice("recorded", "--every-configuration holds the records against their goldens")
    counts = {name: _count(name, option(name)) for name in ("runs", "rounds", "warmup")}
    if choice.live:
        refuse_missing("measuring", MEASURING)
        _refuse_together(config)
    _refuse_replayed(config, choice, board)
    device = choice.device if choice.live else "cpu"
    protocol = make_protocol(device, counts["warmup"], counts["rounds"])
    share = _share(option("calibration_share")) if option("calibrate") else 0.0
    runs = counts["runs"] or _RUNS[device]
    return Plan(choice, protocol, runs, option("record"), share, host_alone=option("calibrate") == HOST)


def _replayed(wanted: str, boards: Sequence[Board]) -> Choice:
    """Several boards are estimated, and none is measured."""
    names = ", ".join(board.name for board in boards)
    if wanted not in ("auto", "recorded") or not all(board.can_replay for board in boards):
        raise UsageError(f"--device {wanted} measures one board, and these are several: {names}; add --hardware NAME")
    return Choice("recorded", "several boards")


def _refuse_parts(part: Optional[str], board: Board) -> None:
    if part not in (None, ALL, HOST):
        raise UsageError(f"--calibrate {part}: must be {ALL} or {HOST}; alone it is {ALL}, and paths go before it")
    if part == HOST and not board.host_is_apart:
        raise UsageError(
            f"--calibrate {HOST}: on {board.name} host and device are one processor with one clock, and no constant "
            f"is the host's alone: {board.calibrate_command}"
        )


def _is_parallel(config: pytest.Config) -> bool:
    option = config.getoption
    parallel = bool(option("numprocesses", default=None)) or option("dist", default="no") != "no"
    return parallel or hasattr(config, "workerinput")


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


def _share(text: str) -> float:
    return checked_option("--calibration-share", lambda: parsed(text, _SHARE))


def _refuse_replayed(config: pytest.Config, choice: Choice, board: Board) -> None:
    if choice.live:
        return
    for name in ("record", "calibrate"):
        if config.getoption(name):
            raise UsageError(f"--{name} needs a live device, and this run replays ({choice.why}): add --device cuda")
    if not board.can_replay:
        raise UsageError(f"--hardware {board.name} is only measured: add --device {board.device}, leave -n out")


def _refuse_together(config: pytest.Config) -> None:
    if is_updating(config):
        raise UsageError(
            "--snapshot-update cannot be combined with a live device: goldens hold records; "
            "--record first, then --device recorded --snapshot-update"
        )
    if config.getoption("every_configuration"):
        raise UsageError("--every-configuration replays records: add --device recorded")
    if config.getoption("calibrate"):
        _refuse_with_calibration(config)


def _refuse_with_calibration(config: pytest.Config) -> None:
    refuse_missing("--calibrate", CALIBRATION)
    if config.getoption("record"):
        raise UsageError("--calibrate cannot be combined with --record: calibrate first, then record")
    for option, default in (("precision", "fp32"), ("batch_size", "1")):
        if setting(config, option) != default:
            name = option.replace("_", "-")
            raise UsageError(f"--calibrate measures at --{name} {default}: leave --{name} out")
