import math
from types import SimpleNamespace

import pytest

from estimator.compare import Comparison, compare, key_of, rate, within_band, without_estimate
from estimator.figures import significant


def estimate(latency_ms):
    return SimpleNamespace(latency_ms=latency_ms, host_ms=0.98765, device_ms=0.5, bound="host", interval_pct=5.7)


@pytest.mark.parametrize(
    ("error_pct", "rating"),
    [
        (0.0, "EXCELLENT"),
        (9.99, "EXCELLENT"),
        (-9.99, "EXCELLENT"),
        (10.0, "GOOD"),
        (-10.0, "GOOD"),
        (24.99, "GOOD"),
        (25.0, "FAIR"),
        (49.99, "FAIR"),
        (-50.0, "POOR"),
        (900.0, "POOR"),
        (math.nan, "POOR"),
        (None, "UNMEASURED"),
    ],
)
def test_a_rating_follows_from_the_size_of_the_error(error_pct, rating):
    assert rate(error_pct) == rating


def test_the_rating_judges_the_error_that_is_shown():
    row = compare("a", "A", estimate(109.99999), 100.0)
    assert (row.est_ms, row.error_pct, row.rating) == (110.0, 10.0, "GOOD")


def test_a_smaller_error_than_the_rating_promises_is_within_its_band():
    assert within_band(-3.0, "FAIR")
    assert not within_band(-50.0, "FAIR")
    assert within_band(5000.0, "POOR")


@pytest.mark.parametrize(("value", "rounded"), [(0.0123456, 0.01235), (12345.6, 12350.0), (0.0, 0.0), (1.0, 1.0)])
def test_significant_digits_are_counted_from_the_first_that_is_not_zero(value, rounded):
    assert significant(value) == rounded


def found(interval_pct):
    return SimpleNamespace(
        latency_ms=12.3456, host_ms=1.23456, device_ms=0.0123456, bound="device", interval_pct=interval_pct
    )


@pytest.mark.parametrize(("interval_pct", "shown"), [(5.67, 5.7), (0.04, 0.0), (None, None)])
def test_a_comparison_by_hand(interval_pct, shown):
    measured = compare("m", "F", found(interval_pct), 9.0, ("Board", "50W"))
    terms = "device", 1.235, 0.01235, shown
    assert measured == Comparison("m", "F", 12.35, 9.0, 37.22, "FAIR", *terms, "Board", "50W", None, None)
    alone = compare("m", "F", found(interval_pct), None)
    assert alone == Comparison("m", "F", 12.35, None, None, "UNMEASURED", *terms, "", "")


def test_a_row_without_an_estimate_has_no_figure():
    row = without_estimate("m", "F", "skipped", ("Board", "50W"))
    assert row == Comparison("m", "F", None, None, None, "SKIPPED", None, None, None, None, "Board", "50W")


def test_a_row_is_known_by_where_it_ran_and_by_its_model():
    assert without_estimate("m", "F", "failed", ("Board", "50W")).key == "Board 50W m" == key_of("m", ("Board", "50W"))
    assert without_estimate("m", "F", "failed").key == "m" == key_of("m", ("", ""))
