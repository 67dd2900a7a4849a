"""Workflows and the scripts that they call: who may run on the device, what counts as measured, what a summary says."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import venv
from pathlib import Path
from typing import Any, Dict, List, Mapping, Tuple

import pytest
import yaml

from estimator.hardware.boards import load_profile

ROOT = Path(__file__).parents[1]
SCRIPTS = ROOT / ".ci"
WORKFLOWS = {path.name: yaml.safe_load(path.read_text("utf-8")) for path in (ROOT / ".github/workflows").iterdir()}
JOBS = {f"{name}: {job}": of for name, workflow in WORKFLOWS.items() for job, of in workflow["jobs"].items()}
STEPS = [(name, step) for name, job in JOBS.items() for step in job["steps"]]
DEVICE, GATE = JOBS["jetson.yml: measure"], JOBS["jetson.yml: boards"]
LABEL = "measure-on-jetson"
REQUIRED_CHECK = "All boards, live"


def step_named(job: Mapping[str, Any], start: str) -> Dict[str, Any]:
    return next(step for step in job["steps"] if step.get("name", "").startswith(start))


def run(*command: str, cwd: Path = ROOT, **environment: str) -> subprocess.CompletedProcess:
    known = {name: text for name, text in os.environ.items() if not name.startswith(("PYTEST_", "GITHUB_"))}
    return subprocess.run(command, cwd=cwd, env={**known, **environment}, capture_output=True, text=True)


def run_step(step: Mapping[str, Any], folder: Path, tox: str = "", **environment: str) -> int:
    """Runs a step's own shell as GitHub does, with a tox that does no more than `tox` says."""
    (folder / "tox").write_text(f"#!/usr/bin/env bash\n{tox}\n")
    (folder / "tox").chmod(0o755)
    known = {"PATH": f"{folder}{os.pathsep}{os.environ['PATH']}", "GITHUB_STEP_SUMMARY": str(folder / "summary.md")}
    return run("bash", "-e", "-c", step["run"], cwd=folder, **known, **environment).returncode


def test_only_the_device_is_self_hosted_each_job_ends_in_time_and_no_failure_is_hidden() -> None:
    """Permissions, pins and credentials are zizmor's to look at (tox -e workflows)."""
    assert [step for _, step in STEPS if not step.get("uses", "actions/").startswith("actions/")] == []
    assert not any("secrets" in path.read_text("utf-8") for path in (ROOT / ".github/workflows").iterdir())
    assert [name for name, job in JOBS.items() if not 0 < job["timeout-minutes"] <= 45] == []
    assert [name for name, job in JOBS.items() if "self-hosted" in job["runs-on"]] == ["jetson.yml: measure"]
    assert [name for name, step in STEPS if "cache" in step.get("uses", "") or "cache" in step.get("with", {})] == []
    assert [step for _, step in STEPS if "continue-on-error" in step or re.search("[|;&]", step.get("run", ""))] == []
    assert [name for name, job in JOBS.items() if "continue-on-error" in job] == []


def test_every_push_and_pull_request_replays_all_goldens_types_all_commands_and_is_checked() -> None:
    golden = WORKFLOWS["golden.yml"]
    assert golden[True] == {"push": None, "pull_request": None}
    assert {name for name, job in golden["jobs"].items() if "if" in job} == {"review"}
    run = {name: [step["run"] for step in job["steps"] if "run" in step][1] for name, job in golden["jobs"].items()}
    assert (run["replay"], run["checks"]) == ('.ci/replay "$ENVIRONMENT"', "tox run -e lint,types,workflows")
    assert run["user"] == 'tox run -e "$ENVIRONMENTS" --skip-missing-interpreters false'


