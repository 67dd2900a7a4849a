from __future__ import annotations

import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple
from unittest import mock

import pytest

from estimator.errors import ProfileError, UsageError
from estimator.files import cache_folder, read_toml
from estimator.goldens.inputs import can_be_set, inputs_table, optional_inputs, with_inputs
from estimator.goldens.repository import Repository
from estimator.hardware.boards import Board, ThisCpu, find_board, known_hardware, load_profile
from estimator.hardware.generations import DRAM_EFFICIENCY, GENERATIONS, implied_facts
from estimator.hardware.public_gpus import read_public_gpus
from estimator.hardware.quantities import GPU_CONSTANTS
from estimator.hardware.reading import PROFILES, TEMPLATES, known_profiles
from estimator.review.causes import changed_inputs

CALIBRATED = "Jetson-Orin-AGX"
PUBLIC = "public-GPUs"
TRANSFERRED = {  # from the calibrated board, with the default power mode
    "Jetson-AGX-Xavier": "15W",
    "Jetson-Orin-AGX-32GB": "40W",
    "Jetson-Orin-NX-16GB": "15W",
    "Jetson-Orin-NX-8GB": "15W",
    "Jetson-Orin-Nano-4GB": "10W",
    "Jetson-Orin-Nano-8GB": "15W",
}
OF_PUBLIC_GPUS = {
    "Jetson-AGX-Thor": "120W",
    "NVIDIA-A100-PCIE-40GB": "default",
    "NVIDIA-A100-SXM4-80GB": "default",
    "NVIDIA-A10G": "default",
    "NVIDIA-B200": "default",
    "NVIDIA-GeForce-RTX-3060": "default",
    "NVIDIA-GeForce-RTX-3090": "default",
    "NVIDIA-GeForce-RTX-4090": "default",
    "NVIDIA-GeForce-RTX-5090": "default",
    "NVIDIA-H100": "default",
    "NVIDIA-H100-PCIe": "default",
    "NVIDIA-H200": "default",
    "NVIDIA-L4": "default",
    "NVIDIA-L40S": "default",
    "NVIDIA-RTX-PRO-6000-Blackwell": "default",
    "NVIDIA-T4": "default",
    "NVIDIA-V100": "SXM2",
}
HALF_RATE = [name for name in OF_PUBLIC_GPUS if "GeForce" in name or "A10G" in name]
FP32, TF32, FP16 = (f"{kind}_flops_per_clock_per_sm" for kind in ("fp32", "tf32", "fp16"))
INT8_DENSE, FP16_SPARSE, INT8_SPARSE = 2, 2, 4  # times FP16, dense
FP8_DENSE, FP16_SPARSE_SUMMED_IN_FP16 = 2, 4  # the latter of a GeForce


class Advertised(NamedTuple):
    hardware: str
    fact: str
    multiple: int
    gpu_mhz: float  # the clock that the figure is advertised for
    tera: float  # TFLOPS or TOPS of the GPU alone, without DLA
    source: str


