"""The device's state: a Jetson's files of JetPack 5 and 6, NVML's answers, this machine's CPU; and what is refused."""

import os
import platform
import shutil
import subprocess
import sys
from dataclasses import replace as replace_state
from pathlib import Path
from types import SimpleNamespace

import pytest

from estimator.errors import UsageError
from estimator.hardware.boards import Board, find_board
from estimator.measure.device import environment, jetson
from estimator.measure.device.choice import Choice, choose_device, has_gpu, visible_gpu
from estimator.measure.device.environment import cpu_name, driver_version, set_arithmetic
from estimator.measure.device.jetson import JetsonReader, is_jetson
from estimator.measure.device.nvidia import NvmlReader, TorchReader, nvidia_reader
from estimator.measure.device.state import DeviceState, is_named, refusals_after, refusals_before, same_mode
from estimator.measure.device.this_cpu import CpuReader

DATA = Path(__file__).parent / "data" / "jetson"
ORIN = "Jetson-Orin-AGX"


@pytest.fixture(params=["jetpack5", "jetpack6"])
def root(request, tmp_path):
    return Path(shutil.copytree(DATA / request.param, tmp_path / "root"))


def read(root):
    return JetsonReader(root).read()


def replace(root, pattern, text):
    (path,) = root.glob(pattern)
    path.write_text(text)


def before(state):
    return "; ".join(refusals_before(state, ORIN, "50W"))


def after(first, *during):
    return "; ".join(refusals_after(first, during, during[-1]))


def test_a_jetson_says_what_it_is_and_how_it_is(root):
    state = read(root)
    assert state.name == "NVIDIA Jetson AGX Orin Developer Kit"
    assert state.power_mode == "MODE_50W"
    assert state.clocks_mhz == {"gpu": 828.75, "cpu": 1497.6}
    assert state.caps_mhz == {"gpu": 828.75, "cpu": 1497.6}
    assert state.temperature_c == 49.0
    assert state.load == 0.95
    assert state.throttled == state.others == ()
    assert state.throttle_events == {"oc1": 0, "oc2": 0, "oc3": 0}
    assert state.memory_gib == pytest.approx(61.4, abs=0.1)
    assert before(state) == after(state, state, state) == ""


def test_another_power_mode_is_refused(root):
    replace(root, "var/lib/nvpmodel/status", "pmode:0000\n")
    state = read(root)
    assert state.power_mode == "MAXN"
    assert state.caps_mhz["gpu"] == 828.75  # MAXN has no limit of its own: the kernel's holds
    assert "its power mode is MAXN, not 50W" in before(state)


def test_an_unreadable_power_mode_is_refused(root):
    (root / "var/lib/nvpmodel/status").unlink()
    assert "its power mode cannot be read, 50W is needed" in before(read(root))


def test_throttling_is_refused(root):
    first = read(root)
    replace(root, "sys/class/thermal/cooling_device4/cur_state", "1\n")
    assert before(read(root)) == "it is throttled: gpu-throttle-alert"
    assert after(first, read(root)) == "it throttled meanwhile: gpu-throttle-alert"


def test_an_over_current_event_is_refused(root):
    first = read(root)
    replace(root, "sys/class/hwmon/hwmon3/oc2_event_cnt", "2\n")
    assert after(first, read(root)) == "it was throttled by over-current meanwhile: oc2 2 times"


@pytest.mark.parametrize("name", ["NVIDIA Orin Nano Developer Kit", "NVIDIA Orin NX Developer Kit"])
def test_a_jetson_that_does_not_say_so_by_name_is_one(root, name):
    (root / "proc/device-tree/model").write_text(name + "\0")
    assert not is_jetson(root)
    (root / "proc/device-tree/compatible").write_text("nvidia,p3768-0000+p3767-0003\0nvidia,tegra234\0")
    assert is_jetson(root)
    assert is_named("Jetson-" + "-".join(name.split()[1:3]), read(root).name)


