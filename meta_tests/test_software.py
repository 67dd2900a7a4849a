"""The software that constants were fitted with: read from a record, kept in a profile, compared with a machine's."""

from __future__ import annotations

import json
import platform
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from estimator.errors import ProfileError
from estimator.files import read_toml
from estimator.hardware.boards import load_profile
from estimator.hardware.reading import known_profiles, read_profile
from estimator.hardware.software import differing, is_same, software_in, software_text
from estimator.interval import EXTRAPOLATION, QUANTILE
from estimator.lower import lower
from estimator.measure.device.environment import driver_version, installed_software
from estimator.pipeline import estimate_lowered
from estimator.records.kinds import MODEL_KIND
from estimator.subjects.zoo import find_models
from estimator.target import resolve
from meta_tests.conftest import WORKER
from meta_tests.estimating import op_stream
from meta_tests.test_calibrating_host import synthetic_gpu
from meta_tests.test_suite_goldens import move_constant

JETPACK5 = (
    "Python 3.8.10, torch 2.1.0a0+41361538.nv23.06, cuda 11.4, cudnn 8600, driver R35 (release), REVISION: 2.1, x"
)
SERVER = "Python 3.12.3, torch 2.5.1+cu124, driver NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.104.05  Sat Aug"
OPEN = "driver NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.65.06  Release Build"


def test_a_provenance_states_its_versions_however_it_was_written():
    record = "Python 3.8, PyTorch 2.1.0 (NVIDIA's build for JetPack 5.1), torchvision 0.16.0"
    assert software_in(record) == {"jetpack": "5.1", "python": "3.8", "torch": "2.1.0", "torchvision": "0.16.0"}
    text = software_text(software_in(JETPACK5), ("jetpack", "l4t", "cuda"))
    assert text == "JetPack 5, Jetson Linux 35.2.1, CUDA 11.4"
    assert (software_in(SERVER)["driver"], software_in(OPEN)["driver"]) == ("535.104.05", "580.65.06")
    assert software_in("none") == {}
    assert software_in("R31 (release), REVISION: 1") == {"l4t": "31.1"}
    assert list(software_in("JetPack 6.1, R36 (release), REVISION: 4.0").items()) == [
        ("jetpack", "6.1"),
        ("l4t", "36.4.0"),
    ]
    assert next(iter(software_in("R36 (release), REVISION: 4.0, torch 2.5").items())) == ("jetpack", "6")
    assert software_text({"torch": "2.1", "jetpack": "5"}) == "JetPack 5, torch 2.1"
    assert software_text({"torch": "2.1"}, ("jetpack",)) == software_text({}) == ""


@pytest.mark.parametrize(
    ("key", "one", "other", "is_another"),
    [
        ("torch", "2.1.0", "2.1.2", False),
        ("torch", "2.1.0", "2.13.0", True),
        ("torch", "2.1.0", "2.1.0a0+41361538.nv23.06", False),
        ("torch", "2.1.0a0+41361538.nv23.6", "2.1.0a0+41361538.nv23.06", False),
        ("torch", "2.5.0+cu121", "2.5.0+cu124", True),
        ("torch", "2.5.0+cu121", "2.5.1+cu121", False),
        ("torch", "2.5.0+cu121", "2.6.0+cu121", True),
        ("torch", "2.5.0+CU121", "2.5.0+cu121", False),
        ("torch", "3.5.0", "2.5.0", True),
        ("torch", "2.5a1", "2.5b2", False),
        ("python", "3.8", "3.8.10", False),
        ("python", "3.8", "3.10", True),
        ("jetpack", "5.1", "5", False),
        ("jetpack", "5.1", "6", True),
        ("l4t", "35.2.1", "35.4.1", True),
        ("driver", "535.104.05", "535.129.03", False),
        ("driver", "535.104.05", "580.65.06", True),
    ],
)
def test_versions_differ_as_far_as_both_sides_state_them(key, one, other, is_another):
    assert bool(differing({key: one}, {key: other})) == bool(differing({key: other}, {key: one})) == is_another
    assert differing({key: one}, {}) == differing({}, {key: other}) == ()
    assert is_same({key: one}, {key: other}) is (not is_another)
    assert is_same({key: one}, {}) is None


def test_versions_that_differ_stand_in_the_order_of_the_software():
    here = {"driver": "2", "torch": "2.0"}
    assert differing({"other": "1", "torch": "1.0", "driver": "1"}, here) == ("driver", "torch")


def test_a_profile_knows_the_software_of_the_record_that_it_was_fitted_to(request):
    record = request.config.rootpath / "golden/Jetson-Orin-AGX/50W-fp32-b1" / MODEL_KIND.record
    software = software_in(read_toml(record)["provenance"]["software"])
    assert set(software) >= {"python", "torch"}
    assert load_profile().software == load_profile().host_software == software