ORIN_AGX_SHEET = "Jetson AGX Orin Series Modules Data Sheet DS-10662-001"
ORIN_NANO_SHEET = "Jetson Orin Nano Series Data Sheet DS-11105-001 v1.1; 625 MHz"
ADVERTISED = (
    Advertised("Jetson-Orin-AGX", FP32, 1, 1300, 5.32, ORIN_AGX_SHEET),
    Advertised("Jetson-Orin-AGX", FP16, FP16_SPARSE, 1300, 85, ORIN_AGX_SHEET),
    Advertised("Jetson-Orin-AGX", FP16, INT8_SPARSE, 1300, 170, ORIN_AGX_SHEET),
    Advertised("Jetson-Orin-AGX-32GB", FP32, 1, 939, 3.365, ORIN_AGX_SHEET),
    Advertised("Jetson-Orin-AGX-32GB", FP16, FP16_SPARSE, 939, 54, ORIN_AGX_SHEET),
    Advertised("Jetson-Orin-AGX-32GB", FP16, INT8_SPARSE, 939, 108, ORIN_AGX_SHEET),
    Advertised("Jetson-Orin-NX-16GB", FP32, 1, 918, 1.88, "TechPowerUp, clock in DS-10712-001 v1.5"),
    Advertised("Jetson-Orin-NX-16GB", FP16, INT8_DENSE, 1173, 38, "NVIDIA's table of Jetson modules, MAXN_SUPER"),
    Advertised("Jetson-Orin-NX-8GB", FP16, INT8_DENSE, 1173, 38, "NVIDIA's table of Jetson modules, MAXN_SUPER"),
    Advertised("Jetson-Orin-Nano-4GB", FP16, INT8_SPARSE, 625, 20, ORIN_NANO_SHEET),
    Advertised("Jetson-Orin-Nano-8GB", FP16, INT8_DENSE, 625, 20, ORIN_NANO_SHEET),
    Advertised("Jetson-Orin-Nano-8GB", FP16, INT8_SPARSE, 625, 40, ORIN_NANO_SHEET),
    Advertised("Jetson-Orin-Nano-8GB", FP16, INT8_SPARSE, 1020, 67, "Jetson Orin Nano Super Developer Kit data sheet"),
    Advertised("Jetson-AGX-Xavier", FP16, 1, 1377, 11, "NVIDIA's specification of Jetson AGX Xavier"),
    Advertised("Jetson-AGX-Xavier", FP16, INT8_DENSE, 1377, 22, "NVIDIA's specification of Jetson AGX Xavier"),
    Advertised("Jetson-AGX-Thor", FP32, 1, 1575, 8.06, "128 cores an SM, deviceQuery"),
    Advertised("Jetson-AGX-Thor", FP16, FP8_DENSE, 1575, 517, "huggingface/huggingface.js pull request 1710"),
    Advertised("NVIDIA-A100-PCIE-40GB", FP32, 1, 1410, 19.5, "NVIDIA A100 data sheet"),
    Advertised("NVIDIA-A100-SXM4-80GB", TF32, 1, 1410, 156, "NVIDIA A100 data sheet"),
    Advertised("NVIDIA-A100-SXM4-80GB", FP16, 1, 1410, 312, "NVIDIA A100 data sheet"),
    Advertised("NVIDIA-A10G", TF32, 1, 1710, 35, "NVIDIA A10G data sheet"),
    Advertised("NVIDIA-A10G", FP16, 1, 1710, 70, "NVIDIA A10G data sheet"),
    Advertised("NVIDIA-B200", FP32, 1, 1965, 74.45, "ProjectPhysX/OpenCL-Benchmark"),
    Advertised("NVIDIA-B200", FP16, 1, 1856, 2250, "HGX B200, data sheet"),
    Advertised("NVIDIA-GeForce-RTX-3060", FP32, 1, 1777, 12.7, "NVIDIA's specification"),
    Advertised("NVIDIA-GeForce-RTX-3090", FP32, 1, 1695, 35.6, "NVIDIA's GA102 white paper"),
    Advertised("NVIDIA-GeForce-RTX-3090", FP16, 1, 1695, 71, "NVIDIA's GA102 white paper"),
    Advertised("NVIDIA-GeForce-RTX-4090", TF32, 1, 2520, 82.58, "hmc-tech.com"),
    Advertised("NVIDIA-GeForce-RTX-4090", FP16, 1, 2520, 165.2, "hmc-tech.com"),
    Advertised("NVIDIA-GeForce-RTX-5090", FP32, 1, 2407, 104.8, "Linux Format, May 2025"),
    Advertised("NVIDIA-GeForce-RTX-5090", FP16, FP16_SPARSE_SUMMED_IN_FP16, 2407, 838, "Linux Format, May 2025"),
    Advertised("NVIDIA-H100-PCIe", FP32, 1, 1755, 51, "stas00/ml-engineering"),
    Advertised("NVIDIA-H100-PCIe", FP16, 1, 1620, 756, "stas00/ml-engineering"),
    Advertised("NVIDIA-L4", FP32, 1, 2040, 30.3, "NVIDIA L4 data sheet"),
    Advertised("NVIDIA-L4", FP16, FP16_SPARSE, 2040, 242, "NVIDIA L4 data sheet"),
    Advertised("NVIDIA-L40S", TF32, 1, 2520, 183, "NVIDIA L40S data sheet"),
    Advertised("NVIDIA-RTX-PRO-6000-Blackwell", FP32, 1, 2617, 125.95, "ProjectPhysX/FluidX3D"),
    Advertised("NVIDIA-RTX-PRO-6000-Blackwell", FP16, 1, 2617, 503.8, "several public repositories"),
    Advertised("NVIDIA-T4", FP32, 1, 1590, 8.141, "NVIDIA T4 data sheet"),
    Advertised("NVIDIA-T4", FP16, 1, 1590, 65, "NVIDIA T4 data sheet"),
    Advertised("NVIDIA-V100", FP32, 1, 1530, 15.7, "NVIDIA V100 data sheet"),
    Advertised("NVIDIA-V100", FP16, 1, 1530, 125, "NVIDIA V100 data sheet"),
    Advertised("NVIDIA-H100", FP32, 1, 1980, 66.9, "NVIDIA H100 white paper, by glennklockwood.com"),
    Advertised("NVIDIA-H100", TF32, 1, 1830, 494.7, "NVIDIA H100 white paper, by glennklockwood.com"),
    Advertised("NVIDIA-H100", FP16, 1, 1830, 989.4, "NVIDIA H100 white paper, by glennklockwood.com"),
    Advertised("NVIDIA-H200", FP16, 1, 1830, 989.5, "data sheet; NVIDIA/cudnn-frontend pull request 650"),
)
CAPABILITIES_ADVERTISED = {  # a board of each compute capability: SMs, boost clock, then TFLOPS of FP32, TF32, FP16
    "7.0": ("V100 SXM2, data sheet", 80, 1530, 15.7, 15.7, 125),
    "7.2": ("Jetson AGX Xavier, NVIDIA's specification", 8, 1377, 1.41, 1.41, 11),
    "7.5": ("T4, data sheet", 40, 1590, 8.1, 8.1, 65),
    "8.0": ("A100, data sheet", 108, 1410, 19.5, 156, 312),
    "8.6": ("A40, data sheet", 84, 1740, 37.4, 74.8, 149.7),
    "8.7": ("Jetson AGX Orin, DS-10662-001: INT8 is four times FP16", 16, 1300, 5.32, 170 / 8, 170 / 4),
    "8.9": ("L40S, data sheet", 142, 2520, 91.6, 183, 362.05),
    "9.0": ("H100 SXM5, white paper; tensor cores at 1830 MHz", 132, 1830, 66.9 * 1830 / 1980, 494.7, 989.4),
    "10.0": ("HGX B200, data sheet", 148, 1965, 75, 1120, 2250),
    "11.0": ("Jetson AGX Thor: FP16 and TF32 as halves of FP8, 517", 20, 1575, 8.06, 517 / 4, 517 / 2),
    "12.0": ("RTX PRO 6000, data sheet: FP4 with sparsity is eight times FP16", 188, 2617, 126, 4000 / 16, 4000 / 8),
}
MEMORY_GB_S = {  # advertised peak; sources beside the fact in each profile
    "Jetson-AGX-Xavier": 137,
    "Jetson-Orin-AGX": 204.8,
    "Jetson-Orin-AGX-32GB": 204.8,
    "Jetson-Orin-NX-16GB": 102,
    "Jetson-Orin-Nano-8GB": 102,
    "Jetson-Orin-NX-8GB": 102,
    "Jetson-Orin-Nano-4GB": 51,
    "Jetson-AGX-Thor": 273,
    "NVIDIA-A100-PCIE-40GB": 1555,
    "NVIDIA-A100-SXM4-80GB": 2039,
    "NVIDIA-A10G": 600,
    "NVIDIA-GeForce-RTX-3060": 360,
    "NVIDIA-GeForce-RTX-3090": 936,
    "NVIDIA-GeForce-RTX-4090": 1008,
    "NVIDIA-GeForce-RTX-5090": 1792,
    "NVIDIA-H100": 3350,
    "NVIDIA-H100-PCIe": 2039,
    "NVIDIA-H200": 4800,
    "NVIDIA-L4": 300,
    "NVIDIA-L40S": 864,
    "NVIDIA-RTX-PRO-6000-Blackwell": 1792,
    "NVIDIA-T4": 320,
    "NVIDIA-V100": 900,
}