def test_another_process_on_the_gpu_is_refused(root):
    folder = root / "proc/4242/fd"
    folder.mkdir(parents=True)
    (root / "proc/4242/comm").write_text("python3\n")
    os.symlink("/dev/nvhost-gpu", folder / "7")
    assert before(read(root)) == "another process uses it: python3 (4242)"
    assert JetsonReader(root).read([4242]).others == ()


def test_one_open_node_of_the_gpu_among_other_files_is_enough_and_others_are_none(root):
    for pid, targets in ((4242, ("/dev/null", "/dev/nvgpu/igpu0/ctrl", "/tmp/log")), (4243, ("/dev/null", "/tmp/log"))):
        folder = root / "proc" / str(pid) / "fd"
        folder.mkdir(parents=True)
        for place, target in enumerate(targets):
            os.symlink(target, folder / str(place))
    (root / "proc/4244").mkdir()  # of another user: its files cannot be listed
    assert before(read(root)) == "another process uses it: process (4242)"


def test_another_board_is_refused(root):
    (root / "proc/device-tree/model").write_text("NVIDIA Jetson Orin Nano Developer Kit\0")
    assert before(read(root)) == "the device is 'NVIDIA Jetson Orin Nano Developer Kit', not Jetson-Orin-AGX"


@pytest.mark.parametrize(
    ("hardware", "name", "memory_gib", "expected"),
    [
        (ORIN, "NVIDIA Jetson AGX Orin Developer Kit", 61.4, True),
        (ORIN, "NVIDIA Jetson Orin NX Engineering Reference", 15.3, False),
        ("Jetson-Orin-AGX-32GB", "NVIDIA Jetson AGX Orin", 30.0, True),
        ("Jetson-Orin-AGX-32GB", "NVIDIA Jetson AGX Orin", 61.4, False),
        ("NVIDIA-H100", "NVIDIA H100 80GB HBM3", 79.1, True),
        ("NVIDIA-H100", "NVIDIA H200", 139.8, False),
        ("NVIDIA-H100", "NVIDIA H100 80GB HBM3 MIG 1g.10gb", 9.8, False),  # a slice of it
        ("NVIDIA-H100", "H100 PCIe", 79.1, True),
        ("local-cpu", "local cpu: anything", None, True),
    ],
)
def test_a_device_is_the_named_one_or_not(hardware, name, memory_gib, expected):
    assert is_named(hardware, name, memory_gib) is expected


class Says:
    """NVML that knows a GPU's name and what else is given; anything else is not supported by it."""

    NVML_CLOCK_SM, NVML_TEMPERATURE_GPU = 1, 0

    def __init__(self, **answers):
        known = {"nvmlInit": None, "nvmlDeviceGetHandleByIndex": "handle", "nvmlDeviceGetName": "a GPU", **answers}
        for name, answer in known.items():
            setattr(self, name, answer if isinstance(answer, int) and "Reason" in name else lambda *_, a=answer: a)


H100 = {
    "nvmlDeviceGetEnforcedPowerLimit": 699600,
    "nvmlDeviceGetClockInfo": 1755,
    "nvmlDeviceGetMaxClockInfo": 1980,
    "nvmlDeviceGetName": b"NVIDIA H100 80GB HBM3",
    "nvmlDeviceGetTemperature": 61,
    "nvmlDeviceGetComputeRunningProcesses": [SimpleNamespace(pid=pid) for pid in (1, os.getpid(), 2**22 + 1)],
    "nvmlDeviceGetMemoryInfo": SimpleNamespace(total=80 << 30),
    "nvmlDeviceGetUtilizationRates": SimpleNamespace(gpu=90, memory=99),
}
"""An H100 with a neighbour, and a process that has just ended."""


def test_a_desktop_gpu_says_how_it_is_through_nvml():
    reader = NvmlReader(Says(**H100), visible="")
    state = reader.read()
    assert reader.unchecked == ""
    assert state == DeviceState(
        *("NVIDIA H100 80GB HBM3", "700W", {"gpu": 1755.0}, {"gpu": 1980.0}, 61.0),
        **{"load": 0.9, "others": ("process 1",), "memory_gib": 80.0},
    )
    assert list(refusals_before(state, "NVIDIA-H100", None)) == ["another process uses it: process 1"]
    assert "the gpu clock was 1755 MHz under load" in after(state, state)
    assert reader.read([1]).others == ()


