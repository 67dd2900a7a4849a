"""The whole loop on this machine's CPU: calibrate by patterns alone, estimate, measure, compare."""

from __future__ import annotations

import datetime
import json
import platform
import statistics
import subprocess
import sys
from pathlib import Path

import pytest

from estimator.calibration.design import design
from estimator.calibration.from_microbenchmarks import calibrate
from estimator.calibration.microbenchmarks import Microbenchmarks, timed_blocks
from estimator.capture import capture
from estimator.hardware.boards import find_board
from estimator.hardware.reading import read_profile
from estimator.lower import lower
from estimator.measure.device.environment import cpu_name
from estimator.pipeline import estimate_lowered
from estimator.subjects.zoo import MODELS
from estimator.target import calibrated_target
from test_estimator.interleaved import subject

OUTSIDE = (
    "densenet121",
    "convnext_tiny",
    "swin_t",
    "regnet_y_800mf",
    "resnext50_32x4d",
    "shufflenet_v2_x1_0",
    "squeezenet1_1",
    "mnasnet1_0",
    "inception_v3:299",
    "googlenet",
)
TURNS = 8
BAR_MEAN_PCT, BAR_MAX_PCT = 7, 25


@pytest.fixture
def loop(request, tmp_path):
    """Measures chains and models in turns, calibrates from the chains, and estimates the models."""

    def run(names, turns, share):
        command = [sys.executable, "-m", "test_estimator.interleaved", str(tmp_path), str(turns), str(share), *names]
        subprocess.run(command, cwd=request.config.rootpath, check=True)
        data = json.loads((tmp_path / "times.json").read_text(encoding="utf-8"))
        profile = calibrated(data, share, tmp_path)
        return profile, [row(name, profile, turns_ms) for name, turns_ms in zip(names, data["turns_ms"].values())]

    return run


def calibrated(data, share, folder):
    about = {"board": cpu_name(Path("/")), "software": platform.python_version()}
    about.update(date="", revision="", threads=str(data["threads"]))
    blocks = timed_blocks(design("cpu", share), ("in chain",), data["layers_us"])
    made = calibrate(
        find_board("local-cpu").base_profile(), Microbenchmarks(about, 1, blocks), "default", lambda _: None
    )
    path = folder / "local-cpu.toml"
    path.write_text(made.text, encoding="utf-8")
    return read_profile(path)


def row(name, profile, turns_ms):
    """Returns name, estimate in ms, median over the turns in ms, and how far the turns are from it in percent."""
    model = subject(name)
    module = model.build("cpu")  # some cannot be built without data
    lowered = lower(capture(module, model.example_input(1)))
    est_ms = estimate_lowered(lowered, calibrated_target(profile)).latency_ms
    median_ms = statistics.median(turns_ms)
    spread_pct = statistics.fmean(100 * abs(ms / median_ms - 1) for ms in turns_ms)
    return model.name, est_ms, median_ms, spread_pct


def error_pct(found):
    return 100 * (found[1] / found[2] - 1)


def test_a_handful_of_chains_prices_a_handful_of_models(loop):
    profile, rows = loop(("mobilenet_v3_small", "resnet18", "squeezenet1_1"), 1, 0.05)
    assert profile.processor == "cpu"
    assert profile.mode().threads >= 1
    for name, est_ms, median_ms, _ in rows:
        assert 0.1 < est_ms / median_ms < 10, name  # that it works; how well it works is no matter for a busy machine


@pytest.mark.bench
def test_the_models_are_priced_by_patterns_alone(loop, request):
    names = [*(model.name for model in MODELS), *OUTSIDE]
    profile, rows = loop(names, TURNS, 1)
    inside, outside = rows[: len(MODELS)], rows[len(MODELS) :]
    text = "\n".join(report(profile, inside, outside)) + "\n"
    print("\n" + text)
    (request.config.rootpath / "docs" / "local-cpu.md").write_text(text, encoding="utf-8")
    errors = [abs(error_pct(found)) for found in inside]
    assert statistics.fmean(errors) <= BAR_MEAN_PCT
    assert max(errors) <= BAR_MAX_PCT


def report(profile, inside, outside):
    import torch
    import torchvision

    yield "# A CPU calibrated by patterns alone"
    yield ""
    yield "Written by `tox -e bench`. No model was seen by the fit; models and chains were measured in turns."
    yield ""
    yield f"- machine: {profile.board['description']}, {profile.mode().threads} threads"
    versions = f"torch {torch.__version__}, torchvision {torchvision.__version__}"
    yield f"- software: Python {platform.python_version()}, {versions}"
    yield f"- date: {datetime.date.today().isoformat()}"
    yield f"- turns: {TURNS}; the machine's own repeatability, mean |turn - median|, stands beside each error"
    for title, rows in (("The 22 models", inside), ("Ten models outside the suite", outside)):
        yield from ("", f"## {title}", "", "| model | estimated ms | measured ms | error | repeatability |")
        yield "| --- | ---: | ---: | ---: | ---: |"
        for found in rows:
            name, est_ms, median_ms, spread_pct = found
            yield f"| {name} | {est_ms:.1f} | {median_ms:.1f} | {error_pct(found):+.1f} % | {spread_pct:.1f} % |"
        errors = [abs(error_pct(found)) for found in rows]
        spread_pct = statistics.fmean(found[3] for found in rows)
        figures = f"{statistics.fmean(errors):.1f} %, max {max(errors):.1f} % | {spread_pct:.1f} %"
        yield f"| **mean \\|error\\|** | | | {figures} |"
    yield from ("", "## Constants", "", "| constant | value | uncertainty | unit |", "| --- | ---: | ---: | --- |")
    for name, constant in profile.constants.items():
        yield f"| `{name}` | {constant.value:g} | {constant.uncertainty_pct:g} % | {constant.unit} |"