def test_the_device_measures_main_every_night_by_hand_and_by_label_and_one_board_at_a_time() -> None:
    triggers = WORKFLOWS["jetson.yml"][True]  # YAML 1.1 reads the key `on` so
    assert set(triggers) == {"push", "schedule", "workflow_dispatch", "pull_request"}
    assert (triggers["push"], triggers["pull_request"]) == ({"branches": ["main"]}, {"types": ["labeled"]})
    assert DEVICE["if"] == f"github.event_name != 'pull_request' || github.event.label.name == '{LABEL}'"
    assert DEVICE["strategy"]["fail-fast"] is False
    assert DEVICE["concurrency"] == {"group": "${{ matrix.runner }}", "cancel-in-progress": False}
    boards = DEVICE["strategy"]["matrix"]["include"]
    assert [load_profile(board["hardware"]).mode(board["mode"]).name for board in boards] == [b["mode"] for b in boards]
    assert len({board["runner"] for board in boards}) == len(boards)
    runner = (ROOT / "docs" / "runner.md").read_text(encoding="utf-8")
    assert LABEL in runner
    assert f"require *{REQUIRED_CHECK}*" in runner


def test_the_required_check_passes_only_where_every_board_was_asked_for_and_did(tmp_path: Path) -> None:
    assert GATE["name"] == f"${{{{ ({DEVICE['if']}) && '{REQUIRED_CHECK}' || 'All boards, not asked for' }}}}"
    assert (GATE["needs"], GATE["if"]) == ("measure", f"always() && ({DEVICE['if']})")
    results = ("success", "failure", "cancelled", "skipped")
    codes = [run_step(GATE["steps"][-1], tmp_path, MEASURED=result) for result in results]
    assert [code == 0 for code in codes] == [True, False, False, False]


@pytest.mark.parametrize("job", ["golden.yml: review", "jetson.yml: boards"])
def test_a_pull_request_is_reviewed_against_its_branch_and_a_review_that_breaks_is_seen(
    job: str, tmp_path: Path
) -> None:
    review = step_named(JOBS[job], "Review")
    assert JOBS[job]["steps"][0]["with"]["fetch-depth"] == 0
    assert run_step(review, tmp_path, 'printf "%s\\n" "$@"') == 0
    assert (tmp_path / "summary.md").read_text().split() == "run -qq -e review -- HEAD^1 --format markdown".split()
    assert run_step(review, tmp_path, "exit 3") == 3


def test_the_board_of_the_job_reaches_the_suite_and_a_replay_leaves_its_table(tmp_path: Path) -> None:
    tox = 'printf "%s\\n" "$@" > arguments'
    assert run_step(step_named(DEVICE, "Measure"), tmp_path, tox, HARDWARE="Jetson-Orin-NX-16GB", MODE="25W") == 0
    arguments = (tmp_path / "arguments").read_text().split()
    assert arguments == "run -e jetson -- --hardware Jetson-Orin-NX-16GB --power-mode 25W".split()
    (tmp_path / ".ci").mkdir()
    (tmp_path / ".ci" / "replay").write_bytes((SCRIPTS / "replay").read_bytes())
    assert run_step({"run": "bash .ci/replay py38-torch21"}, tmp_path, "exit 0") != 0  # nothing says that any test ran
    assert 'python3 .ci/accounted.py ".tox/junit-$environment.xml"' in (SCRIPTS / "run").read_text(encoding="utf-8")
    assert run_step({"run": "bash .ci/replay py38-torch21"}, tmp_path, "printf '%s\\n' \"$@\" > results/a; exit 3") == 3
    arguments = (tmp_path / "results" / "a").read_text().split()
    assert (arguments[:3], arguments[-4:-2]) == (["run", "-e", "py38-torch21"], ["--output", "results/table.md"])


def junit(path: Path, outcomes: Mapping[str, str]) -> Path:
    """Writes what pytest writes of these tests, node id and outcome each."""
    cases = ""
    for test, outcome in outcomes.items():
        file, _, name = test.partition("::")
        inner = "" if outcome == "passed" else f"<{outcome}/>"
        cases += f'<testcase classname="{file[:-3].replace("/", ".")}" name="{name}">{inner}</testcase>'
    path.write_text(f"<testsuites><testsuite>{cases}</testsuite></testsuites>", encoding="utf-8")
    return path


