"""The device's state: a Jetson's files of JetPack 5 and 6, NVML's answers, this machine's CPU; and what is refused."""

import os
import platform
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from estimator.errors import UsageError
from estimator.hardware.boards import Board, find_board
from estimator.measure.device.choice import Choice, choose_device
from estimator.measure.device.cpu import CpuReader
from estimator.measure.device.jetson import JetsonReader, is_jetson, mode_in_answer
from estimator.measure.device.nvidia import NvmlReader, TorchReader, nvidia_reader
from estimator.measure.device.state import DeviceState, is_named, refusals_after, refusals_before

DATA = Path(__file__).parent / "data" / "jetson"
ORIN = "Jetson-Orin-AGX"


@pytest.fixture(params=["jetpack5", "jetpack6"])
def root(request, tmp_path):
    return Path(shutil.copytree(DATA / request.param, tmp_path / "root"))


def read(root):
    return JetsonReader(root, ask_nvpmodel=False).read()


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


def test_nvpmodel_s_answer_names_the_mode(root):
    assert mode_in_answer((root / "nvpmodel-q.txt").read_text()) == "MODE_50W"
    assert mode_in_answer("") is None


def test_throttling_is_refused(root):
    first = read(root)
    replace(root, "sys/class/thermal/cooling_device4/cur_state", "1\n")
    assert before(read(root)) == "it is throttled: gpu-throttle-alert"
    assert after(first, read(root)) == "it throttled meanwhile: gpu-throttle-alert"


def test_an_over_current_event_is_refused(root):
    first = read(root)
    replace(root, "sys/class/hwmon/hwmon3/oc2_event_cnt", "2\n")
    assert after(first, read(root)) == "it was throttled by over-current meanwhile: oc2 2 times"


def test_a_clock_below_95_percent_of_its_cap_under_load_is_refused(root):
    first = read(root)
    replace(root, "sys/class/devfreq/*/cur_freq", "786000000\n")
    assert "the gpu clock was 786 MHz under load, below 95% of its cap of 829 MHz" in after(first, read(root))
    replace(root, "sys/class/devfreq/*/cur_freq", "788000000\n")
    assert after(first, read(root)) == ""


def test_a_gpu_that_only_waits_for_the_host_may_keep_its_clock_down(root):
    full = read(root)
    for pattern in ("sys/devices/gpu.0/load", "sys/devices/platform/gpu.0/load"):
        for path in root.glob(pattern):
            path.write_text("300\n")
    replace(root, "sys/class/devfreq/*/cur_freq", "306000000\n")
    assert after(full, read(root)) == ""
    for path in root.glob("sys/devices/system/cpu/cpu[0-9]*/cpufreq/scaling_cur_freq"):
        path.write_text("729600\n")
    assert "the cpu clock was 730 MHz" in after(full, read(root))


@pytest.mark.parametrize("name", ["NVIDIA Orin Nano Developer Kit", "NVIDIA Orin NX Developer Kit"])
def test_a_jetson_that_does_not_say_so_by_name_is_one(root, name):
    (root / "proc/device-tree/model").write_text(name + "\0")
    assert not is_jetson(root)
    (root / "proc/device-tree/compatible").write_text("nvidia,p3768-0000+p3767-0003\0nvidia,tegra234\0")
    assert is_jetson(root)
    assert is_named("Jetson-" + "-".join(name.split()[1:3]), read(root).name)


def test_a_slice_of_a_gpu_is_not_that_gpu():
    assert is_named("NVIDIA-H100", "NVIDIA H100 80GB HBM3")
    assert not is_named("NVIDIA-H100", "NVIDIA H100 80GB HBM3 MIG 1g.10gb")


def test_another_process_on_the_gpu_is_refused(root):
    folder = root / "proc/4242/fd"
    folder.mkdir(parents=True)
    (root / "proc/4242/comm").write_text("python3\n")
    os.symlink("/dev/nvhost-gpu", folder / "7")
    assert before(read(root)) == "another process uses it: python3 (4242)"
    assert JetsonReader(root, ask_nvpmodel=False).read([4242]).others == ()


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
        ("local-cpu", "local cpu: anything", None, True),
    ],
)
def test_a_device_is_the_named_one_or_not(hardware, name, memory_gib, expected):
    assert is_named(hardware, name, memory_gib) is expected


