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


VGG11 = "test_models/test_model[vgg11].json"
DAMAGED_FILES = {
    "golden": (
        "test_models/test_model[vgg11].json",
        '"rating"',
        '"ratin"',
        "missing key 'rating'; required: est_ms, *",
    ),
    "golden JSON": (VGG11, "{", "<<<<<<< HEAD", "no valid JSON: *--snapshot-update"),
    "measurements": ("record-models.toml", "vgg11 =", "vgg12 =", "unknown model in [[]runs_ms] 'vgg12'; known: *"),
    "provenance": (
        "record-models.toml",
        "protocol =",
        "note =",
        "missing key in [[]provenance] 'protocol'; *",
    ),
    "latency": (
        "record-models.toml",
        "vgg11 = [",
        "vgg11 = [-1.0, ",
        "runs_ms.vgg11 must hold finite numbers *",
    ),
    "TOML": ("record-models.toml", "vgg11 = [", "vgg11 = ", "no valid TOML: *"),
}


@pytest.mark.parametrize("update", [(), ("--snapshot-update",)], ids=["compare", "update"])
@pytest.mark.parametrize(("name", "old", "new", "message"), DAMAGED_FILES.values(), ids=DAMAGED_FILES)
def test_a_damaged_file_is_refused(suite, name, old, new, message, update):
    path = suite.folder / name
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    before = suite.files()
    is_refused(suite.run(*update), f"*{name.replace('[', '[[]')}: {message}")
    assert suite.files() == before


def test_a_damaged_profile_is_refused(suite):
    text = suite.profile.read_text(encoding="utf-8")
    suite.profile.write_text(text.replace("sms = 16", "sms = -16", 1), encoding="utf-8")
    is_refused(suite.run(), "*Jetson-Orin-AGX.toml: power_mode.*.sms: must be above 0, got -16")


def test_help_is_given_whatever_is_damaged(suite):
    (suite.folder / "record-models.toml").write_text("damaged")
    run = suite.run("--help")
    assert run.ret == pytest.ExitCode.OK
    run.stdout.fnmatch_lines(["*--hardware*NAME*", "*--thermal-profile*NAME*", "*--output*FILE*"])
