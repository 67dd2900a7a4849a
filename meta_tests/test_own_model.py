"""Tests in a repository of somebody's own: a module with its inputs, its golden there, its budget, several boards."""

import contextlib
import csv
import io
import json
import re
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from unittest import mock

import pytest

from estimator.__main__ import main
from estimator.compare import Comparison
from estimator.measure import device_session
from estimator.measure.device import this_cpu
from estimator.records.kinds import MODEL_KIND, PATTERN_KIND, kinds_in, own_kind
from estimator.suite.budgets import NOT_SURELY, OUTSIDE, SURELY, Budget, with_budget
from meta_tests.conftest import WORKER

ROOT = Path(__file__).parents[1]
CONFTEST = "pytest_plugins = ['estimator.suite.plugin']\n"
BOARD, OTHER = "Jetson-Orin-Nano-8GB", "Jetson-Orin-NX-16GB"
WIDTHS = ("test_widths[16]", "test_widths[32]")
SETTINGS = f"""
[tool.pytest.ini_options]
golden_latency_hardware = "{BOARD}"
"""
MODULE = """
import pytest
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self, width=16):
        super().__init__()
        self.stem = nn.Conv2d(3, width, 3)
        self.head = nn.Linear(width, {outputs})

    def forward(self, image, scale=1.0):
        return self.head(torch.relu(self.stem(image)).mean((2, 3))) * scale

"""
TESTS = """
def test_small(latency):
    latency.check(Net(), torch.empty(1, 3, 64, 64), budget_ms={budget})


@pytest.mark.parametrize("width", [16, 32])
def test_widths(latency, width):
    latency.check(Net(width), {{"image": torch.empty(1, 3, 64, 64), "scale": 2.0}})
"""


class Repository:
    """Somebody's repository, with pytest to run in it."""

    def __init__(self, pytester, settings=SETTINGS):
        self._pytester = pytester
        self.path = pytester.path
        (self.path / "conftest.py").write_text(CONFTEST)
        (self.path / "pyproject.toml").write_text(settings)

    def has_tests(self, tests=TESTS, budget=1000, outputs=10, module="test_latency"):
        text = MODULE.replace("{outputs}", str(outputs)) + tests.replace("{budget}", str(budget))
        (self.path / f"{module}.py").write_text(text.replace("{{", "{").replace("}}", "}"))

    def run(self, *options):
        """In this process, where torch is loaded already; with a worker as a user starts it."""
        run = self._pytester.runpytest_subprocess if "-n1" in options else self._pytester.runpytest_inprocess
        return run(*options)

    def command(self, *words):
        """Runs `python -m estimator` in this process; returns its lines."""
        printed = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
        with mock.patch.dict(sys.modules), contextlib.redirect_stdout(printed):
            assert main(words) == 0
        printed.seek(0)
        return pytest.LineMatcher(printed.read().splitlines())

    def goldens(self):
        root = self.path / "golden"
        return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


@pytest.fixture
def repository(pytester, monkeypatch, as_alone):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("PYTEST_ADDOPTS", "-p no:hypothesispytest")
    monkeypatch.syspath_prepend(str(ROOT))
    return Repository(pytester)


def test_a_module_has_its_golden_in_its_own_repository(repository):
    repository.has_tests()
    first = repository.run()
    first.assert_outcomes(failed=3)
    first.stdout.fnmatch_lines(
        ["*test_small: there is no golden to compare with, * ms now*", "*pytest --snapshot-update*"]
    )
    update = repository.run("--snapshot-update")
    update.assert_outcomes(passed=3)
    folder = f"{BOARD}/15W-fp32-b1/test_latency"
    names = ("test_small", *WIDTHS)
    assert repository.goldens() == [
        *(f"{folder}/{name}.json" for name in names),
        f"{BOARD}/estimates.md",
        "op-streams.md",
    ]
    again = repository.run("-n1", "--latency-output", "table.csv")
    again.assert_outcomes(passed=3)
    again.stdout.fnmatch_lines([f"hardware: {BOARD}, mode 15W, precision fp32, batch 1, transferred from *"])
    with open(repository.path / "table.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["model"], row["hardware"], row["budget"]) for row in rows] == [
        ("test_small", BOARD, SURELY),
        ("test_widths[16]", BOARD, ""),
        ("test_widths[32]", BOARD, ""),
    ]
    assert not list(repository.path.rglob("__snapshots__"))


