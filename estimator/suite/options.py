"""The options of the suite, and what they mean for one run; every name is checked before anything is computed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Dict, List, Mapping, Optional, Tuple

import pytest

from ..errors import UsageError
from ..hardware.local import LOCAL_CPU, is_calibrated
from ..hardware.profile import DEFAULT_HARDWARE, load_profile
from ..records.kinds import MODEL_KIND, Kind
from ..records.places import local_mode, record_folder
from ..records.record import Measurements, load_measurements
from ..report import FORMATS, MODEL_BARS, PATTERN_BARS, Bars
from .goldens import load_goldens, load_held_out_means_pct

if TYPE_CHECKING:
    from ..configuration import Configuration
    from ..subjects.zoo import ZooModel


def add_options(parser: pytest.Parser) -> None:
    """Declares the options of the suite."""
    group = parser.getgroup("golden-latency", "golden-latency: what to estimate, and where the table goes")
    group.addoption(
        "--hardware", metavar="NAME", default=DEFAULT_HARDWARE, help="device profile (default: %(default)s)"
    )
    group.addoption(
        "--thermal-profile",
        "--power-mode",
        dest="thermal_profile",
        metavar="NAME",
        help="power mode of the device (default: the profile's own)",
    )
    group.addoption("--batch-size", metavar="N", default="1", help="inputs per forward pass (default: %(default)s)")
    group.addoption(
        "--precision",
        metavar="NAME",
        default="fp32",
        help="fp32 (PyTorch's defaults), tf32, fp16 or bf16 (default: %(default)s)",
    )
    group.addoption("--compare", metavar="A,B", help="print one more table: the models in these power modes")
    group.addoption(
        "--every-configuration",
        action="store_true",
        help="instead of one configuration, hold each that has goldens against them",
    )
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
    compared_modes: Tuple[str, ...] = ()
    kind: Kind = MODEL_KIND

    @property
    def whole_zoo(self) -> bool:
        """Whether no model was left out by option."""
        from ..subjects.zoo import MODELS

        return self.models == MODELS

    @property
    def transferred(self) -> str:
        """Returns ", transferred from <board>" where the constants are another board's, else an empty text."""
        if self.configuration.hardware == LOCAL_CPU:
            return ""
        origin = load_profile(self.configuration.hardware).transferred_from
        return f", transferred from {origin}" if origin else ""

    @property
    def bars(self) -> Bars:
        """Returns what the hardware's calibration promises, by what it was made from."""
        profile = load_profile(self.configuration.hardware)
        return PATTERN_BARS[profile.processor] if profile.sources == "patterns" else MODEL_BARS

    @property
    def command(self) -> str:
        """The command line that runs this configuration."""
        case = self.configuration
        options = {"--hardware": case.hardware, "--thermal-profile": case.thermal_profile}
        if case.precision != "fp32":
            options["--precision"] = case.precision
        if case.batch_size != 1:
            options["--batch-size"] = str(case.batch_size)
        return " ".join(["pytest", *(f"{name} {value}" for name, value in options.items())])


def load_settings(config: pytest.Config) -> Settings:
    """Returns what the options ask for. UsageError (or RecordError, ProfileError) when a name or a file is bad."""
    _refuse_parallel_update(config)
    return settings_of(config, _configuration(config))


def settings_of(config: pytest.Config, configuration: Configuration, kind: Kind = MODEL_KIND) -> Settings:
    """Returns what the options ask for, but for this configuration, and for models or patterns."""
    from ..subjects.patterns import PATTERNS
    from ..subjects.zoo import MODELS

    folder = record_folder(config.rootpath, configuration.hardware, configuration.label)
    names = [subject.name for subject in (MODELS if kind is MODEL_KIND else PATTERNS)]
    return Settings(
        configuration=configuration,
        models=_selected_models(config.getoption("models"), config.getoption("skip")),
        outputs=tuple(_output_path(Path(text)) for text in config.getoption("output")),
        folder=folder,
        measurements=load_measurements(folder / kind.record, names),
        goldens=load_goldens(folder, names, kind),
        held_out_means_pct=load_held_out_means_pct(folder),
        updating=_updating(config),
        compared_modes=_compared_modes(config, configuration.hardware),
        kind=kind,
    )


def every_configuration(config: pytest.Config) -> Tuple[Configuration, ...]:
    """Returns the configurations that have goldens, by folder. RecordError for a folder that is none."""
    from ..configuration import Configuration

    folders = sorted(path.parent for path in (config.rootpath / "golden").glob("*/*/test_models"))
    return tuple(Configuration.parse(folder.parent.name, folder.name) for folder in folders)


def _configuration(config: pytest.Config) -> Configuration:
    from ..configuration import Configuration
    from ..precision import find_precision

    hardware, batch_size = config.getoption("hardware"), config.getoption("batch_size")
    mode_name, precision = config.getoption("thermal_profile"), config.getoption("precision")
    if hardware != LOCAL_CPU:
        mode = load_profile(hardware).mode(mode_name).name
    else:
        mode = local_mode(mode_name)
        if is_calibrated() and not config.getoption("calibrate"):
            load_profile(hardware)
    if not batch_size.isdecimal() or int(batch_size) < 1:
        raise UsageError(f"--batch-size {batch_size}: must be a whole number from 1")
    return Configuration(hardware, mode, find_precision(precision).name, int(batch_size))


def _compared_modes(config: pytest.Config, hardware: str) -> Tuple[str, ...]:
    names = config.getoption("compare")
    return () if names is None else tuple(load_profile(hardware).mode(name).name for name in _names(names))


def _selected_models(models: Optional[str], skip: Optional[str]) -> Tuple[ZooModel, ...]:
    from ..subjects.zoo import MODELS, find_models

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
