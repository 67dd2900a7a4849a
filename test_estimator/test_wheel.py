"""The estimator, installed as a wheel far from its repository."""

import os
import shutil
import subprocess
import sys

import pytest

from estimator.hardware.reading import known_profiles

PROGRAM = """
import torch
from estimator import estimate
from estimator.hardware.reading import known_profiles
assert known_profiles() == {names!r}, known_profiles()
from estimator.hardware.reading import TEMPLATES, read_profile
assert read_profile(TEMPLATES / "local-cpu.toml").processor == "cpu"
print(estimate(torch.nn.Linear(4, 4), torch.rand(1, 4)).bound)
"""


@pytest.fixture(scope="module")
def installed(request, tmp_path_factory):
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("installed")
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(request.config.rootpath / "estimator", source / "estimator", ignore=ignored)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(request.config.rootpath / name, source)
    offline = ["--quiet", "--no-deps", "--no-index", "--no-build-isolation"]
    command = [sys.executable, "-m", "pip", "install", *offline, "--target", str(target), str(source)]
    subprocess.run(command, check=True, capture_output=True)
    return target


def test_a_wheel_carries_profiles_and_evidence_and_estimates_anywhere(installed, tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    command = [sys.executable, "-c", PROGRAM.format(names=known_profiles())]
    run = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert (run.returncode, run.stdout.strip()) == (0, "host"), run.stderr
    for place in ("calibration/evidence/Jetson-Orin-AGX.toml", "explain/evidence.toml", "page/templates/page.html"):
        assert (installed / "estimator" / place).is_file()