def test_a_changed_module_is_named_with_the_ops_that_came(repository):
    repository.has_tests()
    repository.run("--snapshot-update")
    repository.has_tests(TESTS.replace("latency.check(Net(),", "latency.check(nn.Sequential(Net(), nn.Tanh()),"))
    run = repository.run()
    run.assert_outcomes(failed=1, passed=2)
    run.stdout.fnmatch_lines(["test_small: *another op stream: tanh 0 -> 1", "*VERDICT*", "*tanh 0 -> 1*"])
    run.stdout.fnmatch_lines(["*pytest --snapshot-update*"])
    assert not any("--every-configuration" in line for line in run.outlines)


def test_inputs_are_not_newer_than_the_goldens_that_were_left(repository):
    repository.has_tests()
    repository.run("--snapshot-update")
    table = repository.path / "golden" / BOARD / "estimates.md"
    stale = table.read_text().replace("| constant.dispatch_kcycles | ", "| constant.dispatch_kcycles | 1")
    table.write_text(stale)
    some = repository.run("--snapshot-update", "-k", "small")
    some.stdout.fnmatch_lines([f"*inputs of {BOARD}'s goldens stay as they were*test_widths[[]16[]]*"])
    assert table.read_text() == stale
    repository.run("--snapshot-update")
    assert table.read_text() != stale


def test_a_budget_that_one_op_breaks_names_that_op(repository):
    slow = 'latency.check(nn.Sequential(Net(), nn.Linear(10, 200_000, device="meta")),'
    repository.has_tests(TESTS.replace("latency.check(Net(),", slow), budget=0.2)
    repository.run("--snapshot-update")
    run = repository.run("-k", "small")
    run.assert_outcomes(failed=1)
    lines = [" ".join(line.split()) for line in run.outlines]
    start = next(i for i, line in enumerate(lines) if "over the budget of 0.2 ms" in line)
    assert "what costs most of the estimate" in lines[start + 1]
    estimated_ms = float(re.search(r"test_small: ([\d.]+) ms estimated", lines[start])[1])
    op_ms, share_pct = map(float, re.match(r"([\d.]+) ms \((\d+) %\) 1: addmm, 1 x 200000", lines[start + 2]).groups())
    assert op_ms / estimated_ms == pytest.approx(share_pct / 100, abs=0.01)
    to_try = lines.index("what to try, each by itself:")
    end = next(i for i, line in enumerate(lines) if line.startswith("all of it: "))
    latencies_ms = [float(line.split()[0]) for line in lines[to_try + 1 : end]]
    assert latencies_ms == sorted(latencies_ms)
    assert 0.2 < latencies_ms[0] < latencies_ms[-1] < estimated_ms
    assert all(", still over it: " in line for line in lines[to_try + 1 : end])
    run.stdout.fnmatch_lines(["*python -m estimator explain *test_latency.py::test_small*"])
    repository.command("explain", "test_latency.py::test_small").fnmatch_lines([f"test_small on {BOARD}, mode 15W, *"])


def test_a_budget_kept_but_not_surely_warns_and_says_how_far(repository):
    repository.has_tests(budget=1000)
    repository.run("--snapshot-update")
    est_ms = json.loads((repository.path / "golden" / BOARD / "15W-fp32-b1/test_latency/test_small.json").read_text())[
        "est_ms"
    ]
    repository.has_tests(budget=est_ms * 1.001)
    run = repository.run("-k", "small")
    run.assert_outcomes(passed=1, warnings=1)
    run.stdout.fnmatch_lines(
        ["*test_latency.py:*: BudgetWarning: test_small: * below the budget of * not surely: it may be *"]
    )


def test_several_boards_have_a_test_a_table_and_a_golden_each(repository):
    settings = SETTINGS.replace(f'"{BOARD}"', f'["{BOARD}", "{OTHER}"]')
    (repository.path / "pyproject.toml").write_text(settings)
    budgets = f'{{{{"{BOARD}": 1000, "{OTHER}": 900}}}}'
    repository.has_tests(budget=budgets)
    repository.run("--snapshot-update").assert_outcomes(passed=6)
    assert {name.split("/")[0] for name in repository.goldens()} == {BOARD, OTHER, "op-streams.md"}
    assert f"{OTHER}/15W-fp32-b1/test_latency/test_widths[16].json" in repository.goldens()
    run = repository.run("--latency-report", "page.html", "--latency-output", "table.md")
    run.assert_outcomes(passed=6)
    titles = [line for line in run.outlines if "GOLDEN REFERENCE VALIDATION" in line]
    assert [BOARD in titles[0], OTHER in titles[1]] == [True, True]
    assert f"## {OTHER} 15W-fp32-b1" in (repository.path / "table.md").read_text()
    assert f"test_small, {OTHER} 15W-fp32-b1" in (repository.path / "page.html").read_text()
    alone = repository.run("--latency-hardware", OTHER)
    alone.assert_outcomes(passed=3)
    alone.stdout.fnmatch_lines([f"hardware: {OTHER}, mode 15W, *"])