def test_a_job_passes_only_where_every_test_that_the_golden_names_ran_and_passed(tmp_path: Path) -> None:
    """Whatever tox.ini or the options of pytest make of the exit code."""
    golden = (ROOT / "golden" / "tests.md").read_text(encoding="utf-8").split("## Records")[0]
    names = [line.strip("| ") for line in golden.splitlines() if "::" in line]
    judged = [name for name in names if "test_baseline" not in name]  # only a device judges those

    def accounted(*changes: Tuple[str, str]) -> Tuple[int, str]:
        outcomes = dict.fromkeys(judged, "passed")
        outcomes.update(changes)
        kept = {name: outcome for name, outcome in outcomes.items() if outcome != "gone"}
        first = junit(tmp_path / "main.xml", {name: kept[name] for name in kept if "configuration" not in name})
        second = junit(tmp_path / "every.xml", {name: kept[name] for name in kept if "configuration" in name})
        done = run(sys.executable, str(SCRIPTS / "accounted.py"), str(first), str(second))
        return done.returncode, done.stderr

    assert len(judged) > 50
    assert accounted() == (0, "")
    said = f"not accounted for: 1 of {len(judged)} tests: {judged[0]} "
    for outcome, why in (("failure", "failure"), ("skipped", "skipped"), ("gone", "did not run")):
        assert accounted((judged[0], outcome)) == (1, f"{said}{why}\n")
    code, said = accounted(*((name, "gone") for name in judged))
    assert (code, f"{len(judged)} of {len(judged)} tests" in said) == (1, True)
    assert run(sys.executable, str(SCRIPTS / "accounted.py"), str(tmp_path / "none.xml")).returncode == 1


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (", tests, user", ", user", "env_list lacks tests"),
        ("env_list = lint, workflows, types, ", "env_list = ", "env_list lacks lint"),
        ("meta_tests -n 2 --junitxml", "-n 2 --junitxml", "the tests lack pytest test_models test_patterns meta_tests"),
        ("pytest --every-configuration -n 2", "true", "the tests lack pytest --every-configuration"),
        ("    python .ci/accounted.py {work_dir}", "    true {work_dir}", "the tests lack python .ci/accounted.py"),
        ("    pytest --every", "    - pytest --every", "the tests lack pytest --every-configuration"),
        ("commands = python .ci/user", "commands = -python .ci/user", "[testenv:{user,py38-torch21-user}] ignores"),
        ("[testenv:lint]\n", "[testenv:lint]\nignore_outcome = true\n", "[testenv:lint] ignores an exit code"),
        ("{posargs}\n    pytest", "{posargs} --deselect meta_tests\n    pytest", "the tests lack pytest test_models "),
        ("[testenv:{tests,", "[testenv:tests]\ncommands = true\n[testenv:{other,", "the tests lack pytest"),
        ("pass_env = CI", "set_env = PYTEST_ADDOPTS = -x", "[testenv] sets an option of pytest's"),
        ("[tox]", "[tox", "File contains no section headers"),
    ],
)
def test_every_environment_of_tox_sees_that_the_others_are_run_and_no_exit_code_is_ignored(
    old: str, new: str, message: str, tmp_path: Path
) -> None:
    (tmp_path / ".ci").mkdir()
    (tmp_path / ".ci" / "accounted.py").write_bytes((SCRIPTS / "accounted.py").read_bytes())
    tox = (ROOT / "tox.ini").read_text(encoding="utf-8")
    assert (tox.count(old) > 0, "\ncommands_pre = python .ci/accounted.py\n" in tox) == (True, True)
    for text, code in ((tox, 0), (tox.replace(old, new, 1), 1)):
        (tmp_path / "tox.ini").write_text(text, encoding="utf-8")
        done = run(sys.executable, ".ci/accounted.py", cwd=tmp_path)
        assert done.returncode == code, done.stderr
    assert done.stderr.startswith("not accounted for: ")
    assert message in done.stderr.splitlines()[0]