def test_without_nvml_the_name_is_what_torch_says(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pynvml", None)
    reader = nvidia_reader({"name": "NVIDIA H100 80GB HBM3", "memory_gib": 79.1})
    assert isinstance(reader, TorchReader)
    assert "throttling and other users were not checked: pip install nvidia-ml-py" in reader.unchecked
    assert reader.read() == DeviceState("NVIDIA H100 80GB HBM3", memory_gib=79.1)


def test_a_cpu_s_state_is_what_its_files_tell_in_ghz_degrees_and_shares(tmp_path):
    nothing = DeviceState(f"local cpu: {platform.machine()}")
    assert CpuReader(tmp_path).read() == nothing
    cpus, zones = "sys__devices__system__cpu", "sys__class__thermal"
    empty = {f"{cpus}__cpu0__cpufreq__scaling_governor": "\n", f"{zones}__thermal_zone0__temp": "off"}
    files(tmp_path, proc__loadavg="", **empty)
    assert CpuReader(tmp_path).read() == nothing
    clocks = {"cpu0": "1200000", "cpu1": "3400000", "cpu2": "offline"}
    files(
        tmp_path,
        **{f"{cpus}__{core}__cpufreq__scaling_cur_freq": khz for core, khz in clocks.items()},
        **{f"{cpus}__cpu0__cpufreq__scaling_governor": "performance\n"},
        **{f"{zones}__thermal_zone0__temp": "41000", f"{zones}__thermal_zone1__temp": "62500"},
        proc__cpuinfo="processor\t: 0\n\nmodel name\t: Some CPU\n",
        proc__loadavg="0.52 0.58 0.59 1/467 1\n",
    )
    state = CpuReader(tmp_path).read()
    assert state == DeviceState("local cpu: Some CPU", "performance", {"cpu": 3400.0}, {}, 62.5, load=0.52)
    assert list(refusals_before(state, "local-cpu", None)) == []


def busy(*loads, clocks=None, name="gpu", cap_mhz=1000.0):
    """States under these loads, with these clocks."""
    mhz = clocks or [500.0] * len(loads)
    return [
        DeviceState("synthetic", clocks_mhz={name: clock}, caps_mhz={name: cap_mhz}, load=load)
        for load, clock in zip(loads, mhz)
    ]


@pytest.mark.parametrize(
    ("during", "reason"),
    [
        (busy(0.1, 0.79), ""),
        (busy(0.1, 0.8), "the gpu clock was 500 MHz under load, below 95% of its cap of 1000 MHz"),
        (busy(0.1, None), "the gpu clock was 500 MHz under load"),
        (busy(0.8, 0.1, clocks=[500.0, 1000.0]), "the gpu clock was 500 MHz under load"),
        (busy(0.79, None, clocks=[500.0, 1000.0]), ""),
        (busy(0.9, 0.9, 0.1, clocks=[950.0, 960.0, 300.0]), ""),
        (busy(0.9, 0.9, 0.1, clocks=[940.0, 945.0, 1000.0]), "the gpu clock was 942 MHz under load"),
        (busy(0.9, 0.9, 0.9, clocks=[100.0, 950.0, 1000.0]), ""),
        (busy(None, None, clocks=[100.0, 950.0]), ""),
        (busy(None, None, clocks=[100.0, 949.0]), "the gpu clock was 949 MHz under load"),
        (busy(0.1, 0.1, name="cpu"), "the cpu clock was 500 MHz under load"),
        (busy(0.9, 0.9, name="cpu", clocks=[100.0, 950.0]), ""),
        ([DeviceState("synthetic", clocks_mhz={"gpu": 1.0}, load=0.9)], ""),
        ([DeviceState("synthetic", caps_mhz={"gpu": 1000.0}, load=0.9)], ""),
        ([], ""),
    ],
)
def test_a_device_must_run_at_95_percent_of_its_cap_while_it_is_busy(during, reason):
    state = DeviceState("synthetic")
    assert "; ".join(refusals_after(state, during, state)).startswith(reason)
    assert bool(list(refusals_after(state, during, state))) == bool(reason)


def test_what_happened_meanwhile_is_named_once_and_sorted():
    first = DeviceState("synthetic", throttled=("early",), throttle_events={"oc1": 3, "oc2": 1}, others=("before (1)",))
    during = DeviceState("synthetic", throttled=("hot", "cold"), others=("b (2)", "a (3)"))
    last = DeviceState(
        "synthetic", throttled=("hot",), throttle_events={"oc1": 3, "oc2": 2, "oc3": 1}, others=("b (2)",)
    )
    assert list(refusals_after(first, [during, during], last)) == [
        "it throttled meanwhile: cold, hot",
        "it was throttled by over-current meanwhile: oc2 1 times, oc3 1 times",
        "another process used it meanwhile: a (3), b (2)",
    ]
    assert list(refusals_after(last, [], first)) == [
        "it throttled meanwhile: early",
        "another process used it meanwhile: before (1)",
    ]


@pytest.mark.parametrize(
    ("wanted", "found", "same"),
    [
        ("50W", "MODE_50W", True),
        ("mode_50w", " 50W ", True),
        ("50W", "15W", False),
        ("MODE_15W", "15W", True),
        ("MAXN", "MAXN_SUPER", False),
    ],
)
def test_a_power_mode_has_two_names(wanted, found, same):
    assert same_mode(wanted, found) == same


def test_any_power_mode_will_do_where_none_is_wanted():
    state = DeviceState("NVIDIA H100", power_mode="700W")
    assert list(refusals_before(state, "NVIDIA-H100", None)) == []
    assert list(refusals_before(replace_state(state, power_mode=None), "NVIDIA-H100", None)) == []
    (reason,) = refusals_before(state, "NVIDIA-H100", "350W")
    assert reason == "its power mode is 700W, not 350W: sudo nvpmodel -m <id>, or ask for that one"


@pytest.mark.parametrize(
    ("memory_gib", "is_it"), [(23.9, False), (24.0, True), (33.6, True), (33.7, False), (None, False)]
)
def test_a_size_of_memory_in_a_name_is_about_that_much(memory_gib, is_it):
    assert is_named("Jetson-Orin-AGX-32GB", "NVIDIA Jetson AGX Orin", memory_gib) == is_it
    assert is_named("Jetson-Orin-AGX-32GB", "NVIDIA Jetson AGX Orin 32GB", memory_gib)


def gpu_machine(root):
    (root / "dev").mkdir()
    (root / "dev/nvidia0").touch()
    folder = root / "proc/driver/nvidia/gpus/0000:01:00.0"
    folder.mkdir(parents=True)
    (folder / "information").write_text("Model: \t\t NVIDIA H100 80GB HBM3\nIRQ:   \t\t 16\n")


def test_a_machine_without_a_gpu_replays(tmp_path):
    assert choose_device("auto", Board(ORIN), tmp_path) == Choice("recorded", "no NVIDIA GPU here")


def test_the_named_gpu_is_measured_on_by_itself(tmp_path):
    gpu_machine(tmp_path)
    assert choose_device("auto", Board("NVIDIA-H100"), tmp_path).device == "cuda"
    why = "the GPU here is NVIDIA H100 80GB HBM3, not Jetson-Orin-AGX"
    assert choose_device("auto", Board(ORIN), tmp_path) == Choice("recorded", why)


def test_the_named_jetson_is_measured_on_by_itself(root):
    (root / "dev/nvgpu").mkdir(parents=True)
    (root / "dev/nvgpu/igpu0").touch()
    assert choose_device("auto", Board(ORIN), root).device == "cuda"
    assert choose_device("auto", Board("Jetson-Orin-NX-16GB"), root).device == "recorded"


@pytest.mark.parametrize(
    ("device", "hardware", "message"),
    [
        ("tpu", ORIN, "--device tpu: unknown device; known: auto, recorded, cpu, cuda"),
        ("cuda", ORIN, "the device is absent"),
        ("cpu", ORIN, "add --hardware local-cpu"),
        ("recorded", "local-cpu", "add --device cpu"),
    ],
)
def test_a_device_that_cannot_be_is_refused(device, hardware, message, tmp_path):
    with pytest.raises(UsageError, match=message):
        choose_device(device, find_board(hardware), tmp_path)


@pytest.mark.parametrize("node", ["nvidia0", "nvgpu/igpu0", "nvhost-gpu"])
def test_a_node_of_the_kernel_says_that_there_is_a_gpu(tmp_path, node):
    assert not has_gpu(tmp_path)
    path = tmp_path / "dev" / node
    path.parent.mkdir(parents=True)
    path.touch()
    assert has_gpu(tmp_path)
    why = "there is a GPU, but nothing says which; --device cuda measures on it"
    assert choose_device("auto", Board(ORIN), tmp_path) == Choice("recorded", why)
    assert choose_device("cuda", Board(ORIN), tmp_path) == Choice("cuda", "as asked")
    assert choose_device("auto", find_board("local-cpu"), tmp_path) == Choice("cpu", "local-cpu is only measured")
    assert choose_device("cpu", find_board("local-cpu"), tmp_path) == Choice("cpu", "as asked")
    assert choose_device("recorded", Board(ORIN), tmp_path) == Choice("recorded", "as asked")
    assert choose_device("recorded", Board(ORIN), tmp_path).live is False


@pytest.mark.parametrize(
    ("visible", "asked"),
    [("", 0), ("3", 3), ("2,1", 2), (" 1 , 0", 1), ("GPU-abc,GPU-def", b"GPU-abc"), ("MIG-x", b"MIG-x"), ("none", 0)],
)
def test_the_first_visible_gpu_is_the_one_that_is_read(monkeypatch, visible, asked):
    found = []
    nvml = Says()
    nvml.nvmlDeviceGetHandleByUUID = nvml.nvmlDeviceGetHandleByIndex = found.append
    NvmlReader(nvml, visible)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    NvmlReader(nvml)
    assert found == [asked, asked]


def test_a_driver_s_version_is_the_first_line_that_some_file_states(tmp_path):
    assert driver_version(tmp_path) == "none"
    files(tmp_path, etc__nv_tegra_release="", proc__driver__nvidia__version=b"NVRM version: \xff 550.54\nGCC 11\n")
    assert driver_version(tmp_path) == "NVRM version: \ufffd 550.54"
    files(tmp_path, etc__nv_tegra_release="# R35 (release), REVISION: 5.0\n")
    assert driver_version(tmp_path) == "R35 (release), REVISION: 5.0"


def test_tf32_of_products_is_switched_on_where_it_is_asked_for_alone(monkeypatch):
    import torch

    matmul = SimpleNamespace(allow_tf32=False)
    monkeypatch.setattr(torch.backends.cuda, "matmul", matmul)
    for precision, allowed in (("fp32", False), ("fp16", False), ("tf32", True)):
        set_arithmetic(precision)
        assert matmul.allow_tf32 is allowed


def test_a_switch_that_cannot_be_read_says_so():
    def unreadable():
        raise RuntimeError("set by both\nof them")

    assert environment._value(unreadable) == "unreadable: set by both"
    assert environment._value(lambda: True) == "True"


def files(root, **texts):
    """Writes these files below `root`, "__" standing for a slash."""
    for name, text in texts.items():
        path = root / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())