MEMORY_MHZ = {  # in each mode whose bandwidth was measured; the mode tables of the profiles
    "Jetson-Orin-AGX": {"15W": 2133, "30W": 3199, "50W": 3199, "MAXN": 3199},
    "Jetson-Orin-AGX-32GB": {"MAXN": 3199},
    "Jetson-Orin-NX-16GB": {"10W": 2133, "15W": 3199, "25W": 3199, "MAXN": 3199},
    "Jetson-Orin-Nano-8GB": {"7W": 2133, "15W": 2133, "25W": 3199, "MAXN_SUPER": 3199},
}
BUS_BYTES = {"Jetson-Orin-AGX": 32, "Jetson-Orin-AGX-32GB": 32, "Jetson-Orin-NX-16GB": 16, "Jetson-Orin-Nano-8GB": 16}
BYTES_PER_GPU_CLOCK = {16: 106, 32: 208}  # by the width of the bus in bytes


def derived_gb_s(name, mode_name):
    bus, mode = BUS_BYTES[name], load_profile(name).mode(mode_name)
    peak = 2 * bus * MEMORY_MHZ[name][mode_name] / 1e3
    return min(0.93 * peak, BYTES_PER_GPU_CLOCK[bus] * mode.gpu_mhz / 1e3)


def every_mode():
    modes = [(name, mode) for name in known_profiles() for mode in load_profile(name).modes]
    return [pytest.param(name, mode, id=f"{name}-{mode}") for name, mode in modes]


