"""Constants of boards that nobody calibrated: which of them a profile gets, and the figures that they are fitted to."""

from __future__ import annotations

import csv
import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any, Dict, List, Mapping, Tuple

import numpy as np
import pytest
import tomlkit

from estimator.calibration import public_fit
from estimator.calibration.public_evidence import PATH, Figure, by_family, read_figures
from estimator.calibration.public_fit import PublicFitter, as_text, differing, fit_public_gpus
from estimator.errors import ProfileError, RecordError
from estimator.hardware import public_gpus
from estimator.hardware.boards import load_profile
from estimator.hardware.generations import GENERATIONS
from estimator.hardware.profile import Profile
from estimator.hardware.public_gpus import PublicGpus, parsed, read_public_gpus, with_priors
from estimator.hardware.quantities import DEVICE_CONSTANTS, GPU_CONSTANTS, HOST_CONSTANTS
from estimator.hardware.reading import read_profile
from estimator.hardware.toml_quantities import document_in
from estimator.interval import QUANTILE, extrapolated
from estimator.pipeline import forward_pass, interval_of
from estimator.target import resolve
from meta_tests import synthetic

ORIN = "Jetson-Orin-AGX"
BOARD: Dict[str, Any] = {
    "board": {
        "description": "synthetic",
        "source": "synthetic",
        "compute_capability": "8.9",
        "memory": "GDDR6",
        "host": "x86 server",
    },
    "power_mode": {"default": {"watts": 72, "cpu_mhz": 3000.0, "gpu_mhz": 2000.0, "sms": 58}},
    "facts": {"dram_peak_gb_s": 300.0, "l2_mib": 48},
    "calibration": {"transferred_from": "public-GPUs"},
}


def board_of(tmp_path: Path, **board: Any) -> Profile:
    """A board of public GPUs' constants with other words in its table `board`; None leaves one out."""
    words = {key: word for key, word in {**BOARD["board"], **board}.items() if word is not None}
    path = tmp_path / "Made-Up.toml"
    path.write_text(tomlkit.dumps({**BOARD, "board": words}), encoding="utf-8")
    return read_profile(path)


VARIANTS = {
    "7.0": ("64 cores", "warp", "12nm"),
    "7.2": ("64 cores", "warp", "12nm"),
    "7.5": ("64 cores", "warp", "12nm"),
    "8.0": ("64 cores", "warp", "7nm"),
    "8.6": ("128 shared cores", "warp", "8nm"),
    "8.7": ("128 shared cores", "warp", "12nm"),
    "8.9": ("128 shared cores", "warp", "5nm"),
    "9.0": ("128 cores", "warp group", "5nm"),
    "10.0": ("128 cores", "warp group", "4NP"),
    "11.0": ("128 cores", "warp group", "12nm"),
    "12.0": ("128 shared cores", "warp", "5nm"),
}
"""Of FP32 cores, tensor cores and process; a module's clocks keep to its power, so that no watts count there."""


def keys_of(capability: str) -> List[str]:
    """What the device's constants are called in the file, in their order."""
    cores, tensor_cores, process = VARIANTS[capability]
    variants = {
        "fp32_core_efficiency": cores,
        "tensor_core_convolution_efficiency": tensor_cores,
        "fp32_watts_per_tflop": process,
        "tensor_core_watts_per_tflop": process,
    }
    return [f"{name}: {variants[name]}" if name in variants else name for name in DEVICE_CONSTANTS]


