"""Op streams in the user's cache are those that a capture would give, and are captured anew where they might not be."""

from __future__ import annotations

import importlib.metadata
import os
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch

from estimator.estimates import Estimates
from estimator.goldens.content import STREAM_TITLES, golden_data, stream_row
from estimator.goldens.difference import Difference
from estimator.goldens.extensions import json_text
from estimator.goldens.inputs import inputs_table, with_inputs
from estimator.goldens.repository import OP_STREAMS, Repository, golden_root
from estimator.goldens.tables import Table
from estimator.lower import lower
from estimator.opstream import Captured, Op, TensorSpec, digest, parse_stream, stream_text
from estimator.pipeline import estimate_lowered
from estimator.records.kinds import own_kind
from estimator.review.review import review, review_differences
from estimator.review.sides import read_side
from estimator.review.verdict import verdict_lines
from estimator.subjects import streams as cached
from estimator.subjects.custom import OwnModel
from estimator.subjects.patterns import PATTERNS
from estimator.subjects.streams import Streams, sources_digest
from estimator.subjects.zoo import MODELS
from estimator.target import resolve
from meta_tests.estimating import op_stream

ROOT = Path(__file__).parents[1]
TENSOR = TensorSpec((2, 3), "float32", 4)
INPUTS = "Jetson-Orin-AGX"
CAPTURED = Streams(use_cache=False)


@dataclass(frozen=True)
class Layer:
    """A subject of one layer, which need not be the one that another process has captured under its name."""

    layer: str
    name: str = "one_layer"

    def build(self):
        return getattr(torch.nn, self.layer)()

    def example_input(self, batch_size=1):
        return torch.empty(batch_size, 3, device="meta")


FIRST, SECOND = Layer("ReLU"), Layer("GELU")


def op_of(subject, *how, **options):
    """The name of the one op that a process which begins now has of the subject."""
    (op,) = Streams(**options).ops(subject, *how)
    return op.name


