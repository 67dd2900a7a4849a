"""Glue: registers the suite's hooks, and pytest's own plugin tester for the tests of the suite."""

from pathlib import Path
from typing import Optional

import pytest

pytest_plugins = ("estimator.suite.plugin", "pytester")
_BESIDE = [Path(__file__).parent / name for name in ("test_estimator", "test_architectures", "examples")]


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> Optional[bool]:
    """Leaves what is beside models and patterns to who names it: of a folder above, models and patterns are meant."""
    named = [Path(config.invocation_params.dir, argument.split("::")[0]) for argument in config.args]
    is_named = any(path == collection_path or collection_path in path.parents for path in named)
    return True if collection_path in _BESIDE and not is_named else None