def described(figure):
    return f"{figure.hardware}-{figure.tera:g}T-at-{figure.gpu_mhz:g}MHz"


def test_every_promised_board_has_a_profile():
    assert set(known_profiles()) >= {CALIBRATED, *TRANSFERRED, *OF_PUBLIC_GPUS}


@pytest.mark.parametrize(("name", "default_mode"), TRANSFERRED.items())
def test_a_board_without_calibration_says_whose_constants_it_has(name, default_mode):
    profile = load_profile(name)
    assert profile.transferred_from in (CALIBRATED, "")  # until somebody calibrates it
    assert profile.transferred_from == "" or profile.own_host or profile.constants == load_profile(CALIBRATED).constants
    assert profile.default_mode == default_mode


@pytest.mark.parametrize(("name", "default_mode"), OF_PUBLIC_GPUS.items())
def test_a_board_with_the_constants_of_public_gpus_has_a_memory_a_host_and_a_power(name, default_mode):
    profile, content = load_profile(name), read_toml(PROFILES / f"{name}.toml")
    if profile.transferred_from != PUBLIC:
        return  # somebody calibrated it
    assert content["board"]["memory"] in DRAM_EFFICIENCY
    assert content["board"]["host"] == (
        "aarch64" if "Jetson" in name else f"x86 {'desktop' if 'GeForce' in name else 'server'}"
    )
    assert content["board"]["host"] in read_public_gpus().hosts
    assert profile.default_mode == default_mode
    assert (profile.mode().watts or 0) > 0
    assert profile.spreads_pct == read_public_gpus().spreads_pct
    for mode in content["power_mode"]:
        assert profile.mode(mode).bandwidth_gb_s <= profile.fact("dram_peak_gb_s")


