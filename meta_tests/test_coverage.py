"""docs/coverage.md for a spread of torchvision's kinds; `tox run -e architectures` holds all of it."""

from __future__ import annotations

import pytest
import torch

from bench.coverage import (
    MOST_DEFAULTED_PCT,
    TIMM,
    Coverage,
    coverage_table,
    covered_in,
    torchvision_coverage,
    torchvision_names,
)
from bench.documents import COVERAGE, ROOT
from estimator import estimate

DOCUMENT = (ROOT / "docs" / "coverage.md").read_text(encoding="utf-8")
TORCHVISION_ROWS, TIMM_ROWS = covered_in(DOCUMENT, "torchvision"), covered_in(DOCUMENT, "timm")
SPREAD = (
    "alexnet",
    "googlenet",
    "inception_v3",
    "mnasnet0_5",
    "quantized_shufflenet_v2_x0_5",
    "r3d_18",
    "raft_small",
    "regnet_x_400mf",
    "lraspp_mobilenet_v3_large",
    "ssdlite320_mobilenet_v3_large",
    "swin_v2_t",
)


@pytest.mark.parametrize("name", SPREAD)
def test_a_model_of_each_kind_is_estimated_or_refused_as_the_document_says(name):
    assert torchvision_coverage(name).cells == TORCHVISION_ROWS[name]


def test_the_document_has_each_of_torchvisions_models_and_forty_of_timms():
    assert [name for name in torchvision_names() if name not in TORCHVISION_ROWS] == []
    assert list(TIMM_ROWS.keys() ^ TIMM.keys()) == []
    assert len(TIMM) == 40
    assert [f"<!-- begin {name}: " in DOCUMENT for name in COVERAGE["docs/coverage.md"]] == [True] * 3


def test_97_of_100_models_of_each_library_are_estimated():
    for block in COVERAGE["docs/coverage.md"]:
        rows = covered_in(DOCUMENT, block)
        refused = [name for name, row in rows.items() if row[1].startswith("refused")]
        assert len(rows) >= 40
        assert len(refused) <= 0.03 * len(rows), refused


def test_what_is_estimated_has_next_to_no_ops_without_a_rule():
    rows = [row for rows in (TORCHVISION_ROWS, TIMM_ROWS) for row in rows.values() if row[1] == "estimated"]
    shares = [sum(float(word) for word in row[-1].split() if word.replace(".", "").isdigit()) for row in rows]
    assert len(rows) > 140
    assert max(shares) <= MOST_DEFAULTED_PCT


def test_a_table_groups_equal_rows_and_counts_what_was_estimated_refused_and_within_the_bar():
    found = (
        Coverage("one", "1 x 3", "", {}),
        Coverage("two", "1 x 3", "", {"aten.new": 0.6, "aten.newer": 0.6}),
        Coverage("three", "1 x 3", "depends on data", {}),
        Coverage("four", "1 x 3", "", {}),
    )
    table = coverage_table(found)
    assert table[2:-2] == [
        "| one, four | 1 x 3 | estimated | - |",
        "| two | 1 x 3 | estimated | `aten.new` 0.6 %, `aten.newer` 0.6 % |",
        "| three | 1 x 3 | refused: depends on data | - |",
    ]
    assert table[-1].startswith("3 of 4 estimated, 1 refused in one line")
    assert table[-1].endswith("in 2 of 3.")
    block = "\n".join(("<!-- begin kind: by hand -->", *table, "<!-- end kind -->"))
    assert covered_in(block, "kind") == {one.name: one.cells for one in found}


def test_a_model_of_seven_billion_parameters_is_estimated_without_memory_for_them():
    with torch.device("meta"):
        layer = torch.nn.TransformerEncoderLayer(4096, 32, 16384, batch_first=True)
        module = torch.nn.Sequential(*[layer] * 33).eval()
    found = estimate(module, torch.empty(1, 16, 4096, device="meta"))
    assert found.bytes > 4 * 6.6e9
    assert found.defaulted == ()
