"""Hardware by name: a board, whose profile and goldens are the repository's, or this machine's own CPU."""

from __future__ import annotations

from pathlib import Path
from typing import Optional, Tuple

from ..checked import shown
from ..errors import ProfileError, UsageError
from ..files import cache_folder
from .profile import Profile
from .reading import PROFILES, TEMPLATES, known_profiles, read_profile

DEFAULT_HARDWARE = "Jetson-Orin-AGX"


class Board:
    """A GPU with its host, described by a profile of the repository and judged by the repository's goldens."""

    device = "cuda"
    has_goldens = True
    can_replay = True
    is_calibrated = True
    host_is_apart = True
    """Whether it has a host beside its device, with constants of its own."""
    promised_rating: Optional[str] = None
    """The rating promised of every model where there are no goldens to say it; None where goldens do."""

    def __init__(self, name: str) -> None:
        self.name = name

    @property
    def profile_path(self) -> Path:
        """Returns the file of its profile, which a calibration writes."""
        return PROFILES / f"{self.name}.toml"

    @property
    def calibrate_command(self) -> str:
        """Returns the command line that calibrates it."""
        return f"python -m estimator calibrate {self.name}"

    @property
    def software_command(self) -> str:
        """Returns the command line that fits what another software changes first: what an op costs the host."""
        return f"{self.calibrate_command} --host" if self.host_is_apart else self.calibrate_command

    def profile(self) -> Profile:
        """Returns its checked profile; ProfileError names the file and key that is wrong."""
        return read_profile(self.profile_path)

    def base_profile(self) -> Profile:
        """Returns what a calibration starts from."""
        return self.profile()

    def folder(self, root: Path) -> Path:
        """Returns the folder of its records and goldens, those of the repository being in `root`."""
        return root / self.name

    def estimates(self, precision: str) -> bool:
        """Whether there is an estimate to hold a measurement against."""
        return True

    def shares_speed(self, bound: Optional[str]) -> bool:
        """Whether the host's speed moves a model that is bound by "host" or "device"."""
        return bound == "host"


class ThisCpu(Board):
    """This machine's own CPU: its profile and its record describe one machine and are kept in the user's cache.

    It has no goldens: what a calibration promises is the same for all models.
    """

    NAME = "local-cpu"
    device = "cpu"
    has_goldens = False
    can_replay = False
    host_is_apart = False
    promised_rating = "FAIR"

    def __init__(self) -> None:
        super().__init__(self.NAME)

    @property
    def is_calibrated(self) -> bool:  # type: ignore[override]
        """Whether there is a profile of this machine."""
        return self.profile_path.exists()

    @property
    def profile_path(self) -> Path:
        """Returns the file of the profile in the user's cache."""
        return cache_folder() / self.name / f"{self.name}.toml"

    def profile(self) -> Profile:
        """Returns the calibrated profile; UsageError with the command that calibrates where there is none."""
        if not self.is_calibrated:
            raise UsageError(f"{self.name} is not calibrated on this machine: {self.calibrate_command}")
        try:
            return read_profile(self.profile_path)
        except ProfileError as error:
            raise ProfileError(f"{error}; to write it anew: {self.calibrate_command}") from error

    def base_profile(self) -> Profile:
        """Returns what is believed of any CPU before a measurement."""
        return read_profile(TEMPLATES / f"{self.name}.toml")

    def folder(self, root: Path) -> Path:
        """Returns the folder of its records in the user's cache."""
        return cache_folder() / self.name

    def estimates(self, precision: str) -> bool:
        """Whether it is calibrated, which is done at FP32."""
        return self.is_calibrated and precision == "fp32"

    def shares_speed(self, bound: Optional[str]) -> bool:
        """A CPU's speed moves every model."""
        return True


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
