"""A new board: ten lines of facts, written by hand or read from the device."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from estimator.__main__ import main
from estimator.errors import ProfileError, UsageError
from estimator.hardware import new_board as command
from estimator.hardware.boards import load_profile
from estimator.hardware.quantities import CAPABILITIES, FACTS
from estimator.hardware.reading import TEMPLATES, read_profile

H100 = SimpleNamespace(
    name="NVIDIA H100 80GB HBM3",
    major=9,
    minor=0,
    multi_processor_count=132,
    clock_rate=1980000,
    L2_cache_size=50 * 2**20,
)


@pytest.fixture
def template(tmp_path):
    return shutil.copy(TEMPLATES / "gpu.toml", tmp_path / "NVIDIA-GeForce-RTX-4090.toml")


def test_ten_lines_are_a_profile_with_borrowed_constants(template):
    profile = read_profile(template)
    lines = [line for line in template.read_text(encoding="utf-8").splitlines() if " = " in line]
    assert len(lines) == 10
    assert (profile.transferred_from, profile.default_mode, profile.mode().sms) == ("Jetson-Orin-AGX", "default", 128)
    assert profile.fact("fp32_flops_per_clock_per_sm") == 256
    assert profile.facts["l2_mib"].source == "data sheet; torch.cuda.get_device_properties"
    assert profile.constants == load_profile("Jetson-Orin-AGX").constants


def test_the_guide_shows_the_template(request):
    guide = (request.config.rootpath / "docs" / "new-device.md").read_text(encoding="utf-8")
    template = (TEMPLATES / "gpu.toml").read_text(encoding="utf-8")
    body = template[template.index("[board]") :]
    assert body in "\n".join(line[3:] if line.startswith("   ") else line for line in guide.splitlines())


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"8.9"', '"1.0"', r"board\.compute_capability: unknown '1\.0'; known: 7\.0, "),
        ("l2_mib = 72", "l2_mib = 0", r"facts\.l2_mib: must be a finite number from 0\.25 to 256 MiB, got 0"),
        ("l2_mib = 72", 'l2_mib = "72"', r"facts\.l2_mib: must be a finite number"),
        ("l2_mib = 72\n", "", r"facts\.l2_mib: is missing"),
        ("900.0", "1900.0", r"bandwidth_gb_s: is above the memory's peak of 1008 GB/s"),
    ],
)
def test_ten_lines_that_cannot_be_true_are_refused(template, old, new, message):
    text = template.read_text(encoding="utf-8")
    assert old in text
    template.write_text(text.replace(old, new), encoding="utf-8")
    with pytest.raises(ProfileError, match=message):
        read_profile(template)


def test_known_boards_have_what_their_capability_implies():
    for name, capability in (("Jetson-Orin-AGX", "8.7"), ("Jetson-AGX-Xavier", "7.2"), ("NVIDIA-H100", "9.0")):
        facts = [load_profile(name).fact(f"{kind}_flops_per_clock_per_sm") for kind in ("fp32", "tf32", "fp16")]
        assert facts == list(CAPABILITIES[capability])


def test_a_device_writes_its_own_ten_lines(tmp_path, monkeypatch):
    monkeypatch.setattr(command, "_properties", lambda: H100)
    monkeypatch.setattr(command, "_memory_gb_s", lambda: 3352.0)
    profile = read_profile(command.write_profile("NVIDIA-H100-80GB-HBM3", tmp_path))
    assert profile.board["description"] == "NVIDIA H100 80GB HBM3"
    assert (profile.mode().sms, profile.mode().gpu_mhz, profile.fact("l2_mib")) == (132, 1980, 50)
    assert profile.mode().bandwidth_gb_s == pytest.approx(0.85 * 3352, rel=1e-3)
    with pytest.raises(UsageError, match="is there already"):
        command.write_profile("NVIDIA-H100-80GB-HBM3", tmp_path)


PROFILE = """# Written by `python -m estimator new-board`. To check by hand: cpu_mhz and gpu_mhz under load; \
bandwidth_gb_s, guessed
# as 85% of the peak; and the peak, where neither NVML nor torch states it (200 GB/s stands for "not known").

[board]
description = "Made Up"
source = "torch.cuda.get_device_properties, NVML, /sys/devices/system/cpu"
compute_capability = "8.7"

[power_mode.default]
cpu_mhz = {cpu_mhz}
gpu_mhz = {gpu_mhz}
sms = 16
bandwidth_gb_s = {bandwidth_gb_s}

[facts]
dram_peak_gb_s = {dram_peak_gb_s}
l2_mib = {l2_mib}
# event_pair_kcycles = 32.3  # kcycle of the CPU: what a pair of events adds to a pass; \
the default is the Jetson Orin AGX's
{memory}

