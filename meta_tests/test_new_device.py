"""A new board: ten lines of facts, written by hand or read from the device."""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from estimator.__main__ import main
from estimator.errors import ProfileError, UsageError
from estimator.hardware import new_board as command
from estimator.hardware.boards import load_profile
from estimator.hardware.generations import DRAM_EFFICIENCY, GENERATIONS
from estimator.hardware.new_board import Nvml
from estimator.hardware.public_gpus import read_public_gpus
from estimator.hardware.quantities import FACTS
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
    return shutil.copy(TEMPLATES / "gpu.toml", tmp_path / "NVIDIA-RTX-A6000.toml")


def test_ten_facts_are_a_profile_with_the_constants_of_public_gpus(template):
    profile = read_profile(template)
    lines = [line for line in template.read_text(encoding="utf-8").splitlines() if re.match(r"\w+ = ", line)]
    assert len(lines) == 10 + len(("description", "source", "transferred_from"))
    assert (profile.transferred_from, profile.default_mode, profile.mode().sms) == ("public-GPUs", "default", 84)
    assert profile.mode().bandwidth_gb_s == DRAM_EFFICIENCY["GDDR6"] * 768
    assert profile.fact("fp32_flops_per_clock_per_sm") == 256
    assert profile.facts["l2_mib"].source == "data sheet; torch.cuda.get_device_properties"
    assert profile.constants == load_profile("NVIDIA-GeForce-RTX-3090").constants
    assert (profile.mode().sms * 256 * profile.mode().gpu_mhz / 1e6) == pytest.approx(38.7, rel=0.002)  # data sheet


def test_the_template_has_the_facts_of_a_geforce_as_comments(template):
    text = template.read_text(encoding="utf-8")
    lines = re.findall(r"# (\w+_flops_per_clock_per_sm = \d+\n)", text)
    assert len(lines) == 2
    template.write_text(text.replace("# " + lines[0] + "# " + lines[1], "".join(lines)), encoding="utf-8")
    names = [line.partition(" ")[0] for line in lines]
    geforce, found = load_profile("NVIDIA-GeForce-RTX-3090"), read_profile(template)
    assert [found.fact(name) for name in names] == [geforce.fact(name) for name in names]


def test_the_guide_shows_the_template(request):
    guide = (request.config.rootpath / "docs" / "new-device.md").read_text(encoding="utf-8")
    template = (TEMPLATES / "gpu.toml").read_text(encoding="utf-8")
    body = template[template.index("[board]") :]
    assert body in "\n".join(line[3:] if line.startswith("   ") else line for line in guide.splitlines())


def test_the_guide_says_what_each_capability_memory_and_host_is(request):
    guide = (request.config.rootpath / "docs" / "new-device.md").read_text(encoding="utf-8")
    rows = re.findall(r"\| (\d+\.\d) \| (\d+) \| (\d+) \| (\d+) \|", guide)
    own = [(capability, each.fp32, each.tf32, each.fp16) for capability, each in GENERATIONS.items()]
    assert [(capability, *map(int, rates)) for capability, *rates in rows] == own
    for choices in (DRAM_EFFICIENCY, read_public_gpus().hosts):
        *most, last = choices
        assert f"{', '.join(most)} or {last}: " in guide


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"8.6"', '"1.0"', r"board\.compute_capability: unknown '1\.0'; known: 7\.0, "),
        ("l2_mib = 6", "l2_mib = 0", r"facts\.l2_mib: must be a finite number from 0\.25 to 256 MiB, got 0"),
        ("l2_mib = 6", 'l2_mib = "6"', r"facts\.l2_mib: must be a finite number"),
        ("l2_mib = 6\n", "", r"facts\.l2_mib: is missing"),
        ('"GDDR6"', '"SRAM"', r"board\.memory: unknown 'SRAM'; known: HBM2, .*, LPDDR5X$"),
        ('"x86 desktop"', '"x86"', r"board\.host: unknown 'x86'; known: x86 server, x86 desktop, aarch64$"),
        ("sms = 84", "sms = 84\nbandwidth_gb_s = 1900", r"bandwidth_gb_s: is above the memory's peak of 768 GB/s"),
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
        own = GENERATIONS[capability]
        assert facts == [own.fp32, own.tf32, own.fp16]


def test_a_device_writes_its_own_profile(tmp_path, monkeypatch):
    monkeypatch.setattr(command, "_properties", lambda: H100)
    monkeypatch.setattr(command, "read_nvml", lambda: Nvml(3352.0, 1980.0, 700.0, True))
    profile = read_profile(command.write_profile("NVIDIA-H100-80GB-HBM3", tmp_path))
    assert profile.board["description"] == "NVIDIA H100 80GB HBM3"
    mode = profile.mode()
    assert (mode.sms, mode.gpu_mhz, mode.watts, profile.fact("l2_mib")) == (132, 1980, 700, 50)
    assert mode.bandwidth_gb_s == DRAM_EFFICIENCY["HBM3"] * 3352
    assert profile.transferred_from == "public-GPUs"
    with pytest.raises(UsageError, match="is there already"):
        command.write_profile("NVIDIA-H100-80GB-HBM3", tmp_path)