def test_a_jetson_that_says_nothing_is_known_to_be_none(tmp_path):
    assert read(tmp_path) == DeviceState("no Jetson")
    assert not is_jetson(tmp_path)


@pytest.mark.parametrize(
    ("model", "name"),
    [
        (b"NVIDIA Orin NVIDIA\0", "NVIDIA Jetson Orin NVIDIA"),
        (b"NVIDIA Jetson AGX Orin \n\0", "NVIDIA Jetson AGX Orin"),
        (b"Jetson-AGX\xff\0", "Jetson-AGX\ufffd"),
    ],
)
def test_a_jetson_is_named_as_its_device_tree_says_and_once_a_jetson(tmp_path, model, name):
    files(tmp_path, **{"proc__device-tree__model": model})
    assert read(tmp_path).name == name
    assert is_jetson(tmp_path) == ("Jetson" in model.decode(errors="replace"))


MODES = """\
CPU_A78_0 MAX_FREQ 5000
< POWER_MODEL ID=0 NAME=MAXN >
CPU_A78_0 MIN_FREQ 729600
< POWER_MODEL ID=12 NAME=MODE_30W >
GPU MAX_FREQ 612000000
CPU_A78_0 MAX_FREQ 1728000
"""


@pytest.mark.parametrize(
    ("status", "mode", "caps_mhz"),
    [
        ("pmode:0012\n", "MODE_30W", {"gpu": 612.0, "cpu": 1728.0}),
        ("pmode:0000\n", "MAXN", {"gpu": 1300.5, "cpu": 2201.6}),
        ("pmode:0001\n", None, {"gpu": 1300.5, "cpu": 2201.6}),
        ("nothing\n", None, {"gpu": 1300.5, "cpu": 2201.6}),
    ],
)
def test_the_limits_of_a_power_mode_go_before_those_of_the_kernel(tmp_path, status, mode, caps_mhz):
    files(
        tmp_path,
        **{"etc__nvpmodel.conf": MODES, "var__lib__nvpmodel__status": status},
        **{"sys__class__devfreq__17000000.ga10b__max_freq": "1300500000"},
        sys__devices__system__cpu__cpu0__cpufreq__scaling_max_freq="1497600",
        sys__devices__system__cpu__cpu4__cpufreq__scaling_max_freq="2201600",
        sys__devices__system__cpu__cpu8__cpufreq__scaling_max_freq="offline",
    )
    state = read(tmp_path)
    assert (state.power_mode, dict(state.caps_mhz)) == (mode, caps_mhz)


