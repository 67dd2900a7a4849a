from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import NamedTuple

import pytest

from estimator.errors import ProfileError, UsageError
from estimator.files import cache_folder, read_toml
from estimator.hardware.boards import Board, ThisCpu, find_board, known_hardware, load_profile
from estimator.hardware.quantities import CAPABILITIES
from estimator.hardware.reading import PROFILES, TEMPLATES, known_profiles

CALIBRATED = "Jetson-Orin-AGX"
TRANSFERRED = {
    "Jetson-AGX-Xavier": "15W",
    "Jetson-Orin-AGX-32GB": "40W",
    "Jetson-Orin-NX-16GB": "15W",
    "Jetson-Orin-Nano-8GB": "15W",
    "NVIDIA-H100": "default",
    "NVIDIA-H200": "default",
}
FP32, TF32, FP16 = (f"{kind}_flops_per_clock_per_sm" for kind in ("fp32", "tf32", "fp16"))
INT8_DENSE, FP16_SPARSE, INT8_SPARSE = 2, 2, 4  # times FP16, dense


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
    Advertised("Jetson-Orin-Nano-8GB", FP16, INT8_DENSE, 625, 20, ORIN_NANO_SHEET),
    Advertised("Jetson-Orin-Nano-8GB", FP16, INT8_SPARSE, 625, 40, ORIN_NANO_SHEET),
    Advertised("Jetson-Orin-Nano-8GB", FP16, INT8_SPARSE, 1020, 67, "Jetson Orin Nano Super Developer Kit data sheet"),
    Advertised("Jetson-AGX-Xavier", FP16, 1, 1377, 11, "NVIDIA's specification of Jetson AGX Xavier"),
    Advertised("Jetson-AGX-Xavier", FP16, INT8_DENSE, 1377, 22, "NVIDIA's specification of Jetson AGX Xavier"),
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
    "12.0": ("RTX PRO 6000, data sheet: FP4 with sparsity is eight times FP16", 188, 2617, 126, 4000 / 16, 4000 / 8),
}
MEMORY_GB_S = {  # advertised peak; sources beside the fact in each profile
    "Jetson-AGX-Xavier": 137,
    "Jetson-Orin-AGX": 204.8,
    "Jetson-Orin-AGX-32GB": 204.8,
    "Jetson-Orin-NX-16GB": 102,
    "Jetson-Orin-Nano-8GB": 102,
    "NVIDIA-H100": 3350,
    "NVIDIA-H200": 4800,
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
    assert set(known_profiles()) >= {CALIBRATED, *TRANSFERRED}


@pytest.mark.parametrize(("name", "default_mode"), TRANSFERRED.items())
def test_a_board_without_calibration_says_whose_constants_it_has(name, default_mode):
    profile = load_profile(name)
    assert profile.transferred_from in (CALIBRATED, "")  # until somebody calibrates it
    assert profile.transferred_from == "" or profile.own_host or profile.constants == load_profile(CALIBRATED).constants
    assert profile.default_mode == default_mode


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


def test_volta_has_no_tf32_and_the_others_do():
    without = {name for name in known_profiles() if load_profile(name).fact(TF32) == load_profile(name).fact(FP32)}
    assert without == {"Jetson-AGX-Xavier"}


def test_every_compute_capability_is_held_against_a_data_sheet():
    assert list(CAPABILITIES_ADVERTISED) == list(CAPABILITIES)


@pytest.mark.parametrize("capability", CAPABILITIES_ADVERTISED)
def test_a_compute_capability_implies_the_advertised_rates(capability):
    _, sms, gpu_mhz, *tera = CAPABILITIES_ADVERTISED[capability]
    per_clock_and_sm = [rate * 1e6 / (sms * gpu_mhz) for rate in tera]
    assert CAPABILITIES[capability] == pytest.approx(per_clock_and_sm, rel=0.07)
    assert all(rate & (rate - 1) == 0 for rate in CAPABILITIES[capability])  # units come in powers of two


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
