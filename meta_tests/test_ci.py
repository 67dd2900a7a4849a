from __future__ import annotations

import configparser
import fnmatch
import json
import os
import re
import subprocess
import sys
import venv
from pathlib import Path
from typing import Any, Dict, Iterator, List, Mapping, Optional, Tuple

import pytest
import yaml

from estimator.hardware.boards import load_profile

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[1]
SCRIPTS = ROOT / ".ci"
WORKFLOWS = sorted((ROOT / ".github" / "workflows").iterdir())
LABEL = "measure-on-jetson"
REQUIRED_CHECK = "All boards, live"
DEVICE_WORKFLOW = "owner/golden-latency/.github/workflows/jetson.yml"


def load(workflow: Path) -> Dict[Any, Any]:
    return yaml.safe_load(workflow.read_text(encoding="utf-8"))


def triggers(workflow: Path) -> Dict[str, Any]:
    return load(workflow)[True]  # YAML 1.1 reads the key `on` so


def jobs() -> Iterator[Tuple[str, Dict[str, Any]]]:
    for workflow in WORKFLOWS:
        for name, job in load(workflow)["jobs"].items():
            yield f"{workflow.name}: {name}", job


def steps() -> Iterator[Tuple[str, Dict[str, Any]]]:
    for name, job in jobs():
        for step in job["steps"]:
            yield name, step


def job_of(workflow: str, job: str) -> Dict[str, Any]:
    return load(ROOT / ".github" / "workflows" / workflow)["jobs"][job]


def device_job() -> Dict[str, Any]:
    return job_of("jetson.yml", "measure")


def boards() -> List[Dict[str, str]]:
    return device_job()["strategy"]["matrix"]["include"]


def step_named(job: Dict[str, Any], start: str) -> Dict[str, Any]:
    return next(step for step in job["steps"] if step.get("name", "").startswith(start))


def step_using(job: Dict[str, Any], action: str) -> Dict[str, Any]:
    return next(step for step in job["steps"] if step.get("uses", "").startswith(f"actions/{action}@"))


def run_step(step: Dict[str, Any], folder: Path, **environment: str) -> int:
    """Runs a step's own shell as GitHub does: programs of `folder`/bin first, the summary in `folder`/summary.md."""
    known = {**with_path(folder / "bin"), "GITHUB_STEP_SUMMARY": str(folder / "summary.md")}
    return subprocess.run(["bash", "-e", "-c", step["run"]], cwd=folder, env={**known, **environment}).returncode


def tox_settings() -> configparser.ConfigParser:
    settings = configparser.ConfigParser(interpolation=None)
    settings.read(ROOT / "tox.ini", encoding="utf-8")
    return settings


def test_zizmor_and_the_schema_judge_every_workflow_and_dependabot() -> None:
    checks = load(ROOT / ".github" / "workflows" / "golden.yml")["jobs"]["checks"]
    assert step_named(checks, "Lint, types, workflows")["run"] == "tox run -e lint,types,workflows"
    commands = tox_settings()["testenv:workflows"]["commands"].strip().split("\n")
    schemas = [line for line in commands if line.startswith("check-jsonschema ")]
    judged = [*(f"workflows/{path.name}" for path in WORKFLOWS), "dependabot.yml"]
    assert [name for name in judged if f".github/{name}" not in " ".join(schemas)] == []
    example = "examples/own-model/.github"
    assert f"{example}/workflows/latency.yml" in " ".join(schemas)
    assert commands[-1] == f"zizmor --offline --no-progress .github {example}"


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.name)
def test_no_job_asks_for_more_rights_than_its_workflow_or_for_a_secret(workflow: Path) -> None:
    text = workflow.read_text(encoding="utf-8")
    assert text.count("permissions:") == 1
    assert "secrets" not in text


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.name)
def test_every_action_is_githubs_own_with_its_version_beside(workflow: Path) -> None:
    used = re.findall(r"uses: (.*)", workflow.read_text(encoding="utf-8"))
    assert used
    assert [line for line in used if not re.fullmatch(r"actions/[a-z-]+@\S+ # v\d+\.\d+\.\d+", line)] == []


def test_an_action_is_pinned_to_the_same_commit_everywhere() -> None:
    pins: Dict[str, set] = {}
    for _, step in steps():
        if "uses" in step:
            pins.setdefault(step["uses"].split("@")[0], set()).add(step["uses"])
    assert {action: len(versions) for action, versions in pins.items()} == dict.fromkeys(pins, 1)


