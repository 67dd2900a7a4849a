"""pytest-repeat, which makes of a test several with a parameter of its own: all of them hold one golden."""

from __future__ import annotations

import re
from typing import Tuple

import pytest

_STEP = "__pytest_repeat_step_number"
"""The parameter; in a test's id it is the last, "2-3" for the second of three."""


def not_repeated(item: pytest.Item, text: str) -> str:
    """Returns the id of a test's parameters, or of the test, without which of its repetitions this is."""
    step = getattr(getattr(item, "callspec", None), "params", {}).get(_STEP)
    if step is None:
        return text
    repetition = rf"{step + 1}-\d+"
    return re.sub(rf"\[{repetition}\]$|(^|-){repetition}(?=\]?$)", "", text)


def repeat_options(config: pytest.Config) -> Tuple[str, ...]:
    """Returns the options with which another session finds the same tests."""
    count = config.getoption("count", default=None) if config.pluginmanager.hasplugin("repeat") else None
    return () if count is None else (f"--count={count}",)
