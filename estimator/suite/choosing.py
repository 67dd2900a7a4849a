"""Which kind of session the options ask for: replay, live or calibration."""

from __future__ import annotations

from typing import Tuple, Type

import pytest

from ..errors import UsageError
from ..goldens.inputs import check_goldens
from ..goldens.root import repository_root
from ..measure.plan import Plan
from ..subjects.op_cache import use_op_cache
from ..subjects.tested import CATCHER
from .calibrate import Calibrate, CalibrateHost
from .catch import PLAN, Catch
from .configuration import load_configuration
from .live import Live
from .live_options import read_plan
from .measuring import Measuring
from .options import read_options
from .replay import EveryConfiguration, Replay
from .session import MARKERS, Session

_NOT_RELATED = r"ignore:\s*Can not relate snapshot (location|name):UserWarning"  # goldens stand below their board


def add_ini_lines(config: pytest.Config) -> None:
    """Registers the markers, and silences a warning of syrupy's."""
    for marker, meaning in MARKERS.items():
        config.addinivalue_line("markers", f"{marker}: {meaning}")
    config.addinivalue_line("filterwarnings", _NOT_RELATED)


def chosen_session(config: pytest.Config) -> Tuple[Plan, Session]:
    """Returns what is measured, and the session; pytest.UsageError in one line for a bad option or a damaged file."""
    try:
        _refuse_without_syrupy(config)
        if config.pluginmanager.has_plugin(CATCHER):
            options = read_options(config)
            return PLAN, Catch(config, options, load_configuration(repository_root(config), options.target))
        plan = read_plan(config)
        use_op_cache(not config.getoption("no_op_cache"))
        return plan, _session(config, plan)
    except UsageError as error:
        raise pytest.UsageError(" ".join(str(error).split())) from None


def _refuse_without_syrupy(config: pytest.Config) -> None:
    if not config.pluginmanager.hasplugin("syrupy"):
        raise UsageError("the suite needs syrupy's plugin: leave -p no:syrupy out, and load it where plugins are not")


def _session(config: pytest.Config, plan: Plan) -> Session:
    options = read_options(config)
    if plan.choice.live:
        options = options.on_this_machine()
    root = repository_root(config)
    check_goldens(root)
    configuration = load_configuration(root, options.target)
    if plan.choice.live:
        return _measuring(plan)(config, options, configuration, plan)
    return (EveryConfiguration if options.every_configuration else Replay)(config, options, configuration)


def _measuring(plan: Plan) -> Type[Measuring]:
    if not plan.calibration_share:
        return Live
    return CalibrateHost if plan.host_alone else Calibrate
