"""The protocol, the measuring process and its clocks: counts, minimum, seeded weights, and models that fail alone."""

import json
import sys
from types import SimpleNamespace

import pytest

from estimator.errors import MeasurementError
from estimator.measure.process import MeasuringProcess
from estimator.measure.progress import Progress
from estimator.measure.protocol import (
    Protocol,
    make_protocol,
    median_noise_pct,
    page_faults,
    percentile_ms,
    run_rounds,
    typical,
)
from estimator.measure.worker import serve
from meta_tests.conftest import WORKER

TINY = Protocol(warmup=1, rounds=2, min_warmup=1, min_rounds=2, budget_s=1.0)


def count_rounds(protocol):
    reports = []
    return run_rounds(lambda: 1.0, protocol, lambda *report: reports.append(report))


@pytest.mark.parametrize(
    ("protocol", "counts"),
    [
        (make_protocol("cuda"), (50, 100)),
        (make_protocol("cpu", warmup=3, rounds=7), (3, 7)),
        (Protocol(warmup=50, rounds=100, min_warmup=1, min_rounds=5, budget_s=0.0), (1, 5)),
    ],
    ids="default given slow".split(),
)
def test_a_model_gets_the_rounds_of_its_protocol_and_a_slow_one_the_fewest(protocol, counts):
    forwards = []
    rounds = len(run_rounds(lambda: forwards.append(1) or 1.0, protocol, lambda *_: None).samples_ms)
    assert (len(forwards) - rounds, rounds) == counts


def test_a_protocol_in_words_has_its_counts():
    assert make_protocol("cpu", warmup=3, rounds=7).text == "3 warm-ups, then 7 rounds, in 3 interleaved rounds"
    assert "never below 1 and 5" in make_protocol("cpu").text


def test_parts_share_the_rounds_and_each_warms_up():
    parts = make_protocol("cpu", warmup=2, rounds=7).parts()
    assert [(part.warmup, part.rounds) for part in parts] == [(1, 3), (1, 2), (1, 2)]
    assert sum(part.budget_s for part in parts) == pytest.approx(make_protocol("cpu").budget_s)
    assert len(make_protocol("cpu", rounds=2).parts()) == 2
    assert make_protocol("cuda").parts() == (make_protocol("cuda"),)


def test_what_the_machine_did_meanwhile_is_cut_from_a_time():
    assert typical([10.0, 10.0, 10.0, 1000.0]) == pytest.approx(11.25)
    assert typical([9.0, 10.0, 11.0]) == pytest.approx(10.0)


def test_a_model_that_is_kept_is_built_once(monkeypatch):
    from estimator.measure import build, worker

    built = []
    original = build.build_model
    monkeypatch.setattr(build, "build_model", lambda *options: built.append(options) or original(*options))
    kept = {**request("mobilenet_v3_small"), "keep": True}
    assert [answer["kind"] for answer in measured([kept, kept, {"forget": True}, kept])] == ["hello"] + 4 * ["done"]
    assert len(built) == 2
    monkeypatch.setattr(worker, "ROOM_GIB", 1e9)
    measured([kept, kept])
    assert len(built) == 4  # without room nothing is kept


def test_the_reference_workload_has_a_time():
    _, first, second = measured([{"reference": True}] * 2)
    assert first["reference_ms"] > 0
    assert second["reference_ms"] > 0


def test_the_noise_of_a_median_comes_from_its_order_statistics():
    assert median_noise_pct([10.0] * 100) == 0
    assert median_noise_pct([9.0, 10.0, 11.0]) == pytest.approx(10.0)
    assert median_noise_pct([1000.0 + i for i in range(25)]) == pytest.approx(50 * (18 - 7) / 1012)
    rounds = [1000.0 + i for i in range(100)]  # known by the 40th and the 60th
    assert median_noise_pct(rounds) == pytest.approx(50 * 20 / 1049.5)
    assert median_noise_pct([*rounds[:-1], 1e6]) == pytest.approx(50 * 20 / 1049.5)  # one outlier is none


def test_page_faults_are_those_of_a_round_on_average(monkeypatch):
    counts = iter([100, 131])
    monkeypatch.setattr("estimator.measure.protocol.page_faults", lambda: next(counts))
    assert count_rounds(Protocol(warmup=2, rounds=3, min_warmup=2, min_rounds=3, budget_s=1.0)).page_faults == 10


def test_minor_and_major_page_faults_count(monkeypatch):
    usage = SimpleNamespace(ru_minflt=40, ru_majflt=2)
    monkeypatch.setattr("estimator.measure.protocol.resource.getrusage", lambda who: usage)
    assert page_faults() == 42


def test_p90_is_a_sample():
    assert percentile_ms(list(range(1, 101)), 90) == 90


def measured(requests, device="cpu"):
    answers = []
    serve(device, "fp32", map(json.dumps, requests), answers.append)
    return [answer for answer in answers if answer["kind"] != "progress"]


def request(model):
    return {"model": model, "batch_size": 1, "protocol": vars(TINY)}