def test_every_job_ends_by_itself() -> None:
    assert [(name, job["timeout-minutes"]) for name, job in jobs() if not 0 < job["timeout-minutes"] <= 45] == []


def test_no_checkout_leaves_its_token_behind() -> None:
    checkouts = [step for _, step in steps() if step.get("uses", "").startswith("actions/checkout@")]
    assert [step["with"]["persist-credentials"] for step in checkouts] == [False] * len(list(jobs()))


def test_no_step_goes_on_after_a_failure_or_hides_one() -> None:
    assert [name for name, step in steps() if "continue-on-error" in step or "||" in step.get("run", "")] == []


def test_nothing_is_cached_for_a_later_run_to_trust() -> None:
    assert [name for name, step in steps() if "cache" in step.get("uses", "") or "cache" in step.get("with", {})] == []


def test_only_the_device_workflow_runs_on_a_machine_of_ours() -> None:
    assert [name for name, job in jobs() if "self-hosted" in job["runs-on"]] == ["jetson.yml: measure"]


def test_the_device_measures_main_every_night_by_hand_and_when_a_pull_request_is_labelled() -> None:
    on = triggers(ROOT / ".github" / "workflows" / "jetson.yml")
    assert set(on) == {"push", "schedule", "workflow_dispatch", "pull_request"}
    assert on["push"] == {"branches": ["main"]}
    assert on["pull_request"] == {"types": ["labeled"]}
    assert len(on["schedule"]) == 1


def test_a_pull_request_reaches_the_device_by_its_label_alone() -> None:
    assert device_job()["if"] == f"github.event_name != 'pull_request' || github.event.label.name == '{LABEL}'"


def test_a_run_that_was_not_asked_for_cannot_stand_in_for_a_required_check() -> None:
    asked_for = device_job()["if"]
    gate = job_of("jetson.yml", "boards")
    assert gate["name"] == f"${{{{ ({asked_for}) && '{REQUIRED_CHECK}' || 'All boards, not asked for' }}}}"
    assert f"require *{REQUIRED_CHECK}*" in (ROOT / "docs" / "runner.md").read_text(encoding="utf-8")


def test_the_required_check_waits_for_all_boards_and_is_not_skipped_where_one_fails() -> None:
    gate = job_of("jetson.yml", "boards")
    assert gate["needs"] == "measure"
    assert gate["if"] == f"always() && ({device_job()['if']})"
    assert gate["env"] == {"MEASURED": "${{ needs.measure.result }}"}


@pytest.mark.parametrize(
    ("result", "passes"), [("success", True), ("failure", False), ("cancelled", False), ("skipped", False)]
)
def test_the_required_check_passes_only_where_every_board_did(result: str, passes: bool, tmp_path: Path) -> None:
    last = job_of("jetson.yml", "boards")["steps"][-1]
    assert "if" not in last
    assert (run_step(last, tmp_path, MEASURED=result) == 0) is passes


def test_a_board_is_a_profile_with_its_power_mode_on_a_device_of_its_own() -> None:
    assert [set(board) for board in boards()] == [{"hardware", "mode", "runner"}] * len(boards())
    assert [load_profile(board["hardware"]).mode(board["mode"]).name for board in boards()] == [
        board["mode"] for board in boards()
    ]
    assert len({board["runner"] for board in boards()}) == len(boards())


def test_a_board_that_fails_ends_no_other() -> None:
    assert device_job()["strategy"]["fail-fast"] is False


def test_the_board_of_the_job_and_its_power_mode_reach_the_suite(tmp_path: Path) -> None:
    assert device_job()["env"] == {"HARDWARE": "${{ matrix.hardware }}", "MODE": "${{ matrix.mode }}"}
    fake_tox(tmp_path / "bin", 'printf "%s\\n" "$@" > arguments')
    assert run_step(step_named(device_job(), "Measure"), tmp_path, HARDWARE="Jetson-Orin-NX-16GB", MODE="25W") == 0
    arguments = (tmp_path / "arguments").read_text().split("\n")
    assert arguments[:4] == ["run", "-e", "jetson", "--"]
    (command,) = tox_settings()["testenv:jetson"]["commands"].strip().split("\n")
    options = command.replace("{posargs}", " ".join(arguments[4:])).split()
    assert options[:3] == ["python", ".ci/measure.py", "results"]
    assert options[3:] == "test_models --device cuda --hardware Jetson-Orin-NX-16GB --power-mode 25W".split()


def test_the_label_has_one_name_everywhere() -> None:
    assert f"\nlabel={LABEL}\n" in (SCRIPTS / "job-started.sh").read_text(encoding="utf-8")
    assert LABEL in (ROOT / "docs" / "runner.md").read_text(encoding="utf-8")


