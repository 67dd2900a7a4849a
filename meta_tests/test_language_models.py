"""Language models as they are used: prefill and decode steps with a cache, on the meta device."""

import json
import math
import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from estimator import estimate
from estimator.__main__ import main
from estimator.capture import capture_in_modules
from estimator.errors import UsageError
from estimator.estimates import Estimates
from estimator.explain.what_if import what_if
from estimator.goldens.repository import Repository as Goldens
from estimator.opstream import parse_stream, stream_text
from estimator.subjects.custom import OwnModel
from estimator.target import resolve
from examples import decoder
from meta_tests.test_own_model import Repository

ROOT = Path(__file__).parents[1]
AGX, NANO = "Jetson-Orin-AGX", "Jetson-Orin-Nano-8GB"
DO_NOT_FIT = "weights of 16.1 GB do not fit the board's memory of 8 GB"
PAGE = (ROOT / "docs" / "language-models.md").read_text(encoding="utf-8")
SMALL = decoder.Size(layers=2, width=64, hidden=128, heads=4, key_heads=2, tied=True, vocabulary=100)
STEPS = {"prefill": (decoder.prefill, 512, 0), "decode": (decoder.decode, 1, 512)}


@pytest.mark.parametrize(("step", "tokens", "before"), STEPS.values(), ids=STEPS)
@pytest.mark.parametrize("size", ["1B", "8B"])
def test_a_step_has_the_flop_that_its_weights_and_its_cache_ask_for(step, tokens, before, size):
    s = decoder.SIZES[size]
    narrow = s.width * s.key_heads // s.heads
    layer = 2 * s.width * (s.width + narrow) + 3 * s.width * s.hidden
    pairs = tokens * before + tokens * (tokens + 1) // 2
    expected = 2 * tokens * s.layers * layer + 2 * s.width * s.vocabulary + 4 * s.layers * s.width * pairs
    found = estimate(*step(size), precision="fp16")
    assert found.flops == pytest.approx(expected, rel=0.02)
    assert found.defaulted == ()
    assert found.interval_pct is not None


@pytest.mark.parametrize("mode", ["30W", "50W", "MAXN"])
def test_decode_at_8_billion_parameters_takes_the_device_as_long_as_its_weights_take(mode):
    found = estimate(*decoder.decode("8B"), AGX, mode, "fp16")
    least_ms = found.weight_bytes / resolve(AGX, mode).mode.bandwidth_gb_s / 1e6
    assert found.device_ms == pytest.approx(least_ms, rel=0.15)


def test_a_cache_is_left_as_it_was_and_the_next_estimate_is_the_same():
    model, (token, cache) = decoder.decode("1B")
    before = list(cache.layers)
    first = estimate(model, (token, cache))
    assert estimate(model, {"tokens": token, "cache": cache}) == first
    assert (cache.tokens, token.tolist()) == (512, [[1]])
    assert all(is_pair is was for is_pair, was in zip(cache.layers, before))


def test_a_real_cache_goes_on_being_used():
    model, cache, other = decoder.Decoder(SMALL).eval(), real_cache(), real_cache()
    prompt, token = torch.randint(0, 100, (1, 5)), torch.tensor([[7]])
    with torch.no_grad():
        assert torch.equal(model(prompt, cache), model(prompt, other))
        estimate(model, (token, cache))
        assert torch.equal(model(token, cache), model(token, other))
    assert cache.tokens == 6


def real_cache():
    cache = decoder.Cache(SMALL, 0)
    cache.layers = [tuple(torch.empty_like(part, device="cpu") for part in pair) for pair in cache.layers]
    return cache


def test_a_longer_cache_is_read_by_the_device_alone():
    short, long = (estimate(*decoder.decode("1B", tokens), precision="fp16") for tokens in (512, 4096))
    read_bytes = 2 * 16 * 8 * 64 * (4096 - 512) * 2
    assert long.bytes - short.bytes > 3 * read_bytes  # once each by cat, by the repetition and by attention
    assert long.device_ms > short.device_ms
    assert long.host_ms == short.host_ms