def is_captured_again():
    return op_of(SECOND) == "aten.gelu"


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """An empty cache, used as on somebody's machine."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("CI", raising=False)
    return tmp_path / "cache" / "golden-latency" / "op-streams"


@pytest.fixture
def kept(folder):
    """The file of an op stream that was captured before."""
    op_of(FIRST)
    (path,) = folder.iterdir()
    return path


def typed(value):
    """The value with the type of everything in it: 1, 1.0 and True are equal, and no two of them are the same."""
    if isinstance(value, tuple):
        return tuple(map(typed, value))
    return (type(value), value)


@pytest.mark.parametrize(
    ("subject", "precision"),
    [*((subject, "fp32") for subject in (*MODELS, *PATTERNS)), (MODELS[5], "fp16"), (MODELS[-3], "bf16")],
    ids=lambda value: getattr(value, "name", value),
)
def test_what_is_read_is_what_was_captured(subject, precision):
    captured = CAPTURED.of(subject, 1, precision)
    found = parse_stream(stream_text(captured))
    assert found == captured
    read, ops = found.ops, captured.ops
    assert [typed((op.args, op.kwargs)) for op in read] == [typed((op.args, op.kwargs)) for op in ops]
    assert digest(read) == digest(ops)
    target = resolve(precision=precision)
    assert estimate_lowered(lower(read), target) == estimate_lowered(lower(ops), target)


def test_ops_hold_nothing_but_plain_values():
    found = {type(part) for op in op_stream(MODELS[-3]) for part in flat((op.args, op.kwargs))}
    assert found <= {TensorSpec, bool, int, float, str, type(None)}


def flat(value):
    return [part for one in value for part in flat(one)] if isinstance(value, tuple) else [value]


def test_a_stream_keeps_the_types_of_its_numbers():
    odd = tuple(Op("aten.add", (TENSOR, number), (("alpha", ()),), (TENSOR,), False, True) for number in (1, 1.0, True))
    odd += (Op("aten.clamp", (TENSOR, (None, float("inf"), "floor", 2**70)), (), (), True, False),)
    read = parse_stream(stream_text(Captured(odd, ("",) * len(odd)))).ops
    assert [typed((op.args, op.kwargs, op.outputs)) for op in read] == [
        typed((op.args, op.kwargs, op.outputs)) for op in odd
    ]


def test_a_second_process_captures_nothing(kept):
    assert op_of(SECOND) == "aten.relu"


@pytest.mark.parametrize("damage", [b"", b"\xff\xfe", b"{}", "half", "one letter"])
def test_a_damaged_entry_is_captured_anew_and_mended(kept, damage):
    whole = kept.read_bytes()
    damaged = {"half": whole[: len(whole) // 2], "one letter": whole.replace(b"relu", b"rely")}
    kept.write_bytes(damaged.get(damage, damage))
    assert is_captured_again()
    assert op_of(FIRST) == "aten.gelu"


@pytest.mark.parametrize("found", ["a pipe", "a link", "of another batch"])
def test_what_is_no_entry_of_its_own_is_captured_anew_and_mended(kept, found, tmp_path):
    elsewhere = tmp_path / "elsewhere.txt"
    elsewhere.write_text("mine", encoding="utf-8")
    op_of(FIRST, 2)
    (other,) = (path for path in kept.parent.iterdir() if path != kept)
    kept.unlink()
    {
        "a pipe": lambda: os.mkfifo(kept),
        "a link": lambda: kept.symlink_to(elsewhere),
        "of another batch": lambda: other.rename(kept),
    }[found]()
    assert is_captured_again()
    assert (kept.is_file(), kept.is_symlink(), elsewhere.read_text(encoding="utf-8")) == (True, False, "mine")
    assert op_of(FIRST) == "aten.gelu"


def test_another_model_batch_or_type_is_another_entry(kept):
    for other in ((replace(SECOND, name="another"),), (SECOND, 2), (SECOND, 1, "fp16")):
        assert op_of(*other) == "aten.gelu"
    assert not is_captured_again()


@pytest.mark.parametrize("name", ["torch", "torchvision"])
def test_another_release_is_another_entry(kept, name, monkeypatch):
    version = importlib.metadata.version
    monkeypatch.setattr(importlib.metadata, "version", lambda asked: "9.9" if asked == name else version(asked))
    assert is_captured_again()


def test_without_a_release_that_is_known_nothing_is_kept(folder, monkeypatch):
    def missing(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", missing)
    assert op_of(FIRST) == "aten.relu"
    assert not folder.exists()


def test_another_python_is_another_entry(kept, monkeypatch):
    monkeypatch.setattr(sys, "version_info", (3, 99, 0))
    assert is_captured_again()


def test_each_source_that_captures_counts(tmp_path):
    package = copied_package(tmp_path)
    capturing = "capture missing_operators subjects.zoo subjects.patterns subjects.single_kernels".split()
    script = f"import sys, {', '.join(f'estimator.{name}' for name in capturing)}; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True, capture_output=True, text=True)
    imported = [name.split(".")[1:] for name in run.stdout.split() if name.startswith("estimator.")]
    sources = [path for path in (package.joinpath(*names).with_suffix(".py") for names in imported) if path.is_file()]
    assert len(sources) > len(capturing)
    for path in sources:
        before = sources_digest(package)
        changed(path)
        assert sources_digest(package) != before


@pytest.mark.parametrize("name", ["pipeline.py", "interval.py", "lower/product.py", "cost/gpu.py", "suite/replay.py"])
def test_no_source_that_estimates_counts(tmp_path, name):
    package = copied_package(tmp_path)
    before = sources_digest(package)
    changed(package / name)
    assert sources_digest(package) == before


def copied_package(tmp_path):
    for path in (ROOT / "estimator").rglob("*.py"):
        copy = tmp_path / path.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(path.read_bytes())
    return tmp_path / "estimator"


def changed(path):
    path.write_text(path.read_text(encoding="utf-8") + "\n# changed\n", encoding="utf-8")


def test_where_ci_is_set_all_is_captured_and_nothing_written(kept, monkeypatch):
    before = kept.read_bytes()
    monkeypatch.setenv("CI", "false")
    assert is_captured_again()
    assert kept.read_bytes() == before


def test_without_the_cache_all_is_captured(kept):
    assert op_of(SECOND, use_cache=False) == "aten.gelu"
    assert not is_captured_again()


def test_a_cache_that_cannot_be_written_costs_nothing_but_time(folder):
    folder.parent.parent.mkdir()
    folder.parent.write_text("a file where the folder should be", encoding="utf-8")
    assert op_of(FIRST) == "aten.relu"


def test_the_newest_entries_stay(folder, monkeypatch):
    monkeypatch.setattr(cached, "MOST_ENTRIES", 2)
    for number, name in enumerate(("first", "second", "third")):
        op_of(replace(FIRST, name=name))
        os.utime(next(folder.glob(f"{name}-*")), (number, number))
    op_of(replace(FIRST, name="fourth"))
    assert sorted(path.name.split("-")[0] for path in folder.iterdir()) == ["fourth", "third"]


def test_the_cache_stays_below_its_size(folder, monkeypatch):
    op_of(FIRST)
    monkeypatch.setattr(cached, "MOST_BYTES", 1)
    op_of(replace(FIRST, name="another"))
    assert list(folder.iterdir()) == []


WRITER = """
import sys
from pathlib import Path
from types import SimpleNamespace

from estimator.opstream import Captured, Op
from estimator.subjects import streams

class Subject(SimpleNamespace):
    __hash__ = object.__hash__

own = Captured((Op(sys.argv[2], (), (), (), False, False),), ("",))
streams._import_torchvision, streams._capture = lambda: None, lambda *_: own
for _ in range(100):
    for path in Path(sys.argv[1]).glob("*.txt"):
        path.unlink(missing_ok=True)
    subject = Subject(name="one_layer", build=lambda: None, example_input=lambda batch_size: None)
    (op,) = streams.Streams().ops(subject)
    assert op.name in ("aten.relu", "aten.gelu")
