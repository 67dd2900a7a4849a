"""What is said of a golden that differs: one line, the terms that moved most, and which way a rating went."""

from __future__ import annotations

import json

import pytest

from estimator.goldens.content import STREAM_TITLES
from estimator.goldens.difference import Difference, term_change, term_text

BEFORE = {
    "est_ms": 10.0,
    "meas_ms": 10.5,
    "error_pct": -4.76,
    "rating": "EXCELLENT",
    "bound": "host",
    "host_ms": 10.0,
    "device_ms": 4.0,
    "interval_pct": 5.0,
    "host_terms_ms": {"product": 6.0, "copy": 4.0},
    "device_terms_ms": {"product": 3.0, "stream": 1.0},
}
UNMEASURED = {"est_ms": 10.0, "host_ms": 10.0, "device_ms": 4.0, "bound": "host", "interval_pct": None}
STREAM = ("resnet18", "3", "2", "1", "1", "-", "aaaa", "add 2, relu_ 1")
OTHER_STREAM = ("resnet18", "3", "2", "1", "1", "-", "bbbb", "add 1, mul 1, relu_ 1")
OTHER_SHAPES = (*STREAM[:6], "cccc", STREAM[7])


def difference(before=BEFORE, now=BEFORE, stream_before=STREAM, stream_now=STREAM, **changes):
    return Difference(
        "board", "50W-fp32-b4", "model", "resnet18", before, {**now, **changes}, stream_before, stream_now
    )


def rated(before, now, **changes):
    return difference({**BEFORE, "rating": before}, BEFORE, rating=now, **changes)


@pytest.mark.parametrize(
    ("found", "line"),
    [
        (difference(), "as before"),
        (difference(est_ms=10.5, rating="GOOD"), "10.00 -> 10.50 ms (+5.0 %), EXCELLENT -> GOOD"),
        (difference(est_ms=9.5), "10.00 -> 9.500 ms (-5.0 %), EXCELLENT"),
        (difference(est_ms=10.05), "10.00 -> 10.05 ms (+0.5 %), EXCELLENT"),
        (difference(est_ms=9.995), "10.00 -> 9.995 ms (-0.1 %), EXCELLENT"),
        (difference(est_ms=10.004), "10.00 -> 10.00 ms (+0.04 %), EXCELLENT"),
        (difference(est_ms=1234.5), "10.00 -> 1234 ms (+12245.0 %), EXCELLENT"),
        (difference(est_ms=999.4), "10.00 -> 999.4 ms (+9894.0 %), EXCELLENT"),
        (difference(est_ms=12345.6), "10.00 -> 12346 ms (+123356.0 %), EXCELLENT"),
        (difference({**BEFORE, "est_ms": 0.0}), "0.000 -> 10.00 ms (-), EXCELLENT"),
        (difference({**BEFORE, "meas_ms": 11}, BEFORE), "measured 11 -> 10.5 ms, EXCELLENT"),
        (difference(UNMEASURED, UNMEASURED, est_ms=11.0), "10.00 -> 11.00 ms (+10.0 %)"),
        (difference(meas_ms=12.0, error_pct=-16.7), "measured 10.5 -> 12 ms, EXCELLENT"),
        (difference(meas_ms=None, rating="UNMEASURED"), "measured 10.5 -> none ms, EXCELLENT -> UNMEASURED"),
        (difference(host_ms=11.0), "10.00 ms as before; host_ms 10 -> 11 (+10.0 %)"),
        (difference(before={}), "there is no golden to compare with, 10.00 ms now"),
        (Difference("board", "l", "model", "resnet18", BEFORE, {}), "10.00 ms before, gone now"),
        (difference(stream_before=()), "its op stream has no row in golden/op-streams.md"),
        (difference(stream_now=OTHER_STREAM), "another op stream: add 2 -> 1, mul 0 -> 1"),
        (difference(stream_now=OTHER_SHAPES), "another op stream: the same ops with other shapes"),
        (difference(stream_now=(*STREAM[:4], "2", *STREAM[5:])), "its row in golden/op-streams.md differs"),
        (
            difference(est_ms=11.0, stream_now=OTHER_STREAM),
            "10.00 -> 11.00 ms (+10.0 %), EXCELLENT; another op stream: add 2 -> 1, mul 0 -> 1",
        ),
        (
            difference(host_ms=11.0, stream_now=(*STREAM[:4], "2", *STREAM[5:])),
            "10.00 ms as before; host_ms 10 -> 11 (+10.0 %)",
        ),
    ],
)
def test_a_difference_is_one_line(found, line):
    assert found.summary() == f"resnet18: {line}"


def test_where_only_the_text_of_a_golden_differs_it_says_so():
    assert difference().summary(textual=True) == "resnet18: only the text of its golden differs"
    assert difference(est_ms=10.5).summary(textual=True) == "resnet18: 10.00 -> 10.50 ms (+5.0 %), EXCELLENT"


def test_a_difference_is_of_a_place_and_the_op_stream_of_now():
    assert difference().place == ("board", "50W-fp32-b4", "resnet18")
    assert (difference().digest_now, difference(stream_now=()).digest_now) == ("aaaa", "")


def test_an_estimate_moved_where_both_sides_have_one_and_another():
    assert difference(est_ms=10.5).moved
    assert not difference().moved
    assert not difference(before={}).moved
    assert difference(est_ms=12.0).change_pct == pytest.approx(20.0)
    assert difference(before={}).change_pct is None
    assert difference({**BEFORE, "est_ms": 0.0}).change_pct is None


