"""Numbers, texts and tables of files and options: what is taken, and the line for what is not."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from estimator import checked
from estimator.checked import ANY, Bounds, Checked, number, one_of, parsed, parsed_whole, shown, text_of, whole
from estimator.errors import ProfileError, RecordError, UsageError

WIDE = Bounds(1, 1000, "MHz", "no clock is higher")
FILE = Path("some.toml")


@pytest.mark.parametrize("value", [1, 1.0, 500.5, 1000])
def test_a_number_within_its_bounds_is_a_float(value):
    assert number(value, WIDE) == float(value)
    assert isinstance(number(value, WIDE), float)
    assert parsed(str(value), WIDE) == float(value)


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (0.999, " (no clock is higher)"),
        (1000.5, " (no clock is higher)"),
        (10**400, ""),
        (math.nan, ""),
        (math.inf, ""),
        (True, " (no clock is higher)"),
        ("5", ""),
        (None, ""),
        ([1], ""),
    ],
    ids=str,
)
def test_what_is_no_number_within_its_bounds_is_refused_with_them(value, why):
    if value == 10**400:
        why = " (no clock is higher)"
    with pytest.raises(ValueError, match="must be a finite number from 1 to 1000 MHz") as refused:
        number(value, WIDE)
    assert str(refused.value) == f"must be a finite number from 1 to 1000 MHz, got {shown(value)}{why}"


def test_a_whole_number_has_no_fraction():
    assert whole(7.0, WIDE) == 7
    assert isinstance(whole(7.0, WIDE), int)
    with pytest.raises(ValueError, match=r"must be a whole number from 1 to 1000 MHz, got 7\.5"):
        whole(7.5, WIDE)


def test_without_bounds_any_number_will_do_that_a_few_operations_leave_finite():
    assert (number(-1e300), number(1e300), number(0)) == (-1e300, 1e300, 0.0)
    for value in (1.1e300, -1.1e300):
        with pytest.raises(ValueError, match=r"^must be a finite number, got"):
            number(value, ANY)


@pytest.mark.parametrize(
    ("text", "value"), [("1", 1), ("+2.5", 2.5), (".5e1", 5), ("5.", 5), ("1e2", 100), ("1E+2", 100), ("100e-1", 10)]
)
def test_a_cell_says_a_number(text, value):
    assert parsed(text, WIDE) == value


@pytest.mark.parametrize(
    "text", ["1_0", " 5", "5 ", "0x5", "nan", "inf", "", "five", "\u0665", "1e", "--1", "0.5", "1001"]
)
def test_a_cell_that_says_none_is_refused(text):
    with pytest.raises(ValueError, match="must be a finite number from 1 to 1000 MHz, got"):
        parsed(text, WIDE)


def test_an_option_counts_in_digits_alone():
    assert (parsed_whole("1", WIDE), parsed_whole("0999", WIDE), parsed_whole("1000", WIDE)) == (1, 999, 1000)
    for text in ("0", "1001", "-1", "+1", "1.0", "1e2", "", "1" * 19):
        with pytest.raises(ValueError, match="must be a whole number from 1 to 1000 MHz"):
            parsed_whole(text, WIDE)
    assert parsed_whole("9" * 18, Bounds(0, 1e18)) == int("9" * 18)


def test_a_text_is_more_than_blanks():
    assert text_of(" a ") == " a "
    for value in ("", "  ", None, 5):
        with pytest.raises(ValueError, match="must be a text, got"):
            text_of(value)


def test_one_of_what_is_known_is_of_its_type_too():
    assert one_of("host", ("host", "device")) == one_of("".join(("ho", "st")), ("host", "device")) == "host"
    assert one_of([1], ("host", [1])) == [1]
    assert one_of(None, (None, "x")) is None
    for value in ("Host", 1, True, None):
        with pytest.raises(ValueError, match=r"known: host, device, 1\.0"):
            one_of(value, ("host", "device", 1.0))


def test_a_long_value_is_cut_in_a_message():
    assert shown("x" * 58) == repr("x" * 58)
    assert shown("x" * 59) == "'" + "x" * 39 + "... (61 characters)"
    assert shown({"a": 1}) == "{'a': 1}"

    class Endless:
        def __repr__(self):
            raise RecursionError

    assert shown(Endless()) == "Endless that is too long to print"


def test_an_option_is_named_where_its_value_is_refused():
    assert checked.checked_option("--runs", lambda: 3) == 3
    with pytest.raises(UsageError, match=r"^--runs: must be a whole number from 1 to 1000 MHz, got '0'"):
        checked.checked_option("--runs", lambda: parsed_whole("0", WIDE))


def test_a_table_names_file_and_key_of_what_is_wrong():
    table = Checked(FILE, {"clock": 5, "name": "x", "inner": {"deep": 0}}, "board", ProfileError, "delete it")
    assert (table.number("clock", WIDE), table.text("name"), table.text("other", "default")) == (5.0, "x", "default")
    assert (table.has("clock"), table.has("other"), table.get("clock")) == (True, False, 5)
    assert (table.text("name", "default"), table.whole("clock", WIDE)) == ("x", 5)
    assert table.one_of("clock", (4, 5)) == table.check("clock", 4, lambda value, more: value + more, 1) == 5
    for ask, line in (
        (lambda: table.get("other"), "board.other: is missing; keys here: clock, name, inner; delete it"),
        (lambda: table.text("clock"), "board.clock: must be a text, got 5; delete it"),
        (lambda: table.text("clock", "default"), "board.clock: must be a text, got 5; delete it"),
        (lambda: table.text("other"), "board.other: is missing; keys here: clock, name, inner; delete it"),
        (
            lambda: table.whole("clock", Bounds(6, 7)),
            "board.clock: must be a finite number from 6 to 7, got 5; delete it",
        ),
        (lambda: table.one_of("clock", (6, 7)), "board.clock: unknown 5; known: 6, 7; delete it"),
        (lambda: table.tables(), "board.clock: must be a table, got 5; delete it"),
        (lambda: table.table("inner").number("deep", WIDE), "board.inner.deep: must be a finite number from 1 to 1000"),
        (lambda: table.only(("clock", "name")), "board.inner: is not known; known keys: clock, name; delete it"),
        (lambda: table.only(("clock", "name", "inner", "more"), needed=True), "board.more: is missing; keys here: "),
        (lambda: table.table("name"), "board.name: must be a table, got 'x'; delete it"),
    ):
        with pytest.raises(ProfileError) as refused:
            ask()
        assert str(refused.value).startswith(f"some.toml: {line}")
    inner = Checked(FILE, {"inner": {"deep": 0}}, "board").tables()["inner"]
    assert (inner.path, inner.key, inner.content) == (FILE, "board.inner", {"deep": 0})
    table.only(("clock", "name", "inner", "more"))
    table.only(("clock", "name", "inner"), needed=True)


def test_a_document_that_is_no_table_is_said_of_the_document():
    with pytest.raises(RecordError, match=r"^some\.toml: document: must be a table, got \[1\]$"):
        Checked(FILE, [1])
    with pytest.raises(RecordError, match=r"^some\.toml: other: is missing; keys here: none$"):
        Checked(FILE, {}).get("other")


def test_a_key_that_would_break_the_line_is_shown_as_a_text():
    table = Checked(FILE, {})
    assert table.where("a key [1] (x) .,+/=-") == "a key [1] (x) .,+/=-"
    assert table.where("two\nlines") == repr("two\nlines")
    assert table.where("k" * 61) == shown("k" * 61)
    assert table.where("k" * 60) == "k" * 60


def test_lists_have_as_many_numbers_as_they_should():
    table = Checked(
        FILE, {"row": [1, 2.5], "rows": [[1, 2], [3, 4]], "empty": [], "ragged": [[1, 2], [3]], "text": "x"}
    )
    assert table.numbers("row") == table.numbers("row", WIDE, 2) == (1.0, 2.5)
    assert table.rows("rows", 2) == ((1.0, 2.0), (3.0, 4.0))
    assert table.rows("empty", 2) == table.numbers("empty", count=0) == ()
    for ask, line in (
        (lambda: table.numbers("empty"), "empty: must be a list of some numbers, got []"),
        (lambda: table.numbers("row", WIDE, 3), "row: must be a list of 3 numbers, got [1, 2.5]"),
        (lambda: table.numbers("text"), "text: must be a list, got 'x'"),
        (lambda: table.numbers("row", Bounds(2, 3)), "row[0]: must be a finite number from 2 to 3, got 1"),
        (lambda: table.rows("ragged", 2), "ragged[1]: must be a list of 2 numbers, got [3]"),
        (lambda: table.rows("rows", 2, Bounds(1, 3)), "rows[1][1]: must be a finite number from 1 to 3, got 4"),
        (lambda: table.rows("row", 2), "row[0]: must be a list of 2 numbers, got 1"),
    ):
        with pytest.raises(RecordError) as refused:
            ask()
        assert str(refused.value) == f"some.toml: {line}"
