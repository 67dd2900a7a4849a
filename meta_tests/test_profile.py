from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import tomlkit

from estimator.errors import ProfileError
from estimator.files import read_toml
from estimator.hardware.boards import find_board, load_profile
from estimator.hardware.profile import Constant, Correction, PowerMode, Profile, Quantity
from estimator.hardware.quantities import CPU_CONSTANTS, FEATURES, GPU_CONSTANTS
from estimator.hardware.reading import TEMPLATES, known_profiles, read_profile, write_profile_text


@pytest.fixture
def damaged(tmp_path):
    """Returns the profile's text with one replacement, as a file."""

    def damage(pattern, replacement):
        text, count = re.subn(pattern, replacement, load_profile().path.read_text(encoding="utf-8"), count=1)
        assert count == 1
        path = tmp_path / "Jetson-Orin-AGX.toml"
        path.write_text(text, encoding="utf-8")
        return path

    return damage


def test_the_jetson_has_its_four_power_modes_and_is_calibrated_at_50_watts():
    profile = load_profile("Jetson-Orin-AGX")
    assert list(profile.modes) == ["15W", "30W", "50W", "MAXN"]
    assert profile.default_mode == profile.calibrated_mode == "50W"
    assert [mode.sms for mode in profile.modes.values()] == [6, 8, 16, 16]
    assert [mode.watts for mode in profile.modes.values()] == [15, 30, 50, None]


def test_a_calibration_of_a_board_starts_from_its_profile():
    assert find_board("Jetson-Orin-AGX").base_profile().values() == load_profile("Jetson-Orin-AGX").values()


def test_at_most_thirty_seven_numbers_are_fitted():
    assert set(load_profile("Jetson-Orin-AGX").constants) == set(GPU_CONSTANTS)
    assert len(GPU_CONSTANTS) + 1 <= 37  # the synchronised call of the evidence is fitted, too


def test_every_constant_says_what_it_is_and_how_sure_it_is():
    for constant in load_profile("Jetson-Orin-AGX").constants.values():
        assert constant.unit
        assert constant.source
        assert constant.lower <= constant.value <= constant.upper
        assert constant.uncertainty_pct > 0


VALUE = r"(\[constants\.%s\]\nvalue = )[0-9.]+"


@pytest.mark.parametrize(
    ("pattern", "replacement", "key", "reason"),
    [
        (VALUE % "dispatch_kcycles", r"\g<1>-3", "constants.dispatch_kcycles.value", "from 20 to 400 kcycle"),
        (VALUE % "dispatch_kcycles", r'\g<1>"fast"', "constants.dispatch_kcycles.value", "finite number"),
        (VALUE % "layout_passes", r"\g<1>7", "constants.layout_passes.value", "from 0.1 to "),
        (r"(\[constants\.stream_efficiency\][^[]*upper = )1", r"\g<1>2", "stream_efficiency.upper", "physical"),
        (r"\[constants\.view_kcycles\]", "[constants.vue_kcycles]", "constants.view_kcycles", "missing"),
        (r"\[constants\.view_kcycles\]", "[constants.surplus]\n[constants.view_kcycles]", "surplus", "missing"),
        (r"bandwidth_gb_s = 170.8", "bandwidth_gb_s = 300.0", "power_mode.50W.bandwidth_gb_s", "peak of 204.8"),
        (r"gpu_mhz = 816.0", "gpu_mhz = 0.816", "power_mode.50W.gpu_mhz", "from 50 to 5000 MHz, got 0.816 ("),
        (r"gpu_mhz = 816.0", f"gpu_mhz = {10**400}", "power_mode.50W.gpu_mhz", "got 1000000"),
        (r"watts = 50", "wats = 50", "power_mode.50W.wats", "known keys: cpu_mhz, gpu_mhz, sms, bandwidth_gb_s, watts"),
        (r"(covariance = \[\n +\[)[^,]+", r"\g<1>-0.0029", "calibration.covariance", "varies negatively"),
        (r"(covariance = \[\n +\[[^,]+, )[^,]+", r"\g<1>0.4", "calibration.covariance", "symmetric"),
        (r'memory = "LPDDR5"', 'memory = "DDR4"', "board.memory", "unknown 'DDR4'; known: HBM2, HBM2e, HBM3, "),
        (r'compute_capability = "8.7"', "", "board.compute_capability", "missing"),
        (
            r'compute_capability = "8.7"',
            "compute_capability = 8.7",
            "board.compute_capability",
            "must be a text, got 8.7",
        ),
        (r'compute_capability = "8.7"', 'compute_capability = "6.1"', "board.compute_capability", "known: 7.0, 7.2, "),
        (r"cpu_mhz = 1497.6", "cpu_mhz = 1.4976", "power_mode.50W.cpu_mhz", "from 100 to 10000 MHz, got 1.4976 ("),
        (r"sms = 8", "sms = 8.5", "power_mode.30W.sms", "whole number"),
        (r'default_power_mode = "50W"', 'default_power_mode = "60W"', "board.default_power_mode", "15W, 30W, 50W"),
        (r'\n\[calibration\]\npower_mode = "50W"', '\n[calibration]\npower_mode = "60W"', "power_mode", "known"),
        (r'unit = "MiB"\n', "", "facts.l2_mib.unit", "missing"),
        (r"\[board\]", "[board", "", "TOML"),
    ],
)
def test_a_profile_that_cannot_be_true_is_refused_in_one_line(damaged, pattern, replacement, key, reason):
    path = damaged(pattern, replacement)
    with pytest.raises(ProfileError) as error:
        read_profile(path)
    message = str(error.value)
    assert message.startswith(f"{path}: ")
    assert key in message
    assert reason in message
    assert "\n" not in message.strip()