@pytest.mark.parametrize("name", known_profiles())
def test_a_board_and_each_of_its_modes_and_facts_has_a_source(name):
    content = read_toml(PROFILES / f"{name}.toml")
    sources = [content["board"]["source"], *(mode["source"] for mode in content["power_mode"].values())]
    sources += [fact["source"] for fact in content["facts"].values() if isinstance(fact, dict)]
    profile = load_profile(name)
    assert {fact.source for fact in profile.facts.values()} <= set(sources)
    for source in sources:
        assert re.match(r"(?s).*[a-z]{3}.*[^:;, ]$", source), source


@pytest.mark.parametrize("name", known_profiles())
def test_what_a_source_computes_is_right(name):
    text = (PROFILES / f"{name}.toml").read_text(encoding="utf-8")
    for sms, flops, ghz, tera in re.findall(r"(\d+) x (\d+) x ([\d.]+)(?: GHz)? = ([\d.]+)", text):
        computed = float(sms) * float(flops) * float(ghz) / 1e3
        assert computed == pytest.approx(float(tera), rel=0.025), (sms, flops, ghz, tera)
    for mode in read_toml(PROFILES / f"{name}.toml")["power_mode"].values():
        for share, peak in re.findall(r"bandwidth derived: ([\d.]+) of ([\d.]+) GB/s", mode["source"]):
            assert mode["bandwidth_gb_s"] == pytest.approx(float(share) * float(peak), rel=0.002)


@pytest.mark.parametrize("name", known_profiles())
def test_a_bandwidth_that_no_mode_gives_is_derived_and_says_so(name):
    for mode in read_toml(PROFILES / f"{name}.toml")["power_mode"].values():
        assert ("bandwidth_gb_s" in mode) != ("bandwidth derived by the kind of memory" in mode["source"])


def test_tensor_cores_have_the_rate_of_the_capability_but_for_a_geforce_and_an_a10g():
    for name in known_profiles():
        profile = load_profile(name)
        implied = implied_facts(profile.compute_capability)
        halved = [fact for fact in (TF32, FP16) if profile.fact(fact) == implied[fact] / 2]
        assert halved == ([TF32, FP16] if name in HALF_RATE else [])
        assert profile.fact(FP32) == implied[FP32]


def test_a_board_that_nobody_calibrated_has_goldens_of_its_default_mode_in_fp32_and_fp16(request):
    repository = Repository.at(request.config.rootpath)
    assert repository.boards() == known_profiles()
    for name in (name for name in known_profiles() if load_profile(name).transferred_from):
        mode = load_profile(name).default_mode
        how = f"pytest --hardware {name} --snapshot-update, and the same with --precision fp16"
        assert sorted(repository.labels(name)) == [f"{mode}-fp16-b1", f"{mode}-fp32-b1"], how


def test_inputs_of_a_board_of_public_gpus_are_its_constants_facts_power_and_spreads():
    profile = load_profile("NVIDIA-T4")
    rows = inputs_table(profile, {}).rows
    assert {name for name in rows if name.startswith("constant.")} == {f"constant.{name}" for name in GPU_CONSTANTS}
    assert rows["calibration.constants_of"][1] == PUBLIC
    spreads = {f"calibration.spread.{kind}": repr(pct) for kind, pct in profile.spreads_pct.items()}
    assert {name: row[1] for name, row in rows.items() if ".spread." in name} == spreads
    assert rows["mode.default.watts"][1:] == ("70.0", "W")
    host = replace(profile, own_host=True, constants={**profile.constants, **load_profile(CALIBRATED).constants})
    own = inputs_table(host, {}).rows
    assert own["calibration.constants_of"][1] == "public-GPUs, host NVIDIA-T4"
    assert own["constant.dispatch_kcycles"][1] == repr(load_profile(CALIBRATED).values()["dispatch_kcycles"])
    assert not [name for name in inputs_table(load_profile(CALIBRATED), {}).rows if name.endswith(".watts")]


def test_the_watts_of_an_input_can_be_set_and_taken_away():
    profile = load_profile("NVIDIA-T4")
    name = "mode.default.watts"
    assert name in optional_inputs(profile)
    assert with_inputs(profile, {name: "300.0"}).mode().watts == 300
    assert with_inputs(profile, {name: None}).mode().watts is None
    assert can_be_set(profile, name, None)
    assert not can_be_set(profile, "mode.default.sms", None)
    assert not can_be_set(profile, "calibration.spread.product", "1")


