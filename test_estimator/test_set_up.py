"""The README, tox, CI and the package say the same."""

import configparser
import re

import pytest

from estimator.files import read_toml


@pytest.fixture
def root(request):
    return request.config.rootpath


@pytest.fixture
def commands(root):
    """The README's commands, from its quickstart."""
    quickstart = (root / "README.md").read_text(encoding="utf-8").split("\n## ")[1]
    assert quickstart.startswith("Quickstart")
    return re.findall(r"```sh\n(.*?)\n```", quickstart, flags=re.DOTALL)


@pytest.fixture
def tox(root):
    parser = configparser.ConfigParser(interpolation=None)
    parser.read(root / "tox.ini", encoding="utf-8")
    return parser


def test_the_quickstart_is_two_commands_that_do_their_own_set_up(commands):
    set_up = "python3 -m venv .venv && .venv/bin/pip install --quiet tox && .venv/bin/tox run"
    assert commands == [f"{set_up} -e suite", set_up]


def test_ci_calls_the_readme_s_test_command(root, commands):
    assert commands[1] in (root / ".ci" / "run").read_text(encoding="utf-8").splitlines()


def test_the_readme_s_environments_are_tox_s(tox):
    assert {"tests", "lint", "types"} <= set(tox["tox"]["env_list"].split(", "))
    assert tox["testenv:suite"]["commands"] == "pytest {posargs}"
    tests = tox["testenv:{tests,py38-torch21,py311-torch213}"]["commands"]
    assert tests.split("\n")[1].startswith("pytest test_models test_patterns test_estimator")
    assert tests.split("\n")[2].startswith("pytest --every-configuration")
    assert {"testenv:lint", "testenv:types", "testenv:bench"} < set(tox.sections())


def test_both_supported_pairs_are_pinned_in_tox(tox):
    pins = tox["testenv"]["deps"].split("\n")
    for pin in ("torch==2.1.2", "torchvision==0.16.2", "torch==2.13.0", "torchvision==0.28.0"):
        assert any(line.startswith(pin + ";") for line in pins)


def test_torch_is_never_pinned_by_the_package(root):
    dependencies = read_toml(root / "pyproject.toml")["project"]["dependencies"]
    assert {"torch", "torchvision"} <= set(dependencies)


def test_every_dependency_says_what_it_is_for(root):
    lines = (root / "pyproject.toml").read_text(encoding="utf-8").split("dependencies = [")[1].split("]")[0].split("\n")
    assert all("  # " in line for line in lines if line.strip())


def test_every_option_is_in_the_readme(root):
    options = re.findall(r'"(--[a-z-]+)"', (root / "estimator" / "suite" / "options.py").read_text(encoding="utf-8"))
    readme = (root / "README.md").read_text(encoding="utf-8")
    assert options
    assert [option for option in options if f"`{option}" not in readme] == []