@pytest.mark.parametrize(
    ("lower", "value", "upper", "prior", "sigma", "reason"),
    [
        (1.0, 1.0, 2.0, 1.0, 0.1, None),
        (1.0, 2.0, 2.0, 2.0, 0.1, None),
        (0.0, 1e-12, 1e9, 1e9, 0.001, None),
        (0.0, 0.9e-12, 2.0, 1.0, 0.1, "value: must be a finite number from 1e-12 to 2 kcycle"),
        (0.0, 1.0, 1e9 + 1, 1.0, 0.1, r"upper: must be a finite number from 0 to 1e\+09, got"),
        (1.0, 1.0, 2.0, 1.0, 5.0, None),
        (1.0, 1.0, 2.0, 1.0, 0.0009, "prior_sigma: must be a finite number from 0.001 to 5"),
        (1.0, 1.0, 2.0, 1.0, 5.1, "prior_sigma: must be a finite number from 0.001 to 5"),
        (0.0, 1.0, 2.0, 0.0, 0.1, None),
        (1.0, 0.999, 2.0, 1.5, 0.1, "within"),
        (1.0, 2.001, 2.0, 1.5, 0.1, "within"),
        (0.0, 0.0, 2.0, 1.5, 0.1, "value: must be a finite number from 1e-12 to 2"),
        (1.0, 1.0, 1.0, 1.0, 0.1, "lower < upper"),
        (2.0, 1.5, 1.0, 1.5, 0.1, "lower < upper"),
        (-1.0, 1.0, 2.0, 1.5, 0.1, "lower: must be a finite number from 0"),
        (1.0, 1.5, 2.0, 0.999, 0.1, "prior: must be a finite number from 1 to 2"),
        (1.0, 1.5, 2.0, 2.001, 0.1, "prior: must be a finite number from 1 to 2"),
        (1.0, 1.5, 2.0, 1.5, 0.0, "prior_sigma: must be a finite number from 0.001 to 5"),
    ],
)
def test_a_constant_lies_within_its_bounds(damaged, lower, value, upper, prior, sigma, reason):
    numbers = {"value": value, "lower": lower, "upper": upper, "prior": prior, "prior_sigma": sigma}
    about = {"unit": '"kcycle of the CPU per op"', "source": '"synthetic"', "uncertainty_pct": 1.0}
    lines = "\n".join(f"{key} = {text}" for key, text in {**numbers, **about}.items())
    path = damaged(r"\[constants\.dispatch_kcycles\]\n([^\[\n][^\n]*\n)+", f"[constants.dispatch_kcycles]\n{lines}\n")
    if reason is None:
        constant = read_profile(path).constants["dispatch_kcycles"]
        assert constant == Constant(
            "dispatch_kcycles", value, "kcycle of the CPU per op", "synthetic", lower, upper, prior, sigma, 1.0
        )
    else:
        with pytest.raises(ProfileError, match=reason):
            read_profile(path)


