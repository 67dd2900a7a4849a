"""The options of the suite, and what they mean for one session; each is checked before anything is computed."""

from __future__ import annotations

import argparse
import re
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, Collection, Iterator, List, Mapping, Optional, Sequence, Set, Tuple

import pytest

from ..against.estimators import KNOWN, find_estimators
from ..errors import UsageError
from ..files import refuse_unwritable
from ..goldens.repository import Repository
from ..hardware.boards import DEFAULT_HARDWARE, Board, find_board
from ..hardware.software import is_same
from ..importing import FORM
from ..measure.device.environment import installed_software
from ..needed import refuse_missing
from ..report.comparisons import FORMATS
from ..report.html import NEEDED
from ..runtimes import EAGER, RUNTIMES
from ..subjects.from_pytest import CATCHER
from ..target import Target, target_on
from ..target_options import add_options as add_target_options
from ..target_options import read_batch_size, target_command

if TYPE_CHECKING:
    from ..against.estimators import OtherEstimator
    from ..subjects.zoo import ZooModel

_NEEDED = "--snapshot-update"
"""An option of syrupy's that the suite needs, and that pytest-snapshot declares, too."""
SETTINGS: Mapping[str, str] = {
    "hardware": "golden_latency_hardware",
    "thermal_profile": "golden_latency_mode",
    "precision": "golden_latency_precision",
    "batch_size": "golden_latency_batch",
    "runtime": "golden_latency_runtime",
}
"""Where pytest's settings say what the command line does not, by option."""
_DEFAULTS = {"precision": "fp32", "batch_size": "1", "runtime": EAGER}
_DEST = "golden_latency_"


def asked(config: pytest.Config, option: str) -> Any:
    """Returns what the command line says of an option; None where it is none of this repository's."""
    return config.getoption(f"{_DEST}{option}", default=None)


def setting(config: pytest.Config, option: str) -> Optional[str]:
    """Returns what the command line says, else what pytest's settings say, else the default; None for none."""
    said = asked(config, option)
    found = config.getini(SETTINGS[option]) or _DEFAULTS.get(option) if said is None else said
    return None if found is None else str(found)


def hardware_names(config: pytest.Config) -> Tuple[str, ...]:
    """Returns the names of the boards to estimate for, of the command line, else of pytest's settings."""
    said = asked(config, "hardware")
    found = [said] if said is not None else list(config.getini(SETTINGS["hardware"])) or [DEFAULT_HARDWARE]
    return tuple(dict.fromkeys(name for text in found for name in _names(str(text))))


def adder(parser: pytest.Parser, repository: Repository) -> Callable[..., None]:
    """Returns what declares an option under its name in this repository; its `dest` is the suite's own in any."""
    group = parser.getgroup("golden-latency", "golden-latency: what to estimate, and where the table goes")

    def add(*options: str, **about: Any) -> None:
        about["dest"] = _DEST + options[0][2:].replace("-", "_")
        group.addoption(*map(repository.option_name, options), **about)

    return add


def add_options(parser: pytest.Parser, repository: Repository) -> None:
    """Declares the options of the suite, those of the zoo only where its tests are."""
    add = adder(parser, repository)
    add("--hardware", metavar="NAME", help=f"device profile, or several: A,B (default: {DEFAULT_HARDWARE})")
    add_target_options(add, "thermal_profile", "precision", "batch_size", "runtime")
    for option, name in SETTINGS.items():
        kind: Any = "linelist" if option == "hardware" else None
        parser.addini(name, f"default of {_option_name(option, repository)}", kind)
    _add_outputs(add)
    if repository.has_zoo:
        _add_selections(add)


def _add_selections(add: Callable[..., None]) -> None:
    """Which of the zoo's models and configurations."""
    add("--compare", metavar="A,B", help="print one more table: the models in these power modes, or on these runtimes")
    add(
        "--every-configuration",
        action="store_true",
        help="instead of one configuration, hold each that has goldens against them",
    )
    add("--models", metavar="A,B", help="estimate only these models")
    add("--skip", metavar="A,B", help="leave these models out")
    add(
        "--no-op-cache",
        action="store_true",
        help="capture every op stream anew, as where CI is set, instead of taking it from the user's cache",
    )


