"""The suite in another repository, beside plugins and options that it does not know."""

import pytest

from meta_tests.conftest import ANY_NOISE
from meta_tests.test_own_model import BOARD, CONFTEST, SETTINGS, repository  # noqa: F401  (a fixture)

OPTIONS = "--hardware --device --batch-size --precision --models --skip --output --report --runs --warmup".split()
PLAIN = """
def pytest_addoption(parser, pluginmanager):
    assert pluginmanager.hasplugin("pytestconfig")
    for option in {options}:
        parser.addoption(option)
"""
REPEAT = """
import pytest


@pytest.fixture
def __pytest_repeat_step_number(request):
    return request.param


def pytest_addoption(parser):
    parser.addoption("--count", type=int, default=1)


@pytest.hookimpl(trylast=True)
def pytest_generate_tests(metafunc):
    count = metafunc.config.option.count
    if count > 1:
        metafunc.fixturenames.append("__pytest_repeat_step_number")
        ids = [f"{step + 1}-{count}" for step in range(count)]
        metafunc.parametrize("__pytest_repeat_step_number", range(count), indirect=True, ids=ids)
"""
"""As pytest-repeat does it."""


@pytest.fixture
def elsewhere(repository, monkeypatch):  # noqa: F811
    """Somebody's repository with three tests."""
    monkeypatch.syspath_prepend(repository.path)  # for -p
    repository.has_tests()
    return repository


def declares(path, *options):
    path.write_text((CONFTEST if path.name == "conftest.py" else "") + PLAIN.format(options=list(options)))


def refusal(run):
    """The one line of a run that ends before anything is collected."""
    assert run.ret == pytest.ExitCode.USAGE_ERROR
    (line,) = filter(None, run.errlines)
    return line


def test_a_repository_may_have_options_of_any_plain_name(elsewhere):
    declares(elsewhere.path / "conftest.py", *OPTIONS)
    elsewhere.run("--snapshot-update", "--device", "any").assert_outcomes(passed=3)
    run = elsewhere.run("--device", "any", "--output", "any", "--latency-output", "table.csv")
    run.assert_outcomes(passed=3)
    assert "test_small" in (elsewhere.path / "table.csv").read_text()


def test_elsewhere_no_option_is_there_that_is_not_needed(elsewhere):
    shown = elsewhere.run("--help")
    words = set(" ".join(shown.outlines).replace("=", " ").split())
    assert not {*OPTIONS, "--compare", "--every-configuration", "--calibrate", "--record", "--against"} & words
    assert {"--latency-hardware", "--latency-power-mode", "--latency-record", "--latency-against"} <= words
    assert not any("whole_zoo" in line for line in elsewhere.run("--markers").outlines)
    unknown = elsewhere.run("--latency-models", "resnet18")
    assert unknown.ret == pytest.ExitCode.USAGE_ERROR


def test_a_marker_of_the_repository_s_own_is_no_role_of_ours(elsewhere):
    elsewhere.has_tests("@pytest.mark.every_configuration\ndef test_it(latency):\n    assert latency\n")
    elsewhere.run().assert_outcomes(passed=1)


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ("--latency-device x", "ERROR: --latency-device x: unknown device; known: auto, recorded, cpu, cuda"),
        ("--latency-batch-size 0", "ERROR: --latency-batch-size: must be a whole number from 1 *"),
        ("--latency-runs 0", "ERROR: --latency-runs: must be a whole number from 1 *"),
        ("--latency-output t.txt", "ERROR: --latency-output t.txt: unknown suffix '.txt'; *"),
        ("--latency-against x", "ERROR: --latency-against x: unknown estimator; *"),
        ("--latency-record", "ERROR: --latency-record needs a live device, *: add --latency-device cuda"),
        ("--latency-device cpu", "ERROR: --latency-device cpu measures *: add --latency-hardware local-cpu"),
        (
            "--latency-hardware local-cpu --latency-device recorded",
            "ERROR: --latency-hardware local-cpu is * only measured: add --latency-device cpu",
        ),
        (
            f"--latency-hardware {BOARD},NVIDIA-H100 --latency-device cuda",
            "ERROR: --latency-device cuda measures one board, *; add --latency-hardware NAME",
        ),
    ],
)
def test_messages_name_the_options_of_the_repository(elsewhere, options, line):
    refused = elsewhere.run(*options.split(), "-p", "no:xdist")
    refused.stderr.fnmatch_lines([line])
    refusal(refused)