BOARD = """
[board]
description = "synthetic"
source = "synthetic"
compute_capability = "8.7"

[power_mode.default]
cpu_mhz = {cpu_mhz!r}
gpu_mhz = {gpu_mhz!r}
sms = {sms!r}
bandwidth_gb_s = {bandwidth_gb_s!r}
watts = {watts!r}

[facts]
dram_peak_gb_s = {dram_peak_gb_s!r}
l2_mib = {l2_mib!r}
fp32_flops_per_clock_per_sm = {fp32_flops_per_clock_per_sm!r}
tf32_flops_per_clock_per_sm = {tf32_flops_per_clock_per_sm!r}
fp16_flops_per_clock_per_sm = {fp16_flops_per_clock_per_sm!r}
event_pair_kcycles = {event_pair_kcycles!r}

[calibration]
transferred_from = "Jetson-Orin-AGX"
"""
LEAST_AND_MOST = {
    "cpu_mhz": (100, 10000),
    "gpu_mhz": (50, 5000),
    "sms": (1, 1024),
    "bandwidth_gb_s": (1, 10000),
    "watts": (1, 5000),
    "dram_peak_gb_s": (10, 10000),
    "l2_mib": (0.25, 256),
    "fp32_flops_per_clock_per_sm": (64, 1024),
    "tf32_flops_per_clock_per_sm": (64, 8192),
    "fp16_flops_per_clock_per_sm": (64, 16384),
    "event_pair_kcycles": (0.1, 1000),
}
IMPLIED = {
    "fp32_flops_per_clock_per_sm": 256,
    "tf32_flops_per_clock_per_sm": 1024,
    "fp16_flops_per_clock_per_sm": 2048,
}
"""By a compute capability of 8.7."""
USUAL = {name: most for name, (_, most) in LEAST_AND_MOST.items()}


def board_with(tmp_path, **figures):
    path = tmp_path / "Made-Up.toml"
    path.write_text(BOARD.format(**{**USUAL, **figures}), encoding="utf-8")
    return read_profile(path)


@pytest.mark.parametrize(("name", "least", "most"), [(name, *ends) for name, ends in LEAST_AND_MOST.items()])
def test_a_figure_of_a_board_lies_where_boards_are(tmp_path, name, least, most):
    for value in (least, most):
        slow = {"bandwidth_gb_s": 1} if name == "dram_peak_gb_s" else {}
        found = board_with(tmp_path, **{name: value, **slow})
        assert value == (found.fact(name) if name in found.facts else getattr(found.mode(), name))
    step = 1 if name == "sms" else 0.001 * least
    for value in (least - step, most + step, 0, -least):
        with pytest.raises(ProfileError, match=rf"{name}.*must be a .* number from {least:g} to {most:g}"):
            board_with(tmp_path, **{name: value})


@pytest.mark.parametrize("name", LEAST_AND_MOST)
def test_a_board_without_a_figure_is_refused_unless_it_is_optional_or_implied(tmp_path, name):
    path = tmp_path / "Made-Up.toml"
    lines = BOARD.format(**USUAL).splitlines()
    path.write_text("\n".join(line for line in lines if not line.startswith(f"{name} = ")), encoding="utf-8")
    if name == "watts":
        assert read_profile(path).mode().watts is None
    elif name == "event_pair_kcycles":
        assert (read_profile(path).fact(name), name in read_profile(path).facts) == (32.3, False)
    elif name in IMPLIED:
        assert read_profile(path).facts[name].value == IMPLIED[name]
    else:
        with pytest.raises(ProfileError, match=f"{name}: is missing"):
            read_profile(path)


@pytest.mark.parametrize(("memory", "share"), [("LPDDR5", 0.93), ("GDDR6", 0.92), ("GDDR6 with ECC", 0.76)])
def test_a_power_mode_that_says_no_bandwidth_gets_what_its_kind_of_memory_reaches(tmp_path, memory, share):
    content = tomlkit.parse(BOARD.format(**USUAL)).unwrap()
    content["board"]["memory"], measured = memory, content["power_mode"]["default"]
    derived = {key: value for key, value in measured.items() if key != "bandwidth_gb_s"}
    content["power_mode"], content["facts"]["dram_peak_gb_s"] = {"default": derived, "measured": measured}, 1000.0
    content["power_mode"]["measured"]["bandwidth_gb_s"] = 700.0
    profile = board_of(tmp_path, content)
    assert profile.mode().bandwidth_gb_s == pytest.approx(1000 * share)
    assert profile.mode("measured").bandwidth_gb_s == 700.0


