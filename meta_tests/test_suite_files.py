"""Where a session reads and writes: its repository's goldens, and the files of --output and --report."""

from __future__ import annotations

import os
import tempfile
from types import SimpleNamespace

import pytest

from estimator.errors import UsageError
from estimator.files import refuse_unwritable, write_atomically
from estimator.goldens.repository import Repository
from estimator.goldens.root import repository_of
from estimator.suite import printing
from estimator.suite.options import _output_path, _refuse_with_every_configuration
from estimator.target import resolve


def configured(folder, *plugins, rootpath=None, **options):
    """What pytest knows of a session that loads these conftest modules."""
    manager = SimpleNamespace(get_plugins=lambda: [SimpleNamespace(), *plugins])
    return SimpleNamespace(pluginmanager=manager, rootpath=rootpath or folder, getoption=options.get)


def conftest(folder, plugins="estimator.suite.plugin"):
    folder.mkdir(parents=True, exist_ok=True)
    return SimpleNamespace(__file__=str(folder / "conftest.py"), pytest_plugins=plugins)


@pytest.mark.parametrize("plugins", ["estimator.plugin", ("other", "estimator.suite.plugin")])
def test_goldens_belong_to_the_repository_whose_conftest_loads_the_suite(tmp_path, plugins):
    ours = conftest(tmp_path / "repository" / "tests", plugins)
    (tmp_path / "repository" / "pyproject.toml").touch()
    config = configured(tmp_path, conftest(tmp_path / "other", ()), ours, rootpath=tmp_path / "elsewhere")
    assert repository_of(config).root == tmp_path / "repository"


def test_without_an_ini_file_goldens_are_beside_the_conftest_and_without_one_below_pytest_s_rootdir(tmp_path):
    assert repository_of(configured(tmp_path, conftest(tmp_path / "a"))).root == tmp_path / "a"
    assert repository_of(configured(tmp_path, conftest(tmp_path / "a", "others"))).root == tmp_path


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


def test_a_golden_is_no_place_for_a_table(tmp_path):
    (tmp_path / "golden" / "board").mkdir(parents=True)
    (tmp_path / "link.md").symlink_to(tmp_path / "golden" / "board" / "estimates.md")
    for path in (tmp_path / "golden" / "board" / "validation.md", tmp_path / "link.md"):
        with pytest.raises(UsageError, match="is among the goldens, which --snapshot-update alone writes"):
            _output_path(Repository.at(tmp_path), "--output", str(path), (".md",))


@pytest.mark.parametrize("option", ["models", "skip", "compare", "output", "report"])
def test_every_configuration_takes_no_option_that_it_would_ignore(tmp_path, option):
    config = configured(tmp_path, every_configuration=True, **{option: "x"})
    with pytest.raises(
        UsageError, match=f"--every-configuration cannot be combined with --{option}: .*leave --{option} "
    ):
        _refuse_with_every_configuration(config)
    _refuse_with_every_configuration(configured(tmp_path, every_configuration=True))


def test_a_table_that_cannot_be_written_after_all_is_said(tmp_path, monkeypatch):
    options = SimpleNamespace(outputs=(tmp_path / "a.csv", tmp_path / "b.md"), report=None, target=resolve())
    session = SimpleNamespace(options=options)
    config = SimpleNamespace(pluginmanager=SimpleNamespace(get_plugin=lambda name: None))
    assert list(printing._written(session, config, [], [])) == [
        f"  Table written to {tmp_path / 'a.csv'}",
        f"  Table written to {tmp_path / 'b.md'}",
    ]

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    assert next(printing._written(session, config, [], [])) == (
        f"  Table NOT WRITTEN to {tmp_path / 'a.csv'}: No space left on device"
    )


def test_a_file_that_exists_outside_of_the_repository_is_written_through_its_link(suite, tmp_path_factory):
    folder = tmp_path_factory.mktemp("elsewhere")
    link, target = folder / "link.csv", folder / "target.csv"
    target.write_text("old")
    link.symlink_to(target)
    run = suite.run(f"--output={link}", models="vgg11")
    run.assert_outcomes(passed=1)
    run.stdout.fnmatch_lines([f"  Table written to {link}"])
    assert link.is_symlink()
    assert target.read_text().splitlines()[1].startswith("vgg11,")


def test_another_rootdir_changes_neither_the_goldens_nor_what_is_collected(suite, tmp_path_factory):
    before, folder = suite.files(), tmp_path_factory.mktemp("rootdir")
    for name in ("meta_tests", "examples"):
        (suite.path / name).mkdir()
        (suite.path / name / "test_own.py").write_text("raise ImportError")
    suite.golden("vgg11").unlink()
    run = suite.run(str(suite.path), "--rootdir", str(folder), "--snapshot-update", models="vgg11")
    run.assert_outcomes(passed=1)
    assert suite.files() == before
    assert not (folder / "golden").exists()