def test_a_jetson_s_readings_are_the_highest_that_can_be_read_each_with_its_unit(tmp_path):
    files(
        tmp_path,
        **{"sys__class__devfreq__17000000.gpu__cur_freq": "306000000", "sys__class__devfreq__a.gv11b__cur_freq": "?"},
        **{"sys__class__devfreq__other__cur_freq": "999000000"},
        sys__devices__system__cpu__cpu0__cpufreq__scaling_cur_freq="729600",
        sys__devices__system__cpu__cpu1__cpufreq__scaling_cur_freq="1190400",
        sys__devices__system__cpu__cpu2__cpufreq__scaling_cur_freq="",
        sys__class__thermal__thermal_zone0__temp="-256000",
        sys__class__thermal__thermal_zone1__temp="48500",
        sys__class__thermal__thermal_zone2__temp="51250",
        sys__class__thermal__thermal_zone3__temp="off",
        proc__meminfo="MemFree: 1048576 kB\nMemTotal:       31457280 kB\n",
        **{"sys__devices__gpu.0__load": "?", "sys__devices__platform__gpu.0__load": "250"},
    )
    state = read(tmp_path)
    assert state.clocks_mhz == {"gpu": 306.0, "cpu": 1190.4}
    assert (state.temperature_c, state.memory_gib, state.load) == (51.25, 30.0, 0.25)