@pytest.mark.parametrize("capability", GENERATIONS)
def test_a_board_gets_the_constants_of_its_kind_of_sm_and_their_covariance(tmp_path: Path, capability: str) -> None:
    public, profile = read_public_gpus(), board_of(tmp_path, compute_capability=capability)
    keys = keys_of(capability)
    assert tuple(profile.constants) == GPU_CONSTANTS
    for name, key in zip(DEVICE_CONSTANTS, keys):
        fitted, constant = public.constants[key], profile.constants[name]
        assert (constant.prior, constant.prior_sigma >= 0.05) == (fitted.value, True)
        assert replace(constant, prior=fitted.prior, prior_sigma=fitted.prior_sigma) == replace(fitted, name=name)
    places = [list(public.constants).index(key) for key in keys]
    found = np.array(profile.covariance)
    hosts = len(HOST_CONSTANTS)
    assert np.array_equal(found[hosts:, hosts:], np.array(public.covariance)[np.ix_(places, places)])
    assert not found[:hosts, hosts:].any()
    assert np.array_equal(found, found.T)
    assert profile.transferred == ", transferred from public-GPUs"
    assert profile.spreads_pct == public.spreads_pct


@pytest.mark.parametrize("architecture", ["x86 server", "x86 desktop", "aarch64"])
def test_a_host_takes_an_orin_s_cycles_times_the_factor_of_its_architecture(tmp_path: Path, architecture: str) -> None:
    host, jetson = read_public_gpus().hosts[architecture], load_profile(ORIN)
    profile = board_of(tmp_path, host=architecture)
    values, of_jetson = profile.values(), jetson.values()
    for name in HOST_CONSTANTS:
        dispatches = host.convolution_dispatches - 1 if name == "convolution_extra_kcycles" else 0
        cycles = of_jetson[name] + dispatches * of_jetson["dispatch_kcycles"]
        assert values[name] == pytest.approx(host.factor * cycles)
        assert 0 < values[name] < profile.constants[name].upper
    hosts = len(HOST_CONSTANTS)
    doubt = np.array(profile.covariance)[:hosts, :hosts] - np.array(jetson.covariance)[:hosts, :hosts]
    assert doubt == pytest.approx(np.full((hosts, hosts), host.sigma**2))


CHOICES = {
    "host": "x86 server, x86 desktop, aarch64",
    "memory": "HBM2, HBM2e, HBM3, HBM3e, GDDR6, GDDR6X, GDDR7, GDDR6 with ECC, GDDR7 with ECC, LPDDR4X, LPDDR5, "
    "LPDDR5X",
    "compute_capability": ", ".join(VARIANTS),
}


@pytest.mark.parametrize("key", CHOICES)
def test_what_a_board_says_that_nobody_knows_is_one_line_with_what_is_known(tmp_path: Path, key: str) -> None:
    with pytest.raises(ProfileError) as refused:
        board_of(tmp_path, **{key: "abacus"})
    assert str(refused.value) == f"{tmp_path / 'Made-Up.toml'}: board.{key}: unknown 'abacus'; known: {CHOICES[key]}"


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("host", "board.host: is missing"),
        ("compute_capability", "board.compute_capability: is missing"),
        ("memory", "power_mode.default.bandwidth_gb_s: is missing"),
    ],
)
def test_what_a_board_must_say_is_missed_in_one_line(tmp_path: Path, key: str, message: str) -> None:
    with pytest.raises(ProfileError) as refused:
        board_of(tmp_path, **{key: None})
    assert str(refused.value).startswith(f"{tmp_path / 'Made-Up.toml'}: {message}")
    assert "\n" not in str(refused.value)


def test_a_board_whose_host_is_of_no_account_need_not_say_it(tmp_path: Path) -> None:
    content = {**BOARD, "board": {**BOARD["board"]}, "calibration": {"transferred_from": ORIN}}
    del content["board"]["host"]
    path = tmp_path / "Made-Up.toml"
    path.write_text(tomlkit.dumps(content), encoding="utf-8")
    assert read_profile(path).constants == load_profile(ORIN).constants