def test_the_table_of_the_boards_without_its_folder_is_one_line() -> None:
    done = run(sys.executable, str(SCRIPTS / "boards.py"))
    assert (done.returncode, done.stderr) == (
        4,
        "error: expected a folder with what the boards' jobs left, and a title\n",
    )


def test_a_board_s_run_passes_only_where_every_model_of_the_golden_was_measured(tmp_path: Path) -> None:
    code, last, _ = measured(tmp_path, MEASURES, "--device", "recorded")
    assert (code, last[:38]) == (1, "not measured: 22 of 22 tests: test_mod")


SAMPLE = """
import json, os, pathlib, pytest

def pytest_addoption(parser):
    parser.addoption("--device")
    parser.addoption("--output", action="append", default=[])
    parser.addoption("--report")
    parser.addoption("--models")

def pytest_configure(config):
    if config.getoption("device") == "cuda":
        raise pytest.UsageError("--device cuda: no GPU is visible to torch")

def pytest_sessionfinish(session):
    rows = [{"model": name} for name in os.environ["MODELS"].split()]
    for path in map(pathlib.Path, session.config.getoption("output")):
        path.write_text(json.dumps(rows) if path.suffix == ".json" else "| Model |\\n| --- |\\n| resnet18 |\\n")
"""
MEASURES = "def test_model(benchmark):\n    benchmark.pedantic(lambda: None, rounds=2)\n"


def measured(folder: Path, tests: str, *options: str, models: str = "resnet18") -> Tuple[int, str, str]:
    """Runs a sample suite; returns the exit code, the last line of the output, and the summary."""
    (folder / "conftest.py").write_text(SAMPLE)
    (folder / "test_sample.py").write_text(tests)
    command = (sys.executable, str(SCRIPTS / "measure.py"), "results", "-p", "no:cacheprovider", *options)
    done = run(*command, cwd=folder, MODELS=models)
    summary = run(sys.executable, str(SCRIPTS / "summary.py"), str(folder / "results"), "A board").stdout
    return done.returncode, done.stdout.splitlines()[-1], summary


def test_a_run_passes_where_every_model_was_measured_and_a_regression_is_named(tmp_path: Path) -> None:
    code, _, summary = measured(tmp_path, MEASURES, "--models", "resnet18")
    kept = ["benchmark.json", "junit.xml", "log.txt", "table.json", "table.md"]
    assert sorted(path.name for path in (tmp_path / "results").iterdir()) == kept
    assert (code, summary[:43]) == (0, "## A board\n\n**All 1 tests passed.**\n\n| Mode")
    code, last, summary = measured(
        tmp_path, MEASURES + "    assert False, 'REGRESSION: 11.2 ms, baseline 6.8 ms `x`'\n"
    )
    assert (code, "not measured" in last) == (1, False)
    assert "- `test_sample.test_model`: `AssertionError: REGRESSION: 11.2 ms, baseline 6.8 ms 'x'`" in summary
    code, last, summary = measured(tmp_path, MEASURES, "--device", "cuda")
    assert (code, last) == (pytest.ExitCode.USAGE_ERROR, "not measured: --device cuda: no GPU is visible to torch")
    assert "**Not measured:** `--device cuda: no GPU is visible to torch`" in summary
    assert "No table: the run ended before it had tested a model." in summary  # nor that of an earlier run
    assert "**No test ran.**" in run(sys.executable, str(SCRIPTS / "summary.py"), str(tmp_path / "none"), "x").stdout