def test_the_verdict_names_the_options_of_the_repository(elsewhere):
    run = elsewhere.run("--latency-hardware", "NVIDIA-H100")
    run.stdout.fnmatch_lines(["*To accept it: * pytest --latency-hardware NVIDIA-H100 --snapshot-update"])


def test_a_damaged_golden_names_a_command_of_the_repository(elsewhere):
    elsewhere.run("--snapshot-update")
    (elsewhere.path / "golden" / "op-streams.md").write_text("## fp32 b1\n\n| a |\n| --- |\n| b |\n")
    assert refusal(elsewhere.run()).endswith("or delete it and run pytest --snapshot-update")


@pytest.mark.parametrize("loaded", ["by its conftest.py", "by an option", "before another plugin"])
def test_an_option_that_collides_all_the_same_is_one_line_with_both(elsewhere, loaded):
    conftest = elsewhere.path / "conftest.py"
    declares(conftest, "--latency-device")
    owner, what = conftest, "rename it there"
    if loaded == "by an option":
        conftest.write_text(conftest.read_text().replace(CONFTEST, ""))
    if loaded == "before another plugin":
        conftest.write_text(CONFTEST.replace("]", ", 'another']"))
        declares(elsewhere.path / "another.py", "--latency-device")
        owner, what = "another", "leave that out, -p no:another"
    options = ("-p", "estimator.suite.plugin") if loaded == "by an option" else ()
    line = refusal(elsewhere.run(*options))
    assert line == f"ERROR: --latency-device is an option of golden-latency and of {owner}: {what}"


def test_a_collision_of_others_is_theirs(elsewhere):
    declares(elsewhere.path / "conftest.py", "--mine", "--mine")
    run = elsewhere.run()
    assert "ValueError: option names {'--mine'} already added" in run.errlines
    assert not any("golden-latency" in line for line in run.errlines)


def repeats(elsewhere, *options):
    """Has pytest-repeat, or what does the same."""
    (elsewhere.path / "repeat.py").write_text(REPEAT)
    (elsewhere.path / "pyproject.toml").write_text(SETTINGS + 'addopts = "-p repeat"\n')
    declares(elsewhere.path / "conftest.py", *options)


def test_repetitions_of_a_test_hold_one_golden(elsewhere):
    repeats(elsewhere)
    elsewhere.run("--snapshot-update").assert_outcomes(passed=3)
    goldens = elsewhere.goldens()
    elsewhere.run("--count", "3").assert_outcomes(passed=9)
    elsewhere.run("--count", "2", "--snapshot-update").assert_outcomes(passed=6)
    assert elsewhere.goldens() == goldens


def test_the_processes_that_measure_find_a_repeated_test_beside_plain_options(elsewhere, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(elsewhere.path / "cache"))
    monkeypatch.setenv("TMPDIR", str(elsewhere.path))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    repeats(elsewhere, *OPTIONS)
    (elsewhere.path / "any_noise.py").write_text(ANY_NOISE)
    options = "-p any_noise --latency-hardware local-cpu --latency-device cpu --latency-rounds 3 --latency-warmup 1"
    elsewhere.run(*options.split(), "--count", "2").assert_outcomes(passed=6)


def test_what_replaces_syrupy_is_refused_with_what_to_leave_out(elsewhere):
    line = refusal(elsewhere.run("-p", "no:syrupy"))
    assert line.startswith("ERROR: the suite needs syrupy's plugin: leave -p no:syrupy out")
    assert "-p no:snapshot" in line
    (elsewhere.path / "pytest_snapshot.py").write_text(PLAIN.format(options=["--snapshot-update"]))
    line = refusal(elsewhere.run("-p", "estimator.suite.plugin", "-p", "pytest_snapshot"))
    assert line == (
        "ERROR: --snapshot-update is an option of syrupy, which golden-latency needs, and of another plugin: "
        "leave that out, pytest-snapshot by -p no:snapshot"
    )
