"""One line that says how far a live run is: model, round, and about how long the rest takes."""

from __future__ import annotations

import time
from typing import Callable, Optional


class Progress:
    """Rewrites its line through `write`; says nothing where `write` is None."""

    def __init__(self, models: int, write: Optional[Callable[[str], None]]) -> None:
        self._models = models
        self._write = write
        self._done = 0
        self._start_s = time.monotonic()

    def show(self, model: str, run: str, phase: str, done: int, of: int) -> None:
        """Shows that of `model`'s warm-ups or rounds `done` are over."""
        if self._write is not None:
            part = self._done + (0.0 if phase == "warm-up" else done / max(of, 1))
            self._write(f"  {model} [{self._done + 1}/{self._models}] {run}{phase} {done}/{of}{self._left(part)}")

    def finish_model(self) -> None:
        """Counts one more model and clears the line."""
        self._done += 1
        if self._write is not None:
            self._write("")

    def _left(self, part: float) -> str:
        if part < 1:
            return ""
        left_s = (time.monotonic() - self._start_s) * (self._models - part) / part
        return f", about {left_s / 60:.0f} min left" if left_s > 90 else f", about {left_s:.0f} s left"
