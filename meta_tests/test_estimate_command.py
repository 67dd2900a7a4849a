"""`python -m estimator estimate`: a number without a test."""

import json

import pytest
import torch

from estimator import estimate
from estimator.__main__ import main
from estimator.subjects.zoo import find_models
from estimator.target import resolve
from meta_tests.estimating import validate

OWN = """
import torch

def small():
    return torch.nn.Sequential(torch.nn.Linear(8, 8), torch.nn.ReLU()), torch.rand(1, 8)

def bessel():
    class Bessel(torch.nn.Module):
        def forward(self, x):
            return torch.i0(x)
    return Bessel(), torch.rand(2, 8)

def no_module():
    return 3

def leaving():
    raise SystemExit("no weights here")
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    (tmp_path / "own_estimated.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))


def lines_of(capsys, *arguments):
    assert main(["estimate", *arguments]) == 0
    return capsys.readouterr().out.splitlines()


def data_of(capsys, *arguments):
    return json.loads("\n".join(lines_of(capsys, *arguments, "--json")))


def test_a_few_lines_say_what_takes_how_long_and_what_bounds_it(capsys):
    lines = lines_of(capsys, "resnet18", "--power-mode", "MAXN")
    assert lines[0] == "resnet18 on Jetson-Orin-AGX, mode MAXN, precision fp32, batch 1"
    pytest.LineMatcher(lines[1:]).fnmatch_lines(
        ["* ms ± * %, host-bound: host alone * ms, device alone * ms", "70 ops, 68 kernels, 3.64 GFLOP"]
    )
    assert lines[-1] == "ops without a rule: none"


def test_what_is_transferred_or_without_evidence_says_so(capsys):
    lines = lines_of(capsys, "resnet18", "--hardware", "NVIDIA-H100")
    assert lines[0].endswith(", transferred from public-GPUs")
    assert " ms ± " in lines[1]
    lines = lines_of(capsys, "resnet18", "--hardware", "Jetson-AGX-Xavier")
    assert lines[0].endswith(", transferred from Jetson-Orin-AGX")
    assert "(no interval: no evidence for other SMs)" in lines[1]


def test_the_number_is_the_suites_own_to_the_digit(capsys):
    options = ("--thermal-profile", "MAXN", "--precision", "fp16", "--batch-size", "4")
    data = data_of(capsys, "mobilenet_v2", *options)
    found = validate(find_models(["mobilenet_v2"])[0], resolve("Jetson-Orin-AGX", "MAXN", "fp16", 4), None).estimate
    assert data["latency_ms"] == found.latency_ms
    assert data["host_terms_ms"] == found.host_terms_ms
    assert (data["power_mode"], data["precision"], data["batch_size"]) == ("MAXN", "fp16", 4)


def test_json_has_every_term_of_the_estimate(capsys):
    data = data_of(capsys, "vgg11")
    for side in ("host", "device"):
        assert sum(data[f"{side}_terms_ms"].values()) == pytest.approx(data[f"{side}_ms"])
    assert data["flops"] > 1e10 > data["bytes"] > 5e8
    assert data["interval_pct"] > 0
    assert (data["without_evidence"], data["without_a_rule"]) == ([], [])


@pytest.mark.usefixtures("own")
def test_a_module_of_ones_own_is_estimated_as_estimate_does(capsys):
    model = torch.nn.Sequential(torch.nn.Linear(8, 8), torch.nn.ReLU())
    assert data_of(capsys, "own_estimated:small")["latency_ms"] == estimate(model, torch.rand(1, 8)).latency_ms


@pytest.mark.usefixtures("own")
def test_an_op_without_a_rule_is_named(capsys):
    lines = lines_of(capsys, "own_estimated:bessel")
    assert lines[-1] == "priced by their bytes alone, for want of a rule (of device time): aten.i0 (100.0 %)"
    assert data_of(capsys, "own_estimated:bessel")["without_a_rule"] == ["aten.i0"]


@pytest.mark.usefixtures("own")
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["resnet19"], ["unknown model 'resnet19'", "resnet18", "package.module:function"]),
        (["nowhere:f"], ["nowhere:f: cannot import nowhere: ModuleNotFoundError"]),
        (["own_estimated:missing"], ["own_estimated has no function 'missing'"]),
        (["own_estimated:no_module"], ["must return a module and its example inputs, got int"]),
        (["own_estimated:leaving"], ["own_estimated:leaving() failed: SystemExit: no weights here"]),
        (["resnet18", "--hardware", "Jetson"], ["unknown hardware 'Jetson'", "Jetson-Orin-AGX"]),
        (["resnet18", "--batch-size", "0"], ["--batch-size: must be a whole number from 1 to 1048576, got '0'"]),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_4(arguments, words, capsys):
    assert main(["estimate", *arguments, "--json"]) == 4
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.count("\n") == 1
    assert all(word in printed.err for word in words)


def test_a_file_that_cannot_be_written_is_one_line_too(capsys, monkeypatch, tmp_path):
    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    assert main(["explain", "resnet18", "--trace", str(tmp_path / "trace.json")]) == 4
    assert capsys.readouterr().err == f"error: {tmp_path / 'trace.json'}: No space left on device\n"
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_command_leaves_no_traceback(capsys, monkeypatch):
    def interrupted(options):
        raise KeyboardInterrupt

    monkeypatch.setattr("estimator.calibration.calibrate_command.run", interrupted)
    assert main(["calibrate"]) == 130
    assert capsys.readouterr().err == "\ninterrupted\n"


def test_this_cpu_without_a_calibration_says_how_to_calibrate_it(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert main(["estimate", "resnet18", "--hardware", "local-cpu"]) == 4
    assert "is not calibrated on this machine: python -m estimator calibrate local-cpu" in capsys.readouterr().err
