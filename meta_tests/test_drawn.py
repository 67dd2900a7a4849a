from __future__ import annotations

import pytest

from bench.drawn import FIT, HELD_OUT, device_errors, fitted, host_errors, load_layers, main, spread
from estimator.cost import recurrent
from estimator.interval import DOUBTS


@pytest.fixture(scope="module")
def layers():
    return load_layers()


def of(name, layers):
    return [layer for layer in layers if layer.set == name and layer.is_told_apart]


def test_constants_of_recurrent_layers_are_what_fits_those_that_were_drawn(layers):
    found = fitted([layer for layer in layers if layer.set == FIT])
    assert found == pytest.approx(recurrent.VALUES, rel=0.02)


def test_layers_that_no_fit_has_seen_are_within_what_is_said_of_them(layers):
    held_out, doubt = of(HELD_OUT, layers), DOUBTS["recurrent"]
    assert spread(host_errors(held_out, recurrent.VALUES)) < doubt.host / 2
    assert spread(device_errors(held_out, recurrent.VALUES)) < doubt.device
    assert len(held_out) == 59


def test_all_but_two_in_half_precision_ran_in_as_many_kernels_as_expected(layers):
    others = [layer for layer in layers if not layer.is_told_apart]
    assert [layer.dtype for layer in others] == ["float16", "float16"]
    assert not any(layer.is_persistent for layer in others)


def test_constants_say_their_bounds_and_lie_within(layers):
    for constant in recurrent.CONSTANTS:
        assert constant.lower < constant.value < constant.upper
        assert constant.prior == constant.value
        assert constant.prior_sigma == pytest.approx(constant.uncertainty_pct / 100, rel=0.2)


def test_constants_are_printed_beside_their_fit_and_both_sets_with_their_errors(capsys):
    assert main() == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[:6]] == [constant.name for constant in recurrent.CONSTANTS]
    assert "29 layers, host off by" in lines[6]
    assert "27 layers, host off by" in lines[9]
    assert "device off by" in lines[9]
