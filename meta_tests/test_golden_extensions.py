import math
from types import SimpleNamespace

import pytest
from syrupy.data import Snapshot, SnapshotCollection

from estimator.errors import RecordError
from estimator.goldens.content import ESTIMATE_TITLES
from estimator.goldens.extensions import JsonGolden, TableGolden, TextGolden, json_text, matches, part_of
from estimator.goldens.files import document_head
from estimator.goldens.tables import Document, Table, document_text, table_text
from meta_tests.made_up import TABLE


class Asked:
    """What syrupy gives for a place: whether data are the same, what went wrong each time, and its session."""

    def __init__(self, is_same, wrong=(None,), session=None):
        self.executions = {number: SimpleNamespace(exception=error) for number, error in enumerate(wrong)}
        self.num_executions = len(wrong)
        self.session = session or SimpleNamespace(update_snapshots=False)
        self._is_same = is_same

    def __eq__(self, data):
        return self._is_same and data == "data"

    __hash__ = None

    def __call__(self, name, extension_class):
        assert (name, extension_class) == ("place", TextGolden)
        return self


class Session:
    """A session of syrupy that updates goldens."""

    update_snapshots = True

    def __init__(self, error=None):
        self.written, self.error = [], error
        self._queued_snapshot_writes = {"queued": 1}

    def flush_snapshot_write_queue(self):
        if self.error is not None:
            raise self.error
        self.written.append("all")


def matched(asked):
    return matches(asked, "place", TextGolden, "data")


def test_a_golden_says_the_same_or_not():
    assert matched(Asked(True)) is True
    assert matched(Asked(False)) is False


def test_what_went_wrong_with_a_golden_the_last_time_is_raised():
    assert matched(Asked(True, wrong=(RecordError("earlier"), None)))
    with pytest.raises(RecordError, match=r"^last$"):
        matched(Asked(True, wrong=(None, RecordError("last"))))


def test_goldens_are_written_at_once_when_they_are_updated():
    session = Session()
    assert matched(Asked(True, session=session)) is True
    assert session.written == ["all"]


def test_what_could_not_be_written_is_raised_and_not_tried_again():
    session = Session(OSError("no space left"))
    with pytest.raises(OSError, match="no space left"):
        matched(Asked(True, session=session))
    assert session._queued_snapshot_writes == {}
    del session._queued_snapshot_writes
    with pytest.raises(OSError, match="no space left"):
        matched(Asked(True, session=session))


def test_json_has_sorted_keys_and_no_number_that_json_does_not_know():
    assert json_text({"b": {"d": 1, "c": None}, "a": "text"}) == '{\n  "a": "text",\n  "b": {"d": 1, "c": null}\n}\n'
    assert JsonGolden().serialize({"a": 1}) == json_text({"a": 1})
    for value in (math.nan, math.inf):
        with pytest.raises(ValueError, match="not JSON compliant"):
            json_text({"a": value})


def test_a_snapshot_s_name_says_its_file_section_and_row(tmp_path):
    conftest = SimpleNamespace(__file__=str(tmp_path / "conftest.py"), pytest_plugins="estimator.suite.plugin")
    manager = SimpleNamespace(get_plugins=lambda: [conftest])
    location = SimpleNamespace(item=SimpleNamespace(config=SimpleNamespace(pluginmanager=manager)))
    assert part_of("board/estimates", "50W") == "board/estimates\n50W"
    assert part_of("board/estimates", "50W", "tiny") == "board/estimates\n50W\ntiny"
    for extension, suffix in ((TableGolden, "md"), (JsonGolden, "json"), (TextGolden, "md")):
        place = extension.get_location(test_location=location, index="board/estimates\n50W\ntiny")
        assert place == str(tmp_path / "golden" / "board" / f"estimates.{suffix}")
        assert extension.get_snapshot_name(test_location=location, index="a\nb") == "a\nb"
        assert extension.get_snapshot_name(test_location=location) == "0"
        assert len(list(extension().discover_snapshots())) == 0


def written(extension, path, *parts):
    collection = SnapshotCollection(location=str(path))
    for name, data in parts:
        collection.add(Snapshot(name, data))
    extension.write_snapshot_collection(snapshot_collection=collection)
    extension._write_snapshot_collection(snapshot_collection=collection)
    return path.read_text(encoding="utf-8")


def test_a_golden_of_text_is_written_whole(tmp_path):
    assert written(TextGolden, tmp_path / "validation.md", ("place", "one ± two\n")) == "one ± two\n"


def part(name, section, row):
    found = TableGolden().read_snapshot_data_from_location(
        snapshot_location=str(name), snapshot_name=part_of("place", section, row), session_id="1"
    )
    again = TableGolden()._read_snapshot_data_from_location(
        snapshot_location=str(name), snapshot_name=part_of("place", section, row), session_id="1"
    )
    assert found == again
    return found


def test_a_part_of_a_table_is_a_section_or_a_row_with_its_titles(tmp_path):
    path = tmp_path / "estimates.md"
    path.write_text(document_text("# Head", Document({"50W-fp32-b1": Table(ESTIMATE_TITLES, {})})))
    assert part(path, "50W-fp32-b1", "") == table_text(Table(ESTIMATE_TITLES, {}))
    path.write_text(document_text("# Head", Document({"50W": TABLE})))
    assert part(path, "50W", "") == TableGolden().serialize(TABLE) == table_text(TABLE)
    assert part(path, "50W", "a") == table_text(Table(TABLE.titles, {"a": TABLE.rows["a"]}))
    for section, row in (("15W", ""), ("15W", "a"), ("50W", "c")):
        assert part(path, section, row) is None


def rows_of(*names, titles=("Model", "Est (ms)"), **figures):
    return Table(titles, {name: (name, figures.get(name, "1")) for name in names})


@pytest.mark.parametrize(
    ("parts", "sections"),
    [
        ([("15W", "", rows_of("x", "vgg11"))], {"15W": rows_of("vgg11", "x"), "50W": rows_of("y", "vgg16")}),
        ([("50W", "", rows_of("x"))], {"50W": rows_of("x")}),
        ([("50W", "", rows_of("x")), ("50W", "y", rows_of("y"))], {"50W": rows_of("x", "y")}),
        ([("50W", "y", rows_of("y", y="2")), ("50W", "", rows_of("x", "y"))], {"50W": rows_of("x", "y", y="2")}),
        ([("50W", "x", rows_of("x"))], {"50W": rows_of("vgg16", "y", "x")}),
        ([("50W", "vgg11", rows_of("vgg11"))], {"50W": rows_of("vgg11", "vgg16", "y")}),
        (
            [("50W", "x", rows_of("x")), ("50W", "vgg11", rows_of("vgg11", titles=("Model", "Now")))],
            {"50W": rows_of("vgg11", "vgg16", "y", "x", titles=("Model", "Now"))},
        ),
        (
            [("15W", "x", rows_of("x")), ("15W", "vgg11", rows_of("vgg11"))],
            {"15W": rows_of("vgg11", "x"), "50W": rows_of("y", "vgg16")},
        ),
    ],
)
def test_parts_are_put_into_their_table_in_the_order_of_the_zoo_and_the_others_stay(tmp_path, parts, sections):
    path = tmp_path / "golden" / "Made-Up" / "estimates.md"
    path.parent.mkdir(parents=True)
    path.write_text(document_text("# Old head", Document({"50W": rows_of("y", "vgg16")})))
    named = [(part_of("place", section, row), table_text(table)) for section, row, table in parts]
    assert written(TableGolden, path, *named) == document_text(document_head(path), Document(sections))
