"""What the page of `--report` shows: plain data, gathered before anything is drawn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional, Sequence, Tuple

from ..compare import Comparison
from .answers import Beside


@dataclass(frozen=True)
class Measurement:
    """A model measured in this session: the rounds of all its runs and the runs in ms, and the verdict on it."""

    rounds_ms: Tuple[float, ...]
    runs_ms: Tuple[float, ...]
    verdict: str


@dataclass(frozen=True)
class Row:
    """A model: its comparison, the recorded or measured runs in ms, and errors in percent of fits without it.

    `place` is what the model's name is followed by, where the page has several boards.
    """

    comparison: Comparison
    runs_ms: Tuple[float, ...] = ()
    without_model_pct: Optional[float] = None
    without_family_pct: Optional[float] = None
    measurement: Optional[Measurement] = None
    place: str = ""

    @property
    def name(self) -> str:
        """Returns the model's name, and its board where the page has several."""
        return self.comparison.model + self.place

    @property
    def measured_from_ms(self) -> Optional[float]:
        """Returns the shortest run, or the measurement where runs are not known."""
        return min(self.runs_ms, default=self.comparison.meas_ms)

    @property
    def measured_to_ms(self) -> Optional[float]:
        """Returns the longest run, or the measurement where runs are not known."""
        return max(self.runs_ms, default=self.comparison.meas_ms)

    @property
    def label(self) -> str:
        """Returns what is said of the model in words where its mark has the focus."""
        row = self.comparison
        if row.est_ms is None:
            return f"{self.name}: {row.rating}"
        if row.meas_ms is None:
            return f"{self.name}: estimated {row.est_ms:g} ms, not measured"
        error = f", error {row.error_pct:+.1f} %, {row.rating}" if row.error_pct is not None else ""
        spread = f" (runs {self.measured_from_ms:g} to {self.measured_to_ms:g})" if len(self.runs_ms) > 1 else ""
        return f"{self.name}: estimated {row.est_ms:g} ms, measured {row.meas_ms:g} ms{spread}{error}"

    def error_interval_pct(self) -> Optional[Tuple[float, float]]:
        """Returns the errors at both ends of the estimate's interval; None without estimate or measurement."""
        row = self.comparison
        if row.est_ms is None or row.meas_ms is None or row.interval_pct is None:
            return None
        low, high = (100 * (row.est_ms * (1 + sign * row.interval_pct / 100) / row.meas_ms - 1) for sign in (-1, 1))
        return low, high


@dataclass(frozen=True)
class Page:
    """A page: its title, one sentence each about measurement and summary, the rows, and where everything comes from.

    `others` are other estimators, whose answers stand in columns of their own.
    """

    title: str
    measured: str
    summary: Sequence[Tuple[str, str]]
    rows: Sequence[Row]
    provenance: Sequence[Tuple[str, str]]
    others: Sequence[Beside] = ()

    @property
    def is_live(self) -> bool:
        """Whether anything was measured in the session itself."""
        return any(row.measurement is not None for row in self.rows)

    @property
    def has_errors(self) -> bool:
        """Whether any estimate is held against a measurement."""
        return any(row.comparison.error_pct is not None for row in self.rows)