def test_a_profile_says_what_it_is_made_of():
    synthetic = {"name": "Made-Up", "path": Path("Made-Up.toml"), "board": {}, "default_mode": "fast"}
    facts, others = ({"l2_mib": Quantity("l2_mib", value, "MiB", "synthetic", 0.25, 256.0)} for value in (4.0, 8.0))
    modes = {"slow": PowerMode("slow"), "fast": PowerMode("fast", 2000.0, 1000.0, 8, 100.0)}
    constants = {"view_kcycles": Constant("view_kcycles", 2.5, "kcycle", "synthetic", 1.0, 5.0, 2.0, 0.5, 3.0)}
    synthetic.update(facts=facts, modes=modes, calibrated_mode="slow", constants=constants)
    own = Profile(**synthetic)
    assert (own.mode(), own.mode(None), own.mode("slow")) == (modes["fast"], modes["fast"], modes["slow"])
    assert (own.fact("l2_mib"), own.values()) == (4.0, {"view_kcycles": 2.5})
    assert (own.processor, own.sources, own.own_host, own.reference_ms) == ("gpu", "records", False, None)
    assert (own.covariance, own.held_out_spread_pct, own.corrections) == ((), 0.0, {})
    assert (own.transferred, own.constants_of, own.calibrated_facts) == ("", "Made-Up", facts)
    borrowed = Profile(**synthetic, transferred_from="Other", transferred_facts=others)
    assert (borrowed.transferred, borrowed.constants_of) == (", transferred from Other", "Other")
    assert borrowed.calibrated_facts == others
    apart = Profile(**synthetic, transferred_from="Other", transferred_facts=others, own_host=True)
    assert (apart.transferred, apart.constants_of) == (", device transferred from Other", "Other, host Made-Up")
    whole = Profile(**synthetic, own_host=True)
    assert (whole.transferred, whole.constants_of) == ("", "Made-Up")


CPU = read_toml(TEMPLATES / "local-cpu.toml")
CPU_TEXT = tomlkit.dumps({key: table for key, table in CPU.items() if key != "calibration"})
CORRECTION = {
    "pieces": 3,
    "noise": 0.1,
    "offset": 0.2,
    "length": 2.0,
    "features": ["m", "n"],
    "points": [[1.0, 2.0, 0.5], [3, 4, -0.5]],
}


def cpu_with(tmp_path, about=None, **calibration):
    """The profile of a CPU with these keys of its calibration, and of the first correction."""
    content = {"calibration": {**CPU["calibration"], **calibration}}
    if about is not None:
        content["corrections"] = {"product": {**CORRECTION, **about}}
    path = tmp_path / "Made-Up.toml"
    path.write_text(CPU_TEXT + "\n" + tomlkit.dumps(content), encoding="utf-8")
    return read_profile(path)


def test_a_cpu_is_its_threads_and_its_constants(tmp_path):
    profile = cpu_with(tmp_path, reference_ms=2.5, held_out_spread_pct=7)
    assert (profile.processor, profile.facts, profile.modes) == (
        "cpu",
        {},
        {"default": PowerMode("default", threads=1)},
    )
    assert list(profile.constants) == list(CPU_CONSTANTS)
    assert [constant.name for constant in profile.constants.values()] == list(CPU_CONSTANTS)
    assert (profile.reference_ms, profile.held_out_spread_pct, profile.corrections) == (2.5, 7.0, {})
    assert (cpu_with(tmp_path).reference_ms, cpu_with(tmp_path).sources) == (None, "records")
    assert (profile.own_host, profile.transferred, profile.software, profile.host_software) == (False, "", {}, {})


@pytest.mark.parametrize("threads", [1, 4096])
def test_a_cpu_has_as_many_threads_as_a_machine_can_have(tmp_path, threads):
    path = tmp_path / "Made-Up.toml"
    for value, reason in ((threads, None), (0, "from 1 to 4096"), (4097, "from 1 to 4096"), (1.5, "a whole number")):
        path.write_text(tomlkit.dumps({**CPU, "power_mode": {"default": {"threads": value}}}), encoding="utf-8")
        if reason is None:
            assert read_profile(path).mode().threads == value
        else:
            with pytest.raises(ProfileError, match=f"power_mode.default.threads: must be .*{reason}"):
                read_profile(path)