@pytest.mark.parametrize(
    ("tests", "models", "last"),
    [
        ("import pytest\ndef test_model():\n    pytest.skip('power mode is 30W')\n", "resnet18", "power mode is 30W"),
        ("def test_model():\n    raise RuntimeError('mode is 30W')\n", "resnet18", "RuntimeError: mode is 30W"),
        (MEASURES, "resnet18 vgg11", "only 1 of 2 models took a measurement"),
        ("", "resnet18", "pytest ended with exit code 5"),
    ],
)
def test_a_run_that_measured_nothing_or_not_all_never_passes(
    tmp_path: Path, tests: str, models: str, last: str
) -> None:
    code, said, _ = measured(tmp_path, tests, models=models)
    assert code != 0
    assert said.startswith("not measured: ")
    assert said.endswith(last)


def test_a_torch_that_hides_the_systems_is_not_measured_with(tmp_path: Path) -> None:
    venv.create(str(tmp_path / "environment"), system_site_packages=True)
    (next(tmp_path.glob("environment/lib/python*/site-packages")) / "torch.py").touch()
    done = run(str(tmp_path / "environment/bin/python"), str(SCRIPTS / "measure.py"), str(tmp_path / "results"))
    assert (done.returncode, done.stdout[:40]) == (1, "not measured: torch was installed into /"[:40])


AGX = {"hardware": "Jetson-Orin-AGX", "mode": "50W", "runner": "agx"}
NX = {"hardware": "Jetson-Orin-NX-16GB", "mode": "25W", "runner": "agx-2"}


def left_results(folder: Path, rows: Mapping[str, Tuple[float, float, str]], **problems: str) -> None:
    """Leaves what a board's job leaves, by model: measured ms, error in percent, verdict; and what did not pass."""
    folder.mkdir(parents=True)
    table = [{"model": name, "meas_ms": ms, "error_pct": error} for name, (ms, error, _) in rows.items()]
    table += [{"model": name, "meas_ms": None, "error_pct": None} for name in problems if name not in rows]
    benchmarks = [{"param": name, "extra_info": {"verdict": word}} for name, (_, _, word) in rows.items()]
    failures = {name: f'<failure message="{text}"/>' for name, text in problems.items()}
    cases = [
        f'<testcase classname="t" name="{name}">{failures.get(name, "")}</testcase>' for name in {**rows, **problems}
    ]
    (folder / "table.json").write_text(json.dumps(table))
    (folder / "benchmark.json").write_text(json.dumps({"benchmarks": benchmarks}))
    (folder / "junit.xml").write_text(f"<testsuites><testsuite>{''.join(cases)}</testsuite></testsuites>")


def all_boards(folder: Path, listed: List[Dict[str, str]], attempt: int) -> List[str]:
    """Runs the script that summarises all boards, in a repository whose workflow lists these."""
    workflow = {"jobs": {"measure": {"strategy": {"matrix": {"include": listed}}}}}
    (folder / ".ci").mkdir()
    (folder / ".github/workflows").mkdir(parents=True)
    (folder / ".github/workflows/jetson.yml").write_text(yaml.safe_dump(workflow))
    for name in ("boards.py", "summary.py"):
        (folder / ".ci" / name).write_bytes((SCRIPTS / name).read_bytes())
    command = (sys.executable, str(folder / ".ci" / "boards.py"), str(folder / "live"), REQUIRED_CHECK)
    return run(*command, GITHUB_RUN_ATTEMPT=str(attempt)).stdout.splitlines()


