"""`python -m estimator calibrate` as a user starts it, and the fit behind it on synthetic devices."""

from __future__ import annotations

import json
import math
import random
import re
from dataclasses import replace

import numpy as np
import pytest

from estimator.__main__ import main
from estimator.calibration.design import GROUPS, design, size_of
from estimator.calibration.fit import Fitter
from estimator.calibration.from_microbenchmarks import calibrate
from estimator.calibration.microbenchmarks import (
    FILE_NAME,
    Microbenchmarks,
    as_evidence,
    load_microbenchmarks,
    timed_blocks,
    write_microbenchmarks,
)
from estimator.errors import RecordError
from estimator.files import read_toml
from estimator.hardware.boards import find_board, load_profile
from estimator.hardware.reading import read_profile
from estimator.measure.chain_times import WAYS
from estimator.pipeline import estimate_lowered
from estimator.subjects.patterns import PATTERNS
from estimator.target import target_on

SHARE = 0.1
ABOUT = {"board": "synthetic", "software": "none", "date": "today", "revision": "none", "threads": "2"}


def unmeasured(hardware, share):
    board = find_board(hardware)
    chains, ways = design(size_of(target_on(board, board.base_profile())), share), WAYS[board.device]
    times = [[[[1.0] * (len(block.layers) if ways == ("in chain",) else 1)] * len(ways) for block in c] for c in chains]
    return Microbenchmarks(ABOUT, timed_blocks(chains, ways, times))


def measured_on(profile, truth, share, noise=0.0):
    """Returns the evidence that a device with these constants would give."""
    evidence = as_evidence(unmeasured(profile.name, share))
    source = random.Random(7)
    exact_us = Fitter(profile, evidence).latencies_us(truth)
    return [
        replace(item, latency_us=float(us) * math.exp(source.gauss(0, noise)), spread=0.05)
        for item, us in zip(evidence, exact_us)
    ]


@pytest.mark.parametrize("hardware", ["local-cpu", "Jetson-Orin-AGX"])
def test_the_micro_benchmarks_find_the_constants_that_made_them(hardware):
    profile = find_board(hardware).base_profile()
    factors = random.Random(3)
    truth = {name: c.prior * math.exp(factors.gauss(0, c.prior_sigma)) for name, c in profile.constants.items()}
    truth = {
        name: min(max(x, profile.constants[name].lower), profile.constants[name].upper) for name, x in truth.items()
    }
    found = Fitter(profile, measured_on(profile, truth, 0.4, noise=0.05)).fit().constants
    errors = [abs(math.log(found[name] / truth[name])) for name in truth]
    before = [abs(math.log(c.prior / truth[name])) for name, c in profile.constants.items()]
    assert np.median(errors) < 0.1 < 0.2 < np.median(before)


def test_a_gpu_calibrated_from_micro_benchmarks_alone_prices_models_it_has_not_seen():

    from estimator.lower import lower
    from estimator.subjects.zoo import MODELS
    from estimator.target import calibrated_target
    from meta_tests.estimating import op_stream

    profile = load_profile("Jetson-Orin-AGX")
    truth = {name: constant.value for name, constant in profile.constants.items()}
    fit = Fitter(profile, measured_on(profile, truth, 0.3, noise=0.05)).fit()
    constants = {name: replace(profile.constants[name], value=value) for name, value in fit.constants.items()}
    for model in MODELS:
        lowered = lower(op_stream(model))
        true_ms = estimate_lowered(lowered, calibrated_target(profile)).latency_ms
        assert estimate_lowered(
            lowered, calibrated_target(replace(profile, constants=constants))
        ).latency_ms == pytest.approx(true_ms, rel=0.1), model.name


@pytest.mark.parametrize(
    ("hardware", "seed", "noise", "left_out"),
    [("local-cpu", 5, 0.5, "gate"), ("Jetson-Orin-AGX", 10, 1.2, None)],
)
def test_even_wild_measurements_are_fitted(hardware, seed, noise, left_out):
    profile, source = find_board(hardware).base_profile(), random.Random(seed)
    truth = {name: source.choice([c.upper, c.prior, c.lower]) for name, c in profile.constants.items()}
    evidence = measured_on(profile, truth, 0.05, noise)
    fit = Fitter(profile, evidence).fit([i for i, item in enumerate(evidence) if item.group == left_out])
    bounds = {name: (c.lower, c.upper) for name, c in profile.constants.items()}
    assert all(bounds[name][0] <= value <= bounds[name][1] for name, value in fit.constants.items())
    assert all(0 < uncertainty_pct < 1000 for uncertainty_pct in fit.uncertainty_pct.values())


