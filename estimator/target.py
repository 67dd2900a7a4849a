"""What is estimated, resolved once: a board in one power mode, at one precision and batch."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Mapping, Optional, Tuple

from .checked import BATCH, checked_option, shown, whole
from .errors import RecordError, UsageError
from .hardware.boards import DEFAULT_HARDWARE, Board, find_board
from .hardware.profile import PowerMode, Profile
from .runtimes import EAGER, RUNTIMES, TENSORRT, find_runtime, with_runtime

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Precision:
    """Type of captured weights and activations, and the arithmetic ("fp32", "tf32", ...) of the two heavy kinds.

    `runtimes` are those that have the precision.
    """

    name: str
    tensors: str
    products: str
    convolutions: str
    runtimes: Tuple[str, ...] = (EAGER,)


PRECISIONS: Mapping[str, Precision] = {
    p.name: p
    for p in (
        # PyTorch's defaults: torch.backends.cudnn.allow_tf32 is on, torch.backends.cuda.matmul.allow_tf32 is off
        Precision("fp32", "float32", products="fp32", convolutions="tf32", runtimes=RUNTIMES),
        Precision("tf32", "float32", products="tf32", convolutions="tf32"),
        Precision("fp16", "float16", products="fp16", convolutions="fp16", runtimes=RUNTIMES),
        Precision("bf16", "bfloat16", products="bf16", convolutions="bf16"),
        # captured in FP16: PyTorch has no INT8 tensors to run a model on, and an engine's are of the same shapes
        Precision("int8", "float16", products="int8", convolutions="int8", runtimes=(TENSORRT,)),
    )
}


def find_precision(name: str, runtime: str = EAGER) -> Precision:
    """Returns the precision of that name; UsageError names those that the runtime has."""
    known = {name: of for name, of in PRECISIONS.items() if runtime in of.runtimes}
    if name not in known:
        of_runtime = "" if runtime == EAGER else f" of {runtime}"
        raise UsageError(f"unknown precision {shown(name)}{of_runtime}; known precisions: {', '.join(known)}")
    return known[name]


def tensor_dtype(name: str) -> Optional[torch.dtype]:
    """Returns the dtype that `model.half()` or `.bfloat16()` would give, None where the model stays as it is."""
    import torch

    tensors = PRECISIONS[name].tensors
    return None if tensors == "float32" else getattr(torch, tensors)


@dataclass(frozen=True)
class Target:
    """A board with its profile, one of its power modes, a precision and a batch, and what runs the model.

    A runtime's own constants stand in the profile, in place of those of eager PyTorch.
    `same_software` says whether the estimate is for the software that the profile was calibrated with; None where no
    machine was asked.
    """

    board: Board
    profile: Profile
    mode: PowerMode
    precision: Precision = PRECISIONS["fp32"]
    batch_size: int = 1
    same_software: Optional[bool] = None
    runtime: str = EAGER

    @property
    def hardware(self) -> str:
        """Returns the name of the board."""
        return self.board.name

    @property
    def label(self) -> str:
        """Returns the name of the configuration among those of its board, "50W-fp32-b1" or "50W-tensorrt-fp16-b1"."""
        return f"{self.mode.name}-{self.stream_label}"

    @property
    def in_words(self) -> str:
        """Returns power mode, precision and batch, and the runtime where that is not eager PyTorch."""
        runtime = "" if self.runtime == EAGER else f"runtime {self.runtime}, "
        return f"mode {self.mode.name}, {runtime}precision {self.precision.name}, batch {self.batch_size}"

    @property
    def stream_label(self) -> str:
        """Returns what decides which ops run, "fp32-b1", or the layers of an engine, "tensorrt-fp16-b1"."""
        runtime = "" if self.runtime == EAGER else f"{self.runtime}-"
        return f"{runtime}{self.precision.name}-b{self.batch_size}"

    def changed(self, mode: Optional[str], precision: Optional[str], batch_size: Optional[int]) -> Target:
        """Returns the target with these, None leaving what is there; UsageError names what is not known."""
        return replace(
            self,
            mode=self.mode if mode is None else self.profile.mode(mode),
            precision=self.precision if precision is None else find_precision(precision, self.runtime),
            batch_size=self.batch_size if batch_size is None else batch_size,
        )

    def on_runtime(self, runtime: Optional[str], precision: Optional[str] = None) -> Target:
        """Returns the target on a runtime, at this precision or its own; None leaves it as it is.

        UsageError names the runtimes that are known, the precisions that it has, or says that the board has none.
        """
        if runtime is None or find_runtime(runtime) == self.runtime:
            return self.changed(None, precision, None)
        found = find_precision(precision or self.precision.name, runtime)
        eager = self.profile if self.runtime == EAGER else self.board.profile()
        return replace(self, profile=with_runtime(eager, runtime), precision=found, runtime=runtime)


def resolve(
    hardware: str = DEFAULT_HARDWARE,
    thermal_profile: Optional[str] = None,
    precision: str = "fp32",
    batch_size: int = 1,
    runtime: str = EAGER,
) -> Target:
    """Returns the target; UsageError names what is not known, ProfileError the file and key that is wrong."""
    board = find_board(hardware)
    return target_on(board, board.profile(), thermal_profile, precision, batch_size, runtime)


def target_on(
    board: Board,
    profile: Profile,
    thermal_profile: Optional[str] = None,
    precision: str = "fp32",
    batch_size: int = 1,
    runtime: str = EAGER,
) -> Target:
    """Returns the target on a board with this profile; UsageError names what is not known."""
    checked_option("batch size", lambda: whole(batch_size, BATCH))
    mode, own = profile.mode(thermal_profile), with_runtime(profile, find_runtime(runtime))
    return Target(board, own, mode, find_precision(precision, runtime), batch_size, runtime=runtime)


def calibrated_target(profile: Profile, precision: str = "fp32") -> Target:
    """Returns the target that a profile was calibrated for, at batch 1."""
    return target_on(Board(profile.name), profile, profile.calibrated_mode, precision)


_LABEL = re.compile(
    rf"(?P<mode>.+?)-(?P<stream>(?:(?P<runtime>{'|'.join(r for r in RUNTIMES if r != EAGER)})-)?"
    rf"(?P<precision>{'|'.join(PRECISIONS)})-b(?P<batch>[1-9][0-9]{{0,6}}))"
)


def parse_label(board: Board, profile: Profile, label: str, where: object = "golden") -> Target:
    """Returns the target of a configuration's name, "50W-fp32-b1"; RecordError, which says where, if it is none."""
    found = _LABEL.fullmatch(label)
    runtime = (found and found["runtime"]) or EAGER
    if found is None or found["mode"] not in profile.modes or runtime not in PRECISIONS[found["precision"]].runtimes:
        modes = ", ".join(profile.modes)
        raise RecordError(
            f"{where}: {shown(label)} is no name of a configuration of {board.name}; one is 50W-fp32-b1; modes: {modes}"
        )
    return target_on(board, profile, found["mode"], found["precision"], int(found["batch"]), runtime)


def parts_of_label(label: str) -> Tuple[str, str]:
    """Returns power mode and `stream_label` of a configuration's name; "" for the latter where it is no name."""
    found = _LABEL.fullmatch(label)
    return (label, "") if found is None else (found["mode"], found["stream"])