@pytest.mark.parametrize(("millidegrees", "temperature_c"), [(-1000, None), (-999, -0.999), (0, 0.0)])
def test_a_thermal_zone_that_is_off_has_no_temperature(tmp_path, millidegrees, temperature_c):
    files(tmp_path, sys__class__thermal__thermal_zone0__temp=str(millidegrees))
    assert read(tmp_path).temperature_c == temperature_c


@pytest.mark.parametrize(
    ("kind", "state", "throttled"),
    [
        ("cpu-throttle-alert\n", "1", ("cpu-throttle-alert",)),
        ("hot-surface-alert\n", "2", ("hot-surface-alert",)),
        ("cpu-throttle-alert\n", "0", ()),
        ("cpu-throttle-alert\n", "", ()),
        ("pwm-fan\n", "3", ()),
    ],
)
def test_a_cooling_device_that_slows_the_board_is_a_throttle(tmp_path, kind, state, throttled):
    folder = "sys__class__thermal__cooling_device0"
    files(tmp_path, **{f"{folder}__type": kind, f"{folder}__cur_state": state})
    (tmp_path / "sys/class/thermal/cooling_device1/type").mkdir(parents=True)  # a kind that cannot be read is none
    files(tmp_path, sys__class__thermal__cooling_device1__cur_state="1")
    assert read(tmp_path).throttled == throttled