def test_the_report_names_every_constant_and_what_each_group_decides(tmp_path):
    found = unmeasured("local-cpu", SHARE)
    evidence = as_evidence(found)
    base = find_board("local-cpu").base_profile()
    us = iter(Fitter(base, evidence).latencies_us(base.values()))
    blocks = [replace(b, us={"in chain": tuple(float(next(us)) for _ in b.block.layers)}) for b in found.blocks]
    steps = []
    made = calibrate(base, replace(found, blocks=tuple(blocks)), "default", steps.append)
    text = "\n".join(made.lines)
    for name in (*base.constants, *GROUPS):
        assert name in text
    assert "whole chains that the fit has not seen" in text
    assert f"without {GROUPS[0]}" in steps
    path = tmp_path / "local-cpu.toml"
    path.write_text(made.text, encoding="utf-8")
    profile = read_profile(path)
    assert (profile.processor, profile.mode().threads, profile.board["description"]) == ("cpu", 2, "synthetic")
    assert read_toml(path)["calibration"]["sources"] == "microbenchmarks"


def test_measured_micro_benchmarks_are_kept_and_read_again(tmp_path):
    path, found = tmp_path / FILE_NAME, unmeasured("Jetson-Orin-AGX", SHARE)
    write_microbenchmarks(path, found)
    assert load_microbenchmarks(path) == found


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda data: data.update(queue=16), "queue: times of single layers, as an earlier version measured them"),
        (lambda data: data["blocks"][0].pop("group"), r"blocks\[0\]\.group: is missing"),
        (
            lambda data: data["blocks"][0]["us"].update({"in chain": [1.0]}),
            r"in chain: must be a list of",
        ),
        (
            lambda data: data["blocks"][0]["us"]["in chain"].__setitem__(0, -1.0),
            r"in chain\[0\]: must be a finite",
        ),
    ],
)
def test_damaged_micro_benchmarks_are_one_line_that_says_what_to_do(tmp_path, damage, reason):
    path = tmp_path / "local-cpu" / "default-fp32-b1" / FILE_NAME
    path.parent.mkdir(parents=True)
    write_microbenchmarks(path, unmeasured("local-cpu", SHARE))
    data = json.loads(path.read_text(encoding="utf-8"))
    damage(data)
    path.write_text(json.dumps(data), encoding="utf-8")
    with pytest.raises(
        RecordError, match=f"{FILE_NAME}: .*{reason}.*; to measure anew: python -m estimator calibrate local-cpu$"
    ):
        load_microbenchmarks(path)


LIVE = ("--hardware", "local-cpu", "--device", "cpu")
CALIBRATE = ("local-cpu", "--share", "0.05")


def test_one_command_calibrates_and_the_next_run_has_estimates(live, capsys):
    before = live.suite.files()
    assert live.calibrate(*CALIBRATE) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    pytest.LineMatcher(printed.out.splitlines()).fnmatch_lines(
        [
            "hardware: local-cpu, mode default",
            "CALIBRATION: micro-benchmarks are measured, the profile is written",
            "  calibrated from microbenchmarks: * micro-benchmarks in * chains",
            "  dispatch_us *+-*%  us per op*",
            "  MLP *%*%*",
            "  whole chains that the fit has not seen: *",
            "  * s of measuring; written: *local-cpu.toml",
            "  Next: pytest --hardware local-cpu --device cpu",
        ]
    )
    assert live.suite.files() == before  # it is this machine's profile, not the repository's
    assert main(["calibrate", "local-cpu", "--check"]) == 0

    run = live.takes({"mobilenet_v3_small": 5.0, "resnet18": 30.0})
    estimates = [line for line in run.outlines if line.startswith(("    mobilenet_v3_small", "    resnet18"))]
    assert any(rating in estimates[0] for rating in ("EXCELLENT", "GOOD", "FAIR", "POOR"))
    assert not any("is not calibrated" in line for line in run.outlines)

    run = live.takes({"tiny_chain": 0.1, "bottleneck": 5.0}, "test_patterns", "-k", "tiny_chain or bottleneck")
    run.assert_outcomes(passed=2, deselected=len(PATTERNS) - 2)  # however hot they ran
    rows = [line for line in run.outlines if line.split()[:1] in (["tiny_chain"], ["bottleneck"])]
    assert len(rows) == 4  # estimates, medians
    run.stdout.fnmatch_lines(["  a pattern alone runs hot in a CPU's caches; *"])