"""


def test_two_processes_write_one_entry_at_a_time(folder):
    commands = [[sys.executable, "-c", WRITER, str(folder), name] for name in ("aten.relu", "aten.gelu")]
    writers = [subprocess.Popen(command, cwd=ROOT) for command in commands]
    assert [writer.wait() for writer in writers] == [0, 0]
    assert [path.name.split("-")[0] for path in folder.iterdir()] == ["one_layer"]


WITHOUT_TORCH = """
import sys
import pytest

code = pytest.main(["-q", "-p", "no:cacheprovider"])
assert code == 0, code
loaded = [name for name in ("torch", "torchvision") if name in sys.modules]
assert loaded == [], loaded
"""


def test_a_replay_with_a_warm_cache_imports_no_torch(folder):
    warm = Streams()
    for subject in (*MODELS, *PATTERNS):
        warm.ops(subject)
    environment = {key: text for key, text in os.environ.items() if not key.startswith("PYTEST_")}
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "44 passed" in done.stdout


def own(name="test_mine"):
    return OwnModel(name, "test_latency", torch.nn.Linear(64, 64, device="meta"), torch.empty(8, 64, device="meta"))


@pytest.fixture
def moved():
    """The difference that a test of its own module has with another dispatch, as a worker of pytest-xdist sends it."""
    subject, target, estimates = own(), resolve(INPUTS), Estimates()
    profile = with_inputs(target.profile, {"constant.dispatch_kcycles": "100.0"})
    before = golden_data(estimates.compared(subject, replace(target, profile=profile)))
    result = estimates.compared(subject, target)
    row = stream_row(subject.name, result.ops, result)
    sent = Difference(*target_of(target), "model", subject.name, before, golden_data(result), row, row, subject.family)
    return Difference.from_data(sent.data()), inputs_table(profile, {})


def target_of(target):
    return target.hardware, target.label


def reviewed(moved):
    difference, inputs = moved
    now = {INPUTS: inputs_table(resolve(INPUTS).profile, {})}
    return review_differences([difference], ({INPUTS: inputs}, now), {}, 1, Estimates())


def test_the_op_stream_of_a_tests_own_module_is_kept_by_its_digest_with_ci_set_too(monkeypatch, folder):
    monkeypatch.setenv("CI", "true")
    ops = Streams().ops(own())
    assert Streams().own(digest(ops)).ops == ops
    assert [path.name for path in folder.iterdir()] == [f"own-{digest(ops)}.txt"]


def test_a_kept_op_stream_never_stands_in_for_a_capture_of_the_module(folder):
    ops = Streams().ops(own())
    (path,) = folder.iterdir()
    path.write_text("damaged", encoding="utf-8")
    assert Streams().ops(own()) == ops
    assert Streams().own(digest(ops)).ops == ops


def test_the_verdict_tells_the_causes_of_a_module_that_another_process_captured(moved):
    found = reviewed(moved)
    assert [(cause.kind, cause.title) for cause in found.causes] == [("input", "dispatch_kcycles")]
    assert found.causes[0].shares_pct[moved[0].place] == pytest.approx(moved[0].change_pct, abs=0.1)
    assert found.notices == ()


def test_a_module_called_like_a_model_of_the_zoo_is_not_taken_for_it(moved):
    difference, inputs = moved
    found = reviewed((replace(difference, name="resnet18"), inputs))
    assert list(found.causes[0].shares_pct.values()) == [pytest.approx(difference.change_pct, abs=0.1)]


def test_a_review_of_another_repository_takes_the_op_stream_of_the_side_now(moved, tmp_path):
    difference, inputs = moved
    now = inputs_table(resolve(INPUTS).profile, {})
    for name, data, table in (("before", difference.before, inputs), ("now", difference.now, now)):
        write_tree(tmp_path / name, difference, data, table)
    sides = [read_side(name, Repository(tmp_path / name, False)) for name in ("before", "now")]
    found = review(*sides, Estimates())
    assert [(d.name, d.own_tests) for d in found.differences] == [("test_mine", "test_latency")]
    assert [(cause.kind, cause.title) for cause in found.causes] == [("input", "dispatch_kcycles")]
    assert (found.notices, found.other_files) == ((), ())


def write_tree(root, difference, data, inputs):
    """The goldens of a repository with one test of a module of its own."""
    configuration = golden_root(root) / difference.hardware / difference.label
    path = own_kind("test_latency").golden_path(configuration, difference.name)
    path.parent.mkdir(parents=True)
    path.write_text(json_text(data), encoding="utf-8")
    streams = {"fp32-b1": Table(STREAM_TITLES, {difference.name: difference.stream_now})}
    documents = {f"{OP_STREAMS}.md": streams, f"{difference.hardware}/estimates.md": {"Inputs": inputs}}
    for name, sections in documents.items():
        file = golden_root(root) / name
        file.write_text(Repository.at(root).document_text(file, sections), encoding="utf-8")


def test_where_the_op_stream_is_not_available_one_line_says_what_provides_it(moved, folder):
    (path,) = folder.iterdir()
    path.unlink()
    found = reviewed(moved)
    notice = (
        "causes cannot be told of test_mine: its op stream is not available; test_latency.py run here once provides it"
    )
    assert found.notices == (notice,)
    assert f"    {notice}" in list(verdict_lines(found, "accept", "look closer"))
