import csv
import io
import json
from dataclasses import replace

import pytest

from estimator.compare import Comparison, summarise, without_estimate
from estimator.figures import ms, percent
from estimator.goldens.configuration import load_configuration
from estimator.goldens.repository import Repository
from estimator.hardware.boards import find_board
from estimator.report.bars import MICROBENCHMARK_BARS, MODEL_BARS, bar_lines
from estimator.report.comparisons import (
    FIELDS,
    comparison_table,
    csv_text,
    json_text,
    markdown_report,
    summary_lines,
)
from estimator.report.table import Table, left, right
from estimator.target import target_on

ROWS = [
    Comparison("tiny", "Small", 6.5, 7.0, -7.14, "EXCELLENT", "host", 6.4, 1.0, 5.7),
    Comparison("huge", "Large", 280.0, 250.0, 12.0, "GOOD", "device", 30.0, 279.0, 6.5),
    Comparison("little", "Small", 9.0, None, None, "UNMEASURED", "host", 9.0, 2.0, 8.0),
    without_estimate("broken", "Large", "failed"),
]


def test_a_table_is_written_once_and_read_in_four_forms():
    table = Table(
        (left("name"), right("ms", ms, 6), left("note")), [("a", 1.5, "x|y"), ("b", None, "")], ("one", "two")
    )
    assert table.text(ruled=True) == [
        "  name      ms  note",
        "  ------------------",
        "  one",
        "    a     1.50  x|y",
        "  two",
        "    b        -",
        "  ------------------",
    ]
    assert table.markdown() == [
        "| name | ms | note |",
        "| --- | ---: | --- |",
        "| **one** |  |  |",
        "| a | 1.50 | x\\|y |",
        "| **two** |  |  |",
        "| b | - |  |",
    ]
    assert table.csv() == "name,ms,note\na,1.5,x|y\nb,,\n"
    assert json.loads(table.json()) == [{"name": "a", "ms": 1.5, "note": "x|y"}, {"name": "b", "ms": None, "note": ""}]


def test_figures_have_one_form():
    assert [ms(value) for value in (None, 0.1234, 12.345)] == ["-", "0.123", "12.35"]
    assert [percent(None), percent(2), percent(2, "+"), percent(2, "± ", "%")] == ["-", "2.0 %", "+2.0 %", "± 2.0%"]


def test_the_table_of_models_is_by_family_and_has_a_dash_for_what_is_not_known():
    lines = [line.split() for line in comparison_table([*ROWS, replace(ROWS[2], interval_pct=None)]).text(ruled=True)]
    assert lines[0] == "Model Est (ms) Meas (ms) Error Rating Bound 80% within".split()
    assert lines[2:-1] == [
        ["Small"],
        ["tiny", "6.50", "7.00", "-7.1%", "EXCELLENT", "host", "±", "5.7%"],
        ["little", "9.00", "-", "-", "UNMEASURED", "host", "±", "8.0%"],
        ["little", "9.00", "-", "-", "UNMEASURED", "host", "no", "evidence"],
        ["Large"],
        ["huge", "280.00", "250.00", "+12.0%", "GOOD", "device", "±", "6.5%"],
        ["broken", "-", "-", "-", "FAILED", "-", "-"],
    ]


def test_the_summary_takes_errors_by_size_and_over_measured_models_only():
    text = " ".join(" ".join(line.split()) for line in summary_lines(summarise(ROWS, failed_or_skipped=1)))
    for words in (
        "Total models: 4",
        "Successful: 3",
        "Failed/Skipped: 1",
        "Mean |error|: 9.6%",
        "Max |error|: 12.0%",
        "EXCELLENT (<10%): 1",
        "GOOD (10-25%): 1",
        "FAIR (25-50%): 0",
        "POOR (>50%): 0",
        "UNMEASURED: 1",
    ):
        assert words in text
    assert " ".join(summary_lines(summarise(ROWS[2:3]))).endswith("Failed/Skipped:   0   UNMEASURED:       1")


