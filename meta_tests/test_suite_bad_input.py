"""Bad input ends in one line that names what is wrong and what is known, exit code 4, and nothing written."""

import os
import tempfile

import pytest

from estimator.errors import UsageError
from estimator.files import refuse_unwritable, write_atomically

BAD_OPTIONS = {
    "--hardware=../Jetson": "unknown hardware '../Jetson'; known hardware: *Jetson-Orin-AGX*",
    "--thermal-profile=60W": "unknown thermal profile '60W' *known thermal profiles: *15W*50W*MAXN*",
    "--compare=50W,60W": "unknown thermal profile '60W' of Jetson-Orin-AGX; known thermal profiles: 15W, *",
    "--batch-size=0": "--batch-size: must be a whole number from 1 to 1048576, got '0'*",
    "--batch-size=many": "--batch-size: must be a whole number from 1 to 1048576, got 'many'*",
    "--precision=int8": "unknown precision 'int8'; known precisions: fp32, tf32, fp16, bf16",
    "--models=resnet18,resnet19": "unknown model 'resnet19'; known models: *resnet18*",
    "--skip=resnet19": "unknown model 'resnet19'; known models: *resnet18*",
    "--models=": "unknown model ''; known models: *",
    "--models=vgg11 --skip=vgg11": "--models and --skip leave no model; known models: *",
    "--output=t.csv --output=t.xlsx": "--output t.xlsx: unknown suffix '.xlsx'; known: .csv, .md, .json*",
    "--output=nowhere/t.csv": "--output nowhere/t.csv: there is no folder nowhere",
    "--output=golden/t.md": "--output golden/t.md: is among the goldens, which --snapshot-update alone writes*",
    "--output=link.md": "--output link.md: is among the goldens, which --snapshot-update alone writes*",
    "--report=page.pdf": "--report page.pdf: unknown suffix '.pdf'; known: .html",
    "--report=nowhere/page.html": "--report nowhere/page.html: there is no folder nowhere",
    "--every-configuration --models=vgg11": "--every-configuration cannot be combined with --models: *",
    "--every-configuration --compare=50W": "--every-configuration cannot be combined with --compare: *",
    "--every-configuration --output=t.csv": "--every-configuration cannot be combined with --output: *",
    "--every-configuration --report=t.html": "--every-configuration cannot be combined with --report: *",
    "--snapshot-update -n2": "--snapshot-update cannot be combined with -n: *",
}


def is_refused(run, message):
    assert run.ret == pytest.ExitCode.USAGE_ERROR
    assert [line for line in run.errlines if line.strip()] == run.errlines[:1]
    run.stderr.fnmatch_lines([f"ERROR: {message}"])
    assert not any("Traceback" in line for line in run.outlines)


def test_bad_options_are_refused(suite):
    (suite.path / "link.md").symlink_to(suite.path / "golden" / "Jetson-Orin-AGX" / "estimates.md")
    before = suite.files()
    for options, message in BAD_OPTIONS.items():
        is_refused(suite.run_here(*options.split()), message)
    assert suite.files() == before
    assert not list(suite.path.glob("t.*"))


DAMAGED_FILES = {
    "golden/Jetson-Orin-AGX/50W-fp32-b1/test_models/test_model[vgg11].json": (
        '"rating"',
        '"ratin"',
        "rating: is missing; required: est_ms, *; restore it with git, *--snapshot-update",
    ),
    "golden/Jetson-Orin-AGX/50W-fp32-b1/record-models.toml": (
        "vgg11 = [",
        f"vgg11 = [{10**400}, ",
        "runs_ms.vgg11[[]0]: must be a finite number from 1e-05 to 1e+08 ms, got 1000*",
    ),
    "golden/NVIDIA-H100/estimates.md": (
        "| 47.88 |",
        "| nan |",
        "section Inputs, row constant.dispatch_kcycles: must be a finite number * got 'nan'; *",
    ),
    "estimator/hardware/Jetson-Orin-AGX.toml": (
        "sms = 16",
        "sms = -16",
        "power_mode.*.sms: must be a finite number from 1 to 1024 SMs, got -16 *",
    ),
}


def test_damaged_files_are_refused_and_help_is_given_all_the_same(suite):
    before = suite.files()
    for name, (old, new, message) in DAMAGED_FILES.items():
        path = suite.path / name
        text = path.read_text(encoding="utf-8")
        assert old in text
        path.write_text(text.replace(old, new, 1), encoding="utf-8")
        damaged = suite.files()
        is_refused(suite.run("--snapshot-update"), f"*{name.replace('[', '[[]')}: {message}")
        assert suite.files() == damaged
        if "record" in name:
            suite.run("--help").stdout.fnmatch_lines(["*--hardware*NAME*", "*--output*FILE*"])
        path.write_text(text, encoding="utf-8")
    assert suite.files() == before


def test_through_a_link_the_file_it_leads_to_is_written(tmp_path):
    link, target = tmp_path / "link.csv", tmp_path / "folder" / "target.csv"
    target.parent.mkdir()
    link.symlink_to(target)
    write_atomically(link, "table")
    assert link.is_symlink()
    assert target.read_text() == "table"
    assert os.listdir(target.parent) == ["target.csv"]


def test_a_place_where_nothing_can_be_written_is_refused_before_the_work(tmp_path, monkeypatch):
    pipe = tmp_path / "pipe.csv"
    os.mkfifo(pipe)
    for path, reason in (
        (tmp_path / "none" / "t.csv", "there is no folder"),
        (tmp_path, "is a folder"),
        (pipe, "is a device or a pipe"),
    ):
        with pytest.raises(UsageError, match=f"--output .*: {reason}"):
            refuse_unwritable("--output", path)
    refuse_unwritable("--output", tmp_path / "t.csv")

    def read_only(**_):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(tempfile, "TemporaryFile", read_only)
    with pytest.raises(UsageError, match=r"t\.csv: cannot be written: Read-only file system"):
        refuse_unwritable("--output", tmp_path / "t.csv")
    assert os.listdir(tmp_path) == ["pipe.csv"]
