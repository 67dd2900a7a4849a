"""Lets `--output FILE` stand where FILE exists, outside of the repository.

pytest looks for its ini-file and conftest.py before it knows the suite's options: it takes FILE for a test, looks
beside it, and finds neither. This module is loaded where the package is installed, and starts pytest again with the
value joined to its option.
"""

from __future__ import annotations

from pathlib import Path
from typing import Generator, List, Sequence

import pytest

FILE_OPTIONS = {"--output": (".csv", ".md", ".json"), "--report": (".html",)}
"""Options with a file as their value, and the suffixes by which it is known to be one of the suite's."""


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> Generator[None, None, None]:
    """Starts pytest again where it took the value of an option for a test; before its output is captured."""
    arguments = list(early_config.invocation_params.args)
    joined = joined_arguments([str(argument) for argument in arguments])
    if joined != arguments:
        raise SystemExit(pytest.main(joined))
    yield


def joined_arguments(arguments: Sequence[str]) -> List[str]:
    """Returns the arguments, the name of each file that exists joined to its option: "--output=FILE"."""
    joined: List[str] = []
    for argument in arguments:
        option = joined[-1] if joined else ""
        if Path(argument).suffix in FILE_OPTIONS.get(option, ()) and Path(argument).exists():
            joined[-1] = f"{option}={argument}"
        else:
            joined.append(argument)
    return joined
