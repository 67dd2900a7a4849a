from __future__ import annotations

import re

import pytest

from estimator.errors import ProfileError, UsageError
from estimator.hardware.boards import find_board, load_profile
from estimator.hardware.quantities import GPU_CONSTANTS
from estimator.hardware.reading import known_profiles, read_profile


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


def test_at_most_twenty_two_numbers_are_fitted():
    assert set(load_profile("Jetson-Orin-AGX").constants) == set(GPU_CONSTANTS)
    assert len(GPU_CONSTANTS) + 1 <= 22  # the synchronised call of the evidence is fitted, too


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
        (VALUE % "dispatch_kcycles", r"\g<1>nan", "constants.dispatch_kcycles.value", "finite"),
        (VALUE % "dispatch_kcycles", r"\g<1>inf", "constants.dispatch_kcycles.value", "finite"),
        (VALUE % "dispatch_kcycles", r'\g<1>"fast"', "constants.dispatch_kcycles.value", "finite number"),
        (VALUE % "dispatch_kcycles", r"\g<1>true", "constants.dispatch_kcycles.value", "finite number"),
        (VALUE % "layout_passes", r"\g<1>7", "constants.layout_passes.value", "from 0.1 to "),
        (r"(\[constants\.stream_efficiency\][^[]*upper = )1", r"\g<1>2", "stream_efficiency.upper", "physical"),
        (r"\[constants\.view_kcycles\]", "[constants.vue_kcycles]", "constants.view_kcycles", "missing"),
        (r"\[constants\.view_kcycles\]", "[constants.surplus]\n[constants.view_kcycles]", "surplus", "missing"),
        (r"bandwidth_gb_s = 170.8", "bandwidth_gb_s = 300.0", "power_mode.50W.bandwidth_gb_s", "peak of 204.8"),
        (r"bandwidth_gb_s = 170.8", "bandwidth_gb_s = 1e-308", "power_mode.50W.bandwidth_gb_s", "from 1 to 10000 GB/s"),
        (r"gpu_mhz = 816.0", "gpu_mhz = 0.816", "power_mode.50W.gpu_mhz", "from 50 to 5000 MHz, got 0.816 ("),
        (r"gpu_mhz = 816.0", f"gpu_mhz = {10**400}", "power_mode.50W.gpu_mhz", "got 1000000"),
        (r"watts = 50", "wats = 50", "power_mode.50W.wats", "known keys: cpu_mhz, gpu_mhz, sms, bandwidth_gb_s, watts"),
        (r"\[0\.0029, ", "[-0.0029, ", "calibration.covariance", "varies negatively"),
        (r"\[0\.0029, -0\.004", "[0.0029, 0.4", "calibration.covariance", "symmetric"),
        (r"bandwidth_gb_s = 170.8", "", "power_mode.50W.bandwidth_gb_s", "missing"),
        (r"cpu_mhz = 1497.6", "cpu_mhz = 1.4976", "power_mode.50W.cpu_mhz", "from 100 to 10000 MHz, got 1.4976 ("),
        (r"sms = 8", "sms = 8.5", "power_mode.30W.sms", "whole number"),
        (r'default_power_mode = "50W"', 'default_power_mode = "60W"', "board.default_power_mode", "15W, 30W, 50W"),
        (r'\n\[calibration\]\npower_mode = "50W"', '\n[calibration]\npower_mode = "60W"', "power_mode", "known"),
        (
            r"\[facts\.l2_mib\]\nvalue = 4",
            "[facts.l2_mib]\nvalue = 0",
            "facts.l2_mib.value",
            "from 0.25 to 256 MiB, got 0",
        ),
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


FIRST_ROW = r"(covariance = \[\s*\[)[^,]*,"
WHOLE = r"(?s)covariance = \[\s*\[.*?\]\s*,?\s*\]"


@pytest.mark.parametrize(
    ("pattern", "replacement", "reason"),
    [
        (FIRST_ROW, r"\g<1>", r"\[0\]: must be a list of 21 numbers"),
        (FIRST_ROW, r"\g<1>0.1, 0.1,", r"\[0\]: must be a list of 21 numbers"),
        (FIRST_ROW, r"\g<1>nan,", r"\[0\]\[0\]: must be a finite number"),
        (FIRST_ROW, r'\g<1>"much",', r"\[0\]\[0\]: must be a finite number"),
        (WHOLE, 'covariance = "much"', ": must be"),
        (WHOLE, "covariance = [[0.1]]", ": must"),
    ],
)
def test_a_covariance_is_a_square_of_finite_numbers_one_row_per_constant(damaged, pattern, replacement, reason):
    with pytest.raises(ProfileError, match=f"calibration.covariance.*{reason}"):
        read_profile(damaged(pattern, replacement))


def test_a_calibrated_profile_may_have_no_covariance(damaged):
    assert read_profile(damaged(WHOLE, "covariance = []")).covariance == ()


@pytest.mark.parametrize(
    ("lower", "value", "upper", "prior", "sigma", "reason"),
    [
        (1.0, 1.0, 2.0, 1.0, 0.1, None),
        (1.0, 2.0, 2.0, 2.0, 0.1, None),
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
    about = {"unit": '"kcycle of the CPU per op"', "source": '"made up"', "uncertainty_pct": 1.0}
    lines = "\n".join(f"{key} = {text}" for key, text in {**numbers, **about}.items())
    path = damaged(r"\[constants\.dispatch_kcycles\]\n([^\[\n][^\n]*\n)+", f"[constants.dispatch_kcycles]\n{lines}\n")
    if reason is None:
        constant = read_profile(path).constants["dispatch_kcycles"]
        assert (constant.value, constant.prior) == (value, prior)
    else:
        with pytest.raises(ProfileError, match=reason):
            read_profile(path)


def test_unknown_names_come_with_the_known_ones():
    with pytest.raises(UsageError, match=r"unknown hardware 'Jetson'; known hardware: .*Jetson-Orin-AGX"):
        load_profile("Jetson")
    with pytest.raises(UsageError, match=r"unknown thermal profile '20W' of Jetson-Orin-AGX; .*15W, 30W, 50W, MAXN"):
        load_profile("Jetson-Orin-AGX").mode("20W")


def test_a_transferred_profile_borrows_constants_and_says_from_whom():
    origin = load_profile("Jetson-Orin-AGX")
    others = [
        profile for profile in map(load_profile, known_profiles()) if profile.transferred_from and not profile.own_host
    ]
    assert all(other.transferred_from == origin.name for other in others)
    assert all(other.constants == origin.constants for other in others)


BOARD = """
[board]
description = "made up"
source = "made up"

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
def test_a_board_without_a_figure_is_refused_and_only_watts_may_be_missing(tmp_path, name):
    path = tmp_path / "Made-Up.toml"
    lines = BOARD.format(**USUAL).splitlines()
    path.write_text("\n".join(line for line in lines if not line.startswith(f"{name} = ")), encoding="utf-8")
    if name == "watts":
        assert read_profile(path).mode().watts is None
    else:
        with pytest.raises(ProfileError, match=f"{name}: is missing"):
            read_profile(path)