def test_a_correction_is_read_point_by_point(tmp_path):
    expected = Correction(3, 0.1, 0.2, 2.0, ("m", "n"), ((1.0, 2.0), (3.0, 4.0)), (0.5, -0.5))
    assert cpu_with(tmp_path, {}).corrections == {"product": expected}


@pytest.mark.parametrize(
    ("key", "least", "most"),
    [
        ("pieces", 0, 10**6),
        ("noise", 1e-6, 1e3),
        ("offset", -10.0, 10.0),
        ("length", 1e-6, 1e3),
    ],
)
def test_a_figure_of_a_correction_lies_where_logarithms_can(tmp_path, key, least, most):
    for value in (least, most):
        assert getattr(cpu_with(tmp_path, {key: value}).corrections["product"], key) == value
    for value in (least - 1, most + 1):
        with pytest.raises(ProfileError, match=rf"corrections\.product\.{key}: must be a .* number from"):
            cpu_with(tmp_path, {key: value})


@pytest.mark.parametrize(("place", "most"), [(0, 64.0), (1, 64.0), (2, 10.0)])
def test_a_point_of_a_correction_lies_where_features_and_residuals_can(tmp_path, place, most):
    for value in (-most, most):
        row = [0.0, 0.0, 0.0]
        row[place] = value
        found = cpu_with(tmp_path, {"points": [row]}).corrections["product"]
        assert ((*found.points[0], found.residuals[0])) == tuple(row)
        row[place] = 1.01 * value
        with pytest.raises(ProfileError, match=rf"points\[0\]\[{place}\]: must be a finite number from -{most:g} to"):
            cpu_with(tmp_path, {"points": [row]})


@pytest.mark.parametrize(
    ("about", "message"),
    [
        ({"features": ["m", "x"]}, r"features\[1\]: unknown 'x'; known: flop, warm_bytes, "),
        ({"features": "m"}, "features: must be a list, got 'm'"),
        ({"features": ["m"]}, r"points\[0\]: must be a list of 2 numbers"),
        ({"points": [[1.0, 2.0, 3.0, 4.0]]}, r"points\[0\]: must be a list of 3 numbers"),
        ({"pieces": 2.5}, "pieces: must be a whole number from 0 to 1000000, got 2.5"),
    ],
)
def test_a_correction_that_cannot_be_one_is_refused(tmp_path, about, message):
    with pytest.raises(ProfileError, match=rf"corrections\.product\.{message}"):
        cpu_with(tmp_path, about)


def test_a_correction_may_look_at_every_feature(tmp_path):
    rows = [[1.0] * (len(FEATURES) + 1)]
    found = cpu_with(tmp_path, {"features": list(FEATURES), "points": rows}).corrections["product"]
    assert found.features == tuple(FEATURES)
    assert cpu_with(tmp_path, {"features": [], "points": [[0.5]]}).corrections["product"].points == ((),)


def covariance(*first_rows, variance=1.0):
    """A covariance of a CPU's constants that begins with these rows; the others vary by themselves."""
    matrix = variance * np.eye(len(CPU_CONSTANTS))
    for place, row in enumerate(first_rows):
        matrix[place, : len(row)] = row
    return matrix.tolist()


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    "rows",
    [
        covariance(),
        covariance(variance=25.0),
        covariance([25.0, -25.0], [-25.0, 25.0]),
        covariance(variance=0.0),
        covariance([0.0, 0.0], [0.0, 4.0]),
        covariance([1.0, 1.1], [1.1, 1.0]),  # rounded: its least eigenvalue is -0.1
        covariance([4.0, -4.4], [-4.4, 4.0]),
        [],
    ],
)
def test_a_covariance_is_that_of_something_up_to_its_rounding(tmp_path, rows):
    assert cpu_with(tmp_path, covariance=rows).covariance == tuple(map(tuple, rows))


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (covariance([25.1]), r"covariance\[0\]\[0\]: must be a finite number from -25 to 25, got 25\.1 \("),
        (covariance([1.0, -25.1]), r"covariance\[0\]\[1\]: must be a finite number from -25 to 25"),
        (covariance([1.0, 1.11], [1.11, 1.0]), "covariance: is no covariance"),
        (covariance([4.0, -4.44], [-4.44, 4.0]), "covariance: is no covariance"),
        (covariance([0.0, 0.1], [0.1, 1.0]), "covariance: is no covariance"),
        (covariance([-1.0]), "covariance: is no covariance"),
        (covariance([1.0, 0.5], [0.4, 1.0]), "covariance: must be symmetric"),
        ([[1.0]], r"covariance: must have 21 rows, got 1"),
        ([[1.0, 2.0]], r"covariance\[0\]: must be a list of 1 numbers"),
        ([[float("nan")]], r"covariance\[0\]\[0\]: must be a finite number"),
        ("much", "covariance: must be a list, got 'much'"),
    ],
)
def test_what_is_no_covariance_is_refused(tmp_path, rows, message):
    with pytest.raises(ProfileError, match=rf"calibration\.{message}"):
        cpu_with(tmp_path, covariance=rows)


