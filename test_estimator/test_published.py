"""A profile's device times against published tables of kernels."""

from __future__ import annotations

import subprocess
import sys

import pytest

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
def published(request, tmp_path):
    def run(*texts, options=()):
        paths = [tmp_path / f"{index}.csv" for index in range(len(texts))]
        for path, text in zip(paths, texts):
            path.write_text(text, encoding="utf-8")
        command = [sys.executable, "-m", "estimator.calibration.published", *map(str, paths), *options]
        return subprocess.run(command, cwd=request.config.rootpath, capture_output=True, text=True)

    return run


def test_errors_are_told_by_class_and_precision(published):
    run = published(CONV2D, MATMUL)
    assert run.returncode == 0, run.stderr
    rows = [line.split() for line in run.stdout.splitlines()[1:]]
    assert [row[:2] for row in rows if "launch" not in row] == [
        ["fp32", "3x3"],
        ["fp32", "depthwise"],
        ["fp32", "product"],
        ["fp16", "3x3"],
    ]
    assert sum("launch" in row for row in rows) == 2
    errors = [float(row[-6]) for row in rows if "launch" not in row]
    assert all(0 <= error < 100 for error in errors)


def test_short_rows_are_left_out_unless_asked_for(published):
    counts = [published(CONV2D, options=options).stdout for options in ((), ("--least-ms", "0.5"))]
    assert [line.split()[3] for text in counts for line in text.splitlines() if line.startswith("fp32       3x3")] == [
        "1",
        "2",
    ]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (CONV2D.replace("14.0", "nan"), "0.csv:2: ValueError: mean_ms must be a finite number above 0, got nan"),
        (CONV2D.replace("fp16", "fp8"), "0.csv:3: KeyError: 'fp8'"),
        (MATMUL.replace("m,n,k", "m,n,q"), "0.csv:2: KeyError: 'k'"),
    ],
)
def test_a_damaged_table_is_one_line(published, text, reason):
    run = published(text)
    assert run.returncode == 4
    assert run.stderr.endswith(f"{reason}\n")
    assert len(run.stderr.splitlines()) == 1