def test_a_test_that_is_parametrized_by_its_boards_runs_once_for_each_that_it_names(repository):
    (repository.path / "pyproject.toml").write_text(SETTINGS.replace(f'"{BOARD}"', f'["{BOARD}", "{OTHER}"]'))
    repository.has_tests(
        f"""
@pytest.mark.parametrize("hardware", ["{OTHER}"])
def test_there(latency, hardware):
    latency.check(Net(), torch.empty(1, 3, 64, 64), hardware=hardware)


@pytest.mark.parametrize("latency, width", [("{OTHER}", 16)], indirect=["latency"])
def test_here(latency, width):
    latency.check(Net(width), torch.empty(1, 3, 64, 64))
"""
    )
    repository.run("--snapshot-update").assert_outcomes(passed=2)
    assert {name.split("/")[0] for name in repository.goldens()} == {OTHER, "op-streams.md"}


def test_a_test_may_name_its_board_and_check_several_modules(repository):
    repository.has_tests(
        f"""
def test_two(latency):
    latency.check(Net(), torch.empty(1, 3, 64, 64), name="narrow")
    latency.check(Net(64), torch.empty(1, 3, 64, 64), name="wide", hardware="{OTHER}", mode="10W", precision="fp16")


def test_twice(latency):
    latency.check(Net(), torch.empty(1, 3, 64, 64))
    latency.check(Net(), torch.empty(1, 3, 32, 32))
"""
    )
    run = repository.run("--snapshot-update")
    run.assert_outcomes(passed=1, failed=1)
    run.stdout.fnmatch_lines(["test_twice: *checks a model of that name*, too, *latency.check(..., name=...)"])
    assert f"{OTHER}/10W-fp16-b1/test_latency/wide.json" in repository.goldens()
    assert f"{BOARD}/15W-fp32-b1/test_latency/narrow.json" in repository.goldens()
    rows = {words[0]: words[1] for words in map(str.split, run.outlines) if words and words[0] in ("narrow", "wide")}
    assert len(set(rows.values())) == len(rows) == 2


@pytest.mark.parametrize(
    ("call", "words"),
    [
        ("latency.check(Net)", "takes a torch.nn.Module and its example inputs, got Net"),
        ("latency.check(Net())", "needs example inputs: a tensor, a tuple of arguments, or a dict of keywords"),
        (
            "latency.check(Net(), torch.empty(1, 3, 9, 9), budget_ms=-1)",
            "budget_ms: must be a finite number from 1e-05 to 1e+08 ms",
        ),
        ("latency.check(Net(), torch.empty(1, 3, 9, 9), hardware='X')", "unknown hardware 'X'; known hardware: "),
        ("latency.check(Net(), torch.empty(1, 3, 9, 9), mode='1W')", "unknown thermal profile '1W'"),
        ("latency.check(Net(), torch.empty(1, 4, 9, 9))", "test_it: no estimate: cannot capture the op stream of Net"),
    ],
)
def test_what_cannot_be_checked_is_one_line(pytester, monkeypatch, call, words):
    monkeypatch.syspath_prepend(str(ROOT))
    Repository(pytester).has_tests(f"def test_it(latency):\n    {call}\n")
    run = pytester.runpytest_inprocess("-p", "no:hypothesispytest", "-p", "no:xdist")
    run.assert_outcomes(failed=1)
    message = next(line for line in run.outlines if words in line)
    assert not message.startswith("E ")


def test_bad_settings_end_the_run_in_one_line(repository):
    repository.has_tests()
    (repository.path / "pyproject.toml").write_text(SETTINGS.replace(BOARD, "Nowhere"))
    run = repository.run()
    assert run.ret == pytest.ExitCode.USAGE_ERROR
    assert next(line for line in run.errlines if line).startswith("ERROR: unknown hardware 'Nowhere'; known hardware: ")


def test_on_a_device_the_module_of_a_test_is_measured_in_a_fresh_process(repository, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(repository.path / "cache"))
    monkeypatch.setenv("TMPDIR", str(repository.path))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setattr(device_session, "MOST_NOISE_PCT", {"cpu": 1e9})
    monkeypatch.setattr(this_cpu, "MOST_CPUS", 1e9)
    local = TESTS.replace("Net(),", "Local(),", 1).replace(
        "    latency", "    class Local(Net):\n        pass\n\n    latency", 1
    )
    repository.has_tests(local, budget=1e-4)
    tiny = "--latency-hardware local-cpu --latency-device cpu --latency-rounds 3 --latency-warmup 1".split()
    run = repository.run(*tiny, "--latency-record")
    run.assert_outcomes(passed=3)
    record = repository.path / "cache/golden-latency/local-cpu/default-fp32-b1/record-latency.toml"
    run.stdout.fnmatch_lines([f"*Recorded 3 figures to {record}*"])
    (repository.path / "sitecustomize.py").write_text(WORKER)
    monkeypatch.setenv("PYTHONPATH", str(repository.path))
    (repository.path / "times.json").write_text(json.dumps({"test_small": 2.0, **dict.fromkeys(WIDTHS, 3.0)}))
    again = repository.run(*tiny)
    again.stdout.fnmatch_lines(["test_small: 2 ms measured, * over the budget of 0.0001 ms, *"])
    assert any("test_widths[16]" in line and "against the baseline" not in line for line in again.outlines)