def test_over_current_events_are_those_of_soctherm_that_can_be_counted(tmp_path):
    files(
        tmp_path,
        sys__class__hwmon__hwmon0__name="ina3221\n",
        sys__class__hwmon__hwmon0__oc1_event_cnt="9",
        sys__class__hwmon__hwmon1__name="soctherm_oc\n",
        sys__class__hwmon__hwmon1__oc2_event_cnt="4",
        sys__class__hwmon__hwmon1__oc3_event_cnt="?",
        sys__class__hwmon__hwmon2__oc4_event_cnt="0",
    )
    assert read(tmp_path).throttle_events == {"oc2": 4, "oc4": 0}


def test_nvpmodel_is_asked_quietly_where_no_file_says_the_mode(root, monkeypatch):
    asked = []
    answers = [(root / "nvpmodel-q.txt").read_bytes(), b"NVPM WARN: \xff\nNV Power Mode: MODE_30W\n2\n", b""]

    def answer(words, **how):
        asked.append((words, how))
        return SimpleNamespace(stdout=answers[len(asked) - 1])

    monkeypatch.setattr(jetson.subprocess, "run", answer)
    assert (read(root).power_mode, asked) == ("MODE_50W", [])
    (root / "var/lib/nvpmodel/status").unlink()
    assert [read(root).power_mode for _ in answers] == ["MODE_50W", "MODE_30W", None]
    how = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "timeout": 10}
    assert asked == [(["nvpmodel", "-q"], how)] * 3


@pytest.mark.parametrize("error", [FileNotFoundError("nvpmodel"), subprocess.TimeoutExpired("nvpmodel", 10)])
def test_without_an_answer_of_nvpmodel_there_is_no_mode(tmp_path, monkeypatch, error):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr(jetson.subprocess, "run", fail)
    assert read(tmp_path).power_mode is None


def test_which_jetson_it_is_is_known_without_nvpmodel_which_takes_a_second(tmp_path, monkeypatch):
    monkeypatch.setattr(jetson.subprocess, "run", lambda *_, **__: pytest.fail("it takes a second"))
    files(tmp_path, **{"proc__device-tree__model": b"NVIDIA Jetson X\0", "proc__meminfo": "MemTotal: 1048576 kB\n"})
    assert visible_gpu(tmp_path) == ("NVIDIA Jetson X", 1.0)


def test_what_a_gpu_does_not_support_is_not_known():
    assert NvmlReader(Says(nvmlClocksThrottleReasonSwPowerCap=1), "").read() == DeviceState("a GPU")


def test_each_reason_that_slows_a_gpu_is_named_and_no_other():
    reasons = (
        "SwPowerCap",
        "HwSlowdown",
        "SwThermalSlowdown",
        "HwThermalSlowdown",
        "HwPowerBrakeSlowdown",
        "SyncBoost",
    )
    bits = {f"nvmlClocksThrottleReason{name}": 1 << place for place, name in enumerate(reasons, 2)}
    words = {}
    for name, bit in bits.items():
        nvml = Says(**bits)
        nvml.nvmlDeviceGetCurrentClocksThrottleReasons = lambda _, bit=bit: bit | 1  # the first bit is "idle"
        (words[name],) = NvmlReader(nvml, "").read().throttled
    assert len(set(words.values())) == len(reasons)
    assert words["nvmlClocksThrottleReasonHwThermalSlowdown"] == "hardware thermal slowdown"