def _add_outputs(add: Callable[..., None]) -> None:
    add(
        "--output",
        metavar="FILE",
        action="append",
        default=[],
        help=f"write the table as data, by suffix {', '.join(FORMATS)}; may be given more than once",
    )
    add("--report", metavar="FILE.html", help="write charts and table as a page that needs no network")
    add(
        "--against",
        metavar="NAME",
        action="append",
        default=[],
        help=f"another estimator beside this one: {', '.join(KNOWN)} or {FORM}; may be given more than once",
    )


@dataclass(frozen=True)
class Options:
    """What the options ask for, but for measuring: a target for each board, the selected models, and what is written.

    `software` is that of the machine that is measured on, by the keys of SOFTWARE; empty in a replay.
    """

    targets: Tuple[Target, ...]
    models: Tuple[ZooModel, ...]
    outputs: Tuple[Path, ...]
    updating: bool
    every_configuration: bool
    compared_modes: Tuple[str, ...] = ()
    report: Optional[Path] = None
    software: Mapping[str, str] = field(default_factory=dict)
    against: Tuple[OtherEstimator, ...] = ()
    op_cache: bool = True

    @property
    def target(self) -> Target:
        """Returns the target, the first of several."""
        return self.targets[0]

    def on_this_machine(self) -> Options:
        """Returns the options with the target on this machine, whose software may be another than the constants'."""
        software = installed_software(Path("/"))
        same = is_same(self.target.profile.host_software, software)
        return replace(self, targets=(replace(self.target, same_software=same),), software=software)

    @property
    def whole_zoo(self) -> bool:
        """Whether no model was left out by option."""
        from ..subjects.zoo import MODELS

        return self.models == MODELS


def read_options(config: pytest.Config, repository: Repository) -> Options:
    """Returns what the options ask for. UsageError (or RecordError, ProfileError) when a name or a file is bad."""
    for refusal in _refusals(config):
        raise UsageError(refusal)
    targets = tuple(_target(config, find_board(name), repository) for name in hardware_names(config))
    return Options(
        targets=targets,
        models=_selected_models(config),
        outputs=tuple(_output_path(repository, "--output", text, FORMATS) for text in asked(config, "output")),
        updating=is_updating(config),
        every_configuration=bool(asked(config, "every_configuration")),
        compared_modes=_compared_modes(config, targets),
        report=_report_path(config, repository),
        against=_others(config, repository),
        op_cache=not asked(config, "no_op_cache"),
    )


def _target(config: pytest.Config, board: Board, repository: Repository) -> Target:
    """An uncalibrated board is measured all the same: then its profile is what is believed before a calibration."""
    profile = repository.profile(board.name) if board.estimates() else board.base_profile()
    mode, precision = setting(config, "thermal_profile"), setting(config, "precision") or ""
    batch_size = read_batch_size(setting(config, "batch_size") or "", repository.option_name("--batch-size"))
    return target_on(board, profile, mode, precision, batch_size, setting(config, "runtime") or "")


def _compared_modes(config: pytest.Config, targets: Sequence[Target]) -> Tuple[str, ...]:
    names = asked(config, "compare")
    if names is None:
        return ()
    if len(targets) > 1:
        raise UsageError("--compare names power modes of one board, or runtimes: say which with --hardware")
    return tuple(_compared_mode(name, targets[0]) for name in _names(names))


def _compared_mode(name: str, target: Target) -> str:
    """The name of a runtime that has the target's precision, else that of a power mode."""
    if name not in RUNTIMES:
        return target.profile.mode(name).name
    try:
        target.on_runtime(name)
    except UsageError as error:
        raise UsageError(f"--compare {name}: {error}") from None
    return name


def _selected_models(config: pytest.Config) -> Tuple[ZooModel, ...]:
    from ..subjects.zoo import MODELS, find_models

    models, skip = asked(config, "models"), asked(config, "skip")
    wanted = MODELS if models is None else find_models(_names(models))
    unwanted = () if skip is None else find_models(_names(skip))
    selected = tuple(model for model in wanted if model not in unwanted)
    if not selected:
        raise UsageError("--models and --skip leave no model; known models: " + ", ".join(m.name for m in MODELS))
    return selected