WITHOUT_ROOM = """
from estimator.measure import chain_times


def measure_chains(*_):
    raise MemoryError("no room")


chain_times.measure_chains = measure_chains
"""


def test_a_calibration_that_fails_writes_nothing(live):
    live.suite.run_first(WITHOUT_ROOM)
    run = live.suite.command("calibrate", *CALIBRATE)
    assert (run.ret, run.errlines) == (1, ["not calibrated: calibration: MemoryError: no room"])
    assert not list(live.suite.path.joinpath("cache").rglob("*.toml"))
    assert not list(live.suite.path.joinpath("cache").rglob("*.json"))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("", r"calibrate measures on Jetson-Orin-AGX itself \(no NVIDIA GPU here\); --refit fits what was recorded"),
        ("--device recorded", r"calibrate measures on Jetson-Orin-AGX itself \(as asked\); .*"),
        ("--device cuda", "--device cuda: the device is absent, .*"),
        ("--device cpu", "--device cpu measures this machine's own CPU, not Jetson-Orin-AGX: .*"),
        ("local-cpu --host", "--host: on local-cpu host and device are one processor with one clock, .* local-cpu"),
        ("local-cpu --share 2", "--share: must be a finite number from 0.001 to 1, .*"),
        ("local-cpu --runs 2", "--runs is of --host: .*"),
        ("--host --refit", "--host is of measuring: leave --refit and --check out"),
        ("--check --share 0.5", "--share is of measuring: .*"),
        ("--fit-only", "--fit-only is of a refit: add --refit"),
        ("--refit --evidence models", "--evidence models: unknown; known: records, microbenchmarks, both"),
        (
            "--refit --evidence microbenchmarks",
            ".*no micro-benchmarks to calibrate Jetson-Orin-AGX from; .*",
        ),
        ("--refit NVIDIA-H200", ".*no micro-benchmarks to calibrate NVIDIA-H200 from; .*"),
        ("nowhere", "unknown hardware 'nowhere'; known hardware: .*"),
        ("--power-mode 3W local-cpu", "unknown .*3W.*"),
        ("--precision fp16", "unrecognized arguments: --precision .*"),
    ],
)
def test_what_cannot_be_calibrated_is_refused_in_one_line(words, message, request, monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr("estimator.measure.device.choice.has_gpu", lambda *_: False)
    monkeypatch.chdir(request.config.rootpath)
    assert main(["calibrate", *words.split()]) == 4
    out, error = capsys.readouterr()
    assert out == ""
    assert re.fullmatch(f"error: {message}\n", error)
    assert not list(tmp_path.iterdir())


def test_a_damaged_profile_of_this_machine_is_refused_before_anything_is_measured(suite, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(suite.path / "cache"))
    path = suite.path / "cache/golden-latency/local-cpu/local-cpu.toml"
    path.parent.mkdir(parents=True)
    text = suite.path.joinpath("estimator/hardware/templates/local-cpu.toml").read_text(encoding="utf-8")
    path.write_text(text.replace("[constants.dispatch_us]", "[constants.dispatch_ms]"), encoding="utf-8")
    run = suite.run(*LIVE, models="resnet18")
    assert run.ret == pytest.ExitCode.USAGE_ERROR
    run.stderr.fnmatch_lines(
        [
            "ERROR: *local-cpu.toml: constants.dispatch_us: is missing; *; "
            "to write it anew: python -m estimator calibrate local-cpu"
        ]
    )
