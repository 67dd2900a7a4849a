"""`python -m estimator calibrate --host` on a synthetic GPU, whose host has other constants than the profile."""

from __future__ import annotations

import json
import math
import random
from dataclasses import asdict, replace

import numpy as np
import pytest

from estimator.calibration.from_microbenchmarks import calibrate
from estimator.calibration.host import calibrate_host, common_spread, host_design, host_evidence
from estimator.cost.columns import kernel_columns, op_columns
from estimator.cost.gpu import device_us, host_us
from estimator.cost.rates import rates_of
from estimator.files import read_toml
from estimator.hardware.boards import load_profile
from estimator.hardware.quantities import GPU_CONSTANTS, HOST_CONSTANTS
from estimator.hardware.reading import read_profile
from estimator.hardware.software import software_in
from estimator.measure.built_blocks import ChainTimes
from estimator.subjects.chains import Block, lower_layers
from estimator.target import resolve
from meta_tests.conftest import WORKER
from meta_tests.synthetic_gpu import ENVIRONMENT, SOFTWARE
from meta_tests.test_calibrating import unmeasured

ORIN, H100, PUBLIC = "Jetson-Orin-AGX", "NVIDIA-H100", "public-GPUs"
OF_DEVICE = [name for name in GPU_CONSTANTS if name not in HOST_CONSTANTS]
WHOSE = ["fitted here"] * len(HOST_CONSTANTS) + [f"transferred from {PUBLIC}"] * len(OF_DEVICE)
FACTORS = (1.18, 0.7, 1.3, 1.5, 0.6, 1.4)
SYNTHETIC_GPU = f"""
{ENVIRONMENT}
import json

from estimator.measure import built_blocks, chain_times


def measure_chains(chains, device, budget_s, report, host_alone):
    assert (device, host_alone) == ("cuda", True)
    return built_blocks.ChainTimes(**json.loads(TIMES))


chain_times.measure_chains = measure_chains
"""


def synthetic_gpu(hardware):
    """The source of a GPU of that name, whose host has other constants than the profile."""
    times = json.dumps(asdict(host_times_of(hardware, host_design())))
    return f"NAME, TIMES = {hardware.replace('-', ' ')!r}, {times!r}\n{SYNTHETIC_GPU}"


def other_constants(profile):
    return {name: factor * profile.constants[name].value for name, factor in zip(HOST_CONSTANTS, FACTORS)}


def host_us_of(lowered, rates):
    return float(host_us(op_columns(lowered), rates).sum())


def host_times_of(hardware, chains, mode=None, noise=0.05):
    """What a host with the other constants takes for these chains, by the formula itself and some noise."""
    source = random.Random(7)
    rates = rates_of(resolve(hardware, mode), other_constants(load_profile(hardware)))

    def us(lowered):
        return host_us_of(lowered, rates) * math.exp(source.gauss(0, noise))

    layers_us = tuple(tuple(((us(sum(lower_layers(block), ())),),) for block in chain) for chain in chains)
    return ChainTimes(layers_us, (1000.0,) * 10, 1.0)


def errors(constants, truth):
    return [abs(constants[name] / value - 1) for name, value in truth.items()]


def calibrated(live, capsys, hardware, *options):
    """What is said and written where the host is calibrated."""
    assert live.calibrate(hardware, "--device", "cuda", "--host", *options, first=synthetic_gpu(hardware)) == 0
    said = pytest.LineMatcher(capsys.readouterr().out.splitlines())
    path = live.suite.path / "estimator" / "hardware" / f"{hardware}.toml"
    return said, read_profile(path), path.read_text(encoding="utf-8")


def device_block(profile):
    return np.array(profile.covariance)[len(HOST_CONSTANTS) :, len(HOST_CONSTANTS) :]


def comments(text):
    return [line for line in text.splitlines() if line.startswith("#")]


def test_the_hosts_constants_are_fitted_the_devices_stay_and_the_next_session_says_so(live, capsys):
    before = load_profile(ORIN)
    goldens = live.suite.files()
    said, after, text = calibrated(live, capsys, ORIN)
    truth = other_constants(before)
    assert np.median(errors(after.values(), truth)) < 0.1 < np.median(errors(before.values(), truth))
    assert errors(after.values(), truth)[0] < 0.03
    assert [after.constants[n] for n in OF_DEVICE] == [before.constants[n] for n in OF_DEVICE]
    assert np.array_equal(device_block(after), device_block(before))
    assert not np.array(after.covariance)[: len(HOST_CONSTANTS), len(HOST_CONSTANTS) :].any()
    assert np.linalg.eigvalsh(np.array(after.covariance)).min() > 0
    assert comments(text) == comments(before.path.read_text(encoding="utf-8"))
    assert (after.calibrated_mode, after.transferred, after.software) == ("50W", "", before.software)
    assert after.host_software == {**software_in(SOFTWARE), "cuda": "12.6"}
    assert live.suite.files() == goldens
    said.fnmatch_lines(
        [
            "CALIBRATION of the host: short chains are measured, its constants are written, the device's stay",
            "  the host's constants, from * micro-benchmarks in * chains, 3 processes",
            "  constant * before * now * change",
            f"  dispatch_kcycles * {before.values()['dispatch_kcycles']:g} * +1?.? %  +- * %, kcycle of the CPU per op",
            f"  as before: the {len(OF_DEVICE)} constants of the device",
            "  a kind of block is off by * % on average at most (*)",
            "  * s of measuring; written: *Jetson-Orin-AGX.toml",
            "  Next: pytest --hardware Jetson-Orin-AGX --device cuda",
        ]
    )

    live.suite.run_first(synthetic_gpu(ORIN) + WORKER.replace("a CPU", "Jetson Orin AGX"))
    (live.suite.path / "times.json").write_text(json.dumps({"resnet18": 6.76}))
    run = live.suite.run("--device", "cuda", models="resnet18")
    run.stdout.fnmatch_lines(
        ["another software: the device's constants were fitted with *; the host's are of this software; *calibrate *"]
    )
    assert not any("intervals allow for it" in line for line in run.outlines)


