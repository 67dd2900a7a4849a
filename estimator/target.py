"""What is estimated, resolved once: a board in one power mode, at one precision and batch."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Mapping, Optional

from .checked import BATCH, checked_option, shown, whole
from .errors import RecordError, UsageError
from .hardware.boards import DEFAULT_HARDWARE, Board, find_board
from .hardware.profile import PowerMode, Profile

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Precision:
    """Type of weights and activations, and the arithmetic ("fp32", "tf32", "fp16", "bf16") of the two heavy kinds."""

    name: str
    tensors: str
    products: str
    convolutions: str


PRECISIONS: Mapping[str, Precision] = {
    p.name: p
    for p in (
        # PyTorch's defaults: torch.backends.cudnn.allow_tf32 is on, torch.backends.cuda.matmul.allow_tf32 is off
        Precision("fp32", "float32", products="fp32", convolutions="tf32"),
        Precision("tf32", "float32", products="tf32", convolutions="tf32"),
        Precision("fp16", "float16", products="fp16", convolutions="fp16"),
        Precision("bf16", "bfloat16", products="bf16", convolutions="bf16"),
    )
}


def find_precision(name: str) -> Precision:
    """Returns the precision of that name; UsageError names the known ones."""
    if name not in PRECISIONS:
        raise UsageError(f"unknown precision {shown(name)}; known precisions: {', '.join(PRECISIONS)}")
    return PRECISIONS[name]


def tensor_dtype(name: str) -> Optional[torch.dtype]:
    """Returns the dtype that `model.half()` or `.bfloat16()` would give, None where the model stays as it is."""
    import torch

    tensors = find_precision(name).tensors
    return None if tensors == "float32" else getattr(torch, tensors)


@dataclass(frozen=True)
class Target:
    """A board with its profile, one of its power modes, a precision and a batch.

    `same_software` says whether the estimate is for the software that the profile was calibrated with; None where no
    machine was asked.
    """

    board: Board
    profile: Profile
    mode: PowerMode
    precision: Precision = PRECISIONS["fp32"]
    batch_size: int = 1
    same_software: Optional[bool] = None

    @property
    def hardware(self) -> str:
        """Returns the name of the board."""
        return self.board.name

    @property
    def label(self) -> str:
        """Returns the name of the configuration among those of its board, "50W-fp32-b1"."""
        return f"{self.mode.name}-{self.stream_label}"

    @property
    def stream_label(self) -> str:
        """Returns what decides the op streams, "fp32-b1"."""
        return f"{self.precision.name}-b{self.batch_size}"

    def changed(self, mode: Optional[str], precision: Optional[str], batch_size: Optional[int]) -> Target:
        """Returns the target with these, None leaving what is there; UsageError names what is not known."""
        return replace(
            self,
            mode=self.mode if mode is None else self.profile.mode(mode),
            precision=self.precision if precision is None else find_precision(precision),
            batch_size=self.batch_size if batch_size is None else batch_size,
        )


def resolve(
    hardware: str = DEFAULT_HARDWARE,
    thermal_profile: Optional[str] = None,
    precision: str = "fp32",
    batch_size: int = 1,
) -> Target:
    """Returns the target; UsageError names what is not known, ProfileError the file and key that is wrong."""
    board = find_board(hardware)
    return target_on(board, board.profile(), thermal_profile, precision, batch_size)


def target_on(
    board: Board,
    profile: Profile,
    thermal_profile: Optional[str] = None,
    precision: str = "fp32",
    batch_size: int = 1,
) -> Target:
    """Returns the target on a board with this profile; UsageError names what is not known."""
    checked_option("batch size", lambda: whole(batch_size, BATCH))
    return Target(board, profile, profile.mode(thermal_profile), find_precision(precision), batch_size)


def calibrated_target(profile: Profile, precision: str = "fp32") -> Target:
    """Returns the target that a profile was calibrated for, at batch 1."""
    return target_on(Board(profile.name), profile, profile.calibrated_mode, precision)


def parse_label(board: Board, profile: Profile, label: str, where: object = "golden") -> Target:
    """Returns the target of a configuration's name, "50W-fp32-b1"; RecordError, which says where, if it is none."""
    found = re.fullmatch(rf"(.+)-({'|'.join(PRECISIONS)})-b([1-9][0-9]{{0,6}})", label)
    if found is None or found[1] not in profile.modes:
        modes = ", ".join(profile.modes)
        raise RecordError(
            f"{where}: {shown(label)} is no name of a configuration of {board.name}; one is 50W-fp32-b1; modes: {modes}"
        )
    return target_on(board, profile, found[1], found[2], int(found[3]))
