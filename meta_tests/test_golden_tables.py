import re

import pytest

from estimator.goldens.tables import Table, document_text, parse_document, parse_table, table_text, with_section
from meta_tests.synthetic import TABLE


def test_a_document_is_read_as_it_was_written():
    document = {"Inputs": TABLE, "50W-fp32-b4": TABLE}
    assert parse_document(document_text("# Head\n", document)) == document


def test_a_name_with_a_bar_or_a_bracket_is_read_as_it_was_written():
    table = Table(("Model", "Note"), {"a | b<c>": ("a | b<c>", "|")})
    assert parse_table(table_text(table)) == table


def test_a_document_begins_with_its_head():
    text = document_text("# Head\n", {"Inputs": TABLE, "b4": Table(("Model",), {})})
    table = "| Model | Est (ms) | Note |\n| --- | ---: | --- |\n| b | 1.5 |  |\n| a | 20 | new |\n"
    assert text == f"# Head\n\n## Inputs\n\n{table}\n## b4\n\n| Model |\n| --- |\n"


def test_numbers_stand_to_the_right():
    assert table_text(TABLE).splitlines()[1] == "| --- | ---: | --- |"
    assert table_text(Table(("Model", "Est (ms)"), {})).splitlines()[1] == "| --- | --- |"
    mixed = Table(("Model", "Est (ms)"), {"a": ("a", "1"), "b": ("b", "none")})
    assert table_text(mixed).splitlines()[1] == "| --- | --- |"


@pytest.mark.parametrize(
    ("mark", "cells"),
    [
        ("---:", ["1", "-1.5", "+2", "1e+08", "1.5e-3", "± 5 %", "12%", "-"]),
        ("---", ["", "one", "1 ms", "--", "1 2"]),
    ],
)
def test_a_number_is_known_by_its_text_and_stands_to_the_right(mark, cells):
    for cell in cells:
        assert table_text(Table(("Value",), {cell: (cell,)})).splitlines()[1] == f"| {mark} |", cell


def test_a_row_is_read_by_its_titles():
    assert TABLE.named("a") == {"Model": "a", "Est (ms)": "20", "Note": "new"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "there must be a line of titles, and one below them"),
        ("| A |", "there must be a line of titles, and one below them"),
        ("| A |\n| b |", "the line below the titles must be | --- | --- |, got '| b |'"),
        ("| A | B |\n| --- | b |", "the line below the titles must be | --- | --- |, got '| --- | b |'"),
        ("| A | B |\n| --- | --- |\n| a |", "a row must have 2 cells, got '| a |'"),
        ("| A | A |\n| --- | --- |", "there are two columns of one title"),
        ("| A |\n| --- |\n| a |\n| a |", "there are two rows of one name"),
        ("| A", "must be a row of a table, got '| A'"),
        ("A |", "must be a row of a table, got 'A |'"),
    ],
)
def test_what_is_no_table_is_refused_with_the_line(text, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        parse_table(text)


def test_a_table_is_read_with_or_without_rows():
    assert parse_table("| A | B |\n| --- | ---: |\n") == Table(("A", "B"), {})
    assert parse_table("| A |\n\n| - |\n|  a  |") == Table(("A",), {"a": ("a",)})


def test_a_section_has_a_name_that_a_folder_can_have():
    table = "\n\n| A |\n| --- |\n"
    assert list(parse_document(f"Above\n\n##  {'n' * 100} {table}")) == ["n" * 100]
    for text, message in (
        (f"## {'n' * 101}{table}", "a section must be named in at most 100 characters, got 'nnn"),
        (f"## a{table}\n## a{table}", "there are two sections 'a'"),
        ("## a\n", "section 'a': there must be a line of titles"),
    ):
        with pytest.raises(ValueError, match=f"^{message}"):
            parse_document(text)


@pytest.mark.parametrize(
    "titles",
    [
        ["Inputs", "2", "10", "A", "a"],
        ["Inputs", "15W-b4", "15W-b16", "50W-b1", "MAXN"],
        ["a2b3", "a2b10", "a10b1", "a10c1", "b1"],
        ["a", "a1"],
    ],
)
def test_numbers_in_the_names_of_sections_count_by_size(titles):
    for order in (titles, titles[::-1]):
        document = {}
        for title in order:
            document = with_section(document, title, TABLE)
        assert list(document) == titles


def test_rows_put_in_keep_their_order_and_their_neighbours():
    table = TABLE.with_rows({"c": ("c", "3", ""), "a": ("a", "21", "")}, order=("a", "c"))
    assert list(table.rows.items()) == [("a", ("a", "21", "")), ("c", ("c", "3", "")), ("b", ("b", "1.5", ""))]
