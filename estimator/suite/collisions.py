"""An option that the suite and another plugin or conftest.py both declare: one line that names both, no traceback."""

from __future__ import annotations

import argparse
import re
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Callable, Iterator, Mapping, Sequence, Set

import pytest

_NEEDED = "--snapshot-update"
"""An option of syrupy's that the suite needs, and that pytest-snapshot declares, too."""


class Declared(Set[str]):
    """Stands in for pytest's parser: the names of the options that are declared to it."""

    def getgroup(self, *_: Any, **__: Any) -> Declared:
        """Returns itself for any group."""
        return self

    def addoption(self, *names: str, **_: Any) -> None:
        """Keeps the names."""
        self.update(names)

    def addini(self, *_: Any, **__: Any) -> None:
        """Settings collide with nothing."""


def declare(parser: Any, manager: pytest.PytestPluginManager, add: Callable[[Any], None]) -> None:
    """Adds options; pytest.UsageError where another plugin has one of them, now or as soon as it declares it."""
    ours = Declared()
    add(ours)
    given = {"parser": parser, "pluginmanager": manager}
    with _in_one_line(given, ours, manager.hook.pytest_addoption.get_hookimpls()):
        add(parser)

    def after(outcome: Any, hook_name: str, hook_impls: Sequence[Any], _: Any) -> None:
        if hook_name == "pytest_addoption":
            with _in_one_line(given, ours, hook_impls):
                outcome.get_result()

    manager.add_hookcall_monitoring(lambda *_: None, after)


@contextmanager
def _in_one_line(given: Mapping[str, Any], ours: Set[str], others: Sequence[Any]) -> Iterator[None]:
    """`others` are the implementations of pytest_addoption that may have the same option, `given` what they take."""
    try:
        yield
        with suppress(pytest.UsageError):
            given["parser"].parse_known_args([])  # pytest 8 builds its parser, and sees what collides, no sooner
    except (ValueError, argparse.ArgumentError) as error:
        option = re.findall(r"--[\w-]+", str(error))[-1:]
        owners = [impl.plugin_name for impl in others if _declares(impl, given, {*option})]
        if not owners or option[0] not in {*ours, _NEEDED}:
            raise
        raise pytest.UsageError(_refusal(option[0], owners[-1])) from None


def _refusal(option: str, owner: str) -> str:
    if option == _NEEDED:
        both = f"{option} is an option of syrupy, which golden-latency needs, and of another plugin"
        return f"{both}: leave that out, pytest-snapshot by -p no:snapshot"
    what = "rename it there" if Path(owner).is_absolute() else f"leave that out, -p no:{owner}"
    return f"{option} is an option of golden-latency and of {owner}: {what}"


def _declares(impl: Any, given: Mapping[str, Any], options: Set[str]) -> bool:
    """Whether a plugin declares one of these options: it is asked once more, on the way to the end of pytest."""
    declared = Declared()
    with suppress(Exception):
        impl.function(*({**given, "parser": declared}[name] for name in impl.argnames))
    return bool(declared & options)
