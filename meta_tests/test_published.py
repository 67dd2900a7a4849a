"""A profile's device times against published tables of kernels."""

from __future__ import annotations

import pytest

from estimator.__main__ import main

HEADER = ",".join(
    "conv_type in_channels out_channels input_size kernel_size stride groups batch_size precision flops mean_ms".split()
)
CONV2D = f"""{HEADER}
standard,256,256,56,3,1,1,16,fp32,0,14.0
standard,256,256,56,3,1,1,16,fp16,0,8.0
depthwise,512,512,56,3,1,512,16,fp32,0,12.0
standard,3,64,224,3,1,1,1,fp32,0,0.9
"""
MATMUL = "m,n,k,batch_size,precision,flops,mean_ms,std_ms\n2048,2048,2048,1,fp32,0,7.5,0.1\n"


@pytest.fixture
def published(tmp_path, capsys):
    """Returns exit code, lines printed and lines of errors of the command on these tables."""

    def run(*texts):
        paths = [tmp_path / f"{index}.csv" for index in range(len(texts))]
        for path, text in zip(paths, texts):
            path.write_text(text, encoding="utf-8")
        exit_code = main(["calibrate", "--published", *map(str, paths)])
        printed = capsys.readouterr()
        return exit_code, printed.out.splitlines(), printed.err.splitlines()

    return run


def test_errors_are_told_by_class_and_precision(published):
    exit_code, lines, errors = published(CONV2D, MATMUL)
    assert (exit_code, errors) == (0, [])
    rows = [line.split() for line in lines[1:]]
    assert [row[:2] for row in rows if "launch" not in row] == [
        ["fp32", "3x3"],
        ["fp32", "depthwise"],
        ["fp32", "product"],
        ["fp16", "3x3"],
    ]
    assert sum("launch" in row for row in rows) == 2
    assert all(0 <= float(row[-6]) < 100 for row in rows if "launch" not in row)


def test_short_rows_are_left_out(published):
    (row,) = [row for row in map(str.split, published(CONV2D)[1]) if row[:2] == ["fp32", "3x3"]]
    assert row[3] == "1"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (
            CONV2D.replace("14.0", "nan"),
            "0.csv: line 2.mean_ms: must be a finite number from 1e-05 to 1e+08 ms, got 'nan'",
        ),
        (CONV2D.replace("fp16", "fp8"), "0.csv: line 3.precision: unknown 'fp8'; known: fp32, fp16"),
        (
            MATMUL.replace("m,n,k", "m,n,q"),
            "keys here: m, n, q, batch_size, precision, flops, mean_ms, std_ms",
        ),
    ],
)
def test_a_damaged_table_is_one_line(published, text, reason):
    exit_code, _, errors = published(text)
    assert exit_code == 4
    assert [line.endswith(reason) for line in errors] == [True]