@pytest.mark.parametrize(
    ("before", "now", "worse", "better"),
    [
        ("EXCELLENT", "EXCELLENT", False, False),
        ("EXCELLENT", "GOOD", True, False),
        ("POOR", "FAIR", False, True),
        ("GOOD", "UNMEASURED", True, False),
        ("UNMEASURED", "GOOD", False, False),
        (None, None, False, False),
    ],
)
def test_a_rating_gets_worse_or_better_or_goes(before, now, worse, better):
    found = rated(before, now)
    assert (found.got_worse, found.got_better) == (worse, better)
    assert found.rating_changed == (before != now)
    assert not Difference("b", "l", "model", "n", {}, BEFORE).rating_changed


@pytest.mark.parametrize(
    ("rating", "error_pct", "left"),
    [
        ("EXCELLENT", 9.99, False),
        ("EXCELLENT", 10.0, True),
        ("EXCELLENT", -10.0, True),
        ("GOOD", -24.0, False),
        ("GOOD", 25.0, True),
        ("POOR", 900.0, False),
        ("UNMEASURED", 900.0, False),
        ("EXCELLENT", None, False),
    ],
)
def test_an_error_leaves_the_band_of_the_rating_before(rating, error_pct, left):
    found = rated(rating, "FAIR", error_pct=error_pct)
    assert found.left_band == left
    assert (found.band_pct is None) == (rating in ("POOR", "UNMEASURED"))


def test_another_measurement_is_one_that_both_sides_know_of():
    assert difference(meas_ms=12.0).measured_anew
    assert not difference().measured_anew
    assert not difference(before={}).measured_anew


def test_another_stream_needs_two():
    assert difference(stream_now=OTHER_STREAM).another_stream
    assert not difference().another_stream
    assert not difference(stream_before=()).another_stream
    assert not difference(stream_now=()).another_stream


def test_the_two_terms_that_moved_most_in_ms_are_named():
    host, device = {"product": 6.1, "copy": 4.5}, {"product": 2.0, "stream": 1.0}
    found = difference(host_terms_ms=host, device_terms_ms=device, host_ms=10.6)
    assert found.most_moved() == ["device_terms_ms.product 3 -> 2 (-33.3 %)", "host_terms_ms.copy 4 -> 4.5 (+12.5 %)"]
    assert difference(host_ms=11.0, bound="device").most_moved() == ["host_ms 10 -> 11 (+10.0 %)"]
    found = difference(host_terms_ms={"product": 6.0, "copy": 2.0}, device_terms_ms=device)
    assert found.most_moved() == ["host_terms_ms.copy 4 -> 2 (-50.0 %)", "device_terms_ms.product 3 -> 2 (-33.3 %)"]
    both = difference(host_ms=11.0, device_ms=2.0, est_ms=11.0).most_moved()
    assert both == ["device_ms 4 -> 2 (-50.0 %)", "host_ms 10 -> 11 (+10.0 %)"]


@pytest.mark.parametrize(
    ("device", "text"),
    [
        ({"product": 3.0}, "device_terms_ms.stream 1 -> none"),
        ({"product": 3.0, "stream": 1.0, "view": 1.0}, "device_terms_ms.view none -> 1"),
    ],
)
def test_a_term_that_came_or_went_moved_by_all_it_takes(device, text):
    host = {"product": 6.1, "copy": 4.5}
    assert difference(device_terms_ms=device).most_moved() == [text]
    moved = difference(device_terms_ms=device, host_terms_ms=host).most_moved()
    assert moved == [text, "host_terms_ms.copy 4 -> 4.5 (+12.5 %)"]


@pytest.mark.parametrize(
    ("term", "text"),
    [
        (("host_ms", 6.41, 6.48), "host_ms 6.41 -> 6.48 (+1.1 %)"),
        (("error_pct", 1.0, -1.5), "error_pct 1 -> -1.5 (-2.50 pts)"),
        (("bound", "host", "device"), "bound host -> device"),
        (("interval_pct", None, 5.0), "interval_pct none -> 5"),
        (("device_ms", 0.0, 5.0), "device_ms 0 -> 5"),
        (("ops", 3, 4), "ops 3 -> 4 (+33.3 %)"),
        (("host_ms", 100.0, 100.05), "host_ms 100 -> 100.05 (+0.05 %)"),
    ],
)
def test_a_term_says_by_how_much_it_moved_where_that_means_something(term, text):
    assert term_text(term) == text
    assert term_change(*term) == (text[text.index("(") + 1 : -1] if "(" in text else "")


def test_a_difference_survives_json():
    found = difference(est_ms=11.0, stream_now=OTHER_STREAM)
    assert Difference.from_data(json.loads(json.dumps(found.data()))) == found


def test_a_row_of_op_streams_has_the_columns_that_are_read():
    assert STREAM[STREAM_TITLES.index("Digest")] == "aaaa"
    assert STREAM[STREAM_TITLES.index("Ops by name")] == "add 2, relu_ 1"


def test_ops_that_came_or_went_with_the_whole_stream_are_counted():
    assert difference(stream_before=()).ops_text() == ["add 0 -> 2", "relu_ 0 -> 1"]
    assert difference(stream_now=()).ops_text() == ["add 2 -> 0", "relu_ 1 -> 0"]
