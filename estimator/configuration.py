"""What is estimated: one board in one power mode, at one precision and batch."""

from __future__ import annotations

from dataclasses import dataclass

from .errors import RecordError
from .hardware.profile import load_profile
from .precision import PRECISIONS


@dataclass(frozen=True)
class Configuration:
    """What is estimated: board, power mode (its thermal profile), precision and batch."""

    hardware: str
    thermal_profile: str
    precision: str = "fp32"
    batch_size: int = 1

    @property
    def label(self) -> str:
        """Returns the folder name of its goldens, "50W-fp32-b1"."""
        return f"{self.thermal_profile}-{self.precision}-b{self.batch_size}"

    @classmethod
    def parse(cls, hardware: str, label: str) -> Configuration:
        """Returns the configuration of a golden's folder; RecordError if its name is no label."""
        mode, precision, batch = ([*label.rsplit("-", 2), "", ""])[:3]
        if precision not in PRECISIONS or batch[:1] != "b" or not batch[1:].isdecimal():
            raise RecordError(f"golden/{hardware}/{label}: no folder of a configuration; one is 50W-fp32-b1")
        return cls(hardware, load_profile(hardware).mode(mode).name, precision, int(batch[1:]))
