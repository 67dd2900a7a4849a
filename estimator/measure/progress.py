"""One line that says how far a live run is: model, round, and about how long the rest takes."""

from __future__ import annotations

import os
import sys
import time
from typing import Callable, Optional

_BAR = 30


def terminal_line() -> Optional[Callable[[str], None]]:
    """Returns what rewrites the last line of standard error; None in CI, and where that is no terminal."""
    if os.environ.get("CI") or not sys.stderr.isatty():
        return None
    return lambda line: print(f"\r\x1b[K{line}", end="", file=sys.stderr, flush=True)


class Progress:
    """Rewrites its line through `write`; says nothing where `write` is None. `models` is how many there are to do."""

    def __init__(self, write: Optional[Callable[[str], None]], models: int = 1) -> None:
        self.models = models
        self._write = write
        self._done = 0
        self._start_s = time.monotonic()

    def show(self, model: str, run: str, phase: str, done: int, of: int) -> None:
        """Shows that of `model`'s warm-ups or rounds `done` are over."""
        part = self._done + (0.0 if phase == "warm-up" else done / max(of, 1))
        left = self._left(part, self.models) if part >= 1 else ""
        self.say(f"  {model} [{self._done + 1}/{self.models}] {run}{phase} {done}/{of}{left}")

    def bar(self, what: str, done: int, of: int) -> None:
        """Shows a bar: of one long piece of work `done` parts are over."""
        filled = _BAR * done // max(of, 1)
        left = self._left(done, of) if done else ""
        self.say(f"  {what} [{'#' * filled}{'.' * (_BAR - filled)}] {100 * done // max(of, 1)} %{left}")

    def say(self, line: str) -> None:
        """Shows a line as it is."""
        if self._write is not None:
            self._write(line)

    def finish_model(self) -> None:
        """Counts one more model and clears the line."""
        self._done += 1
        self.say("")

    def _left(self, part: float, whole: float) -> str:
        left_s = (time.monotonic() - self._start_s) * (whole - part) / part
        return f", about {left_s / 60:.0f} min left" if left_s > 90 else f", about {left_s:.0f} s left"
