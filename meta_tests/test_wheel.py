"""The estimator, installed as a wheel into an empty environment far from its repository."""

import os
import shutil
import subprocess
import sys
import sysconfig
import venv

import pytest

from estimator.hardware.reading import known_profiles

PROGRAM = """
import torch
from pathlib import Path
import estimator
from estimator import estimate
from estimator.hardware.reading import TEMPLATES, known_profiles, read_profile
assert known_profiles() == {names!r}, known_profiles()
assert read_profile(TEMPLATES / "local-cpu.toml").processor == "cpu"
for place in ("calibration/evidence/Jetson-Orin-AGX.toml", "explain/evidence.toml", "page/templates/page.html"):
    assert (Path(estimator.__file__).parent / place).is_file(), place
print(estimate(torch.nn.Linear(4, 4), torch.rand(1, 4)).bound, Path(estimator.__file__).parents[1])
"""
TOO_SLOW = """
import torch

from detector import Detector


def test_a_head_for_many_classes(latency):
    latency.check(Detector(classes=200_000), torch.empty(1, 3, 320, 320), budget_ms=25)
"""


@pytest.fixture(scope="module")
def python(request, tmp_path_factory):
    """The Python of an environment with the wheel; other packages it finds where those of this environment are."""
    source, folder = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("environment")
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(request.config.rootpath / "estimator", source / "estimator", ignore=ignored)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(request.config.rootpath / name, source)
    venv.create(str(folder))
    packages = next(folder.glob("lib/python*/site-packages"))
    offline = ["--quiet", "--no-deps", "--no-index", "--no-build-isolation"]
    command = [sys.executable, "-m", "pip", "install", *offline, "--target", str(packages), str(source)]
    subprocess.run(command, check=True, capture_output=True)
    (packages / "others.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return folder / "bin" / "python"


@pytest.fixture
def example(request, tmp_path):
    shutil.copytree(request.config.rootpath / "examples" / "own-model", tmp_path / "own-model")
    return tmp_path / "own-model"


def run(python, folder, *words):
    known = {name: text for name, text in os.environ.items() if not name.startswith(("PYTEST_", "PYTHONPATH"))}
    return subprocess.run([str(python), *words], cwd=folder, env=known, capture_output=True, text=True)


def test_a_wheel_carries_profiles_and_evidence_and_estimates_anywhere(python, tmp_path):
    done = run(python, tmp_path, "-c", PROGRAM.format(names=known_profiles()))
    assert done.returncode == 0, done.stderr
    bound, place = done.stdout.split()
    assert bound == "host"
    assert python.parents[1].resolve() in type(python)(place).resolve().parents


def test_the_example_passes_and_a_module_over_its_budget_fails_with_what_to_do(python, example):
    (example / "tests" / "test_too_slow.py").write_text(TOO_SLOW)
    red = run(python, example, "-m", "pytest", "-q")
    assert red.returncode == 1, red.stdout
    lines = [line.strip() for line in red.stdout.splitlines()]
    start = next(i for i, line in enumerate(lines) if line.startswith("test_a_head_for_many_classes: "))
    assert "what costs most of the estimate" in lines[start + 1]
    assert "scores: convolution, 1 x 200000 x 20 x 20" in lines[start + 2]
    assert "what to try, each by itself:" in lines
    assert "1 failed, 1 passed" in lines[-1]