def test_a_board_with_borrowed_constants_gets_a_host_of_its_own_and_copies_of_the_device(live, capsys):
    origin = load_profile(H100)
    said, after, text = calibrated(live, capsys, H100, "--runs", "1")
    assert np.median(errors(after.values(), other_constants(origin))) < 0.1
    assert [after.values()[n] for n in OF_DEVICE] == [origin.values()[n] for n in OF_DEVICE]
    assert np.array_equal(device_block(after), device_block(origin))
    assert (after.transferred_from, after.transferred) == (PUBLIC, f", device transferred from {PUBLIC}")
    assert after.constants_of == f"{PUBLIC}, host {H100}"
    assert after.spreads_pct == origin.spreads_pct
    assert (after.software, after.host_software["torch"]) == (origin.software, "2.5.0")
    sources = [constant.source for constant in after.constants.values()]
    assert [source.split(";")[0] for source in sources] == WHOSE
    assert comments(text) == comments(load_profile(H100).path.read_text(encoding="utf-8"))
    said.fnmatch_lines([f"  as before: the {len(OF_DEVICE)} constants of the device of {PUBLIC}"])


def test_a_whole_calibration_takes_the_place_of_what_was_fitted_apart(tmp_path):
    profile = load_profile(H100)
    chains = host_design()
    times = [host_times_of(H100, chains)]
    about = {"board": "synthetic", "software": SOFTWARE, "date": "today", "revision": "none"}
    path = tmp_path / f"{H100}.toml"
    path.write_text(calibrate_host(profile, chains, times, "default", about).text, encoding="utf-8")
    apart = read_profile(path)
    assert apart.own_host
    again = calibrate_host(apart, chains, times, "default", about)
    assert again.text == path.read_text(encoding="utf-8")
    assert "+0.0 %" in again.lines[3]

    everything = replace(unmeasured(H100, 0.05), provenance={**about, "software": "torch 2.6.0"})
    path.write_text(calibrate(apart, everything, "default", lambda _: None).text, encoding="utf-8")
    whole = read_profile(path)
    assert (whole.own_host, whole.transferred, whole.host_software) == (False, "", {"torch": "2.6.0"})
    assert not any(c.source.startswith(("fitted", "transferred")) for c in whole.constants.values())


def test_the_clock_of_another_power_mode_is_not_in_the_constants(tmp_path):
    profile, chains = load_profile(ORIN), host_design()
    times = [host_times_of(ORIN, chains, "MAXN")]
    path = tmp_path / f"{ORIN}.toml"
    path.write_text(calibrate_host(profile, chains, times, "MAXN", {"software": SOFTWARE}).text, encoding="utf-8")
    found = read_profile(path)
    assert np.median(errors(found.values(), other_constants(profile))) < 0.1
    assert found.calibrated_mode == profile.calibrated_mode  # of the device
    assert read_toml(path)["calibration"]["host"]["power_mode"] == "MAXN"


def test_processes_that_differ_leave_the_host_less_certain():
    def timed(us):
        return ChainTimes(((((us,),), ((2 * us,),)),), (us,), 1.0)

    alike, apart = ([timed(us) for us in speeds] for speeds in ((10, 10.1, 9.9), (8.0, 10.0, 12.0)))
    assert common_spread(alike) == common_spread(alike[:1]) == 0.04 < common_spread(apart)
    blocks = Block("tiny", (1, 8), (("ReLU",),)), Block("tiny", (1, 8), (("Sigmoid",),))
    assert [piece.latency_us for piece in host_evidence([blocks], alike)] == pytest.approx((10, 20))


def test_each_short_layer_takes_the_device_less_time_than_the_host():
    target = resolve(ORIN)
    rates = rates_of(target, target.profile.values())
    for chain in host_design():
        for block in chain:
            for lowered in lower_layers(block):
                assert device_us(kernel_columns(lowered), rates).sum() < host_us_of(lowered, rates)


def test_every_constant_of_the_host_has_layers_that_show_it():
    kinds = {op.host_kind for chain in host_design() for block in chain for ops in lower_layers(block) for op in ops}
    assert {"view", "convolution", "product", "norm", "pointwise", "reduction", "copy"} <= kinds
    assert len(host_design(0.25)) == 1 < len(host_design())
