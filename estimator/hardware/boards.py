"""Hardware by name: a board, whose profile and goldens are the repository's, or this machine's own CPU."""

from __future__ import annotations

from pathlib import Path
from typing import Callable, Tuple

from ..checked import shown
from ..commands import calibrate_command
from ..errors import ProfileError, UsageError
from ..files import cache_folder
from .profile import Profile
from .reading import PROFILES, TEMPLATES, known_profiles, read_known, read_profile

DEFAULT_HARDWARE = "Jetson-Orin-AGX"


class Board:
    """A GPU with its host, whose profile, records and goldens are the repository's."""

    device = "cuda"
    has_goldens = True

    def __init__(self, name: str) -> None:
        self.name = name

    @property
    def profile_path(self) -> Path:
        """Returns the file of its profile, which a calibration writes."""
        return PROFILES / f"{self.name}.toml"

    def profile(self, profile_of: Callable[[str], Profile] = read_known) -> Profile:
        """Returns its checked profile; ProfileError names the file and key that is wrong."""
        return read_profile(self.profile_path, profile_of)

    def base_profile(self) -> Profile:
        """Returns what a calibration starts from."""
        return self.profile()

    def folder(self, root: Path) -> Path:
        """Returns the folder of its records and goldens, those of the repository being in `root`."""
        return root / self.name

    def estimates(self, precision: str = "fp32") -> bool:
        """Whether there is an estimate to hold a measurement against."""
        return True


class ThisCpu(Board):
    """This machine's own CPU, whose profile and records describe one machine and are kept in the user's cache.

    It has no goldens, cannot be replayed, and host and device are one processor with one clock.
    """

    NAME = "local-cpu"
    device = "cpu"
    has_goldens = False

    def __init__(self) -> None:
        super().__init__(self.NAME)

    @property
    def profile_path(self) -> Path:
        """Returns the file of the profile in the user's cache."""
        return cache_folder() / self.name / f"{self.name}.toml"

    def profile(self, profile_of: Callable[[str], Profile] = read_known) -> Profile:
        """Returns the calibrated profile; UsageError with the command that calibrates where there is none."""
        command = calibrate_command(self.name)
        if not self.estimates():
            raise UsageError(f"{self.name} is not calibrated on this machine: {command}")
        try:
            return read_profile(self.profile_path)
        except ProfileError as error:
            raise ProfileError(f"{error}; to write it anew: {command}") from error

    def base_profile(self) -> Profile:
        """Returns what is believed of any CPU before a measurement."""
        return read_profile(TEMPLATES / f"{self.name}.toml")

    def folder(self, root: Path) -> Path:
        """Returns the folder of its records in the user's cache."""
        return cache_folder() / self.name

    def estimates(self, precision: str = "fp32") -> bool:
        """Whether it is calibrated, which is done at FP32."""
        return self.profile_path.exists() and precision == "fp32"


def known_hardware() -> Tuple[str, ...]:
    """Returns the names of all boards, and last that of this machine's CPU."""
    return (*known_profiles(), ThisCpu.NAME)


def find_board(name: str) -> Board:
    """Returns the hardware of that name; UsageError names the known ones."""
    if name == ThisCpu.NAME:
        return ThisCpu()
    if name not in known_profiles():
        raise UsageError(f"unknown hardware {shown(name)}; known hardware: {', '.join(known_hardware())}")
    return Board(name)


def load_profile(name: str = DEFAULT_HARDWARE) -> Profile:
    """Returns the checked profile; UsageError names the known ones, ProfileError the file and key that is wrong."""
    return find_board(name).profile()
