"""Copies of the repository in which the tests run the suite as a user would."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
from pathlib import Path
from typing import Iterator, List, Mapping, Sequence
from unittest import mock

import pytest
from hypothesis import HealthCheck, settings

from estimator.__main__ import main
from estimator.hardware import boards
from estimator.hardware.reading import TEMPLATES
from estimator.measure import baseline, behind_sleep, built_blocks, chain_times, device_session
from estimator.measure.device import choice, environment, this_cpu
from estimator.missing_operators import declare_missing_operators
from estimator.records.kinds import MODEL_KIND
from estimator.records.record import PROVENANCE_KEYS, Record, write_record
from estimator.subjects.streams import Streams
from meta_tests.estimating import ESTIMATES

pytest_plugins = ["pytester"]  # taken where this folder is named on the command line, as it always is
SMALL_MODELS = ("resnet18", "mobilenet_v2", "vgg11")
CONFIGURATION = Path("golden", "Jetson-Orin-AGX", "50W-fp32-b1")
ANY_NOISE = """
def pytest_configure():
    from estimator.measure import device_session
    from estimator.measure.device import this_cpu

    device_session.MOST_NOISE_PCT = {**device_session.MOST_NOISE_PCT, "cpu": 1e9}
    this_cpu.MOST_CPUS = 1e9
"""
WORKER = """
import json, os, sys, time
from pathlib import Path

def say(**message):
    print(json.dumps(message), flush=True)

def answer(request):
    model = request.get("model")
    if model is None:
        return {"kind": "done", "reference_ms": 1.0}
    with open(HERE / "measured.txt", "a") as log:
        log.write(model + "\\n")
    ms = json.loads((HERE / "times.json").read_text())[model]
    if ms == "dies":
        os.kill(os.getpid(), 9)
    if isinstance(ms, str):
        return {"kind": "error", "message": ms}
    protocol = request["protocol"]
    about = {"warmup_s": 0.1, "rounds_s": 0.2, "page_faults": 7}
    return {"kind": "done", "samples_ms": [ms] * protocol["rounds"], "finite": True, **about}

HERE = Path(__file__).parent
if b"estimator.measure" in Path("/proc/self/cmdline").read_bytes().split(b"\\0"):
    versions = {"python": "3.8.10", "torch": "2.1.0", "torchvision": "0.16.0", "threads": 2}
    say(kind="hello", name="a CPU", memory_gib=8, switches={"mkldnn": "True"}, variables={}, **versions)
    for line in sys.stdin:
        say(**answer(json.loads(line)))
    os._exit(0)
"""
"""Answers in place of the process that measures, with the times of times.json: ms, what goes wrong, or "dies"."""
_COPIED = ("conftest.py", "estimator", "golden", "pyproject.toml", "test_models", "test_patterns")

settings.register_profile(
    "any machine",
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
settings.load_profile("any machine")


def pytest_sessionstart() -> None:
    """Imports what cannot be imported twice before `pytester` first notes what is imported."""
    declare_missing_operators()
    import torch
    import torchvision  # noqa: F401

    torch.set_num_threads(1)  # threads that wait for each other take the cores from other tests

    with contextlib.suppress(ImportError):
        import vl_convert  # noqa: F401


@pytest.fixture(scope="session", autouse=True)
def shared_streams(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """For the sake of time the processes of this run share the op streams of the zoo, with CI set too."""
    own = tmp_path_factory.getbasetemp()
    with pytest.MonkeyPatch.context() as patch:
        if os.environ.get("CI"):
            patch.delenv("CI")
            patch.setenv("BUILD_NUMBER", "1")  # by which pytest shows a failure whole, too
        patch.setenv("XDG_CACHE_HOME", str((own.parent if own.name.startswith("popen-gw") else own) / "cache"))
        patch.setattr(ESTIMATES, "streams", Streams())
        yield


@pytest.fixture
def as_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs of pytest begin as on a developer's machine."""
    for name in [name for name in os.environ if name.startswith(("PYTEST_XDIST_", "BUILD_NUMBER"))]:
        monkeypatch.delenv(name)