def test_review_reads_the_goldens_of_any_repository(repository, tmp_path):
    repository.has_tests()
    repository.run("--snapshot-update")
    shutil.copytree(repository.path / "golden", tmp_path / "before" / "golden")
    repository.has_tests(outputs=500_000)
    repository.run("--snapshot-update")
    review = repository.command("review", str(tmp_path / "before"), ".", "--format", "markdown")
    review.fnmatch_lines(["*op stream: the same ops with other shapes*", "*| test_small |*"])


@pytest.mark.parametrize(
    ("budget_ms", "interval_pct", "verdict", "words"),
    [
        (11.01, 10.0, SURELY, "1.01 ms (9 %) below the budget of 11.01 ms, surely: it may be 11 ms (± 10.0 %)"),
        (11.0, 10.0, SURELY, "below the budget of 11 ms, surely"),
        (10.99, 10.0, NOT_SURELY, "not surely: it may be 11 ms"),
        (10.0, 10.0, NOT_SURELY, "0 ms (0 %) below the budget of 10 ms, not surely"),
        (9.99, 10.0, OUTSIDE, "0.01 ms (0 %) over the budget of 9.99 ms, not surely: it may be 9 ms"),
        (8.99, 10.0, OUTSIDE, "over the budget of 8.99 ms, surely (± 10.0 %)"),
        (50.0, None, NOT_SURELY, "and nothing measured says how sure that is"),
    ],
)
def test_a_budget_is_held_against_both_ends_of_the_interval(budget_ms, interval_pct, verdict, words):
    budget = Budget(budget_ms, 10.0, "estimated", interval_pct)
    assert budget.verdict == verdict
    assert words in budget.text
    assert (budget.least_ms, budget.most_ms) == ((9.0, 11.0) if interval_pct else (None, None))
    assert replace(budget, interval_pct=150.0).least_ms == 0.0


def test_what_is_measured_counts_before_what_is_estimated():
    row = Comparison("a", "A", 10.0, 20.0, -50.0, "POOR", "host", 9.0, 1.0, 5.0)
    assert with_budget(row, 15.0)[0].budget == SURELY
    assert with_budget(row, 15.0, noise_pct=1.0)[0].budget == OUTSIDE
    assert with_budget(replace(row, meas_ms=None), 15.0, noise_pct=1.0)[0].budget == SURELY
    assert with_budget(row, None) == (row, None)


def test_folders_and_records_say_which_kinds_there_are(tmp_path):
    for folder in ("test_models", "test_latency"):
        (tmp_path / folder).mkdir()
    (tmp_path / "record-latency.toml").touch()
    (tmp_path / "record-patterns.toml").touch()
    assert kinds_in(tmp_path) == [MODEL_KIND, PATTERN_KIND, own_kind("test_latency")]
    assert own_kind("test_models") in kinds_in(tmp_path, of_zoo=False)
    for kind, name in ((MODEL_KIND, "a"), (own_kind("test_latency"), "test_it[a]")):
        assert kind.name_of(kind.golden_path(tmp_path, name)) == name
    assert MODEL_KIND.name_of(Path("other.json")) == ""


def test_a_golden_whose_test_is_gone_fails_a_whole_session_and_one_skipped_does_not(repository):
    repository.has_tests()
    repository.run("--snapshot-update").assert_outcomes(passed=3)
    repository.has_tests(TESTS.split("@pytest")[0])
    red = repository.run()
    assert red.ret == pytest.ExitCode.TESTS_FAILED
    gone = f"FAILED golden/{BOARD}/15W-fp32-b1/test_latency/{{}}.json: no test compared it; delete it, or *"
    red.stdout.fnmatch_lines([gone.format(name.replace("[", "[[]")) for name in WIDTHS])
    assert repository.run("-k", "small").ret == pytest.ExitCode.OK
    repository.has_tests(TESTS.replace("@pytest", "@pytest.mark.skip\n@pytest"))
    assert repository.run().ret == pytest.ExitCode.OK
