"""Documents that cannot go stale: what is written from goldens is what the goldens say."""

import importlib.util

import pytest
import torch

from bench import documents
from bench.accuracy import labels_of, measured
from bench.documents import COMMAND, DOCUMENTS, ROOT, document_text
from bench.parity import PARITY, drawn_by, labels_in, parity_svg
from bench.worked_example import CHANNELS, PIXELS, WINDOW, WorkedExample
from estimator.capture import capture
from estimator.errors import RecordError
from estimator.lower import lower
from estimator.pipeline import forward_pass
from estimator.target import resolve

EXACT = 1e-12


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


def test_the_worked_example_is_the_estimators_own_price():
    target = resolve()
    example = WorkedExample(target.profile, target.mode)
    with torch.device("meta"):
        convolution = torch.nn.Conv2d(CHANNELS, CHANNELS, WINDOW, padding=WINDOW // 2, bias=False)
        found = forward_pass(lower(capture(convolution, torch.empty(1, CHANNELS, PIXELS, PIXELS))), target)
    assert found.costs.host_us.tolist() == pytest.approx([example.host_us], rel=EXACT)
    assert found.costs.device_us.tolist() == pytest.approx([example.device_us], rel=EXACT)
    assert found.latency_ms == pytest.approx(example.pass_ms, rel=EXACT)
    text = (ROOT / "docs" / "method.md").read_text(encoding="utf-8")
    for figure in (found.costs.host_us[0], found.costs.device_us[0]):
        assert f"**{figure:.4g} us**" in text
    assert f"**{found.latency_ms:.4g} ms**" in text


def test_a_document_without_one_of_its_blocks_is_refused(tmp_path):
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "method.md").write_text("# Method\n", encoding="utf-8")
    with pytest.raises(RecordError, match="no block 'constants'"):
        document_text(tmp_path, "docs/method.md")


@pytest.mark.skipif(importlib.util.find_spec("vl_convert") is None, reason="needs vl-convert-python")
def test_check_says_what_is_stale_and_writes_nothing(capsys, monkeypatch):
    monkeypatch.setattr(documents, "parity_svg", lambda root: "another drawing")
    before = (ROOT / PARITY).read_bytes()
    assert documents.main(["--check"]) == 1
    assert capsys.readouterr().out == f"stale: {PARITY}\n"
    assert (ROOT / PARITY).read_bytes() == before