def test_an_old_nvml_that_has_no_name_for_a_reason_does_not_name_it():
    nvml = Says(**{**H100, "nvmlClocksThrottleReasonHwSlowdown": 8})
    nvml.nvmlDeviceGetCurrentClocksThrottleReasons = lambda _: 9
    assert "it is throttled: hardware slowdown" in list(
        refusals_before(NvmlReader(nvml, "").read(), "NVIDIA-H100", None)
    )


def test_nvml_is_used_where_it_is_installed(monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", Says())
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    reader = nvidia_reader({"name": "what torch says"})
    assert reader.read() == DeviceState("a GPU")
    assert TorchReader({"name": "what torch says"}).read() == DeviceState("what torch says")


def test_a_processor_is_named_by_its_first_core_and_a_name_may_have_a_colon(tmp_path):
    files(tmp_path, proc__cpuinfo=b"processor : 0\nmodel name\t: A: B \xff\nmodel name\t: second\n")
    assert cpu_name(tmp_path) == "A: B \ufffd"


def test_the_environment_of_a_measurement_is_what_it_depends_on(monkeypatch):
    import torch
    import torchvision

    for name in environment.VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.setenv("SOMETHING_ELSE", "8")
    found = environment.describe_environment("cpu")
    switches = found.pop("switches")
    assert found == {
        **{"python": platform.python_version(), "torch": torch.__version__, "torchvision": torchvision.__version__},
        **{"threads": torch.get_num_threads(), "variables": {"OMP_NUM_THREADS": "7"}, "name": cpu_name(Path("/"))},
    }
    assert set(switches) == {
        *("cudnn.allow_tf32", "cuda.matmul.allow_tf32", "float32_matmul_precision"),
        *("cudnn.benchmark", "cudnn.deterministic", "mkldnn"),
    }
    assert switches["cudnn.benchmark"] == str(torch.backends.cudnn.benchmark)
    assert switches["mkldnn"] == str(torch.backends.mkldnn.is_available())


def test_the_environment_on_a_gpu_has_its_size_and_its_software(monkeypatch):
    import torch

    about = SimpleNamespace(name="a GPU", multi_processor_count=16, total_memory=3 << 29, major=8, minor=7)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_properties", {0: about}.get)
    monkeypatch.setattr(torch.version, "cuda", "12.2")
    monkeypatch.setattr(torch.backends.cudnn, "version", lambda: 8907)
    found = environment.describe_environment("cuda")
    expected = {"name": "a GPU", "sms": 16, "memory_gib": 1.5, "cuda": "12.2", "cudnn": "8907", "capability": "8.7"}
    assert {key: found[key] for key in expected} == expected


def test_the_gpu_that_the_driver_names_is_the_first_that_has_a_model(tmp_path):
    gpus = "proc__driver__nvidia__gpus"
    files(
        tmp_path,
        **{f"{gpus}__0000:01:00.0__information": "IRQ: 16\n", f"{gpus}__0000:03:00.0__information": "Model: C"},
    )
    files(tmp_path, **{f"{gpus}__0000:02:00.0__information": b"IRQ:   16\nModel: \t B: \xff\nModel: D\n"})
    assert visible_gpu(tmp_path) == ("B: \ufffd", None)


def test_a_board_with_less_memory_than_its_name_says_is_not_that_board(root):
    files(root, dev__nvgpu__igpu0="")
    why = "the GPU here is NVIDIA Jetson AGX Orin Developer Kit"
    assert choose_device("auto", Board("Jetson-Orin-AGX-32GB"), root) == Choice(
        "recorded", f"{why}, not Jetson-Orin-AGX-32GB"
    )
    assert choose_device("auto", Board(ORIN), root) == Choice("cuda", why)
    files(root, proc__meminfo="MemTotal: 31457280 kB\n")
    assert choose_device("auto", Board("Jetson-Orin-AGX-32GB"), root) == Choice("cuda", why)
