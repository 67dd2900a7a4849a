"""Bad input ends in one line that names what is wrong and what is known, exit code 4, and nothing written."""

import pytest

BAD_OPTIONS = {
    "hardware": (("--hardware", "Jetson-Nano"), "unknown hardware 'Jetson-Nano'; known hardware: *Jetson-Orin-AGX*"),
    "path as hardware": (("--hardware", "../Jetson"), "unknown hardware '../Jetson'; known hardware: *"),
    "mode": (("--thermal-profile", "60W"), "unknown thermal profile '60W' *known thermal profiles: *15W*50W*MAXN*"),
    "model": (("--models", "resnet18,resnet19"), "unknown model 'resnet19'; known models: *resnet18*"),
    "skipped model": (("--skip", "resnet19"), "unknown model 'resnet19'; known models: *resnet18*"),
    "no name": (("--models", ""), "unknown model ''; known models: *"),
    "nothing left": (("--models", "vgg11", "--skip", "vgg11"), "--models and --skip leave no model; known models: *"),
    "output suffix": (
        ("--output", "t.xlsx"),
        "--output t.xlsx: unknown suffix '.xlsx'; known: .csv, *",
    ),
    "output without suffix": (("--output", "table"), "--output table: unknown suffix ''; known: .csv, .md, .json"),
    "output folder": (("--output", "nowhere/t.csv"), "--output nowhere/t.csv: there is no folder nowhere"),
    "second output": (("--output", "t.csv", "--output", "t.txt"), "--output t.txt: unknown suffix '.txt'; *"),
}


def is_refused(run, message):
    assert run.ret == pytest.ExitCode.USAGE_ERROR
    assert [line for line in run.errlines if line.strip()] == run.errlines[:1]
    run.stderr.fnmatch_lines([f"ERROR: {message}"])
    assert not any("Traceback" in line for line in run.outlines)


@pytest.mark.parametrize(("options", "message"), BAD_OPTIONS.values(), ids=BAD_OPTIONS)
def test_a_bad_option_is_refused(suite, options, message):
    before = suite.files()
    is_refused(suite.run(*options), message)
    assert suite.files() == before
    assert not list(suite.path.glob("t.*"))


def test_a_folder_as_output_is_refused(suite):
    (suite.path / "folder.csv").mkdir()
    is_refused(suite.run("--output", "folder.csv"), "--output folder.csv: is a folder")


DAMAGED_FILES = {
    "golden": (
        "golden/Jetson-Orin-AGX/50W-fp32-b1/test_models/test_model[vgg11].json",
        '"rating"',
        '"ratin"',
        "rating: is missing; required: est_ms, *; restore it with git, *--snapshot-update",
    ),
    "record": (
        "golden/Jetson-Orin-AGX/50W-fp32-b1/record-models.toml",
        "vgg11 = [",
        f"vgg11 = [{10**400}, ",
        "runs_ms.vgg11[[]0]: must be a finite number from 1e-05 to 1e+08 ms, got 1000*",
    ),
    "inputs of another board": (
        "golden/NVIDIA-H100/estimates.md",
        "| 118.6 |",
        "| nan |",
        "section Inputs, row constant.dispatch_kcycles: must be a finite number * got 'nan'; *",
    ),
    "profile": (
        "estimator/hardware/Jetson-Orin-AGX.toml",
        "sms = 16",
        "sms = -16",
        "power_mode.*.sms: must be a finite number from 1 to 1024 SMs, got -16 *",
    ),
}


@pytest.mark.parametrize(("name", "old", "new", "message"), DAMAGED_FILES.values(), ids=DAMAGED_FILES)
def test_a_damaged_file_is_refused(suite, name, old, new, message):
    path = suite.path / name
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    before = suite.files()
    is_refused(suite.run("--snapshot-update"), f"*{name.replace('[', '[[]')}: {message}")
    assert suite.files() == before


def test_help_is_given_whatever_is_damaged(suite):
    (suite.folder / "record-models.toml").write_text("damaged")
    run = suite.run("--help")
    assert run.ret == pytest.ExitCode.OK
    run.stdout.fnmatch_lines(["*--hardware*NAME*", "*--thermal-profile*NAME*", "*--output*FILE*"])