def test_another_constant_of_public_gpus_is_named_for_the_boards_that_have_it():
    boards = ("NVIDIA-T4", "NVIDIA-V100", "NVIDIA-L4")
    now = {name: inputs_table(load_profile(name), {}) for name in boards}
    public = read_public_gpus()
    key = "fp32_core_efficiency: 64 cores"
    moved = replace(public, constants={**public.constants, key: replace(public.constants[key], value=0.5)})
    moved = replace(moved, spreads_pct={**public.spreads_pct, "product": 1.5})
    with mock.patch("estimator.hardware.public_gpus.read_public_gpus", return_value=moved):
        before = {name: inputs_table(load_profile(name), {}) for name in boards}
    changes = {change.short_name: change for change in changed_inputs(before, now)}
    assert list(changes) == ["calibration.spread.product", "fp32_core_efficiency"]
    assert changes["fp32_core_efficiency"].boards == ("NVIDIA-T4", "NVIDIA-V100")
    assert changes["calibration.spread.product"].boards == boards


def test_the_calibrated_board_is_transferred_from_nowhere():
    assert load_profile(CALIBRATED).transferred_from == ""


@pytest.mark.parametrize("figure", ADVERTISED, ids=described)
def test_the_peak_computed_from_facts_is_the_advertised_one(figure):
    profile = load_profile(figure.hardware)
    sms = max(mode.sms for mode in profile.modes.values())
    computed = figure.multiple * sms * profile.fact(figure.fact) * figure.gpu_mhz * 1e6 / 1e12
    assert computed == pytest.approx(figure.tera, rel=0.03), figure.source


@pytest.mark.parametrize(("name", "advertised_gb_s"), MEMORY_GB_S.items())
def test_the_memory_peak_is_the_advertised_one(name, advertised_gb_s):
    assert load_profile(name).fact("dram_peak_gb_s") == pytest.approx(advertised_gb_s, rel=0.01)


def test_the_memory_peak_of_a_b200_is_that_of_its_clock_and_bus():
    assert load_profile("NVIDIA-B200").fact("dram_peak_gb_s") == pytest.approx(2 * 3.996 * 7680 / 8, rel=1e-4)
    assert {*MEMORY_GB_S, "NVIDIA-B200"} == {CALIBRATED, *TRANSFERRED, *OF_PUBLIC_GPUS}


def test_what_the_rule_for_unmeasured_modes_says_is_within_6_percent_of_12_of_13_measured_ones():
    modes = [(name, mode) for name, found in MEMORY_MHZ.items() for mode in found]
    ratios = [derived_gb_s(name, mode) / load_profile(name).mode(mode).bandwidth_gb_s for name, mode in modes]
    assert len(ratios) == 13
    assert sum(abs(ratio - 1) <= 0.06 for ratio in ratios) == 12


@pytest.mark.parametrize(("name", "mode_name"), every_mode())
def test_a_mode_is_a_plain_word_with_whole_tpcs_and_a_bandwidth_below_the_peak_that_says_where_it_is_from(
    name, mode_name
):
    profile = load_profile(name)
    mode = profile.mode(mode_name)
    assert re.fullmatch(r"\w+", mode_name)
    assert mode.sms % 2 == 0
    assert 0.3 < mode.bandwidth_gb_s / profile.fact("dram_peak_gb_s") < 0.95
    source = read_toml(profile.path)["power_mode"][mode_name]["source"]
    assert re.search("bandwidth (measured|derived)|bandwidth: copies", source)


def test_volta_and_turing_have_no_tf32_and_the_others_do():
    without = {capability for capability, own in GENERATIONS.items() if own.tf32 == own.fp32}
    assert without == {"7.0", "7.2", "7.5"}


def test_every_compute_capability_is_held_against_a_data_sheet():
    assert list(CAPABILITIES_ADVERTISED) == list(GENERATIONS)


