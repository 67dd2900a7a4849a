"""The example repository with the most used plugins of pytest all at once; `tox -e plugins` installs them."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[1] / "examples" / "own-model"
PLUGINS = (
    "asyncio bdd cov django html metadata mock playwright randomly regressions repeat rerunfailures split sugar timeout"
).split()
MODULES = [name if importlib.util.find_spec(name) else f"pytest_{name}" for name in PLUGINS if name != "mock"]
TESTS = """
import pytest
import torch
from detector import Detector
from hypothesis import given, strategies

IMAGE = torch.empty(1, 3, 64, 64)


@pytest.mark.asyncio
async def test_awaited(latency):
    latency.check(Detector(), IMAGE)


def test_in_parts(latency, subtests, mocker):
    for name, batch_size in (("one", 1), ("two", 2)):
        with subtests.test(name):
            latency.check(Detector(), IMAGE, name=name, batch_size=batch_size)


@pytest.mark.repeat(2)
@pytest.mark.flaky(reruns=1)
def test_repeated(latency):
    latency.check(Detector(), IMAGE)


@given(strategies.integers())
def test_without_a_model(number):
    assert number == int(number)
"""
ALL = "-n 2 --count 2 --reruns 1 --timeout 300 --splits 1 --group 1 --html page.html --cov detector --browser webkit"
"""Options of the plugins; of Playwright's and ours, those whose names were the same."""
SAME = "--device any --output pictures --latency-device recorded --latency-output table.csv"


def run(folder, *options):
    """Types pytest there; the exit code and what it said."""
    kept = {name: text for name, text in os.environ.items() if not name.startswith(("CI", "PYTEST"))}
    command = (sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *options)
    done = subprocess.run(command, cwd=folder, env=kept, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    print(done.stdout)
    return done.returncode, done.stdout


@pytest.mark.skipif(not all(map(importlib.util.find_spec, MODULES)), reason="the plugins: tox -e plugins")
def test_goldens_are_held_beside_all_plugins_and_their_options(tmp_path):
    shutil.copytree(EXAMPLE, tmp_path / "own")
    (tmp_path / "own" / "tests" / "test_beside.py").write_text(TESTS)
    code, said = run(tmp_path / "own", "--snapshot-update")
    (plugins,) = (line for line in said.splitlines() if line.startswith("plugins: "))
    assert [name for name in PLUGINS if f" {name}-" not in plugins] == []
    assert code == 0
    goldens = {path.stem: path for path in (tmp_path / "own" / "golden").rglob("*.json")}
    assert {*goldens} == {"test_detector_is_fast_enough", "test_awaited", "test_repeated", "one", "two"}
    assert run(tmp_path / "own", *ALL.split(), *SAME.split())[0] == 0
    assert "test_awaited" in (tmp_path / "own" / "table.csv").read_text()
    golden = goldens["test_awaited"]
    golden.write_text(golden.read_text().replace('"est_ms": ', '"est_ms": 1'))
    code, said = run(tmp_path / "own", "--count", "2", "--reruns", "1")
    assert code == 1
    assert re.search(r"test_awaited: [\d.]+ -> [\d.]+ ms \(-", said)
    assert "1 of 4 estimates moved" in said