PROFILE = """# Written by `python -m estimator new-board`. To check by hand: what is a guess; cpu_mhz and gpu_mhz
# under load; and the peak, where neither NVML nor torch states it (200 GB/s stands for "not known").

[board]
description = "Made Up"
source = "torch.cuda.get_device_properties, NVML, /sys/devices/system/cpu"
compute_capability = "8.7"
memory = "LPDDR5"  # a guess, of HBM2, HBM2e, HBM3, HBM3e, GDDR6, GDDR6X, GDDR7, GDDR6 with ECC, GDDR7 with ECC, \
LPDDR4X, LPDDR5, LPDDR5X
host = "aarch64"  # a guess, of x86 server, x86 desktop, aarch64

[power_mode.default]
{watts}
cpu_mhz = {cpu_mhz}
gpu_mhz = {gpu_mhz}  # the highest; under load a GeForce runs 8 to 20 % above its advertised boost, no other above it
sms = 16

[facts]
dram_peak_gb_s = {dram_peak_gb_s}
l2_mib = {l2_mib}
# event_pair_kcycles = 32.3  # kcycle of the CPU: what a pair of events adds to a pass; \
the default is the Jetson Orin AGX's
# cudnn = 9  # release: release of cuDNN, 8.6: before 8.9 no dilated convolution runs on tensor cores; \
9 where nothing is said
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
    ("told", "nvml", "lines"),
    [
        ((), Nvml(), ("1500.0", "200.0", "4.00")),
        (("clock_rate",), Nvml(), ("1300.4", "200.0", "4.00")),
        (("L2_cache_size",), Nvml(), ("1500.0", "200.0", "0.75")),
        (("memory_clock_rate",), Nvml(), ("1500.0", "200.0", "4.00")),
        (("memory_bus_width",), Nvml(), ("1500.0", "200.0", "4.00")),
        (("memory_clock_rate", "memory_bus_width"), Nvml(), ("1500.0", "204.8", "4.00")),
        (tuple(TOLD), Nvml(memory_gb_s=100.0), ("1300.4", "100.0", "0.75")),
        (tuple(TOLD), Nvml(gpu_mhz=1200.0, watts=60.0), ("1200.0", "204.8", "0.75")),
    ],
)
def test_a_profile_says_what_the_device_tells_and_a_guess_for_the_rest(told, nvml, lines):
    properties = made_up(8, 7, **{name: TOLD[name] for name in told})
    names = ("gpu_mhz", "dram_peak_gb_s", "l2_mib")
    no_memory = f"# memory_gb = inf  # GB: {FACTS['memory_gb'].meaning}"
    memory = "memory_gb = 8.0" if "total_memory" in told else no_memory
    watts = "watts = 60.0" if nvml.watts else "# watts = 300  # what the board may take: data sheet"
    expected = PROFILE.format(cpu_mhz="2201.6", memory=memory, watts=watts, **dict(zip(names, lines)))
    assert command.profile_of(properties, nvml, 2201.6, "aarch64") == expected


def made_up(major, minor, name="Made Up", **told):
    return SimpleNamespace(name=name, major=major, minor=minor, multi_processor_count=16, **told)


@pytest.mark.parametrize(
    ("name", "capability", "has_ecc", "memory"),
    [
        ("NVIDIA H100 80GB HBM3", "9.0", None, "HBM3"),
        ("NVIDIA H100 PCIe", "9.0", True, "HBM3"),
        ("NVIDIA H200 141GB HBM3e", "9.0", None, "HBM3e"),
        ("Tesla T4", "7.5", None, "GDDR6 with ECC"),
        ("Tesla T4", "7.5", False, "GDDR6"),
        ("NVIDIA GeForce RTX 4090", "8.9", None, "GDDR6"),
        ("NVIDIA RTX A6000", "8.6", True, "GDDR6 with ECC"),
        ("NVIDIA RTX PRO 6000 Blackwell Server Edition", "12.0", True, "GDDR7 with ECC"),
        ("NVIDIA Thor", "11.0", None, "LPDDR5X"),
    ],
)
def test_the_memory_is_guessed_by_name_and_capability_and_its_ecc_by_what_nvml_says(name, capability, has_ecc, memory):
    text = command.profile_of(
        made_up(*map(int, capability.split(".")), name=name), Nvml(has_ecc=has_ecc), 3e3, "x86_64"
    )
    assert f'memory = "{memory}"  # a guess' in text


def test_every_known_capability_has_a_kind_of_memory():
    assert list(command.MEMORIES) == list(GENERATIONS)
    assert {*command.MEMORIES.values()} <= {*DRAM_EFFICIENCY}


@pytest.mark.parametrize(
    ("name", "machine", "host"),
    [
        ("NVIDIA GeForce RTX 4090", "x86_64", "x86 desktop"),
        ("NVIDIA L4", "AMD64", "x86 server"),
        ("NVIDIA GH200 480GB", "aarch64", "aarch64"),
    ],
)
def test_the_host_is_guessed_by_machine_and_name(name, machine, host):
    assert f'host = "{host}"  # a guess' in command.profile_of(made_up(8, 9, name=name), Nvml(), 3e3, machine)


@pytest.mark.parametrize(
    ("name", "capability", "rates"),
    [
        ("NVIDIA GeForce RTX 3090", (8, 6), {"tf32": 256, "fp16": 512}),
        ("NVIDIA A10G", (8, 6), {"tf32": 256, "fp16": 512}),
        ("NVIDIA GeForce RTX 2080 Ti", (7, 5), {"fp16": 512}),
        ("NVIDIA A10", (8, 6), {}),
        ("NVIDIA RTX A6000", (8, 6), {}),
    ],
)
def test_a_geforce_has_tensor_cores_of_half_the_rate(name, capability, rates):
    text = command.profile_of(made_up(*capability, name=name), Nvml(), 3e3, "x86_64")
    found = {
        kind: int(rate) for kind, rate in re.findall(r"(?m)^(\w+)_flops_per_clock_per_sm = (\d+)  # half of", text)
    }
    assert found == rates


def test_a_device_tells_its_peak_and_one_of_an_unknown_capability_is_refused():
    newer = SimpleNamespace(**vars(H100), memory_clock_rate=2619000, memory_bus_width=5120)
    assert "dram_peak_gb_s = 3352.3" in command.profile_of(newer, Nvml(), 3800.0, "x86_64")
    known = ", ".join(GENERATIONS)
    with pytest.raises(UsageError, match=rf"^old: compute capability 3\.0 is not known: {known}$"):
        command.profile_of(made_up(3, 0, name="old"), Nvml(), 2000.0, "x86_64")


def test_a_device_that_tells_nonsense_of_itself_leaves_no_profile(tmp_path, monkeypatch):
    monkeypatch.setattr(command, "_properties", lambda: SimpleNamespace(**{**vars(H100), "multi_processor_count": 0}))
    monkeypatch.setattr(command, "read_nvml", lambda: Nvml(memory_gb_s=3352.0))
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
    assert "What it cannot tell (the kind of memory, the host's clock under load)" in help_text
    assert "NAME the words of the device's own name, joined by hyphens" in help_text


def test_the_command_describes_the_first_gpu_that_torch_sees(tmp_path, monkeypatch, capsys):
    import torch

    monkeypatch.setattr(command, "PROFILES", tmp_path)
    monkeypatch.setattr(command, "read_nvml", lambda: Nvml(memory_gb_s=3352.0))
    monkeypatch.setattr(command.platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(command, "cpu_mhz", {Path("/"): 2000.0}.get)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_properties", {0: H100}.get)
    assert main(["new-board", "Made-Up"]) == 0
    path = tmp_path / "Made-Up.toml"
    assert capsys.readouterr().out == (f"written: {path}; check it, then: python -m estimator calibrate Made-Up\n")
    assert path.read_text(encoding="utf-8") == command.profile_of(H100, Nvml(3352.0), 2000.0, "x86_64")
    assert main(["new-board", "Made-Up"]) == 4
    assert capsys.readouterr().err == f"error: {path}: is there already; delete it first\n"


def nvml_of(**others):
    clocks = {("GPU 0", "memory"): 2619, ("GPU 0", "SM"): 1980}
    told = {
        "NVML_CLOCK_MEM": "memory",
        "NVML_CLOCK_SM": "SM",
        "nvmlInit": lambda: None,
        "nvmlDeviceGetHandleByIndex": lambda index: f"GPU {index}",
        "nvmlDeviceGetMaxClockInfo": lambda handle, clock: clocks[handle, clock],
        "nvmlDeviceGetMemoryBusWidth": {"GPU 0": 5120}.get,
        "nvmlDeviceGetPowerManagementLimit": {"GPU 0": 700000}.get,
        "nvmlDeviceGetEccMode": {"GPU 0": [1, 1]}.get,
    }
    return SimpleNamespace(**{name: value for name, value in {**told, **others}.items() if value is not None})


def test_nvml_tells_clocks_power_and_ecc_and_the_peak_by_clock_and_bus(monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", nvml_of())
    found = command.read_nvml()
    assert found.memory_gb_s == pytest.approx(3352.3, abs=0.1)
    assert (found.gpu_mhz, found.watts, found.has_ecc) == (1980.0, 700.0, True)


def test_what_nvml_does_not_tell_is_not_known_and_the_rest_is(monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", nvml_of(nvmlDeviceGetMemoryBusWidth=None, nvmlDeviceGetEccMode=None))
    assert command.read_nvml() == Nvml(None, 1980.0, 700.0, None)
    for nothing in (None, nvml_of(nvmlInit=None)):
        monkeypatch.setitem(sys.modules, "pynvml", nothing)
        assert command.read_nvml() == Nvml()