def test_boards_stand_side_by_side_with_their_last_attempt_and_what_they_did_not_pass(tmp_path: Path) -> None:
    live, upload = tmp_path / "live", step_named(DEVICE, "Keep")["with"]["name"]
    assert upload == "live-${{ matrix.runner }}-${{ github.run_attempt }}"
    left_results(live / "live-agx-9", {"resnet18": (6.76, -2.49, "same (+0.1 %)")})
    left_results(live / "live-agx-2-9", {"resnet18": (9.5, 3.0, "REGRESSION")})
    left_results(live / "live-agx-2-10", {"resnet18": (0.5, 3.0, "same")}, vgg11="vgg11: not measured: no room")
    (live / "live-short-10").mkdir()
    (live / "live-short-10" / "log.txt").write_text("...\nvit_h_14\n")
    lines = all_boards(tmp_path, [AGX, NX, {**AGX, "runner": "short"}, {**NX, "runner": "absent"}], attempt=10)
    assert lines[0] == "## All boards, live"
    assert lines[4].split(" | ")[1:3] == ["Jetson-Orin-AGX 50W (attempt 9 of 10)", "Jetson-Orin-NX-16GB 25W"]
    assert lines[6].split(" | ")[1:] == [
        "**All 1 tests passed.**",
        "**1 of 2 tests did not pass.**",
        "**Not measured:** `its run was cut short; the log ends with: vit_h_14`",
        "**Not measured:** `its job left no results; the job's own log says how it ended` |",
    ]
    assert lines[7:10] == [
        "| resnet18 | 6.76 ms, -2.5 %, same (+0.1 %) | 0.500 ms, +3.0 %, same | - | - |",
        "| vgg11 | - | not measured | - | - |",
        "| **mean, largest error** | 2.5 %, 2.5 % | 3.0 %, 3.0 % | - | - |",
    ]
    assert lines[-1] == "- `t.vgg11`: `vgg11: not measured: no room`"
    refused = run(sys.executable, str(SCRIPTS / "summary.py"), "AGX=one", "two", "title")
    assert (refused.returncode, refused.stdout, "NAME=FOLDER" in refused.stderr) == (4, "", True)


MAIN, PULL = "refs/heads/main", "refs/pull/7/merge"
LABELLED = {"action": "labeled", "label": {"name": LABEL}}


@pytest.mark.parametrize(
    ("event", "ref", "workflow", "payload", "is_let_in"),
    [
        ("push", MAIN, "jetson", {}, True),
        ("schedule", MAIN, "jetson", {}, True),
        ("workflow_dispatch", "refs/heads/topic", "jetson", {}, True),
        ("pull_request", PULL, "jetson", LABELLED, True),
        ("push", "refs/heads/topic", "jetson", {}, False),
        ("push", MAIN, "other", {}, False),
        ("pull_request", PULL, "jetson", {**LABELLED, "action": "opened"}, False),
        ("pull_request", PULL, "jetson", {"action": "synchronize"}, False),
        ("pull_request", PULL, "jetson", {**LABELLED, "label": {"name": "documentation"}}, False),
        ("pull_request", PULL, "jetson", {**LABELLED, "label": {"name": f"{LABEL}\n"}}, False),
        ("pull_request", PULL, "jetson", {"action": "labeled"}, False),
        ("pull_request", PULL, "other", LABELLED, False),
        ("pull_request_target", MAIN, "jetson", {}, False),
        ("", MAIN, "jetson", {}, False),
    ],
)
def test_the_device_lets_in_what_it_knows_and_refuses_the_rest(
    event: str, ref: str, workflow: str, payload: Dict[str, Any], is_let_in: bool, tmp_path: Path
) -> None:
    (tmp_path / "event.json").write_text(json.dumps(payload))
    environment = {
        **{"GITHUB_EVENT_NAME": event, "GITHUB_EVENT_PATH": str(tmp_path / "event.json"), "GITHUB_REF": ref},
        **{"GITHUB_REPOSITORY": "owner/x", "GITHUB_WORKFLOW_REF": f"owner/x/.github/workflows/{workflow}.yml@{ref}"},
    }
    done = run("bash", "-e", str(SCRIPTS / "job-started.sh"), **environment)
    assert (done.returncode == 0) is is_let_in
    assert done.stderr.startswith("" if is_let_in else "refused by the device: ")