[calibration]
transferred_from = "Jetson-Orin-AGX"
"""
TOLD = {
    "clock_rate": 1300400,
    "L2_cache_size": 3 * 2**18,
    "memory_clock_rate": 3199219,
    "memory_bus_width": 256,
    "total_memory": 8 * 10**9,
}


@pytest.mark.parametrize(
    ("told", "memory_gb_s", "lines"),
    [
        ((), None, ("1500.0", "170.0", "200.0", "4.00")),
        (("clock_rate",), None, ("1300.4", "170.0", "200.0", "4.00")),
        (("L2_cache_size",), None, ("1500.0", "170.0", "200.0", "0.75")),
        (("memory_clock_rate",), None, ("1500.0", "170.0", "200.0", "4.00")),
        (("memory_bus_width",), None, ("1500.0", "170.0", "200.0", "4.00")),
        (("memory_clock_rate", "memory_bus_width"), None, ("1500.0", "174.0", "204.8", "4.00")),
        (tuple(TOLD), 100.0, ("1300.4", "85.0", "100.0", "0.75")),
    ],
)
def test_a_profile_says_what_the_device_tells_and_a_guess_for_the_rest(told, memory_gb_s, lines):
    properties = SimpleNamespace(
        name="Made Up", major=8, minor=7, multi_processor_count=16, **{name: TOLD[name] for name in told}
    )
    names = ("gpu_mhz", "bandwidth_gb_s", "dram_peak_gb_s", "l2_mib")
    no_memory = f"# memory_gb = inf  # GB: {FACTS['memory_gb'].meaning}"
    memory = "memory_gb = 8.0" if "total_memory" in told else no_memory
    expected = PROFILE.format(cpu_mhz="2201.6", memory=memory, **dict(zip(names, lines)))
    assert command.profile_of(properties, memory_gb_s, 2201.6) == expected


def test_a_device_tells_its_peak_and_one_of_an_unknown_capability_is_refused():
    newer = SimpleNamespace(**vars(H100), memory_clock_rate=2619000, memory_bus_width=5120)
    assert "dram_peak_gb_s = 3352.3" in command.profile_of(newer, None, 3800.0)
    with pytest.raises(UsageError, match=r"compute capability 3\.0 is not known"):
        command.profile_of(SimpleNamespace(name="old", major=3, minor=0, multi_processor_count=1), None, 2000.0)


def test_a_device_that_tells_nonsense_of_itself_leaves_no_profile(tmp_path, monkeypatch):
    monkeypatch.setattr(command, "_properties", lambda: SimpleNamespace(**{**vars(H100), "multi_processor_count": 0}))
    monkeypatch.setattr(command, "_memory_gb_s", lambda: 3352.0)
    with pytest.raises(
        ProfileError, match=r"not written to .*X\.toml: power_mode\.default\.sms: .* from 1 to 1024 SMs"
    ):
        command.write_profile("X", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_hosts_clock_is_the_one_the_kernel_states(tmp_path):
    path = tmp_path / "sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq"
    assert command.cpu_mhz(tmp_path) == 3000
    path.parent.mkdir(parents=True)
    path.write_text("2201600\n", encoding="utf-8")
    assert command.cpu_mhz(tmp_path) == 2201.6


def test_without_a_gpu_it_is_one_line(capsys):
    import torch

    if torch.cuda.is_available():
        pytest.skip("a real GPU is here")
    assert main(["new-board", "NVIDIA-Nothing"]) == 4
    assert capsys.readouterr().err.endswith("sees no GPU to describe\n")


def test_the_command_says_what_it_wants(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["new-board", "--help"])
    assert ended.value.code == 0
    help_text = " ".join(capsys.readouterr().out.split())
    assert help_text.startswith("usage: python -m estimator new-board [-h] NAME `python -m estimator new-board NAME`: ")
    assert "What it cannot tell (the host's clock under load" in help_text
    assert "NAME the words of the device's own name, joined by hyphens" in help_text


def test_the_command_describes_the_first_gpu_that_torch_sees(tmp_path, monkeypatch, capsys):
    import torch

    monkeypatch.setattr(command, "PROFILES", tmp_path)
    monkeypatch.setattr(command, "_memory_gb_s", lambda: 3352.0)
    monkeypatch.setattr(command, "cpu_mhz", {Path("/"): 2000.0}.get)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_properties", {0: H100}.get)
    assert main(["new-board", "Made-Up"]) == 0
    path = tmp_path / "Made-Up.toml"
    assert capsys.readouterr().out == (f"written: {path}; check it, then: python -m estimator calibrate Made-Up\n")
    assert path.read_text(encoding="utf-8") == command.profile_of(H100, 3352.0, 2000.0)
    assert main(["new-board", "Made-Up"]) == 4
    assert capsys.readouterr().err == f"error: {path}: is there already; delete it first\n"


def test_a_memory_s_peak_is_its_clock_twice_times_the_width_of_its_bus(monkeypatch):
    nvml = SimpleNamespace(
        NVML_CLOCK_MEM=2,
        nvmlInit=lambda: None,
        nvmlDeviceGetHandleByIndex=lambda index: f"GPU {index}",
        nvmlDeviceGetMaxClockInfo=lambda handle, clock: {("GPU 0", 2): 2619}[handle, clock],
        nvmlDeviceGetMemoryBusWidth=lambda handle: 5120,
    )
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    assert command._memory_gb_s() == pytest.approx(3352.3, abs=0.1)
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert command._memory_gb_s() is None