@pytest.mark.parametrize("capability", CAPABILITIES_ADVERTISED)
def test_a_compute_capability_implies_the_advertised_rates(capability):
    _, sms, gpu_mhz, *tera = CAPABILITIES_ADVERTISED[capability]
    per_clock_and_sm = [rate * 1e6 / (sms * gpu_mhz) for rate in tera]
    own = GENERATIONS[capability]
    rates = [own.fp32, own.tf32, own.fp16]
    assert rates == pytest.approx(per_clock_and_sm, rel=0.07)
    assert all(rate & (rate - 1) == 0 for rate in rates)  # units come in powers of two


def test_hardware_is_a_board_with_a_profile_or_this_machine_s_cpu():
    assert known_hardware() == (*known_profiles(), "local-cpu")
    boards = [find_board(name) for name in known_hardware()]
    assert [board.name for board in boards] == list(known_hardware())
    assert [type(board) for board in boards] == [Board] * len(known_profiles()) + [ThisCpu]
    with pytest.raises(UsageError) as refused:
        find_board("Jetson")
    assert str(refused.value) == f"unknown hardware 'Jetson'; known hardware: {', '.join(known_hardware())}"


def test_a_board_is_judged_by_the_goldens_of_the_repository():
    board = find_board(CALIBRATED)
    assert (board.device, board.has_goldens) == ("cuda", True)
    assert [board.estimates(precision) for precision in ("fp32", "fp16")] == [True, True]
    assert board.folder(Path("root")) == Path("root", CALIBRATED)
    assert board.profile_path == PROFILES / f"{CALIBRATED}.toml"
    assert board.profile().path == board.base_profile().path == load_profile().path == board.profile_path


CALIBRATE = "python -m estimator calibrate local-cpu"


@pytest.fixture
def cpu(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return find_board("local-cpu")


def test_this_machine_s_cpu_is_kept_in_the_user_s_cache(cpu, tmp_path):
    assert (cpu.device, cpu.has_goldens) == ("cpu", False)
    folder = tmp_path / "golden-latency" / "local-cpu"
    assert (cpu.folder(Path("root")), cpu.profile_path) == (folder, folder / "local-cpu.toml")
    assert cpu.base_profile().path == TEMPLATES / "local-cpu.toml"


def test_this_machine_s_cpu_has_estimates_at_fp32_once_it_is_calibrated(cpu):
    assert [cpu.estimates(precision) for precision in ("fp32", "fp16")] == [False, False]
    with pytest.raises(UsageError) as refused:
        load_profile("local-cpu")
    assert str(refused.value) == f"local-cpu is not calibrated on this machine: {CALIBRATE}"
    cpu.profile_path.parent.mkdir(parents=True)
    shutil.copy(TEMPLATES / "local-cpu.toml", cpu.profile_path)
    assert [cpu.estimates(precision) for precision in ("fp32", "fp16")] == [True, False]
    assert load_profile("local-cpu").path == cpu.profile_path


def test_a_damaged_calibration_of_this_machine_says_how_to_write_it_anew(cpu):
    cpu.profile_path.parent.mkdir(parents=True)
    cpu.profile_path.write_text("[bord]\n", encoding="utf-8")
    with pytest.raises(ProfileError, match="bord: is not known") as refused:
        cpu.profile()
    assert str(refused.value).startswith(f"{cpu.profile_path}: bord: ")
    assert str(refused.value).endswith(f"; to write it anew: {CALIBRATE}")


@pytest.mark.parametrize("unset", [None, ""])
def test_the_user_s_cache_is_below_the_home_folder_unless_another_is_named(monkeypatch, unset):
    if unset is None:
        monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    else:
        monkeypatch.setenv("XDG_CACHE_HOME", unset)
    assert cache_folder() == Path.home() / ".cache" / "golden-latency"
    monkeypatch.setenv("XDG_CACHE_HOME", "elsewhere")
    assert cache_folder() == Path("elsewhere", "golden-latency")
