"""docs/coverage.md, row by row: `tox run -e timm`."""

import pytest

from bench.coverage import TIMM, timm_coverage, torchvision_coverage, torchvision_names
from bench.documents import ROOT

ROWS = (ROOT / "docs" / "coverage.md").read_text(encoding="utf-8").splitlines()
STALE = "stale; to write it: python -m bench.documents --coverage"


@pytest.mark.parametrize("name", torchvision_names())
def test_torchvision(name):
    assert torchvision_coverage(name).row in ROWS, STALE


@pytest.mark.parametrize("name", TIMM)
def test_timm(name):
    pytest.importorskip("timm")
    assert timm_coverage(name).row in ROWS, STALE
