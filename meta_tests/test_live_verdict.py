"""Whether the suite changed since a record, or the device and its software: on records that are synthetic."""

from __future__ import annotations

import re
import shutil
import subprocess

import pytest

from estimator.goldens.repository import Repository
from estimator.hardware.boards import ThisCpu
from estimator.opstream import digest
from estimator.records.record import Record
from estimator.review.live_verdict import COMPARED, live_verdict_lines
from estimator.subjects.zoo import MODELS
from estimator.target import resolve, target_on
from meta_tests.estimating import op_stream

at = Repository.at

NOW = {"board": "an Orin", "mode": "50W", "software": "torch 2.5", "clocks": "gpu 816 MHz", "date": "today"}
THEN = {**NOW, "date": "then", "source": "synthetic"}
RUNS = {"resnet18": (6.7,)}
SAME_OPS = "  The same ops were measured: another latency is the doing of the board, its software or the protocol."


@pytest.fixture
def root(request, tmp_path):
    """A folder with the goldens of this repository, which no git knows."""
    shutil.copytree(request.config.rootpath / "golden", tmp_path / "golden")
    return tmp_path


def said(root, provenance=THEN, runs=RUNS, now=NOW, names=("resnet18",), hardware="Jetson-Orin-AGX"):
    target = resolve(hardware)
    return list(
        live_verdict_lines(at(root), target, Record(root / "record.toml", provenance, runs), now, digests(names))
    )


def digests(names):
    """Of the op streams now; a name that is no model's is that of somebody's own module."""
    own = dict.fromkeys(names, "0123456789ab")
    return {**own, **{model.name: digest(op_stream(model)) for model in MODELS if model.name in names}}


def of_device(lines):
    start = lines.index("  The board and its software, since the record:")
    return [line.strip() for line in lines[start + 1 :]]


def test_where_nothing_changed_the_device_did_it(root):
    assert said(root) == [
        "  This suite, since the goldens were made:",
        "    op streams: the same, 1 of 1",
        "  The board and its software, since the record:",
        "    nothing that the record says is different",
        SAME_OPS,
    ]


def test_what_differs_from_the_record_is_named_before_and_now(root):
    lines = of_device(said(root, now={**NOW, "software": "torch 2.6", "clocks": "gpu 600 MHz", "date": "later"}))
    assert lines == ["software: torch 2.5 -> torch 2.6", "clocks: gpu 816 MHz -> gpu 600 MHz", SAME_OPS.strip()]


def test_what_the_record_does_not_say_is_not_different(root):
    lines = of_device(said(root, now={**NOW, "threads": "8", "variables": "none"}))
    unknown = "the record does not say: threads, variables"
    assert lines == [unknown, "nothing that the record says is different", SAME_OPS.strip()]


def test_without_a_record_there_is_nothing_to_compare_with(root):
    assert of_device(said(root, runs={})) == ["there is no record to compare with"]


def test_another_op_stream_is_another_model(root):
    path = root / "golden" / "op-streams.md"
    text, count = re.subn(r"(\| resnet18 \|.*?\| )([0-9a-f]{6,})( \|)", r"\g<1>abcdef\g<3>", path.read_text("utf-8"))
    assert count > 0
    path.write_text(text, encoding="utf-8")
    lines = said(root, names=("resnet18", "vgg11"))
    assert lines[1:2] == [
        "    resnet18: another op stream than then: another model, or another torch or torchvision, is measured"
    ]
    assert SAME_OPS not in lines


def test_op_streams_that_nobody_kept_are_not_known_to_be_the_same(root):
    (root / "golden" / "op-streams.md").unlink()
    lines = said(root)
    assert lines[1] == "    op streams: known of 0 of 1, and the same"
    assert SAME_OPS not in lines


def test_a_moved_input_moves_estimates_and_no_latency(root):
    path = root / "golden" / "Jetson-Orin-AGX" / "estimates.md"
    row = r"(\| constant.dispatch_kcycles \| )[0-9.]+"
    path.write_text(re.sub(row, r"\g<1>1.0", path.read_text("utf-8")), encoding="utf-8")
    (line,) = (line for line in said(root) if "dispatch_kcycles" in line)
    assert re.fullmatch(r"    dispatch_kcycles 1 -> .* \(moves estimates, no latency\)", line)


def test_inputs_that_nobody_kept_are_not_known(root):
    (root / "golden" / "Jetson-Orin-AGX" / "estimates.md").unlink()
    assert "    inputs: not known, for none were kept then" in said(root)


def committed(root):
    """Commits what is below the folder; returns the revision."""
    identity = ("-c", "user.name=x", "-c", "user.email=x@x")
    for words in (("init", "-q"), ("add", "."), (*identity, "commit", "-q", "-m", "x")):
        subprocess.run(["git", "-C", str(root), *words], check=True)
    found = subprocess.run(["git", "-C", str(root), "rev-parse", "HEAD"], check=True, stdout=subprocess.PIPE)
    return found.stdout.decode().strip()


def test_what_git_has_of_the_revision_is_what_stood_then(root):
    since_goldens = "  This suite, since the goldens were made:"
    assert said(root, provenance={**THEN, "revision": "0123456789abcdef and changes"})[0] == since_goldens
    streams = root / "golden" / "op-streams.md"
    text = streams.read_bytes()
    streams.unlink()
    revision = committed(root)
    streams.write_bytes(text)
    assert said(root, provenance={**THEN, "revision": f"{revision} and changes"})[:2] == [
        f"  This suite, since the record's revision {revision[:12]}:",
        "    op streams: known of 0 of 1, and the same",
    ]
    assert said(root)[:2] == [since_goldens, "    op streams: the same, 1 of 1"]


def test_every_circumstance_of_a_latency_is_compared(root):
    then = {key: f"{key} then" for key in COMPARED}
    now = {key: f"{key} now" for key in COMPARED}
    *lines, last = of_device(said(root, provenance=then, now={**now, "source": "another"}))
    assert lines == [f"{key}: {key} then -> {key} now" for key in COMPARED]
    assert last == SAME_OPS.strip()
    assert of_device(said(root, provenance=then, now={"board": "board then"})) == [
        "nothing that the record says is different",
        SAME_OPS.strip(),
    ]


def test_op_streams_of_which_some_are_known_are_not_all_known_to_be_the_same(root):
    lines = said(root, names=("resnet18", "somebody_s_own"))
    assert lines[1] == "    op streams: known of 1 of 2, and the same"
    assert SAME_OPS not in lines


def test_how_well_constants_hold_moves_no_estimate_and_is_not_named(root):
    path = root / "golden" / "Jetson-Orin-AGX" / "estimates.md"
    text, count = re.subn(r"(\| held_out\.[^|]* \| )[0-9.]+", r"\g<1>1.0", path.read_text("utf-8"))
    assert count > 0
    path.write_text(text, encoding="utf-8")
    assert said(root)[1:3] == ["    op streams: the same, 1 of 1", "  The board and its software, since the record:"]


def test_a_machine_without_goldens_has_no_inputs_to_compare(root):
    board = ThisCpu()
    target = target_on(board, board.base_profile())
    lines = list(
        live_verdict_lines(at(root), target, Record(root / "record.toml", THEN, RUNS), NOW, digests(["resnet18"]))
    )
    assert lines[1:3] == ["    op streams: the same, 1 of 1", "  The board and its software, since the record:"]