def test_a_model_that_fails_is_an_answer_and_the_next_one_is_measured():
    hello, unknown, done = measured([request("no_such_model"), request("mobilenet_v3_small")])
    assert {"torch", "torchvision", "threads", "switches", "variables"} <= set(hello)
    assert (unknown["kind"], unknown["message"][:34]) == ("error", "UsageError: unknown model 'no_such")
    assert (done["kind"], len(done["samples_ms"]), done["finite"]) == ("done", 2, True)


def test_weights_and_inputs_are_seeded_and_outputs_finite():
    import torch

    from estimator.measure.build import build_model, make_input
    from estimator.subjects.zoo import find_models

    (model,) = find_models(["mobilenet_v3_small"])
    inputs = [make_input(model, 1, "cpu") for _ in range(2)]
    assert inputs[0].equal(inputs[1])
    assert inputs[0].shape == (1, 3, 224, 224)
    assert (inputs[0].mean().item(), inputs[0].std().item()) == pytest.approx((0.0, 1.0), abs=0.01)
    with torch.no_grad():
        first, second = (build_model(model, "cpu")(x) for x in inputs)
    assert first.equal(second)
    assert torch.isfinite(first).all()
    assert first.std() > 0


@pytest.fixture
def process(tmp_path, monkeypatch):
    """A measuring process whose models take what is given: what a real one measures, test_live.py says."""
    (tmp_path / "sitecustomize.py").write_text(WORKER)
    (tmp_path / "times.json").write_text(json.dumps({"vgg11": 9.0, "mobilenet_v3_small": 2.0}))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    process = MeasuringProcess("cpu", "fp32")
    yield process
    process.close()


def ask(process, model="mobilenet_v3_small"):
    return process.measure({"model": model, "batch_size": 1}, TINY, lambda *_: None, lambda: None)


def test_a_process_that_is_killed_takes_only_its_model_with_it(process):
    import os
    import signal

    process.environment()
    os.kill(process.pid, signal.SIGKILL)
    with pytest.raises(MeasurementError, match=r"the measuring process was killed by SIGKILL \(out of memory\?\)"):
        ask(process)
    assert ask(process).samples_ms == (2.0, 2.0)


def test_an_interrupted_answer_is_not_taken_for_the_next_model_s(process):
    def interrupt(*_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        process.measure({"model": "vgg11", "batch_size": 1}, make_protocol("cpu", 1, 50), interrupt, interrupt)
    assert process.pid is None
    assert ask(process).samples_ms == (2.0, 2.0)


def test_what_a_process_was_is_known_once_it_is_closed(process):
    known = process.environment()
    process.close()
    assert process.environment() == known
    assert process.pid is None


def test_a_process_that_does_not_start_says_why(process):
    process._command = [sys.executable, "-c", "import sys; sys.exit('no torch here')"]
    with pytest.raises(MeasurementError, match="ended with exit code 1: no torch here"):
        ask(process)


def test_progress_says_model_round_and_what_is_left():
    lines = []
    progress = Progress(lines.append, 2)
    progress.show("resnet18", "", "warm-up", 10, 50)
    progress.finish_model()
    progress.show("vgg11", "run 2/3, ", "round", 40, 100)
    assert lines[:2] == ["  resnet18 [1/2] warm-up 10/50", ""]
    assert lines[2].startswith("  vgg11 [2/2] run 2/3, round 40/100, about 0 s left")
    Progress(None).show("resnet18", "", "round", 1, 2)


def test_a_long_piece_of_work_has_a_bar():
    lines = []
    Progress(lines.append).bar("calibration", 9, 45)
    assert lines[0].startswith("  calibration [######........................] 20 %, about 0 s left")


class FakeCuda:
    """A GPU whose n-th forward takes n ms, and which knows only what was synchronised."""

    def __init__(self):
        self.now_ms, self.synchronised, self.events = 0.0, 0, 0

    def event(self, enable_timing):
        assert enable_timing
        cuda = self

        class Event:
            def record(self):
                cuda.events += 1
                self.at_ms = cuda.now_ms

            def elapsed_time(self, end):
                assert cuda.synchronised == cuda.events // 2
                return end.at_ms - self.at_ms

        return Event()

    def synchronize(self):
        self.synchronised += 1


def test_a_round_on_a_gpu_is_event_forward_event_synchronize(monkeypatch):
    import torch

    from estimator.measure.protocol import cuda_once

    if torch.cuda.is_available():
        pytest.skip("a real GPU is here")
    cuda, forwards = FakeCuda(), []
    monkeypatch.setattr(torch.cuda, "Event", cuda.event)
    monkeypatch.setattr(torch.cuda, "synchronize", cuda.synchronize)

    def forward():
        forwards.append(1)
        cuda.now_ms += len(forwards)

    rounds = run_rounds(cuda_once(forward), Protocol(2, 3, 2, 3, 10.0), lambda *_: None)
    assert rounds.samples_ms == (3.0, 4.0, 5.0)
    assert (cuda.events, cuda.synchronised) == (10, 5)


def test_a_torch_without_cuda_says_so_instead_of_measuring():
    import torch

    if torch.cuda.is_available():
        pytest.skip("a real GPU is here")
    (answer,) = measured([], device="cuda")
    assert (answer["kind"], answer["message"].endswith("sees no GPU")) == ("error", True)