@pytest.mark.parametrize("sources", ["records", "microbenchmarks", "records and microbenchmarks"])
def test_constants_say_what_they_were_fitted_to(tmp_path, sources):
    assert cpu_with(tmp_path, sources=sources).sources == sources
    with pytest.raises(
        ProfileError, match=r"calibration\.sources: unknown 'guesses'; known: records, microbenchmarks, "
    ):
        cpu_with(tmp_path, sources="guesses")


@pytest.mark.parametrize(
    ("calibration", "message"),
    [
        ({"held_out_spread_pct": -1}, "held_out_spread_pct: must be a finite number from 0 to 10000 %"),
        ({"reference_ms": 0}, "reference_ms: must be a finite number from 1e-05"),
        ({"power_mode": "fast"}, "power_mode: unknown power mode 'fast'; known: default$"),
        ({"evidense": "many"}, "evidense: is not known; known keys: power_mode, "),
        ({"software": {"torch": 2}}, r"software\.torch: must be a text, got 2"),
        ({"software": {"pytorch": "2"}}, r"software\.pytorch: is not known; known keys: jetpack, "),
        ({"host": {"software": {"pytorch": "2"}}}, r"host\.software\.pytorch: is not known"),
    ],
)
def test_a_calibration_that_cannot_be_one_is_refused(tmp_path, calibration, message):
    with pytest.raises(ProfileError, match=rf": calibration\.{message}"):
        cpu_with(tmp_path, **calibration)


def test_the_software_of_a_host_fitted_apart_is_its_own(tmp_path):
    torch, newer = {"torch": "2.1.0"}, {"torch": "2.5.0"}
    together = cpu_with(tmp_path, software=torch)
    assert (together.software, together.host_software, together.own_host) == (torch, torch, False)
    apart = cpu_with(tmp_path, software=torch, host={"software": newer})
    assert (apart.software, apart.host_software, apart.own_host) == (torch, newer, True)
    unknown = cpu_with(tmp_path, software=torch, host={})
    assert (unknown.software, unknown.host_software, unknown.own_host) == (torch, {}, True)


def board_of(tmp_path, content, name="Made-Up"):
    path = tmp_path / f"{name}.toml"
    path.write_text(tomlkit.dumps(content), encoding="utf-8")
    return read_profile(path)


def borrowing(tmp_path, origin, name="Made-Up", **calibration):
    """A board of ten lines with the constants of another, or with copies of them."""
    content = read_toml(TEMPLATES / "gpu.toml")
    content["calibration"] = {"transferred_from": origin, **calibration}
    if calibration:
        content["constants"] = read_toml(load_profile().path)["constants"]
    return board_of(tmp_path, content, name)


def test_constants_are_borrowed_from_a_board_that_has_its_own(tmp_path):
    origin = load_profile()
    profile = borrowing(tmp_path, origin.name)
    assert (profile.constants, profile.covariance) == (origin.constants, origin.covariance)
    assert (profile.calibrated_mode, profile.held_out_spread_pct) == ("50W", origin.held_out_spread_pct)
    assert (profile.software, profile.host_software) == (origin.software, origin.host_software)
    assert profile.calibrated_facts == origin.facts
    assert profile.transferred == f", transferred from {origin.name}"
    assert profile.fact("event_pair_kcycles") == origin.fact("event_pair_kcycles")
    for name, other in (("Made-Up", "Nobody"), ("Made-Up", "Made-Up"), (origin.name, origin.name)):
        with pytest.raises(ProfileError) as refused:
            borrowing(tmp_path, other, name)
        known = ", ".join((*known_profiles(), "public-GPUs"))
        message = f"calibration.transferred_from: unknown hardware '{other}'; known: {known}"
        assert str(refused.value) == f"{tmp_path / name}.toml: {message}"
    other = next(name for name in known_profiles() if load_profile(name).transferred_from)
    with pytest.raises(
        ProfileError, match=f"{other} is itself transferred from {load_profile(other).transferred_from}$"
    ):
        borrowing(tmp_path, other)