def test_borrowed_constants_come_with_their_software():
    others = [profile for profile in map(load_profile, known_profiles()) if profile.transferred_from]
    of_boards = [other for other in others if not other.spreads_pct]
    assert of_boards
    assert all(other.software == load_profile(other.transferred_from).software for other in of_boards)
    assert [other.software for other in others if other.spreads_pct] == [{}] * (len(others) - len(of_boards))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('torch = "2.1.0"', "torch = 2.1", r"calibration\.software\.torch: must be a text, got 2\.1"),
        (
            'torch = "2.1.0"',
            'pytorch = "2.1.0"',
            r"calibration\.software\.pytorch: is not known; known keys: jetpack, ",
        ),
    ],
)
def test_a_damaged_table_of_software_is_one_line(tmp_path, old, new, message):
    text = load_profile().path.read_text(encoding="utf-8")
    assert old in text
    path = tmp_path / "Jetson-Orin-AGX.toml"
    path.write_text(text.replace(old, new), encoding="utf-8")
    with pytest.raises(ProfileError, match=message):
        read_profile(path)


def test_this_machine_states_its_python_and_torch():
    here = installed_software(Path("/nowhere"))
    assert here["python"] == platform.python_version()
    assert differing(here, {"torch": torch.__version__}) == ()
    assert set(here) == {"python", "torch", "torchvision"}


def test_a_jetson_states_its_jetpack(request):
    root = request.config.rootpath / "meta_tests" / "data" / "jetson" / "jetpack5"
    here = installed_software(root)
    assert here["jetpack"] == "5"
    assert here["l4t"] == software_in(driver_version(root))["l4t"]


def test_another_software_widens_the_interval_of_host_and_device():
    host_bound, device_bound = find_models(["resnet18", "vgg11"])
    here, elsewhere = resolve(), replace(resolve(), same_software=False)
    widths = {
        model.name: [estimate_lowered(lower(op_stream(model)), target).interval_pct for target in (here, elsewhere)]
        for model in (host_bound, device_bound)
    }
    for model, least in (("resnet18", EXTRAPOLATION["software"].host), ("vgg11", EXTRAPOLATION["software"].device)):
        assert widths[model][1] > max(100 * QUANTILE * least * 0.8, widths[model][0])


NOTE = (
    "another software: the constants were fitted with JetPack 5.1, Python 3.8, torch 2.1.0, torchvision 0.16.0; "
    "here JetPack 6, Python 3.10.12, torch 2.5.0, torchvision 0.20.0; intervals allow for it; to fit the host's here: "
    "python -m estimator calibrate Jetson-Orin-AGX --host"
)
MODELS = "resnet18,vgg11"


def intervals_pct(suite, *options):
    run = suite.run(*options, "--output", "table.json", models=MODELS)
    rows = json.loads((suite.path / "table.json").read_text(encoding="utf-8"))
    return run, {row["model"]: row["interval_pct"] for row in rows}


def test_a_live_session_on_another_software_says_so_and_its_intervals_allow_for_it(live):
    live.suite.run_first(synthetic_gpu("Jetson-Orin-AGX") + WORKER.replace("a CPU", "Jetson Orin AGX"))
    (live.suite.path / "times.json").write_text(json.dumps({"resnet18": 6.76, "vgg11": 8.1}))
    replayed, before = intervals_pct(live.suite, "--device", "recorded")
    replayed.stdout.fnmatch_lines(["device: recorded (as asked)"])
    assert not any("another software" in line for line in replayed.outlines)
    run, now = intervals_pct(live.suite, "--device", "cuda")
    run.stdout.fnmatch_lines(["device: cuda (as asked)", NOTE, "*GOLDEN REFERENCE*", f"  {NOTE}"])
    assert now["resnet18"] > max(100 * QUANTILE * EXTRAPOLATION["software"].host * 0.8, before["resnet18"])
    assert not any("differ from the golden" in line for line in run.outlines)
    run.assert_outcomes(passed=2, deselected=run.parseoutcomes()["deselected"])


def test_a_red_live_session_on_a_board_says_what_changed_in_the_goldens_and_what_of_the_device(live):
    live.suite.run_first(synthetic_gpu("Jetson-Orin-AGX") + WORKER.replace("a CPU", "Jetson Orin AGX"))
    (live.suite.path / "times.json").write_text(json.dumps({"resnet18": 6.76}))
    move_constant(live.suite, "dispatch_kcycles")
    run = live.suite.run("--device", "cuda", models="resnet18")
    run.assert_outcomes(failed=1, deselected=run.parseoutcomes()["deselected"])
    run.stdout.fnmatch_lines(
        [
            "*= VERDICT =*",
            "    dispatch_kcycles * -> * (+1.0 %), *",
            "  This suite, since *:",
            "  The board and its software, since the record:",
            "    software: * -> *torch 2.1.0*",
        ]
    )


def test_a_cpu_that_was_calibrated_with_another_software_is_calibrated_anew(live):
    template = live.suite.path / "estimator" / "hardware" / "templates" / "local-cpu.toml"
    path = live.folder.parent / "local-cpu.toml"
    path.parent.mkdir(parents=True)
    software = '\n[calibration.software]\ntorch = "1.9.0"\n'
    path.write_text(template.read_text(encoding="utf-8") + software, encoding="utf-8")
    run = live.takes({"resnet18": 5.0})
    run.stdout.fnmatch_lines(
        [
            "another software: the constants were fitted with torch 1.9.0; here torch *; no evidence says what that "
            "changes; to fit them here: python -m estimator calibrate local-cpu"
        ]
    )