def test_the_device_takes_one_job_at_a_time_and_cancels_none() -> None:
    assert device_job()["runs-on"] == ["self-hosted", "linux", "${{ matrix.runner }}"]
    assert device_job()["concurrency"] == {"group": "${{ matrix.runner }}", "cancel-in-progress": False}


@pytest.mark.parametrize("step", ["Summary", "Keep"])
def test_what_was_seen_is_kept_of_a_failed_run_too(step: str) -> None:
    for job in (device_job(), job_of("golden.yml", "replay")):
        assert step_named(job, step)["if"] == "always()"


def test_the_boards_have_a_summary_where_one_left_nothing() -> None:
    assert step_named(job_of("jetson.yml", "boards"), "Summary")["if"] == "always()"


REVIEWS = pytest.mark.parametrize(("workflow", "job"), [("golden.yml", "review"), ("jetson.yml", "boards")])


@REVIEWS
def test_a_pull_request_is_reviewed_against_the_branch_it_goes_into(workflow: str, job: str, tmp_path: Path) -> None:
    fake_tox(tmp_path / "bin", 'printf "%s\\n" "$@"')
    (tmp_path / "summary.md").write_text("of an earlier step\n")
    assert run_step(step_named(job_of(workflow, job), "Review"), tmp_path) == 0
    kept, *arguments = (tmp_path / "summary.md").read_text().splitlines()
    assert kept == "of an earlier step"
    assert arguments == "run -qq -e review -- HEAD^1 --format markdown".split()
    assert tox_settings()["testenv:review"]["commands"] == "python -m estimator review {posargs}"


@REVIEWS
def test_a_review_has_the_history_and_is_of_pull_requests_alone(workflow: str, job: str) -> None:
    settings = job_of(workflow, job)
    assert step_using(settings, "checkout")["with"] == {"fetch-depth": 0, "persist-credentials": False}
    asked = "github.event_name == 'pull_request'"
    assert asked in (settings.get("if"), step_named(settings, "Review").get("if"))


@REVIEWS
def test_a_review_that_breaks_is_seen(workflow: str, job: str, tmp_path: Path) -> None:
    fake_tox(tmp_path / "bin", "exit 3")
    assert run_step(step_named(job_of(workflow, job), "Review"), tmp_path) == 3


def test_every_supported_pair_is_replayed_on_hosted_runners_and_one_on_arm() -> None:
    workflow = ROOT / ".github" / "workflows" / "golden.yml"
    assert triggers(workflow) == {"push": None, "pull_request": None}
    pairs = load(workflow)["jobs"]["replay"]["strategy"]["matrix"]["include"]
    x86, arm = ([tuple(p.values())[:2] for p in pairs if p["machine"].endswith(end)] for end in ("24.04", "arm"))
    named = [("3.8", "py38-torch21"), ("3.10", "py310-torch25"), ("3.11", "py311-torch213"), ("3.13", "py313-torch213")]
    assert (x86, arm) == (named, [named[2]])


def test_the_shell_of_the_workflows_is_one_line_a_step() -> None:
    assert [name for name, step in steps() if "\n" in step.get("run", "").strip()] == []


def test_the_jetson_environment_has_all_dependencies_but_torch_and_torchvision() -> None:
    with (ROOT / "pyproject.toml").open("rb") as file:
        project = tomllib.load(file)["project"]
    wanted = {*project["dependencies"], *project["optional-dependencies"]["report"]} - {"torch", "torchvision"}
    environment = tox_settings()["testenv:jetson"]
    assert {line.replace('"', "'") for line in environment["deps"].split("\n") if line} == wanted
    assert environment["system_site_packages"] == environment["skip_install"] == "true"
    assert "--no-deps" in environment["commands_pre"]


@pytest.mark.parametrize("script", [path.name for path in sorted(SCRIPTS.iterdir()) if path.suffix in ("", ".sh")])
def test_a_script_is_executable_bash_without_errors_of_syntax(script: str) -> None:
    path = SCRIPTS / script
    assert path.read_text(encoding="utf-8").startswith("#!/usr/bin/env bash\n")
    subprocess.run(["bash", "-n", str(path)], check=True)
    assert "set -euo pipefail" in path.read_text(encoding="utf-8")