def test_a_board_with_a_host_of_its_own_borrows_the_device_s_constants_alone(tmp_path):
    origin, own = load_profile(), {"power_mode": "default", "held_out_spread_pct": 3, "covariance": []}
    profile = borrowing(tmp_path, origin.name, **own, host={"software": {"torch": "2.5.0"}})
    assert (profile.calibrated_mode, profile.held_out_spread_pct, profile.covariance) == ("default", 3.0, ())
    assert profile.transferred == f", device transferred from {origin.name}"
    assert (profile.host_software, profile.software) == ({"torch": "2.5.0"}, {})
    assert profile.calibrated_facts == origin.facts
    with pytest.raises(ProfileError, match=r"calibration\.power_mode: unknown power mode '50W'; known: default$"):
        borrowing(tmp_path, origin.name, **{**own, "power_mode": "50W"}, host={})


def test_a_board_begins_in_its_first_power_mode_unless_it_says_another(tmp_path):
    content = read_toml(TEMPLATES / "gpu.toml")
    mode = content["power_mode"]["default"]
    content["power_mode"] = {"second": mode, "first": mode}
    assert board_of(tmp_path, content).default_mode == "second"
    with pytest.raises(ProfileError, match=r"board\.default_power_mode: unknown power mode ''; known: $"):
        board_of(tmp_path, {**content, "power_mode": {}})


@pytest.mark.parametrize(
    ("key", "text", "message"),
    [
        ("processor", "tpu", "board.processor: unknown 'tpu'; known: gpu, cpu"),
        ("name", "x", "board.name: is not known; known keys: description, "),
        ("description", "", "board.description: must be a text, got ''"),
        ("software", "", "board.software: must be a text, got ''"),
    ],
)
def test_a_board_that_cannot_be_one_is_refused(tmp_path, key, text, message):
    content = read_toml(TEMPLATES / "gpu.toml")
    content["board"][key] = text
    with pytest.raises(ProfileError, match=f": {re.escape(message)}"):
        board_of(tmp_path, content)


def test_what_a_profile_does_not_say_of_its_software_is_not_known(tmp_path):
    assert borrowing(tmp_path, "Jetson-Orin-AGX").board["software"] == "not known"
    content = read_toml(TEMPLATES / "gpu.toml")
    del content["board"]["source"]
    with pytest.raises(ProfileError, match=r"board\.source: is missing"):
        board_of(tmp_path, content)


def test_a_fact_has_the_source_of_its_board_or_one_of_its_own(tmp_path):
    content = read_toml(TEMPLATES / "gpu.toml")
    about = {"value": 8, "unit": "MiB", "source": "measured", "lower": 1, "upper": 16}
    content["facts"] = {"dram_peak_gb_s": 2000, "l2_mib": about}
    facts = board_of(tmp_path, content).facts
    assert facts["l2_mib"] == Quantity("l2_mib", 8.0, "MiB", "measured", 1.0, 16.0)
    peak = Quantity("dram_peak_gb_s", 2000.0, "GB/s", content["board"]["source"], 10.0, 10000.0)
    assert facts["dram_peak_gb_s"] == peak
    content["facts"]["l2_mib"] = {**about, "value": 300, "upper": 400}
    with pytest.raises(ProfileError, match=r"facts\.l2_mib\.value: must be a finite number from 0\.25 to 256 MiB"):
        board_of(tmp_path, content)


def test_a_profile_is_written_where_it_can_be_read_again(tmp_path):
    path, text = tmp_path / "Made-Up.toml", (TEMPLATES / "gpu.toml").read_text(encoding="utf-8")
    with pytest.raises(ProfileError) as refused:
        write_profile_text(path, text.replace("[board]", "[bord]"))
    assert str(refused.value).startswith(f"not written to {path}: bord: is not known; known keys: board, ")
    assert list(tmp_path.iterdir()) == []
    write_profile_text(path, text)
    assert path.read_text(encoding="utf-8") == text