@pytest.mark.parametrize(
    ("pattern", "replacement", "message"),
    [
        (
            r"(hosts\.aarch64\]\nfactor = )[0-9.]+",
            r"\g<1>0.0",
            "hosts.aarch64.factor: must be a finite number",
        ),
        (r"(hosts\.aarch64\]\n)factor", r"\g<1>share", "hosts.aarch64.share: is not known; known keys: factor, "),
        (r"(spreads_pct\]\nproduct = )[0-9.]+", r"\g<1>-1", "calibration.spreads_pct.product: must be a finite number"),
        (r"(covariance = \[\n +\[)[^,]+", r"\g<1>-1.0", "calibration.covariance: "),
        (
            r'("fp32_core_efficiency: 64 cores"\]\nvalue = )[0-9.]+',
            r"\g<1>2",
            "64 cores'.value: must be ",
        ),
    ],
)
def test_a_damaged_file_of_these_constants_is_one_line(
    tmp_path: Path, pattern: str, replacement: str, message: str
) -> None:
    text, count = re.subn(pattern, replacement, public_gpus.PATH.read_text(encoding="utf-8"), count=1)
    assert count == 1
    path = tmp_path / "public-gpus.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ProfileError) as refused:
        parsed(document_in(path))
    assert str(refused.value).startswith(f"{path}: ")
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


