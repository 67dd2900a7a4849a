"""Glue: registers the suite's hooks, and pytest's own plugin tester for the tests of the suite."""

from pathlib import Path
from typing import Optional

import pytest

pytest_plugins = ("estimator.suite.plugin", "pytester")
_OWN_TESTS = Path(__file__).parent / "test_estimator"


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> Optional[bool]:
    """Leaves the tests of the suite itself to who names them: of a folder above them, models and patterns are meant."""
    named = [Path(config.invocation_params.dir, argument.split("::")[0]) for argument in config.args]
    is_named = any(path == _OWN_TESTS or _OWN_TESTS in path.parents for path in named)
    return True if collection_path == _OWN_TESTS and not is_named else None