def _names(text: str) -> List[str]:
    return [name.strip() for name in text.split(",")]


def _output_path(repository: Repository, option: str, text: str, suffixes: Collection[str]) -> Path:
    path, option = Path(text), repository.option_name(option)
    if path.suffix not in suffixes:
        raise UsageError(f"{option} {path}: unknown suffix {path.suffix!r}; known: {', '.join(suffixes)}")
    refuse_unwritable(option, path)
    if repository.folder.resolve() in path.resolve().parents:
        raise UsageError(
            f"{option} {path}: is among the goldens, which --snapshot-update alone writes; name another file"
        )
    return path.absolute()


def _report_path(config: pytest.Config, repository: Repository) -> Optional[Path]:
    text = asked(config, "report")
    if text is None:
        return None
    refuse_missing(repository.option_name("--report"), NEEDED)
    return _output_path(repository, "--report", text, (".html",))


def _others(config: pytest.Config, repository: Repository) -> Tuple[OtherEstimator, ...]:
    """The estimators asked for, imported; nobody is asked in a process that only measures."""
    names = asked(config, "against")
    if names and setting(config, "runtime") != EAGER:
        raise UsageError("--against compares estimates of eager PyTorch: leave --runtime out")
    for option in ("every_configuration", "calibrate"):
        if names and asked(config, option):
            raise UsageError(
                f"--against compares the models of one configuration: leave --{option.replace('_', '-')} out"
            )
    return () if config.pluginmanager.has_plugin(CATCHER) else find_estimators(names, repository)


def command_of(config: pytest.Config, options: Options, repository: Repository) -> str:
    """Returns the command line that runs the session's configurations again.

    In another repository its settings say what the command line did not.
    """
    if repository.has_zoo:
        return target_command(options.target)
    said = ((_option_name(option, repository), asked(config, option)) for option in SETTINGS)
    return " ".join(["pytest", *(f"{name} {value}" for name, value in said if value is not None)])


def _option_name(option: str, repository: Repository) -> str:
    return repository.option_name(f"--{option.replace('_', '-')}")


def is_updating(config: pytest.Config) -> bool:
    """Whether goldens are to be rewritten."""
    return bool(config.getoption("update_snapshots", default=False))


def is_parallel(config: pytest.Config) -> bool:
    """Whether there are several processes, or this is one of them."""
    many = config.getoption("numprocesses", default=None) or config.getoption("dist", default="no") != "no"
    return bool(many) or hasattr(config, "workerinput")


def _refusals(config: pytest.Config) -> Iterator[str]:
    """Why what is asked for cannot be done, or would pass without having been done."""
    option = config.getoption
    if is_parallel(config) and is_updating(config):
        yield "--snapshot-update cannot be combined with -n: workers lose each other's updates; leave -n out"
    if is_updating(config) and "--snapshot-update" not in config.invocation_params.args:
        yield "--snapshot-update accepts every change: it is typed, and stands neither in addopts nor in PYTEST_ADDOPTS"
    if option("update_new_snapshots_only", default=False):
        yield "--snapshot-update-new-only is not supported: --snapshot-update with -k NAME writes one golden"
    for name in ("models", "skip", "compare", "output", "report"):
        if asked(config, "every_configuration") and asked(config, name):
            yield (
                f"--every-configuration cannot be combined with --{name}: it holds all models of each "
                f"configuration against their goldens, and prints no table; leave --{name} out"
            )


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


def declare(parser: Any, manager: pytest.PytestPluginManager, add: Callable[[Any], None]) -> Callable[[], None]:
    """Adds options; pytest.UsageError where another plugin has one of them, now or as soon as it declares it.

    Returns what ends the watch, once all plugins have declared theirs: it costs time at each call of a hook.
    """
    ours = Declared()
    add(ours)
    given = {"parser": parser, "pluginmanager": manager}
    with _in_one_line(given, ours, manager.hook.pytest_addoption.get_hookimpls()):
        add(parser)

    def after(outcome: Any, hook_name: str, hook_impls: Sequence[Any], _: Any) -> None:
        if hook_name == "pytest_addoption":
            with _in_one_line(given, ours, hook_impls):
                outcome.get_result()

    return manager.add_hookcall_monitoring(lambda *_: None, after)


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
