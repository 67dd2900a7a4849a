"""docs/coverage.md, model by model: `tox run -e timm`."""

import pytest

from bench.coverage import TIMM, covered_in, timm_coverage, torchvision_coverage, torchvision_names
from bench.documents import ROOT

DOCUMENT = (ROOT / "docs" / "coverage.md").read_text(encoding="utf-8")
TORCHVISION_ROWS, TIMM_ROWS = covered_in(DOCUMENT, "torchvision"), covered_in(DOCUMENT, "timm")
STALE = "stale; to write it: python -m bench.documents --coverage"


@pytest.mark.parametrize("name", torchvision_names())
def test_torchvision(name):
    assert torchvision_coverage(name).cells == TORCHVISION_ROWS.get(name), STALE


@pytest.mark.parametrize("name", TIMM)
def test_timm(name):
    pytest.importorskip("timm")
    assert timm_coverage(name).cells == TIMM_ROWS.get(name), STALE
