import csv
import io
import json
from dataclasses import replace

import pytest

from estimator.compare import Comparison, without_estimate
from estimator.goldens.configuration import load_configuration
from estimator.goldens.repository import Repository
from estimator.hardware.boards import find_board
from estimator.report import (
    FIELDS,
    MICROBENCHMARK_BARS,
    MODEL_BARS,
    bar_lines,
    csv_text,
    json_text,
    markdown_report,
    markdown_table,
    summarise,
    summary_lines,
    terminal_table,
)
from estimator.target import target_on

ROWS = [
    Comparison("tiny", "Small", 6.5, 7.0, -7.14, "EXCELLENT", "host", 6.4, 1.0, 5.7),
    Comparison("huge", "Large", 280.0, 250.0, 12.0, "GOOD", "device", 30.0, 279.0, 6.5),
    Comparison("little", "Small", 9.0, None, None, "UNMEASURED", "host", 9.0, 2.0, 8.0),
    without_estimate("broken", "Large", "failed"),
]


def test_the_table_groups_models_by_family_in_order_of_appearance():
    assert [line.split()[0] for line in terminal_table(ROWS)[2:-1]] == [
        "Small",
        "tiny",
        "little",
        "Large",
        "huge",
        "broken",
    ]


def test_the_table_shows_what_users_of_the_log_know_and_the_bound():
    table = terminal_table(ROWS)
    assert table[0].split("  ")[1] == "Model"
    assert table[0].split() == "Model Est (ms) Meas (ms) Error Rating Bound 80% within".split()
    assert table[3].split() == ["tiny", "6.50", "7.00", "-7.1%", "EXCELLENT", "host", "±", "5.7%"]


def test_what_was_not_measured_or_not_estimated_is_a_dash():
    table = terminal_table(ROWS)
    assert table[4].split() == ["little", "9.00", "-", "-", "UNMEASURED", "host", "±", "8.0%"]
    assert table[7].split() == ["broken", "-", "-", "-", "FAILED", "-", "-"]


def test_an_estimate_without_evidence_for_an_interval_says_so():
    rows = [replace(ROWS[2], interval_pct=None)]
    assert terminal_table(rows)[3].split()[-2:] == ["no", "evidence"]
    assert "| no evidence |" in markdown_table(rows)
    assert csv_text(rows).splitlines()[1].endswith(",2.0,,,,,")


def test_columns_are_aligned():
    table = terminal_table(ROWS)
    assert len({line.index(value) + len(value) for line, value in zip(table[3:5], ("6.50", "9.00"))}) == 1
    assert table[3].index("EXCELLENT") == table[4].index("UNMEASURED") == table[0].index("Rating")


def test_the_summary_takes_errors_by_size_and_over_measured_models_only():
    summary = summarise(ROWS, failed_or_skipped=1)
    assert summary.total == 4
    assert summary.mean_abs_error_pct == pytest.approx((7.14 + 12.0) / 2)
    assert summary.max_abs_error_pct == 12.0
    assert summary.per_rating == {"EXCELLENT": 1, "GOOD": 1, "UNMEASURED": 1, "FAILED": 1}


def test_the_summary_counts_models_outcomes_and_ratings():
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


def test_a_run_without_measurements_has_no_mean_error():
    text = " ".join(summary_lines(summarise(ROWS[2:3])))
    assert text.endswith("Failed/Skipped:   0   UNMEASURED:       1")


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


def test_micro_benchmarks_alone_promise_less_of_models_that_the_fit_has_not_seen():
    for processor, mean in (("cpu", ["7%", "MISSED"]), ("gpu", ["10%", "met"])):
        assert bars(ROWS[:2], {}, MICROBENCHMARK_BARS[processor]) == {
            "Mean |error|": ["9.6%", "bar", "<=", *mean],
            "Max |error|": ["12.0%", "bar", "<", "25%", "met"],
        }


@pytest.mark.parametrize("hardware", ["Jetson-Orin-AGX", "local-cpu"])
def test_a_board_promises_what_its_calibration_was_made_from(tmp_path, hardware):
    board = find_board(hardware)
    for sources, promised in (("records", MODEL_BARS), ("records and microbenchmarks", MODEL_BARS)):
        profile = replace(board.base_profile(), sources=sources)
        assert load_configuration(Repository.at(tmp_path), target_on(board, profile)).bars == promised
    profile = replace(board.base_profile(), sources="microbenchmarks")
    promised = load_configuration(Repository.at(tmp_path), target_on(board, profile)).bars
    assert promised == MICROBENCHMARK_BARS[profile.processor]


def test_a_missed_bar_says_so():
    missed = bars(ROWS[:2], {})
    assert all(words[-1] == "MISSED" for words in missed.values())
    assert len(missed) == 3


def test_markdown_has_a_bold_row_per_family_and_seven_cells_in_every_row():
    lines = markdown_table(ROWS).splitlines()
    assert "| **Large** |  |  |  |  |  |  |" in lines
    assert "| huge | 280.00 | 250.00 | +12.0% | GOOD | device | ± 6.5% |" in lines
    assert {line.count("|") for line in lines} == {8}


def test_the_report_says_in_two_lines_what_wrote_it_and_how():
    text = markdown_report("Board, 50W", "pytest --hardware Board", "Measured: twice.", ROWS)
    assert text.splitlines()[:2] == ["<!-- written by golden-latency -->", "<!-- pytest --hardware Board -->"]
    for line in (
        "# Board, 50W",
        "Measured: twice.",
        "- Models: 4",
        "- EXCELLENT (<10%): 1",
        "- Max absolute error: 12.0%",
    ):
        assert line in text.splitlines()


def test_csv_has_one_row_per_model_and_empty_cells_for_what_is_missing():
    rows = list(csv.DictReader(io.StringIO(csv_text(ROWS))))
    assert tuple(rows[0]) == FIELDS
    assert [row["model"] for row in rows] == ["tiny", "huge", "little", "broken"]
    assert float(rows[1]["device_ms"]) == 279.0
    assert (rows[2]["meas_ms"], rows[3]["est_ms"], rows[3]["rating"]) == ("", "", "FAILED")


def test_json_has_the_same_rows_with_null_for_what_is_missing():
    rows = json.loads(json_text(ROWS))
    assert tuple(rows[0]) == FIELDS
    assert rows[0]["error_pct"] == -7.14
    assert (rows[2]["meas_ms"], rows[2]["est_ms"]) == (None, 9.0)
