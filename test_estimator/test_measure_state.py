"""The device's state: a Jetson's files of JetPack 5 and 6, NVML's answers, this machine's CPU; and what is refused."""

import os
import platform
import shutil
from dataclasses import replace as replace_state
from pathlib import Path
from types import SimpleNamespace

import pytest

from estimator.errors import UsageError
from estimator.hardware.boards import Board, find_board
from estimator.measure.device import environment
from estimator.measure.device.choice import Choice, choose_device, has_gpu, visible_gpu
from estimator.measure.device.cpu import CpuReader
from estimator.measure.device.environment import driver_version, installed_software, set_arithmetic
from estimator.measure.device.jetson import JetsonReader, is_jetson, mode_in_answer
from estimator.measure.device.nvidia import NvmlReader, TorchReader, nvidia_reader
from estimator.measure.device.state import DeviceState, is_named, refusals_after, refusals_before, same_mode

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


@pytest.mark.parametrize(
    ("known", "ask", "mode"), [(True, True, "MODE_50W"), (False, True, "ASKED"), (False, False, None)]
)
def test_nvpmodel_is_asked_where_no_file_says_the_mode(root, monkeypatch, known, ask, mode):
    monkeypatch.setattr("estimator.measure.device.jetson._nvpmodel_mode", lambda: "ASKED")
    if not known:
        (root / "var/lib/nvpmodel/status").unlink()
    assert JetsonReader(root, ask_nvpmodel=ask).read().power_mode == mode


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
    for name, text in {
        "cpuinfo": "processor\t: 0\n\nmodel name\t: Some CPU\n",
        "loadavg": "0.52 0.58 0.59 1/467 1\n",
    }.items():
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


def busy(*loads, clocks=None, name="gpu", cap_mhz=1000.0):
    """States under these loads, with these clocks."""
    mhz = clocks or [500.0] * len(loads)
    return [
        DeviceState("made up", clocks_mhz={name: clock}, caps_mhz={name: cap_mhz}, load=load)
        for load, clock in zip(loads, mhz)
    ]


@pytest.mark.parametrize(
    ("during", "reason"),
    [
        (busy(0.1, 0.79), ""),
        (busy(0.1, 0.8), "the gpu clock was 500 MHz under load, below 95% of its cap of 1000 MHz"),
        (busy(0.1, None), "the gpu clock was 500 MHz under load"),
        (busy(0.9, 0.9, 0.1, clocks=[950.0, 960.0, 300.0]), ""),
        (busy(0.9, 0.9, 0.1, clocks=[940.0, 945.0, 1000.0]), "the gpu clock was 942 MHz under load"),
        (busy(0.9, 0.9, 0.9, clocks=[100.0, 950.0, 1000.0]), ""),
        (busy(None, None, clocks=[100.0, 950.0]), ""),
        (busy(None, None, clocks=[100.0, 949.0]), "the gpu clock was 949 MHz under load"),
        (busy(0.1, 0.1, name="cpu"), "the cpu clock was 500 MHz under load"),
        (busy(0.9, 0.9, name="cpu", clocks=[100.0, 950.0]), ""),
        ([DeviceState("made up", clocks_mhz={"gpu": 1.0}, load=0.9)], ""),
        ([DeviceState("made up", caps_mhz={"gpu": 1000.0}, load=0.9)], ""),
        ([], ""),
    ],
)
def test_a_device_must_run_at_95_percent_of_its_cap_while_it_is_busy(during, reason):
    state = DeviceState("made up")
    assert "; ".join(refusals_after(state, during, state)).startswith(reason)
    assert bool(list(refusals_after(state, during, state))) == bool(reason)


def test_what_happened_meanwhile_is_named_once_and_sorted():
    first = DeviceState("made up", throttled=("early",), throttle_events={"oc1": 3, "oc2": 1}, others=("before (1)",))
    during = DeviceState("made up", throttled=("hot", "cold"), others=("b (2)", "a (3)"))
    last = DeviceState("made up", throttled=("hot",), throttle_events={"oc1": 3, "oc2": 2, "oc3": 1}, others=("b (2)",))
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
    assert reason == "its power mode is 700W, not 350W: sudo nvpmodel -m <id>, or --thermal-profile"


@pytest.mark.parametrize(
    ("memory_gib", "is_it"), [(23.9, False), (24.0, True), (33.6, True), (33.7, False), (None, False)]
)
def test_a_size_of_memory_in_a_name_is_about_that_much(memory_gib, is_it):
    assert is_named("Jetson-Orin-AGX-32GB", "NVIDIA Jetson AGX Orin", memory_gib) == is_it
    assert is_named("Jetson-Orin-AGX-32GB", "NVIDIA Jetson AGX Orin 32GB", memory_gib)


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


def test_a_gpu_s_name_may_have_a_colon(tmp_path):
    gpu_machine(tmp_path, "NVIDIA H100: a slice: of it")
    assert visible_gpu(tmp_path) == ("NVIDIA H100: a slice: of it", None)


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
    assert choose_device("recorded", Board(ORIN), tmp_path).live is False


class Nvml(FakeNvml):
    """Says by what it was asked for a GPU, and that it has no neighbours."""

    processes = (SimpleNamespace(pid=1), SimpleNamespace(pid=2**22 + 1))

    def __init__(self):
        self.asked = []

    def nvmlDeviceGetHandleByUUID(self, uuid):
        self.asked.append(uuid)

    def nvmlDeviceGetHandleByIndex(self, index):
        self.asked.append(index)


@pytest.mark.parametrize(
    ("visible", "asked"),
    [("", 0), ("3", 3), ("2,1", 2), (" 1 , 0", 1), ("GPU-abc,GPU-def", b"GPU-abc"), ("MIG-x", b"MIG-x"), ("none", 0)],
)
def test_the_first_visible_gpu_is_the_one_that_is_read(visible, asked):
    nvml = Nvml()
    NvmlReader(nvml, visible)
    assert nvml.asked == [asked]


def test_where_nothing_is_said_the_environment_says_which_gpu_is_visible(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5")
    nvml = Nvml()
    NvmlReader(nvml)
    assert nvml.asked == [5]


def test_processes_that_measure_and_those_that_are_gone_are_no_neighbours():
    assert NvmlReader(Nvml(), "").read().others == ("process 1",)
    assert NvmlReader(Nvml(), "").read([1]).others == ()


def test_memory_and_clocks_of_a_desktop_gpu_have_their_units():
    state = NvmlReader(FakeNvml(), visible="").read()
    assert state.memory_gib == 80.0
    assert (state.clocks_mhz, state.caps_mhz) == ({"gpu": 1755.0}, {"gpu": 1980.0})


def test_without_jetson_linux_and_a_driver_there_is_none(tmp_path):
    assert driver_version(tmp_path) == "none"
    path = tmp_path / "proc/driver/nvidia/version"
    path.parent.mkdir(parents=True)
    path.write_text("NVRM version: NVIDIA 550.54\nGCC 11\n")
    assert driver_version(tmp_path) == "NVRM version: NVIDIA 550.54"
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/nv_tegra_release").write_text("# R35 (release), REVISION: 5.0\n")
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


def test_the_software_of_this_machine_is_known_without_torch(tmp_path):
    import torch

    found = installed_software(tmp_path)
    assert found["torch"] == torch.__version__ or torch.__version__.startswith(found["torch"])
    assert found["python"] == platform.python_version()
    assert "cuda" not in found
