"""What is not installed is one line that says what to install."""

import importlib

import pytest

from estimator import needed
from estimator.calibration.__main__ import main
from estimator.errors import UsageError
from estimator.suite import first

NOWHERE = {"nowhere_to_be_found": "a-package"}


def test_what_is_missing_is_named_by_its_package():
    needed.refuse_missing("this", {"pytest": "pytest"})
    with pytest.raises(UsageError, match=r"^this needs a-package and b: pip install a-package b$"):
        needed.refuse_missing("this", {**NOWHERE, "pytest": "pytest", "nowhere_either": "b"})


def test_a_session_without_what_it_needs_ends_before_anything_is_imported(monkeypatch):
    monkeypatch.setattr(needed, "SESSION", NOWHERE)
    with pytest.raises(pytest.UsageError, match="the suite needs a-package: pip install a-package"):
        importlib.reload(first)


def test_a_refit_without_what_it_needs_is_one_line(monkeypatch, capsys):
    monkeypatch.setattr("estimator.calibration.__main__.CALIBRATION", NOWHERE)
    assert main(["--check"]) == 4
    assert capsys.readouterr().err == "error: a refit needs a-package: pip install a-package\n"