class FakeNvml:
    """What the suite asks nvidia-ml-py, answered as an H100 under its power cap with a neighbour would."""

    NVML_CLOCK_SM, NVML_TEMPERATURE_GPU = 1, 0
    nvmlClocksThrottleReasonSwPowerCap = 4
    processes = (SimpleNamespace(pid=1), SimpleNamespace(pid=os.getpid()))

    def __getattr__(self, name):
        answers = {
            "nvmlInit": None,
            "nvmlDeviceGetHandleByIndex": "handle",
            "nvmlDeviceGetEnforcedPowerLimit": 700000,
            "nvmlDeviceGetClockInfo": 1755,
            "nvmlDeviceGetMaxClockInfo": 1980,
            "nvmlDeviceGetName": b"NVIDIA H100 80GB HBM3",
            "nvmlDeviceGetTemperature": 61,
            "nvmlDeviceGetCurrentClocksThrottleReasons": 4,
            "nvmlDeviceGetComputeRunningProcesses": self.processes,
            "nvmlDeviceGetMemoryInfo": SimpleNamespace(total=80 << 30),
        }
        if name not in answers:
            raise AttributeError(name)
        return lambda *_: answers[name]


def test_a_desktop_gpu_says_how_it_is_through_nvml():
    reader = NvmlReader(FakeNvml(), visible="")
    state = reader.read()
    assert reader.unchecked == ""
    assert (state.name, state.power_mode, state.temperature_c) == ("NVIDIA H100 80GB HBM3", "700W", 61.0)
    assert state.load is None  # what a driver does not support is not known
    reasons = "; ".join(refusals_before(state, "NVIDIA-H100", None))
    assert reasons == "it is throttled: software power cap; another process uses it: process 1"
    assert "the gpu clock was 1755 MHz under load" in after(state, state)


def test_without_nvml_the_name_is_what_torch_says(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pynvml", None)
    reader = nvidia_reader({"name": "NVIDIA H100 80GB HBM3", "memory_gib": 79.1})
    assert isinstance(reader, TorchReader)
    assert "throttling and other users were not checked: pip install nvidia-ml-py" in reader.unchecked
    assert reader.read() == DeviceState("NVIDIA H100 80GB HBM3", memory_gib=79.1)


def test_a_cpu_has_a_name_and_a_load(tmp_path):
    for name, text in {"cpuinfo": "model name\t: Some CPU\n", "loadavg": "0.52 0.58 0.59 1/467 1\n"}.items():
        (tmp_path / "proc").mkdir(exist_ok=True)
        (tmp_path / "proc" / name).write_text(text)
    state = CpuReader(tmp_path).read()
    assert (state.name, state.load) == ("local cpu: Some CPU", 0.52)
    assert list(refusals_before(state, "local-cpu", None)) == []


def test_a_cpu_s_clock_is_the_highest_of_its_cores_in_mhz(tmp_path):
    for core, khz in (("cpu0", "1200000"), ("cpu1", "3400000"), ("cpu2", "offline")):
        path = tmp_path / "sys/devices/system/cpu" / core / "cpufreq/scaling_cur_freq"
        path.parent.mkdir(parents=True)
        path.write_text(khz)
    (tmp_path / "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor").write_text("performance\n")
    for zone, temperature in (("thermal_zone0", "41000"), ("thermal_zone1", "62500")):
        path = tmp_path / "sys/class/thermal" / zone / "temp"
        path.parent.mkdir(parents=True)
        path.write_text(temperature)
    state = CpuReader(tmp_path).read()
    assert (state.clocks_mhz, state.power_mode, state.temperature_c) == ({"cpu": 3400.0}, "performance", 62.5)
    assert state.caps_mhz == {}  # a CPU's turbo has no cap that a clock must reach


def test_a_cpu_that_says_nothing_of_itself_is_known_by_its_architecture(tmp_path):
    state = CpuReader(tmp_path).read()
    assert state == DeviceState(f"local cpu: {platform.machine()}")


def gpu_machine(root, name="NVIDIA H100 80GB HBM3"):
    (root / "dev").mkdir()
    (root / "dev/nvidia0").touch()
    folder = root / "proc/driver/nvidia/gpus/0000:01:00.0"
    folder.mkdir(parents=True)
    (folder / "information").write_text(f"Model: \t\t {name}\nIRQ:   \t\t 16\n")


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