def test_the_spread_of_each_kind_of_kernel_widens_the_interval_by_its_share() -> None:
    home = resolve("NVIDIA-L4")
    moved = {"read_bytes": 10**9, "write_bytes": 10**9}
    target = replace(home, profile=replace(home.profile, covariance=(), spreads_pct={"stream": 12.0, "product": 30.0}))
    ops = [synthetic.lowered(synthetic.stream("relu", 10**9 // 4, **moved)) for _ in range(9)]
    assert interval_of(forward_pass(ops, target), target) == pytest.approx(100 * QUANTILE * 0.12, rel=0.02)
    calm = replace(target, profile=replace(target.profile, spreads_pct={"product": 30.0}))
    assert interval_of(forward_pass(ops, calm), calm) == pytest.approx(0, abs=0.01)


def test_public_gpus_at_other_batches_and_in_other_precisions_are_what_these_constants_were_fitted_to() -> None:
    for precision in ("fp32", "tf32", "fp16", "bf16"):
        for same_software in (None, True):
            target = replace(resolve("NVIDIA-L4", None, precision, 8), same_software=same_software)
            assert extrapolated(target) == ()
    elsewhere = replace(resolve("NVIDIA-L4"), same_software=False)
    assert extrapolated(elsewhere) == ("software",)


# The figures


HEADER = "hardware thermal_profile precision kind input layers measured_us launch_us spread source".split()
ROW = ["NVIDIA-T4", "default", "fp32", "pointwise", "4096x4096", '[["ReLU"]]', "500", "0", "0.1", "synthetic"]


def table(path: Path, *rows: List[str]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([HEADER, *rows])
    return path


def changed(**cells: str) -> List[str]:
    return [cells.get(name, cell) for name, cell in zip(HEADER, ROW)]


def test_a_figure_is_layers_on_a_board_and_how_long_its_device_took(tmp_path: Path) -> None:
    model = changed(kind="model", input="2", layers="resnet18", launch_us="10.5", hardware="NVIDIA-A10G")
    first, second = read_figures(table(tmp_path / "figures.csv", ROW, model))
    assert (first.measured_us, first.launch_us, first.spread, first.family) == (500.0, 0.0, 0.1, "7.5")
    assert [op.op.name for op in first.lowered] == ["aten.relu"]
    assert (second.launch_us, second.family, len(second.lowered) > 50) == (10.5, "8.6", True)
    assert by_family((second, first, second)) == {"7.5": (1,), "8.6": (0, 2)}


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ({"hardware": "Nintendo"}, "unknown hardware 'Nintendo'"),
        ({"thermal_profile": "1W"}, "unknown thermal profile '1W' of NVIDIA-T4"),
        ({"precision": "int8"}, "unknown precision 'int8'"),
        ({"kind": "guess"}, "kind: unknown 'guess'; known: product, conv, norm, pointwise, model"),
        ({"measured_us": "fast"}, "measured_us: must be a finite number"),
        ({"measured_us": "0"}, "measured_us: must be a finite number"),
        ({"launch_us": "-1"}, "launch_us: must be a finite number from 0"),
        ({"spread": "0"}, "spread: must be a finite number from 0.0001"),
        ({"input": "4096x-1"}, "input: must be a whole number"),
        ({"input": ""}, "input: must be a text"),
        ({"layers": "[["}, "[[: "),
        ({"layers": '[["Relu"]]'}, '[["Relu"]]: '),
        ({"layers": '[["ReLU", 1, 2, 3]]'}, '[["ReLU", 1, 2, 3]]: '),
        ({"layers": '[["Linear", 7, 7]]'}, "cannot capture the op stream"),
        ({"kind": "model", "input": "1", "layers": "resnet17"}, "resnet17"),
        ({"kind": "model", "input": "1.5", "layers": "resnet18"}, "input: must be a whole number"),
    ],
)
def test_a_damaged_figure_is_one_line_with_its_line(tmp_path: Path, cells: Mapping[str, str], message: str) -> None:
    path = table(tmp_path / "figures.csv", ROW, changed(**cells))
    with pytest.raises(RecordError) as refused:
        list(read_figures(path))
    assert str(refused.value).startswith(f"{path}: line 3")
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_figure_without_one_of_its_columns_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "figures.csv"
    path.write_text(",".join(HEADER[:-2]) + "\n" + "NVIDIA-T4,default,fp32\n", encoding="utf-8")
    with pytest.raises(RecordError, match=r"figures\.csv: line 2\.kind: "):
        list(read_figures(path))


def test_every_figure_of_the_repository_is_of_a_board_with_these_constants_and_has_a_source() -> None:
    with PATH.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert all(re.search(r"\w+/\w+|https?://", row["source"]) for row in rows)
    for hardware in {row["hardware"] for row in rows}:
        assert load_profile(hardware).transferred_from == "public-GPUs"


# The fit


BOARDS = ("NVIDIA-T4", "NVIDIA-L4", "NVIDIA-L40S")
LARGE = (
    ("pointwise", "4096x16384", '[["ReLU"]]'),
    ("pointwise", "8192x16384", '[["GELU"]]'),
    ("norm", "65536x1024", '[["LayerNorm", 1024]]'),
    ("norm", "16384x4096", '[["Softmax", -1]]'),
    ("product", "8192x4096", '[["Linear", 4096, 4096, false]]'),
    ("product", "4096x8192", '[["Linear", 8192, 4096, false]]'),
    ("conv", "32x256x56x56", '[["Conv2d", 256, 256, 3, 1, 1, 1, 1, false]]'),
)
MOVED = {
    "stream_efficiency": 0.97,
    "softmax_efficiency": 0.9,
    "fp32_watts_per_tflop: 12nm": 0.9,
    "fp32_watts_per_tflop: 5nm": 1.1,
}
"""Factors of constants that the made-up figures show."""


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> PublicGpus:
    """Constants of which all are known well but those that are to be found."""
    public = read_public_gpus()
    constants = {
        name: replace(constant, prior=constant.value, prior_sigma=0.5 if name in MOVED else 0.001)
        for name, constant in public.constants.items()
    }
    found = replace(public, constants=constants)
    monkeypatch.setattr(public_fit, "read_public_gpus", lambda: found)
    return found


@pytest.fixture
def truth(known: PublicGpus) -> Dict[str, float]:
    return {name: MOVED.get(name, 1.0) * constant.value for name, constant in known.constants.items()}


@pytest.fixture
def figures(tmp_path: Path, truth: Mapping[str, float]) -> Tuple[Figure, ...]:
    """21 figures, exactly what boards of these constants take."""
    cells = [dict(zip(("hardware", "kind", "input", "layers"), (board, *of))) for board in BOARDS for of in LARGE]
    made = tuple(read_figures(table(tmp_path / "figures.csv", *(changed(spread="0.02", **of) for of in cells))))
    errors = PublicFitter(made).logs(truth)
    return tuple(replace(one, measured_us=one.measured_us * math.exp(log)) for one, log in zip(made, errors))


def test_the_fit_finds_the_constants_that_made_the_figures(
    figures: Tuple[Figure, ...], truth: Mapping[str, float]
) -> None:
    fitter = PublicFitter(figures)
    assert fitter.logs(truth) == pytest.approx(np.zeros(len(figures)), abs=1e-9)
    x, covariance = fitter.fit()
    found = dict(zip(fitter.constants, np.exp(x).tolist()))
    assert np.abs(fitter.logs(found)).max() < 0.002
    for name in MOVED:
        assert found[name] == pytest.approx(truth[name], rel=0.02)
    assert np.linalg.eigvalsh(covariance).min() > 0
    without, _ = fitter.fit(by_family(figures)["7.5"], x)
    assert without.shape == x.shape


def test_a_fit_is_written_and_is_then_what_the_figures_give(
    figures: Tuple[Figure, ...], truth: Mapping[str, float], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: List[str] = []
    monkeypatch.setattr(public_fit, "read_figures", lambda: figures)
    found, fit = fit_public_gpus(said.append)
    assert found == figures
    assert said == ["all figures", "without 7.5", "without 8.9"]
    assert np.array_equal(fit.covariance, fit.covariance.T)
    assert np.linalg.eigvalsh(fit.covariance).min() > 0
    assert {name: fit.values[name] for name in MOVED} == pytest.approx({n: truth[n] for n in MOVED}, rel=0.02)
    assert set(differing(fit)) == set(MOVED)

    path = tmp_path / "public-gpus.toml"
    path.write_text(as_text(fit), encoding="utf-8")
    written = parsed(document_in(path))
    assert {name: constant.value for name, constant in written.constants.items()} == fit.values
    assert (written.hosts, written.spreads_pct) == (read_public_gpus().hosts, fit.spreads_pct)
    assert set(fit.spreads_pct) == {"product", "convolution", "depthwise", "stream"}
    priors = {name: (of.prior, of.prior_sigma, of.unit) for name, of in written.constants.items()}
    assert priors == {n: (of.prior, of.prior_sigma, of.unit) for n, of in read_public_gpus().constants.items()}
    assert as_text(fit, path) == path.read_text(encoding="utf-8")
    monkeypatch.setattr(public_fit, "read_public_gpus", lambda: written)
    assert differing(fit) == []

    rows = [line.split()[:3] for line in public_fit.table(figures, fit).text()]
    assert [row for row in rows if row[1] == "conv"] == [["7.5", "conv", "1"], ["8.9", "conv", "2"]]


def test_the_orin_s_own_fit_starts_from_the_fit_to_public_gpus() -> None:
    orin = load_profile(ORIN)
    cpu = replace(orin, compute_capability="", constants=load_profile("NVIDIA-T4").constants)
    assert with_priors(orin).constants == orin.constants, f"python -m estimator calibrate {ORIN} --refit"
    assert with_priors(cpu).constants == cpu.constants


@pytest.mark.parametrize(("uncertainty_pct", "sigma"), [(10.0, 0.265), (1.0, 0.05)])
def test_families_vary_by_the_root_of_their_number_times_what_their_mean_does(
    uncertainty_pct: float, sigma: float
) -> None:
    public = read_public_gpus()
    assert public.families == 7
    name = "l2_bytes_per_clock_per_sm"
    constants = {**public.constants, name: replace(public.constants[name], uncertainty_pct=uncertainty_pct)}
    found, _ = replace(public, constants=constants).device(GENERATIONS["8.9"])
    assert (found[name].prior, found[name].prior_sigma) == (
        public.constants[name].value,
        pytest.approx(sigma, abs=1e-3),
    )
