"""Nothing that judges goes quietly: tests, records, configurations and bands that changed are red, by name."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Callable, List, Tuple

import pytest

from meta_tests.conftest import Suite

TESTS = Path("test_models", "test_models.py")
CHANGED = "FAILED golden/tests.md - a whole session is not what was last reviewed: "
MEASURED = "Jetson-Orin-AGX/50W-fp32-b1"


def change(path: Path, before: str, after: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.count(before) == 1
    path.write_text(text.replace(before, after), encoding="utf-8")


def cut(path: Path, start: str, end: str) -> None:
    """Deletes what stands between these two texts, with the first."""
    text = path.read_text(encoding="utf-8")
    path.write_text(text[: text.index(start)] + text[text.index(end) :], encoding="utf-8")


def without_a_model(suite: Suite) -> None:
    change(suite.path / TESTS, "for model in MODELS]", "for model in MODELS[1:]]")


def without_the_table(suite: Suite) -> None:
    cut(suite.path / TESTS, "@pytest.mark.whole_zoo", "@pytest.mark.inputs")


def without_patterns(suite: Suite) -> None:
    shutil.rmtree(suite.path / "test_patterns")


def without_the_patterns_record(suite: Suite) -> None:
    shutil.rmtree(suite.folder / "test_patterns")
    (suite.folder / "record-patterns.toml").unlink()


def with_another_record(suite: Suite) -> None:
    record = suite.folder / "record-models.toml"
    text, count = re.subn("^clocks = .*$", 'clocks = "gpu 1300 MHz"', record.read_text("utf-8"), flags=re.MULTILINE)
    assert count == 1
    record.write_text(text, encoding="utf-8")


def without_a_configuration(suite: Suite) -> None:
    path = suite.path / "golden" / "NVIDIA-H100" / "estimates.md"
    text = path.read_text(encoding="utf-8")
    path.write_text(text[: text.index("## default-fp32-b1")], encoding="utf-8")


def without_a_board(suite: Suite) -> None:
    shutil.rmtree(suite.path / "golden" / "NVIDIA-H100")


def with_a_test_skipped(suite: Suite) -> None:
    change(suite.path / TESTS, "def test_model(", "@pytest.mark.skip\ndef test_model(")


def with_a_test_that_may_fail(suite: Suite) -> None:
    change(suite.path / TESTS, "def test_model(", "@pytest.mark.xfail\ndef test_model(")


def with_a_test_that_checks_nothing(suite: Suite) -> None:
    change(suite.path / TESTS, "    latency.check(model)", "    pass")


HOLLOW = f"FAILED golden/{MEASURED}/test_models/test_model[[]*].json: no test compared it; *"
Slip = Callable[[Suite], None]
SLIPS: List[Tuple[Tuple[Slip, ...], Tuple[str, ...]]] = [
    (
        (without_a_model, without_the_table, with_another_record, without_a_configuration),
        (
            "  test test_models/*[[]NVIDIA-H100/default-fp32-b1] is gone",
            f"  test {TESTS.as_posix()}::test_model[[]resnet18] is gone",
            f"  test {TESTS.as_posix()}::test_validation_table is gone",
            f"  record {MEASURED}/record-models.toml is another one",
        ),
    ),
    (
        (without_a_board, without_the_patterns_record),
        (
            "  test test_models/*[[]NVIDIA-H100/*] is gone",
            f"  record {MEASURED}/record-patterns.toml is gone",
            "  board NVIDIA-H100 has a profile and no goldens",
        ),
    ),
    ((without_patterns,), (f"{CHANGED}test test_patterns/*",)),
    ((with_a_test_skipped,), (HOLLOW,)),
    ((with_a_test_that_may_fail,), (HOLLOW,)),
    ((with_a_test_that_checks_nothing,), (HOLLOW,)),
]


@pytest.mark.parametrize(("slips", "said"), SLIPS, ids=lambda of: of[0].__name__ if callable(of[0]) else "")
def test_what_was_taken_from_the_main_job_is_red_by_name(
    suite: Suite, slips: Tuple[Slip, ...], said: Tuple[str, ...]
) -> None:
    for slip in slips:
        slip(suite)
    run = suite.run_here()
    run.stdout.fnmatch_lines(said)
    assert run.ret == pytest.ExitCode.TESTS_FAILED


@pytest.mark.parametrize("where", ["addopts", "PYTEST_ADDOPTS"])
def test_an_update_that_nobody_typed_is_refused(suite: Suite, where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if where == "addopts":
        change(suite.path / "pyproject.toml", '"no:hypothesispytest"]', '"no:hypothesispytest", "--snapshot-update"]')
    else:
        monkeypatch.setenv(where, "--snapshot-update")
    run = suite.run_here()
    assert run.ret == pytest.ExitCode.USAGE_ERROR
    run.stderr.fnmatch_lines(["ERROR: --snapshot-update accepts every change: it is typed, *"])


def test_rows_of_configurations_that_a_test_no_longer_compares_are_red_too(suite: Suite) -> None:
    change(suite.path / TESTS.with_name("test_configurations.py"), "    latency.session.check_configuration", "    str")
    run = suite.run_here("--every-configuration")
    run.stdout.fnmatch_lines(["FAILED Jetson-AGX-Thor 120W-fp16-b1 * no test compared it*", "FAILED ... and * more"])
    assert run.ret == pytest.ExitCode.TESTS_FAILED


def test_what_went_is_green_once_an_update_has_made_a_diff_of_it(suite: Suite) -> None:
    before = suite.files()["tests.md"].decode().splitlines()
    without_the_table(suite)
    red = suite.run_here()
    red.assert_outcomes(failed=1, passed=red.parseoutcomes()["passed"], deselected=red.parseoutcomes()["deselected"])
    assert suite.files()["tests.md"].decode().splitlines() == before
    suite.run_here("--snapshot-update").assert_outcomes(
        passed=red.parseoutcomes()["passed"], deselected=red.parseoutcomes()["deselected"]
    )
    now = suite.files()["tests.md"].decode().splitlines()
    assert set(before) - set(now) == {f"| {TESTS.as_posix()}::test_validation_table |"}
    assert suite.run_here().ret == pytest.ExitCode.OK


@pytest.mark.parametrize("options", [("-k", "vgg11"), (f"{TESTS}::test_model[resnet18]",), ("test_models",)])
def test_a_part_of_a_session_is_not_asked_for_the_rest(suite: Suite, options: Tuple[str, ...]) -> None:
    without_the_table(suite)
    run = suite.run_here(*options)
    assert run.ret == pytest.ExitCode.OK
    run.stdout.no_fnmatch_line("*tests.md*")


def test_what_judges_is_red_by_name_and_a_cause_in_verdict_and_review(two_configurations: Suite) -> None:
    suite = two_configurations

    def git(*words: str) -> None:
        about = ("-c", "user.name=a", "-c", "user.email=a@b")
        subprocess.run(["git", *about, *words], cwd=suite.path, check=True, capture_output=True)

    git("init", "-q", "-b", "main")
    git("add", "-A")
    git("commit", "-qm", "before")
    judging = suite.path / "estimator" / "judging.toml"
    change(
        judging,
        'value = 10\nunit = "% of |error|, below"\nreason = "what',
        'value = 5\nunit = "% of |error|, below"\nreason = "what',
    )
    (suite.path / "conftest.py").write_text("# weaker\n" + (suite.path / "conftest.py").read_text("utf-8"), "utf-8")
    red = suite.run("-n2", models="")
    red.stdout.fnmatch_lines(
        [
            f"{CHANGED}rating.EXCELLENT 10 -> 5 *",
            "    rating.EXCELLENT 10 -> 5 % of |error|, below (-50.0 %), which judges: 2 ratings worse; nothing moved",
        ]
    )
    review = suite.command("review", "HEAD")
    review.stdout.fnmatch_lines(["*What judges changed: conftest.py (1 line), estimator/judging.toml (1 line)*"])
    assert suite.run("--snapshot-update", models="").ret in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED)
    review = suite.command("review", "HEAD", "--format", "markdown")
    review.stdout.fnmatch_lines(["*What judges changed*", "*rating.EXCELLENT*"])
    review.stdout.no_fnmatch_line("*Nothing changed*")
