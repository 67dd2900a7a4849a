"""Goldens as syrupy compares them, by its own fixture: what is the same, and what an update writes."""

from __future__ import annotations

import math
import os

import pytest

from estimator.errors import RecordError
from estimator.goldens.extensions import GoldenFiles, json_text
from estimator.goldens.repository import Repository
from estimator.goldens.tables import Table


@pytest.fixture
def repository(tmp_path):
    return Repository.at(tmp_path)


@pytest.fixture
def files(repository, snapshot):
    return GoldenFiles(repository, snapshot)


@pytest.fixture
def updating(request, monkeypatch):
    monkeypatch.setattr(request.config.option, "update_snapshots", True)


def rows_of(*names, titles=("Model", "Est (ms)"), **figures):
    return Table(titles, {name: (name, figures.get(name, "1")) for name in names})


def one_row(table):
    """The titles and the only row of such a table."""
    (row,) = table.rows.values()
    return table.titles, row


@pytest.fixture
def table(repository):
    """A board's tables with one section, below a head that an update would write anew."""
    path = repository.estimates_path("Made-Up")
    text = repository.document_text(path, {"50W": rows_of("y", "vgg16")})
    repository.write(path, text.replace("Inputs: what", "What"))
    return path


def test_json_has_sorted_keys_and_no_number_that_json_does_not_know():
    assert json_text({"b": {"d": 1, "c": None}, "a": "text"}) == '{\n  "a": "text",\n  "b": {"d": 1, "c": null}\n}\n'
    for value in (math.nan, math.inf):
        with pytest.raises(ValueError, match="not JSON compliant"):
            json_text({"a": value})


def test_a_golden_says_the_same_or_not_and_nothing_is_written(files, repository, tmp_path):
    path = tmp_path / "golden" / "validation.md"
    assert not files.has_text(path, "one ± two\n")
    assert not path.exists()
    repository.write(path, "one ± two\n")
    assert files.has_text(path, "one ± two\n")
    assert not files.has_text(path, "one\n")
    assert path.read_text(encoding="utf-8") == "one ± two\n"


@pytest.mark.usefixtures("updating")
def test_an_update_writes_at_once_what_differs_and_leaves_alone_what_does_not(files, tmp_path):
    path = tmp_path / "golden" / "board" / "model.json"
    assert files.has_data(path, {"est_ms": 6.5})
    written = path.stat().st_mtime_ns
    assert path.read_text(encoding="utf-8") == json_text({"est_ms": 6.5})
    assert files.has_data(path, {"est_ms": 6.5})
    assert path.stat().st_mtime_ns == written


@pytest.mark.usefixtures("updating")
def test_what_cannot_be_written_or_read_is_raised(files, tmp_path, monkeypatch):
    def full(*paths):
        raise OSError("no space left")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="no space left"):
        files.has_text(tmp_path / "golden" / "validation.md", "text")
    assert list((tmp_path / "golden").glob("*.md")) == []
    (tmp_path / "latin").write_bytes(b"\xff")
    with pytest.raises(RecordError, match="latin: cannot be read"):
        files.has_text(tmp_path / "latin", "text")


def test_a_part_of_a_table_is_compared_whatever_is_beside_it(files, table, tmp_path):
    assert files.has_section(table, "50W", rows_of("y", "vgg16"))
    assert not files.has_section(table, "50W", rows_of("vgg16", "y"))
    assert not files.has_section(table, "15W", rows_of("y", "vgg16"))
    assert files.has_row(table, "50W", *one_row(rows_of("vgg16")))
    assert not files.has_row(table, "50W", *one_row(rows_of("vgg16", vgg16="2")))
    assert not files.has_row(table, "50W", *one_row(rows_of("x")))
    assert not files.has_row(table, "15W", *one_row(rows_of("vgg16")))
    assert not files.has_row(table, "50W", *one_row(rows_of("vgg16", titles=("Model", "Now"))))


@pytest.mark.usefixtures("updating")
@pytest.mark.parametrize(
    ("section", "row", "sections"),
    [
        ("50W", rows_of("x"), {"50W": rows_of("vgg16", "y", "x")}),
        ("50W", rows_of("vgg11"), {"50W": rows_of("vgg11", "vgg16", "y")}),
        ("50W", rows_of("y", y="2"), {"50W": rows_of("vgg16", "y", y="2")}),
        ("50W", rows_of("y", titles=("Model", "Now")), {"50W": rows_of("vgg16", "y", titles=("Model", "Now"))}),
        ("15W", rows_of("x"), {"15W": rows_of("x"), "50W": rows_of("y", "vgg16")}),
    ],
)
def test_an_update_puts_a_row_into_its_table_in_the_order_of_the_zoo(files, table, repository, section, row, sections):
    assert files.has_row(table, section, *one_row(row))
    assert table.read_text(encoding="utf-8") == repository.document_text(table, sections)


@pytest.mark.usefixtures("updating")
def test_an_update_writes_a_section_beside_the_others(files, table, repository):
    assert files.has_section(table, "15W", rows_of("x"))
    sections = {"15W": rows_of("x"), "50W": rows_of("y", "vgg16")}
    assert table.read_text(encoding="utf-8") == repository.document_text(table, sections)
    before = table.read_text(encoding="utf-8")
    assert files.has_section(table, "15W", rows_of("x"))
    assert table.read_text(encoding="utf-8") == before
