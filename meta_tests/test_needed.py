"""What is not installed is one line that says what to install."""

import pytest

from estimator import needed
from estimator.__main__ import main
from estimator.errors import UsageError

NOWHERE = {"nowhere_to_be_found": "a-package"}


def test_what_is_missing_is_named_by_its_package():
    needed.refuse_missing("this", {"pytest": "pytest"})
    with pytest.raises(UsageError, match=r"^this needs a-package and b: pip install a-package b$"):
        needed.refuse_missing("this", {**NOWHERE, "pytest": "pytest", "nowhere_either": "b"})


def test_a_session_without_what_it_needs_ends_in_one_line(suite):
    suite.run_first(
        "import importlib.util as util\nfind = util.find_spec\n"
        "util.find_spec = lambda name, *rest: None if name == 'syrupy' else find(name, *rest)\n"
    )
    run = suite.run()
    assert run.ret == pytest.ExitCode.USAGE_ERROR
    assert run.errlines[0] == "ERROR: the suite needs syrupy: pip install syrupy"


@pytest.mark.parametrize("options", [["--check"], ["local-cpu"]])
def test_a_calibration_without_what_it_needs_is_one_line(monkeypatch, capsys, options):
    monkeypatch.setattr("estimator.calibration.calibrate_command.CALIBRATION", {"nowhere_to_be_found": "scipy"})
    assert main(["calibrate", *options]) == 4
    assert capsys.readouterr().err == "error: calibrate needs scipy: pip install scipy\n"