@pytest.fixture
def suite(request: pytest.FixtureRequest, as_alone: None, pytester: pytest.Pytester) -> Suite:
    _copy_repository(request.config.rootpath, pytester.path)
    return Suite(pytester)


def _copy_repository(source: Path, target: Path) -> None:
    for name in _COPIED:
        if (source / name).is_dir():
            shutil.copytree(source / name, target / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source / name, target / name)


@pytest.fixture
def two_configurations(suite: Suite) -> Suite:
    """The copy with the goldens of the measured configuration and those of one other board, for the sake of time."""
    for folder in (suite.path / "golden").iterdir():
        if folder.is_dir() and folder.name not in ("Jetson-Orin-AGX", "NVIDIA-H100"):
            shutil.rmtree(folder)
    tables = suite.path / "golden" / "Jetson-Orin-AGX" / "estimates.md"
    text = tables.read_text(encoding="utf-8")
    tables.write_text(text[: text.index("## 15W-fp32-b1")].rstrip() + "\n", encoding="utf-8")
    for profile in (suite.path / "estimator" / "hardware").glob("*.toml"):
        if not (suite.path / "golden" / profile.stem).exists():
            profile.unlink()
    session = suite.path / "golden" / "tests.md"
    kept = ("[Jetson-Orin-AGX/50W-fp32-b1]", "[NVIDIA-H100/")
    lines = session.read_text(encoding="utf-8").splitlines(keepends=True)
    left = [line for line in lines if "::test_configuration[" not in line or any(name in line for name in kept)]
    session.write_text("".join(left), encoding="utf-8")
    return suite