def bars(rows, held_out_means_pct, promised=MODEL_BARS):
    lines = bar_lines(summarise(rows), held_out_means_pct, promised)[2:]
    return {line.split(":")[0].strip(): line.split(":")[1].split() for line in lines}


def test_each_bar_is_shown_with_the_figure_reached():
    row = Comparison("tiny", "Small", 6.5, 7.0, -2.0, "EXCELLENT", "host", 6.4, 1.0, 5.7)
    assert bars([row], {"leave_one_model_out": 4.0, "leave_one_family_out": 7.04}) == {
        "Models EXCELLENT": ["1", "of", "1", "bar", "1", "of", "1", "met"],
        "Mean |error|": ["2.0%", "bar", "<=", "2.5%", "met"],
        "Max |error|": ["2.0%", "bar", "<", "8%", "met"],
        "Leave one model out, mean |error|": ["4.0%", "bar", "<=", "4%", "met"],
        "Leave one family out, mean |error|": ["7.0%", "bar", "<=", "7%", "MISSED"],
    }
    assert [words[-1] for words in bars(ROWS[:2], {}).values()] == ["MISSED"] * 3
    assert bars([row, ROWS[2]], {})["Models EXCELLENT"][:3] == ["1", "of", "1"]  # who is not measured is not judged


def test_micro_benchmarks_alone_promise_less_of_models_that_the_fit_has_not_seen():
    for processor, mean in (("cpu", ["7%", "MISSED"]), ("gpu", ["10%", "met"])):
        assert bars(ROWS[:2], {}, MICROBENCHMARK_BARS[processor]) == {
            "Mean |error|": ["9.6%", "bar", "<=", *mean],
            "Max |error|": ["12.0%", "bar", "<", "25%", "met"],
        }


@pytest.mark.parametrize("hardware", ["Jetson-Orin-AGX", "local-cpu"])
def test_a_board_promises_what_its_calibration_was_made_from(tmp_path, hardware):
    board = find_board(hardware)
    alone = MICROBENCHMARK_BARS[board.base_profile().processor]
    for sources, promised in (
        ("records", MODEL_BARS),
        ("records and microbenchmarks", MODEL_BARS),
        ("microbenchmarks", alone),
    ):
        profile = replace(board.base_profile(), sources=sources)
        assert load_configuration(Repository.at(tmp_path), target_on(board, profile)).bars == promised


def test_the_report_says_in_two_lines_what_wrote_it_and_how():
    lines = markdown_report("Board, 50W", "pytest --hardware Board", "Measured: twice.", ROWS).splitlines()
    assert lines[:2] == ["<!-- written by golden-latency -->", "<!-- pytest --hardware Board -->"]
    for line in (
        "# Board, 50W",
        "Measured: twice.",
        "| **Large** |  |  |  |  |  |  |",
        "| huge | 280.00 | 250.00 | +12.0% | GOOD | device | ± 6.5% |",
        "- Models: 4",
        "- EXCELLENT (<10%): 1",
        "- Max absolute error: 12.0%",
    ):
        assert line in lines


def test_data_has_one_row_per_model_and_nothing_for_what_is_missing():
    rows = list(csv.DictReader(io.StringIO(csv_text(ROWS))))
    assert tuple(rows[0]) == FIELDS
    assert [row["model"] for row in rows] == ["tiny", "huge", "little", "broken"]
    assert float(rows[1]["device_ms"]) == 279.0
    assert (rows[2]["meas_ms"], rows[3]["est_ms"], rows[3]["rating"]) == ("", "", "FAILED")
    data = json.loads(json_text(ROWS))
    assert tuple(data[0]) == FIELDS
    assert (data[0]["error_pct"], data[2]["meas_ms"], data[2]["est_ms"]) == (-7.14, None, 9.0)