def test_weights_that_do_not_fit_are_said_and_estimated():
    step = decoder.decode("8B")
    assert estimate(*step, NANO, precision="fp16").memory_note == DO_NOT_FIT
    assert estimate(*step, AGX, precision="fp16").memory_note == ""
    assert estimate(*step, "Jetson-Orin-NX-16GB", precision="fp32").memory_note.startswith("weights of 32.1 GB do not")


def test_of_a_board_whose_memory_nobody_knows_nothing_is_said():
    target = resolve(NANO, precision="fp16")
    facts = {name: fact for name, fact in target.profile.facts.items() if name != "memory_gb"}
    unknown = replace(target, profile=replace(target.profile, facts=facts))
    subject, estimates = OwnModel("decode", "", *decoder.decode("8B")), Estimates()
    assert unknown.profile.fact("memory_gb") == math.inf
    assert [estimates.estimate(subject, each).memory_note for each in (target, unknown)] == [DO_NOT_FIT, ""]


def test_the_command_says_it_in_a_line_and_in_json(capsys, monkeypatch):
    monkeypatch.chdir(ROOT)
    arguments = ["estimate", "examples.decoder:decode", "--precision", "fp16", "--hardware", NANO]
    assert main(arguments) == 0
    assert DO_NOT_FIT in capsys.readouterr().out.splitlines()
    assert main([*arguments, "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert (data["memory_note"], data["weight_bytes"]) == (DO_NOT_FIT, 2 * 8_030_261_248)


def test_weights_are_counted_once_at_their_own_size():
    shared = nn.Linear(8, 8)
    model = nn.Sequential(shared, nn.BatchNorm1d(8), shared)
    floats, integers = 8 * 8 + 8 + 4 * 8, 1
    captured = {dtype: capture_in_modules(model, torch.empty(2, 8), dtype) for dtype in (None, torch.bfloat16)}
    assert captured[None].weight_bytes == 4 * floats + 8 * integers
    assert captured[torch.bfloat16].weight_bytes == 2 * floats + 8 * integers
    assert parse_stream(stream_text(captured[None])) == captured[None]


def test_what_cannot_be_repeated_has_no_larger_batch_and_everything_else():
    subject, target = OwnModel("decode", "", *decoder.decode("1B")), resolve(AGX, precision="fp16")
    with pytest.raises(UsageError, match="a Cache among the inputs cannot be repeated"):
        Estimates().estimate(subject, replace(target, batch_size=2))
    rows = {row.change: row for row in what_if(subject, target, Goldens.at(ROOT), Estimates())}
    assert "cannot be repeated" in rows["batch 2"].problem
    assert rows["dispatch free (CUDA graph)"].latency_ms < rows["as it is"].latency_ms == rows["batch 1"].latency_ms


@pytest.fixture
def repository(pytester, monkeypatch, as_alone):
    """Somebody's repository with the page's settings and the decoder."""
    monkeypatch.syspath_prepend(str(ROOT))
    (settings,) = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    found = Repository(pytester, settings)
    (found.path / "decoder.py").write_text((ROOT / "examples" / "decoder.py").read_text(encoding="utf-8"))
    return found


def test_the_page_s_test_passes_as_it_stands(repository):
    (test,) = re.findall(r"```python\n# test_speed.py\n(.*?)```", PAGE, re.DOTALL)
    (repository.path / "test_speed.py").write_text(test)
    repository.run("--snapshot-update").assert_outcomes(passed=4)
    again = repository.run()
    again.assert_outcomes(passed=4)
    verdicts = [
        line.split()[-2:] for line in again.outlines if re.match(r" *test_(the_first|each).* surely within$", line)
    ]
    assert verdicts == [["surely", "within"]] * 4
    assert not any("do not fit" in line for line in again.outlines)


def test_a_check_says_below_its_table_what_does_not_fit(repository):
    check = "latency.check(*decode('8B'), hardware='Jetson-Orin-Nano-8GB')"
    (repository.path / "test_large.py").write_text(
        f"from decoder import decode\n\ndef test_large(latency):\n    {check}\n"
    )
    run = repository.run("--snapshot-update", "--latency-hardware", AGX)
    run.assert_outcomes(passed=1)
    assert f"  test_large: {DO_NOT_FIT}" in run.outlines