def test_replay_runs_the_named_environment_and_leaves_its_table_in_results(tmp_path: Path) -> None:
    repository = copied_scripts(tmp_path)
    (repository / "results").mkdir()
    (repository / "results" / "of-an-earlier-run").touch()
    fake_tox(tmp_path / "bin", 'printf "%s\\n" "$@" > results/arguments; exit 3')
    run = subprocess.run(["bash", str(repository / ".ci" / "replay"), "py38-torch21"], env=with_path(tmp_path / "bin"))
    assert run.returncode == 3
    assert [path.name for path in (repository / "results").iterdir()] == ["arguments"]
    arguments = (repository / "results" / "arguments").read_text().split()
    assert arguments[:3] == ["run", "-e", "py38-torch21"]
    written = {"--output": "results/table.md", "--report": "results/report.html", "--junitxml": "results/junit.xml"}
    assert dict(zip(arguments[-6::2], arguments[-5::2])) == written


def copied_scripts(folder: Path) -> Path:
    (folder / "repository" / ".ci").mkdir(parents=True)
    for path in SCRIPTS.iterdir():
        if path.is_file():
            (folder / "repository" / ".ci" / path.name).write_bytes(path.read_bytes())
    return folder / "repository"


def fake_tox(folder: Path, body: str) -> None:
    script(folder / "tox", body)


def script(path: Path, body: str) -> None:
    path.parent.mkdir()
    path.write_text(f"#!/usr/bin/env bash\n{body}\n")
    path.chmod(0o755)


def with_path(folder: Path) -> Dict[str, str]:
    return {**os.environ, "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"}


SAMPLE_CONFTEST = """
import json, os, pathlib, pytest

def pytest_addoption(parser):
    parser.addoption("--device")
    parser.addoption("--output", action="append", default=[])
    parser.addoption("--report")

def pytest_configure(config):
    if config.getoption("device") == "cuda":
        raise pytest.UsageError("--device cuda: no GPU is visible to torch")

def pytest_sessionfinish(session):
    rows = [{"model": name} for name in os.environ.get("MODELS", "").split()]
    for path in map(pathlib.Path, session.config.getoption("output")):
        path.write_text(json.dumps(rows) if path.suffix == ".json" else "| Model |\\n| --- |\\n| resnet18 |\\n")
"""
MEASURES = "def test_model(benchmark):\n    benchmark.pedantic(lambda: None, rounds=2)\n"


def measure(folder: Path, tests: str, *options: str, models: str = "resnet18") -> Tuple[int, List[str]]:
    """Runs a sample suite; returns the exit code and the lines of the output."""
    (folder / "conftest.py").write_text(SAMPLE_CONFTEST)
    (folder / "test_sample.py").write_text(tests)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    command = [sys.executable, str(SCRIPTS / "measure.py"), "results", "-p", "no:cacheprovider", *options]
    run = subprocess.run(command, cwd=folder, env={**environment, "MODELS": models}, stdout=subprocess.PIPE, text=True)
    return run.returncode, run.stdout.splitlines()


def summarised(folder: Path) -> str:
    command = [sys.executable, str(SCRIPTS / "summary.py"), str(folder), "Jetson AGX Orin, live"]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout.decode("utf-8")


def test_a_run_that_measured_every_model_passes_and_keeps_what_it_saw(tmp_path: Path) -> None:
    exit_code, lines = measure(tmp_path, MEASURES)
    assert exit_code == 0
    assert not any("not measured" in line for line in lines)
    kept = ["benchmark.json", "junit.xml", "log.txt", "table.json", "table.md"]
    assert sorted(path.name for path in (tmp_path / "results").iterdir()) == kept
    summary = summarised(tmp_path / "results")
    assert summary.startswith("## Jetson AGX Orin, live\n\n**All 1 tests passed.**\n")
    assert "| resnet18 |" in summary


def test_an_absent_device_is_not_measured_and_fails_in_one_line(tmp_path: Path) -> None:
    exit_code, lines = measure(tmp_path, MEASURES, "--device", "cuda")
    assert exit_code == pytest.ExitCode.USAGE_ERROR
    assert lines[-1] == "not measured: --device cuda: no GPU is visible to torch"
    assert "**Not measured:** `--device cuda: no GPU is visible to torch`" in summarised(tmp_path / "results")


