"""The module that somebody's test checks, in any process: the test is run, and what it asks about is caught."""

from __future__ import annotations

import importlib.util
import io
import os
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Dict, List, Tuple

from ..errors import UsageError

if TYPE_CHECKING:
    from ..target import Target
    from .custom import OwnModel

FORM = "FILE::TEST"
CATCHER = "golden-latency-catcher"
"""The name of pytest's plugin that catches, by which the suite knows that it is to estimate nothing."""
_SUITE = "estimator.suite.plugin"


@dataclass(frozen=True)
class Place:
    """A test by its node id, beginning with an absolute path, and the options that its session had."""

    node: str
    options: Tuple[str, ...] = ()


@dataclass(eq=False)
class Catcher:
    """What tests have asked about: subject and target by the subject's name. A plugin of pytest's by its `__name__`."""

    __name__ = CATCHER
    found: Dict[str, Tuple[Any, Target]] = field(default_factory=dict)


def caught(place: Place) -> Dict[str, Tuple[Any, Target]]:
    """Returns the subjects that a test checks, with their targets; UsageError where it checks none."""
    import pytest

    catcher, output = Catcher(), io.StringIO()
    with redirect_stdout(output), redirect_stderr(output), pytest.MonkeyPatch.context() as environment:
        environment.delenv("PYTEST_ADDOPTS", raising=False)  # it is of the session that asks
        pytest.main(_arguments(place), plugins=[catcher])
    if not catcher.found:
        lines = [line for line in output.getvalue().splitlines() if line.strip()]
        reasons = [line for line in lines if line.startswith(("E  ", "ERROR", "FAILED"))] or lines[-1:]
        raise UsageError(f"{place.node}: this test checked no latency: {' '.join(reasons[:1])}")
    return catcher.found


def tested_model(place: Place, name: str) -> OwnModel:
    """Returns the subject of that name that a test checks; UsageError where it checks none so called."""
    found = caught(place)
    if name not in found:
        raise UsageError(f"{place.node}: this test checks {', '.join(found)}, and no {name!r}")
    return found[name][0]  # type: ignore[no-any-return]


def tested_by(text: str) -> Tuple[Any, Target]:
    """Returns subject and target of "FILE::TEST", or of several of one test "FILE::TEST#NAME"; raises as `caught`."""
    node, _, name = text.partition("#")
    path, colons, rest = node.partition("::")
    place = Place(f"{os.path.abspath(path)}{colons}{rest}")
    found = caught(place)
    if not name and len(found) > 1:
        raise UsageError(f"{text}: checks {', '.join(found)}: say which, {text}#{next(iter(found))}")
    if name and name not in found:
        raise UsageError(f"{text}: checks {', '.join(found)}, and no {name!r}")
    return found[name or next(iter(found))]


def _arguments(place: Place) -> List[str]:
    alone = ["-n0"] if importlib.util.find_spec("xdist") is not None else []
    return [place.node, "-q", "-p", "no:cacheprovider", "-p", _SUITE, *alone, *place.options]
