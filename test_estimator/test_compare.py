import math
from types import SimpleNamespace

import pytest

from estimator.compare import compare, rate, within_band, without_estimate
from estimator.digits import significant


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


def test_the_error_is_positive_when_the_estimate_is_too_long():
    assert compare("a", "A", estimate(11.0), 10.0).error_pct == 10.0
    assert compare("a", "A", estimate(9.0), 10.0).error_pct == -10.0


def test_the_rating_judges_the_error_that_is_shown():
    row = compare("a", "A", estimate(109.99999), 100.0)
    assert (row.est_ms, row.error_pct, row.rating) == (110.0, 10.0, "GOOD")


def test_times_keep_four_significant_digits():
    row = compare("a", "A", estimate(247.6489), 247.63)
    assert (row.est_ms, row.host_ms) == (247.6, 0.9877)


def test_without_a_measurement_there_is_no_error():
    row = compare("a", "A", estimate(5.0), None)
    assert (row.meas_ms, row.error_pct, row.rating) == (None, None, "UNMEASURED")


def test_a_model_without_an_estimate_is_rated_by_what_became_of_its_test():
    assert without_estimate("a", "A", "failed").rating == "FAILED"


def test_a_smaller_error_than_the_rating_promises_is_within_its_band():
    assert within_band(-3.0, "FAIR")
    assert not within_band(-50.0, "FAIR")
    assert within_band(5000.0, "POOR")


@pytest.mark.parametrize(("value", "rounded"), [(0.0123456, 0.01235), (12345.6, 12350.0), (0.0, 0.0), (1.0, 1.0)])
def test_significant_digits_are_counted_from_the_first_that_is_not_zero(value, rounded):
    assert significant(value) == rounded