@pytest.fixture
def live(suite: Suite, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Live:
    """The copy of the suite, live, with a cache of its own; neither noise nor contention is a reason to refuse."""
    streams = Path(os.environ["XDG_CACHE_HOME"], "golden-latency", "op-streams")
    streams.mkdir(parents=True, exist_ok=True)
    (suite.path / "cache" / "golden-latency").mkdir(parents=True)
    (suite.path / "cache" / "golden-latency" / "op-streams").symlink_to(streams)
    monkeypatch.setenv("XDG_CACHE_HOME", str(suite.path / "cache"))
    monkeypatch.setenv("TMPDIR", str(suite.path))  # a lock of its own: other measurements on this machine go on
    monkeypatch.setenv("COLUMNS", "300")  # so that a summary's lines are whole
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # threads that wait for each other take the cores from other tests
    suite.plug_in(ANY_NOISE)
    return Live(suite)


class Live:
    """Runs of a copy of the suite on this machine's own CPU."""

    def __init__(self, suite: Suite) -> None:
        self.suite = suite
        self.folder = suite.path / "cache" / "golden-latency" / "local-cpu" / "default-fp32-b1"

    def is_calibrated(self, **keys: float) -> None:
        """Leaves the constants from which a calibration starts as those of this machine, with these keys."""
        text = (TEMPLATES / "local-cpu.toml").read_text(encoding="utf-8")
        lines = "".join(f"{key} = {value}\n" for key, value in keys.items())
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        path = self.folder.parent / "local-cpu.toml"
        path.write_text(text.replace("[calibration]\n", f"[calibration]\n{lines}"), encoding="utf-8")

    def takes(self, ms: Mapping[str, object], *options: str) -> pytest.RunResult:
        """Measures these models on a synthetic CPU, where each takes what is given, fails with it, or "dies"."""
        (self.suite.path / "times.json").write_text(json.dumps(ms))
        self.suite.run_first(WORKER)
        return self(*options, models=",".join(ms) if "test_patterns" not in options else "")

    def measured(self) -> List[str]:
        """Returns the models whose rounds were measured since it was asked last, in order."""
        log = self.suite.path / "measured.txt"
        lines = log.read_text().split() if log.exists() else []
        log.unlink()
        return lines

    def has_recorded(self, runs_ms: Mapping[str, Sequence[float]], **provenance: str) -> Path:
        """Leaves these runs as the baseline, as if they had been recorded here."""
        about = {**dict.fromkeys(PROVENANCE_KEYS, "synthetic"), **provenance}
        path = self.folder / MODEL_KIND.record
        path.parent.mkdir(parents=True, exist_ok=True)
        write_record(Record(path, about, {name: tuple(runs) for name, runs in runs_ms.items()}))
        return path

    def calibrate(self, *options: str, first: str = "") -> int:
        """Runs `calibrate` in this process, which has torch; it and those that measure begin with source `first`."""
        source = f"{ANY_NOISE}\n\npytest_configure()\n{first}"
        self.suite.run_first(source)
        with pytest.MonkeyPatch.context() as patch, contextlib.ExitStack() as as_before:
            patch.chdir(self.suite.path)
            patch.setenv("PYTHONPATH", str(self.suite.path))
            patch.setattr(boards, "PROFILES", self.suite.path / "estimator" / "hardware")
            for module in (
                baseline,
                behind_sleep,
                built_blocks,
                chain_times,
                choice,
                device_session,
                environment,
                this_cpu,
            ):
                as_before.enter_context(mock.patch.dict(module.__dict__))
            exec(source, {})
            return main(["calibrate", *options])

    def __call__(self, *options: str, models: str = "mobilenet_v3_small") -> pytest.RunResult:
        """Measures models with tiny budgets."""
        tiny = ("--hardware", "local-cpu", "--device", "cpu", "--rounds", "3", "--warmup", "1")
        return self.suite.run(*tiny, *options, models=models)


class Suite:
    """A copy of the repository of one's own, and pytest to run in it."""

    def __init__(self, pytester: pytest.Pytester) -> None:
        self._pytester = pytester
        self.path = pytester.path
        self.folder = pytester.path / CONFIGURATION
        self.profile = pytester.path / "estimator" / "hardware" / "Jetson-Orin-AGX.toml"
        self._plugins: List[str] = []

    def plug_in(self, source: str) -> None:
        """Lets every run of pytest from now on load this source as one more plugin."""
        name = f"plugged_in_{len(self._plugins) // 2}"
        (self.path / f"{name}.py").write_text(source, encoding="utf-8")
        self._plugins += ["-p", name]

    def run_first(self, source: str) -> None:
        """Lets every Python of a run, the processes that measure among them, start with this source."""
        (self.path / "sitecustomize.py").write_text(source, encoding="utf-8")

    def run(self, *options: str, models: str = ",".join(SMALL_MODELS)) -> pytest.RunResult:
        """Runs the small models, or those named; all of them for an empty text."""
        selection = ["--models", models] if models else []
        return self._pytester.runpytest_subprocess(*self._plugins, *selection, *options)

    def command(self, *words: str) -> pytest.RunResult:
        """Runs `python -m estimator` with these words."""
        return self._pytester.run(sys.executable, "-m", "estimator", *words)

    def run_here(self, *options: str) -> pytest.RunResult:
        """Runs pytest in this process: the estimator is not the copy's, and what a refusal loads is loaded already."""
        with mock.patch.dict(sys.modules):
            for path in self.path.glob("test_*/*.py"):  # the session that runs this may have collected its own
                sys.modules.pop(path.stem, None)
            return self._pytester.runpytest_inprocess("-p", "no:hypothesispytest", *options)

    def golden(self, model: str) -> Path:
        return self.folder / "test_models" / f"test_model[{model}].json"

    def files(self) -> dict:
        """Every golden file with its content."""
        root = self.path / "golden"
        return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def report_lines(run: pytest.RunResult) -> List[str]:
    """The lines from the table's title to the end of the summary."""
    lines = run.outlines
    start = next(i for i, line in enumerate(lines) if "GOLDEN REFERENCE VALIDATION" in line)
    end = next(i for i, line in enumerate(lines) if line.strip().startswith("POOR (>50%)"))
    return lines[start : end + 1]