def test_the_suite_itself_is_not_measured_where_no_device_is(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    board = boards()[0]
    named = ["--hardware", board["hardware"], "--power-mode", board["mode"]]
    options = ["test_models", "-p", "no:cacheprovider", "--device", "cuda", *named]
    command = [sys.executable, str(SCRIPTS / "measure.py"), str(tmp_path / "results"), *options]
    without_gpu = {**environment, "CUDA_VISIBLE_DEVICES": ""}
    run = subprocess.run(command, cwd=ROOT, env=without_gpu, stdout=subprocess.PIPE, text=True)
    assert run.returncode != 0
    assert run.stdout.splitlines()[-1].startswith("not measured: ")


def test_an_option_the_suite_does_not_know_is_not_measured(tmp_path: Path) -> None:
    exit_code, lines = measure(tmp_path, MEASURES, "--no-such-option")
    assert exit_code == pytest.ExitCode.USAGE_ERROR
    assert lines[-1] == "not measured: unrecognized arguments: --no-such-option"


def test_skipping_everything_is_not_measured_though_pytest_passes(tmp_path: Path) -> None:
    skips = "import pytest\n\ndef test_model():\n    pytest.skip('power mode is 30W, not 50W')\n"
    exit_code, lines = measure(tmp_path, skips)
    assert exit_code == 1
    assert lines[-1].startswith("not measured: ")
    assert "power mode is 30W, not 50W" in lines[-1]


def test_a_refusal_by_every_test_is_not_measured_with_its_reason(tmp_path: Path) -> None:
    refuses = (
        "import pytest\n\n@pytest.fixture\ndef live():\n    raise RuntimeError('power mode is 30W, not 50W')\n\n"
        "def test_model(live):\n    pass\n"
    )
    exit_code, lines = measure(tmp_path, refuses)
    assert exit_code == 1
    assert "power mode is 30W, not 50W" in lines[-1]


def test_passing_with_some_models_unmeasured_is_not_measured(tmp_path: Path) -> None:
    exit_code, lines = measure(tmp_path, MEASURES, models="resnet18 vgg11")
    assert (exit_code, lines[-1]) == (1, "not measured: only 1 of 2 models took a measurement")


def test_no_test_at_all_is_not_measured(tmp_path: Path) -> None:
    exit_code, lines = measure(tmp_path, "")
    assert (exit_code, lines[-1]) == (5, "not measured: pytest ended with exit code 5")


def test_a_regression_fails_as_a_measurement_and_is_named_in_the_summary(tmp_path: Path) -> None:
    fails = MEASURES + "    assert False, 'REGRESSION: 11.2 ms, baseline 6.8 ms `x`'\n"
    exit_code, lines = measure(tmp_path, fails)
    assert exit_code == 1
    assert not any("not measured" in line for line in lines)
    summary = summarised(tmp_path / "results")
    assert "**1 of 1 tests did not pass.**" in summary
    assert "- `test_sample.test_model`: `AssertionError: REGRESSION: 11.2 ms, baseline 6.8 ms 'x'`" in summary


def test_the_results_of_an_earlier_run_do_not_pass_for_those_of_this_one(tmp_path: Path) -> None:
    measure(tmp_path, MEASURES)
    exit_code, _ = measure(tmp_path, MEASURES, "--device", "cuda")
    assert exit_code == pytest.ExitCode.USAGE_ERROR
    summary = summarised(tmp_path / "results")
    assert "No table: the run ended before it had tested a model." in summary


def test_a_torch_that_hides_the_systems_is_not_measured_with(tmp_path: Path) -> None:
    environment = tmp_path / "environment"
    venv.create(str(environment), system_site_packages=True)
    packages = next(environment.glob("lib/python*/site-packages"))
    (packages / "torch.py").touch()
    exit_code, line = measured_by(environment, tmp_path)
    assert exit_code == 1
    assert line.startswith("not measured: torch was installed into ")


def test_a_system_without_torch_is_not_measured_with(tmp_path: Path) -> None:
    environment = tmp_path / "environment"
    venv.create(str(environment), system_site_packages=True)
    has_torch = [str(environment / "bin" / "python"), "-c", "import importlib.util as u; print(u.find_spec('torch'))"]
    if subprocess.run(has_torch, stdout=subprocess.PIPE, check=True).stdout.strip() != b"None":
        pytest.skip("this machine's own Python has torch")
    exit_code, line = measured_by(environment, tmp_path)
    assert exit_code == 1
    assert re.fullmatch(r"not measured: the system's Python [\d.]+ has no torch: .* docs/runner.md", line)


def measured_by(environment: Path, folder: Path) -> Tuple[int, str]:
    command = [str(environment / "bin" / "python"), str(SCRIPTS / "measure.py"), str(folder / "results")]
    run = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    return run.returncode, run.stdout.splitlines()[-1]


def test_an_empty_folder_has_a_summary_that_says_so(tmp_path: Path) -> None:
    assert "**No test ran.**" in summarised(tmp_path / "missing")


AGX = {"hardware": "Jetson-Orin-AGX", "mode": "50W", "runner": "jetson-orin-agx"}
NX = {"hardware": "Jetson-Orin-NX-16GB", "mode": "25W", "runner": "jetson-orin-nx"}


def results_of_a_board(
    folder: Path, rows: Mapping[str, Tuple[float, float, str]], problems: Optional[Mapping[str, str]] = None
) -> Path:
    """Leaves what a board's job leaves, by model: measured ms, error in percent, verdict; and what did not pass."""
    problems = problems or {}
    folder.mkdir(parents=True)
    table = [{"model": name, "meas_ms": ms, "error_pct": error} for name, (ms, error, _) in rows.items()]
    missing = [{"model": name, "meas_ms": None, "error_pct": None} for name in problems if name not in rows]
    benchmarks = [{"param": name, "extra_info": {"verdict": word}} for name, (_, _, word) in rows.items()]
    cases = [
        f'<testcase classname="test_models" name="test_model[{name}]">'
        + (f'<failure message="{problems[name]}"/>' if name in problems else "")
        + "</testcase>"
        for name in {**rows, **problems}
    ]
    (folder / "table.json").write_text(json.dumps(table + missing))
    (folder / "benchmark.json").write_text(json.dumps({"benchmarks": benchmarks}))
    (folder / "junit.xml").write_text(f"<testsuites><testsuite>{''.join(cases)}</testsuite></testsuites>")
    return folder


def side_by_side(*boards: str) -> List[str]:
    command = [sys.executable, str(SCRIPTS / "summary.py"), *boards, "All boards, live"]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout.decode("utf-8").splitlines()


def test_boards_stand_side_by_side_with_a_row_for_each_model_of_any(tmp_path: Path) -> None:
    agx = results_of_a_board(tmp_path / "agx", {"resnet18": (6.76, -2.49, "same (+0.1 %, margin 6.0 %)")})
    nx = results_of_a_board(tmp_path / "nx", {"resnet18": (9.5, 3.0, "no baseline"), "vgg11": (0.5, -5.0, "same")})
    lines = side_by_side(f"AGX 50W={agx}", f"NX 25W={nx}")
    assert lines[0] == "## All boards, live"
    assert lines[4:] == [
        "| Model | AGX 50W | NX 25W |",
        "| --- | --- | --- |",
        "| **tests** | **All 1 tests passed.** | **All 2 tests passed.** |",
        "| resnet18 | 6.76 ms, -2.5 %, same (+0.1 %, margin 6.0 %) | 9.50 ms, +3.0 %, no baseline |",
        "| vgg11 | - | 0.500 ms, -5.0 %, same |",
        "| **mean, largest error** | 2.5 %, 2.5 % | 4.0 %, 5.0 % |",
    ]


def test_what_a_board_did_not_pass_stands_below_the_table_with_its_name(tmp_path: Path) -> None:
    problems = {"resnet18": "REGRESSION (+40.0 %)", "vgg11": "vgg11: not measured: it ran out of memory"}
    nx = results_of_a_board(tmp_path / "nx", {"resnet18": (9.5, -30.0, "REGRESSION (+40.0 %)")}, problems)
    lines = side_by_side(f"AGX 50W={results_of_a_board(tmp_path / 'agx', {'vgg11': (8.0, 0.0, 'same')})}", f"NX={nx}")
    assert "| **tests** | **All 1 tests passed.** | **2 of 2 tests did not pass.** |" in lines
    assert "| vgg11 | 8.00 ms, +0.0 %, same | not measured |" in lines
    assert lines[-4:] == [
        "### NX: not passed",
        "",
        "- `test_models.test_model[resnet18]`: `REGRESSION (+40.0 %)`",
        "- `test_models.test_model[vgg11]`: `vgg11: not measured: it ran out of memory`",
    ]


def test_a_board_that_measured_nothing_says_why_beside_one_that_did(tmp_path: Path) -> None:
    agx = results_of_a_board(tmp_path / "agx", {"resnet18": (6.76, -2.5, "same")})
    for name, log in (("mode", "...\nnot measured: power mode is 15W | not 25W\n"), ("killed", "...\nvit_h_14\n")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "log.txt").write_text(log)
    lines = side_by_side(f"AGX={agx}", *(f"{name}={tmp_path / name}" for name in ("mode", "killed", "absent")))
    assert lines[6].split(" | ")[1:] == [
        "**All 1 tests passed.**",
        "**Not measured:** `power mode is 15W \\| not 25W`",
        "**Not measured:** `its run was cut short; the log ends with: vit_h_14`",
        "**Not measured:** `its job left no results; the job's own log says how it ended` |",
    ]
    assert lines[7] == "| resnet18 | 6.76 ms, -2.5 %, same | - | - | - |"


def test_a_board_whose_run_was_refused_says_so_in_the_boards_table(tmp_path: Path) -> None:
    measure(tmp_path, MEASURES, "--device", "cuda")
    (row,) = [line for line in side_by_side(f"AGX={tmp_path / 'results'}") if line.startswith("| **tests**")]
    assert row == "| **tests** | **Not measured:** `--device cuda: no GPU is visible to torch` |"


@pytest.mark.parametrize("arguments", [(), ("title",), ("one", "two", "title"), ("AGX=one", "two", "title")])
def test_a_summary_of_neither_one_run_nor_named_boards_is_refused(arguments: Tuple[str, ...]) -> None:
    command = [sys.executable, str(SCRIPTS / "summary.py"), *arguments]
    run = subprocess.run(command, capture_output=True, text=True)
    assert (run.returncode, run.stdout) == (4, "")
    assert "NAME=FOLDER" in run.stderr


def all_boards(folder: Path, listed: List[Dict[str, str]], attempt: int = 1) -> List[str]:
    """Runs the step that summarises all boards, in a repository whose workflow lists these."""
    repository = copied_scripts(folder)
    workflow = load(ROOT / ".github" / "workflows" / "jetson.yml")
    workflow["jobs"]["measure"]["strategy"]["matrix"]["include"] = listed
    (repository / ".github" / "workflows").mkdir(parents=True)
    (repository / ".github" / "workflows" / "jetson.yml").write_text(yaml.safe_dump(workflow))
    downloaded = Path(step_using(workflow["jobs"]["boards"], "download-artifact")["with"]["path"])
    if (folder / "artefacts").exists():
        (folder / "artefacts").rename(repository / downloaded)
    script(folder / "bin" / "python", f'exec "{sys.executable}" "$@"')
    step = {"run": f"cd {repository} && {step_named(workflow['jobs']['boards'], 'Summary')['run']}"}
    assert run_step(step, folder, GITHUB_RUN_ATTEMPT=str(attempt)) == 0
    return (folder / "summary.md").read_text(encoding="utf-8").splitlines()


def artefact(folder: Path, board: Dict[str, str], attempt: int) -> Path:
    """The folder in which the artefact of a board's job arrives at the job that summarises them."""
    name = step_using(device_job(), "upload-artifact")["with"]["name"]
    name = name.replace("${{ matrix.runner }}", board["runner"]).replace("${{ github.run_attempt }}", str(attempt))
    download = step_using(job_of("jetson.yml", "boards"), "download-artifact")["with"]
    assert fnmatch.fnmatch(name, download["pattern"])
    return folder / "artefacts" / name


def test_a_second_board_is_one_line_in_the_list_and_a_column_in_the_summary(tmp_path: Path) -> None:
    results_of_a_board(artefact(tmp_path, AGX, 1), {"resnet18": (6.76, -2.5, "same")})
    results_of_a_board(artefact(tmp_path, NX, 1), {"resnet18": (9.5, 3.0, "no baseline")})
    lines = all_boards(tmp_path, [AGX, NX])
    assert "| Model | Jetson-Orin-AGX 50W | Jetson-Orin-NX-16GB 25W |" in lines
    assert "| resnet18 | 6.76 ms, -2.5 %, same | 9.50 ms, +3.0 %, no baseline |" in lines


def test_a_listed_board_whose_job_left_nothing_has_a_column_all_the_same(tmp_path: Path) -> None:
    results_of_a_board(artefact(tmp_path, NX, 1), {"resnet18": (9.5, 3.0, "same")})
    lines = all_boards(tmp_path, [AGX, NX])
    assert "| resnet18 | - | 9.50 ms, +3.0 %, same |" in lines
    assert lines[6].startswith("| **tests** | **Not measured:** `its job left no results; ")


def test_no_results_at_all_are_a_summary_too(tmp_path: Path) -> None:
    assert "**Not measured:**" in all_boards(tmp_path, [AGX])[6]


def test_a_job_that_ran_again_shows_its_last_attempt_and_the_others_say_which(tmp_path: Path) -> None:
    results_of_a_board(artefact(tmp_path, AGX, 9), {"resnet18": (6.76, -2.5, "same")})
    results_of_a_board(artefact(tmp_path, NX, 9), {"resnet18": (9.5, 3.0, "REGRESSION")})
    results_of_a_board(artefact(tmp_path, NX, 10), {"resnet18": (7.5, 3.0, "same")})
    lines = all_boards(tmp_path, [AGX, NX], attempt=10)
    assert "| Model | Jetson-Orin-AGX 50W (attempt 9 of 10) | Jetson-Orin-NX-16GB 25W |" in lines
    assert "| resnet18 | 6.76 ms, -2.5 %, same | 7.50 ms, +3.0 %, same |" in lines


def test_one_label_that_begins_like_another_is_another_board(tmp_path: Path) -> None:
    second = {**NX, "runner": f"{AGX['runner']}-2"}
    results_of_a_board(artefact(tmp_path, second, 1), {"resnet18": (9.5, 3.0, "same")})
    assert "| resnet18 | - | 9.50 ms, +3.0 %, same |" in all_boards(tmp_path, [AGX, second])


def job_started(
    folder: Path, event: str, ref: str, workflow: str, payload: Optional[Dict[str, Any]]
) -> Tuple[int, str]:
    (folder / "event.json").write_text(json.dumps(payload or {}))
    environment = {
        **os.environ,
        "GITHUB_EVENT_NAME": event,
        "GITHUB_EVENT_PATH": str(folder / "event.json"),
        "GITHUB_REF": ref,
        "GITHUB_REPOSITORY": "owner/golden-latency",
        "GITHUB_WORKFLOW_REF": f"{workflow}@{ref}",
    }
    command = ["bash", "-e", str(SCRIPTS / "job-started.sh")]
    run = subprocess.run(command, env=environment, stderr=subprocess.PIPE, text=True)
    return run.returncode, run.stderr.strip()


def labelled(name: str) -> Dict[str, Any]:
    return {"action": "labeled", "label": {"name": name}, "pull_request": {"number": 7}}


@pytest.mark.parametrize(
    ("event", "ref", "payload"),
    [
        ("push", "refs/heads/main", None),
        ("schedule", "refs/heads/main", None),
        ("workflow_dispatch", "refs/heads/topic", None),
        ("pull_request", "refs/pull/7/merge", labelled(LABEL)),
    ],
)
def test_the_device_lets_in(event: str, ref: str, payload: Optional[Dict[str, Any]], tmp_path: Path) -> None:
    assert job_started(tmp_path, event, ref, DEVICE_WORKFLOW, payload) == (0, "")


@pytest.mark.parametrize(
    ("event", "ref", "workflow", "payload"),
    [
        ("push", "refs/heads/topic", DEVICE_WORKFLOW, None),
        ("push", "refs/heads/main", "owner/golden-latency/.github/workflows/other.yml", None),
        ("push", "refs/heads/main", "fork/golden-latency/.github/workflows/jetson.yml", None),
        ("pull_request", "refs/pull/7/merge", DEVICE_WORKFLOW, {"action": "opened", "label": {"name": LABEL}}),
        ("pull_request", "refs/pull/7/merge", DEVICE_WORKFLOW, {"action": "synchronize"}),
        ("pull_request", "refs/pull/7/merge", DEVICE_WORKFLOW, labelled("documentation")),
        ("pull_request", "refs/pull/7/merge", "owner/golden-latency/.github/workflows/x.yml", labelled(LABEL)),
        ("pull_request_target", "refs/heads/main", DEVICE_WORKFLOW, labelled(LABEL)),
        ("issue_comment", "refs/heads/main", DEVICE_WORKFLOW, None),
    ],
)
def test_the_device_refuses(
    event: str, ref: str, workflow: str, payload: Optional[Dict[str, Any]], tmp_path: Path
) -> None:
    exit_code, message = job_started(tmp_path, event, ref, workflow, payload)
    assert exit_code == 1
    assert message.startswith("refused by the device: ")


def test_a_job_that_names_no_event_is_refused(tmp_path: Path) -> None:
    run = subprocess.run(
        ["bash", str(SCRIPTS / "job-started.sh")], env={"PATH": os.environ["PATH"]}, stderr=subprocess.PIPE
    )
    assert run.returncode != 0


def test_every_environment_knows_that_it_runs_in_ci_where_every_op_stream_is_captured() -> None:
    settings = tox_settings()
    assert settings["testenv"]["pass_env"] == "CI"
    others = [section["pass_env"] for name, section in settings.items() if "pass_env" in section and name != "testenv"]
    assert others
    assert all("{[testenv]pass_env}" in names for names in others)
