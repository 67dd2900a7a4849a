"""Documents that cannot go stale: what is written from goldens is what the goldens say."""

import importlib.util

import pytest

from bench import documents
from bench.accuracy import labels_of, measured
from bench.documents import COMMAND, DOCUMENTS, ROOT, document_text
from bench.parity import PARITY, drawn_by, labels_in, parity_svg
from estimator.errors import RecordError


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_document_is_what_the_goldens_say(name):
    assert (ROOT / name).read_text(encoding="utf-8") == document_text(ROOT, name), f"stale; to write it: {COMMAND}"


def test_the_plot_of_the_readme_is_what_the_goldens_say():
    svg = (ROOT / PARITY).read_text(encoding="utf-8")
    assert sorted(labels_in(svg)) == sorted(labels_of(measured(ROOT).rows).values()), f"stale; to draw it: {COMMAND}"
    assert f"]({PARITY})" in (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.skipif(importlib.util.find_spec("vl_convert") is None, reason="needs vl-convert-python")
def test_the_plot_is_drawn_the_same_each_time():
    drawn = parity_svg(ROOT)
    assert drawn == parity_svg(ROOT)
    kept = (ROOT / PARITY).read_text(encoding="utf-8")
    assert drawn_by(drawn) != drawn_by(kept) or drawn == kept, f"stale; to draw it: {COMMAND}"


def test_what_draws_the_plot_is_one_line_where_it_is_missing(capsys, monkeypatch):
    monkeypatch.setattr(documents, "NEEDED", {"nowhere_to_be_found": "vl-convert-python"})
    assert documents.main([]) == 4
    assert capsys.readouterr().err == f"error: {COMMAND} needs vl-convert-python: pip install vl-convert-python\n"


def test_a_document_without_one_of_its_blocks_is_refused(tmp_path):
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "method.md").write_text("# Method\n", encoding="utf-8")
    with pytest.raises(RecordError, match="no block 'constants'"):
        document_text(tmp_path, "docs/method.md")


@pytest.mark.skipif(importlib.util.find_spec("vl_convert") is None, reason="needs vl-convert-python")
def test_check_says_what_is_stale_and_writes_nothing(capsys, monkeypatch):
    monkeypatch.setattr(documents, "parity_svg", lambda root: "another drawing")
    monkeypatch.setattr(documents, "DOCUMENTS", {"docs/options.md": DOCUMENTS["docs/options.md"]})
    before = (ROOT / PARITY).read_bytes()
    assert documents.main(["--check"]) == 1
    assert capsys.readouterr().out == f"stale: {PARITY}\n"
    assert (ROOT / PARITY).read_bytes() == before
