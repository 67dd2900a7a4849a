from __future__ import annotations

import pytest

from bench.elsewhere import after_one_factor_pct, factor, main, read_latencies
from estimator.lower import lower
from estimator.pipeline import estimate_lowered
from estimator.subjects.zoo import find_models
from estimator.target import resolve
from meta_tests.estimating import op_stream

HEADER = "hardware,thermal_profile,precision,model,batch,measured_ms"


def estimated_ms(hardware, mode, name, batch):
    (model,) = find_models([name])
    return estimate_lowered(lower(op_stream(model, batch)), resolve(hardware, mode, "fp32", batch)).latency_ms


def row(name, batch, times, hardware="Jetson-Orin-AGX", mode="30W"):
    return f"{hardware},{mode},fp32,{name},{batch},{times * estimated_ms(hardware, mode, name, batch)!r}"


@pytest.fixture
def table(tmp_path):
    def write(*rows):
        path = tmp_path / "latencies.csv"
        path.write_text("\n".join([HEADER, *rows]) + "\n", encoding="utf-8")
        return path

    return write


def printed(capsys, *arguments):
    assert main([str(argument) for argument in arguments]) == 0
    return capsys.readouterr().out.splitlines()


def test_a_factor_that_all_estimates_lack_is_found_and_leaves_no_error(table):
    found = read_latencies(table(row("resnet18", 1, 1.25), row("mobilenet_v2", 1, 1.25)))
    assert [latency.error_pct for latency in found] == pytest.approx([-20, -20])
    assert factor(found) == pytest.approx(1.25)
    assert after_one_factor_pct(found) == pytest.approx([0, 0], abs=1e-9)


def test_the_table_names_mode_batches_models_and_what_the_intervals_hold(table, capsys):
    path = table(row("resnet18", 1, 1.25), row("mobilenet_v2", 1, 1.0), row("resnet18", 32, 1.02), row("vgg11", 4, 9.0))
    lines = printed(capsys, path)
    assert lines[0] == "Jetson-Orin-AGX, 30W"
    cells = [line.split() for line in lines[2:]]
    assert ["1", "resnet18", "1", "-20.0", "%", "20.0", "%", "20.0", "%", "1", "of", "1"] in cells
    assert ["1", "all", "2", "-10.0", "%", "10.0", "%", "20.0", "%", "2", "of", "2"] in cells
    assert [cell[-3:] for cell in cells if cell[:4] == ["2", "to", "31", "vgg11"]] == [["0", "of", "1"]]
    assert [cell[:4] for cell in cells if "times" in cell] == [["1", "all,", "times", "1.118"]]


def test_each_figure_stands_beside_its_bar(table, capsys):
    lines = printed(capsys, table(row("resnet18", 32, 1.02), row("resnet18", 1, 2.0), row("vgg11", 1, 1.0)))
    bars = [line for line in lines if "bar" in line]
    assert [line.split("  bar ")[1] for line in bars] == [
        "<= 5 %  met",
        "<= 6 %  MISSED",
        "70 to 95 %  MISSED",
        "70 to 100 %  MISSED",
    ]


def test_rows_without_evidence_for_an_interval_are_counted_apart(table, capsys):
    lines = printed(capsys, table(row("resnet18", 32, 1.05, "Jetson-AGX-Xavier"), row("vgg11", 32, 1.0)))
    assert "all, without evidence for an interval: 1 of 2 rows" in lines
    assert [line.split()[-2:] for line in lines if "resnet18" in line] == [["no", "evidence"]]
    assert any(line.startswith("other SMs, batch >= 32, mean |error|: 4.8 %  bar <= 10 %  met") for line in lines)


def test_a_host_with_the_calibrated_software_has_narrower_intervals(table):
    path = table(row("mobilenet_v2", 1, 1.0))
    (other,), (same,) = read_latencies(path), read_latencies(path, same_software=True)
    assert same.interval_pct < other.interval_pct / 3


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (
            "Jetson-Orin-AGX,30W,fp32,resnet18,1,soon",
            "measured_ms: must be a finite number from 1e-05 to 1e+08 ms, got 'soon'",
        ),
        ("Jetson-Orin-AGX,30W,fp32,resnet18,1,-3", "measured_ms: must be a finite number from 1e-05"),
        ("Jetson-Orin-AGX,30W,fp32,resnet17,1,3", "resnet17"),
        ("Jetson-Orin-AGX,31W,fp32,resnet18,1,3", "31W"),
        ("Jetson-Orin-AGX,30W,fp32,resnet18,1,3,4,5", "has more cells than the header has columns"),
    ],
)
def test_a_row_that_cannot_be_is_one_line_with_its_place(table, capsys, line, reason):
    assert main([str(table(line))]) == 4
    (error,) = capsys.readouterr().err.splitlines()
    assert "latencies.csv: line 2" in error
    assert reason in error


def test_a_table_without_rows_is_refused(table, capsys):
    assert main([str(table())]) == 4
    assert "no rows" in capsys.readouterr().err
