"""The options of the suite, and what they mean for one run; every name is checked before anything is computed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Dict, List, Mapping, Optional, Tuple

import pytest

from ..errors import UsageError
from ..hardware.profile import DEFAULT_HARDWARE, load_profile
from ..report import FORMATS
from .goldens import load_goldens, load_held_out_means_pct
from .recorded import FILE_NAME, Measurements, load_measurements

if TYPE_CHECKING:
    from ..pipeline import Configuration
    from ..zoo import ZooModel


def add_options(parser: pytest.Parser) -> None:
    """Declares the options of the suite."""
    group = parser.getgroup("golden-latency", "golden-latency: what to estimate, and where the table goes")
    group.addoption(
        "--hardware", metavar="NAME", default=DEFAULT_HARDWARE, help="device profile (default: %(default)s)"
    )
    group.addoption("--thermal-profile", metavar="NAME", help="power mode of the device (default: the profile's own)")
    group.addoption("--models", metavar="A,B", help="estimate only these models")
    group.addoption("--skip", metavar="A,B", help="leave these models out")
    group.addoption(
        "--output",
        metavar="FILE",
        action="append",
        default=[],
        help=f"write the table as data, by suffix {', '.join(FORMATS)}; may be given more than once",
    )


@dataclass(frozen=True)
class Settings:
    """One run: its configuration, the selected models, and the records it is held against."""

    configuration: Configuration
    models: Tuple[ZooModel, ...]
    outputs: Tuple[Path, ...]
    folder: Path
    measurements: Measurements
    goldens: Mapping[str, Dict[str, Any]]
    held_out_means_pct: Mapping[str, float]
    updating: bool

    @property
    def whole_zoo(self) -> bool:
        """Whether no model was left out by option."""
        from ..zoo import MODELS

        return self.models == MODELS

    @property
    def command(self) -> str:
        """The command line that runs this configuration."""
        return f"pytest --hardware {self.configuration.hardware} --thermal-profile {self.configuration.thermal_profile}"


def load_settings(config: pytest.Config) -> Settings:
    """Returns what the options ask for. UsageError (or RecordError, ProfileError) when a name or a file is bad."""
    from ..zoo import MODELS

    _refuse_parallel_update(config)
    configuration = _configuration(config.getoption("hardware"), config.getoption("thermal_profile"))
    folder = config.rootpath / "golden" / configuration.hardware / configuration.label
    names = [model.name for model in MODELS]
    return Settings(
        configuration=configuration,
        models=_selected_models(config.getoption("models"), config.getoption("skip")),
        outputs=tuple(_output_path(Path(text)) for text in config.getoption("output")),
        folder=folder,
        measurements=load_measurements(folder / FILE_NAME, names),
        goldens=load_goldens(folder, names),
        held_out_means_pct=load_held_out_means_pct(folder),
        updating=_updating(config),
    )


def _configuration(hardware: str, thermal_profile: Optional[str]) -> Configuration:
    from ..pipeline import Configuration

    return Configuration(hardware, load_profile(hardware).mode(thermal_profile).name)


def _selected_models(models: Optional[str], skip: Optional[str]) -> Tuple[ZooModel, ...]:
    from ..zoo import MODELS, find_models

    wanted = MODELS if models is None else find_models(_names(models))
    unwanted = () if skip is None else find_models(_names(skip))
    selected = tuple(model for model in wanted if model not in unwanted)
    if not selected:
        raise UsageError("--models and --skip leave no model; known models: " + ", ".join(m.name for m in MODELS))
    return selected


def _names(text: str) -> List[str]:
    return [name.strip() for name in text.split(",")]


def _output_path(path: Path) -> Path:
    if path.suffix not in FORMATS:
        raise UsageError(f"--output {path}: unknown suffix {path.suffix!r}; known: {', '.join(FORMATS)}")
    if not path.parent.is_dir():
        raise UsageError(f"--output {path}: there is no folder {path.parent}")
    if path.is_dir():
        raise UsageError(f"--output {path}: is a folder")
    return path.absolute()


def _updating(config: pytest.Config) -> bool:
    options = ("update_snapshots", "update_new_snapshots_only")
    return any(config.getoption(option, default=False) for option in options)


def _refuse_parallel_update(config: pytest.Config) -> None:
    parallel = config.getoption("numprocesses", default=None) or config.getoption("dist", default="no") != "no"
    if parallel and _updating(config):
        raise UsageError(
            "--snapshot-update cannot be combined with -n: workers lose each other's updates; leave -n out"
        )
