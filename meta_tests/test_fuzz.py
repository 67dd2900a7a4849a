"""Every file that a user writes, damaged at random: it is refused in one line that names it, or what it says is sane.

FUZZ_CASES and FUZZ_SEED choose how many cases are tried, and which; `tox -e fuzz` tries ten times as many.
"""

from __future__ import annotations

import csv
import io
import json
import math
import os
import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given, seed, settings
from hypothesis import strategies as st

from bench.elsewhere import read_latencies
from estimator.calibration.design import CPU, design
from estimator.calibration.microbenchmarks import (
    Microbenchmarks,
    as_evidence,
    load_microbenchmarks,
    timed_blocks,
    write_microbenchmarks,
)
from estimator.calibration.public_evidence import read_figures
from estimator.calibration.published import read_table
from estimator.errors import GoldenLatencyError
from estimator.goldens.difference import Difference
from estimator.goldens.inputs import check_goldens, golden_inputs, with_inputs
from estimator.goldens.repository import Repository
from estimator.goldens.whole_session import golden_session, session_changes
from estimator.hardware.reading import TEMPLATES, read_profile
from estimator.lower import lower
from estimator.measure.baseline import repeat_lines
from estimator.pipeline import estimate_lowered
from estimator.records.kinds import KINDS, MODEL_KIND
from estimator.records.record import load_record, write_record
from estimator.subjects.registry import find_subject, subject_names
from estimator.target import resolve, target_on
from meta_tests.estimating import op_stream

CASES = int(os.environ.get("FUZZ_CASES", "2000"))
SEED = int(os.environ.get("FUZZ_SEED", "0"))
BOARD = "Jetson-Orin-AGX"
LABEL = "50W-fp32-b1"
ROOT = Path(__file__).parents[1]
SMALL = ("resnet18", "vgg11")
TOKEN = re.compile(r'-?\d[\w.+-]*|"[^"\n]*"|[A-Za-z_][\w.\-]*|\n|\S')
ODD = (
    *"-0.0 5e-324 1e300 1e400 -1e308 nan inf NaN Infinity true null 0x10 1_000 [] {} [1] [[]] __class__".split(),
    *('""', '" "', '"12"', '"\\u0000"', '"\\ud800"', '"a\\nb"', "9" * 5001, "[" * 600 + "]" * 600, "1 2"),
    *("\x00", "\ufeff", "\u2028", "\r", "<<<<<<< HEAD\n", "\u0663", "| x", "\\", "#", ":"),
)
CONV2D = "conv_type in_channels out_channels input_size kernel_size stride groups batch_size precision mean_ms".split()
CORRECTIONS = """
[corrections.convolution]
pieces = 12
noise = 0.1
offset = -0.2
length = 4.0
features = ["flop", "n"]
points = [[20.0, 6.0, 0.1], [22.5, 7.0, -0.3]]
"""


@st.composite
def damaged(draw, text):
    """The text with one to three tokens replaced, removed or repeated elsewhere, in a third of all cases cut off."""
    for _ in range(draw(st.integers(1, 3))):
        places = [found.span() for found in TOKEN.finditer(text)] or [(0, 0)]
        start, end = draw(st.sampled_from(places))
        other = text[slice(*draw(st.sampled_from(places)))]
        new = draw(st.one_of(st.sampled_from((*ODD, other, "")), st.floats().map(repr), st.text(max_size=9)))
        text = text[:start] + new + text[end:]
    return text[: draw(st.integers(0, len(text)))] if draw(st.integers(0, 2)) == 2 else text


def text_of(*parts):
    return ROOT.joinpath(*parts).read_text(encoding="utf-8")


def sections(text, *titles):
    """The head of a document and these sections, with the rows of a few models."""
    head, *parts = text.split("\n## ")
    kept = [part for part in parts if part.splitlines()[0] in titles]
    rows = [line for part in kept for line in (*part.splitlines(), "") if not line.startswith("|") or small(line)]
    return "\n".join([head, *("## " + row if row in titles else row for row in rows)]) + "\n"


def small(line):
    name = line.split(" | ")[0].lstrip("| ")
    return name in SMALL or name not in subject_names()


def benchmarks_text(folder):
    chains = design(CPU, 0.01)[:12]
    times = [[([10.0] * len(block.layers),) for block in chain] for chain in chains]
    about = {"software": "torch 2.1.0", "board": "synthetic", "date": "today", "threads": "2"}
    path = folder / "benchmarks.json"
    write_microbenchmarks(path, Microbenchmarks(about, timed_blocks(chains, ("in chain",), times), 5.0))
    return path.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def ops():
    return {name: lower(op_stream(find_subject(name))) for name in ("conv_bn_relu", "se_block")}


def is_sane(value, least=0.0):
    return math.isfinite(value) and value > least


class Readers:
    """What reads each kind of file in a folder, and looks at what it says as the suite would."""

    def __init__(self, ops):
        self.ops = ops

    def estimates(self, profile):
        target = target_on(TARGET.board, profile)
        for mode in list(profile.modes.values())[:2]:
            for lowered in self.ops.values():
                estimate = estimate_lowered(lowered, replace(target, mode=mode))
                assert is_sane(estimate.latency_ms)
                assert estimate.interval_pct is None or is_sane(estimate.interval_pct, -1.0)

    def profile(self, path):
        self.estimates(read_profile(path))

    def record(self, path):
        record = load_record(path, subject_names())
        assert all(is_sane(record.median_ms(name)) for name in record.runs_ms)
        again = path.with_name("again.toml")
        write_record(replace(record, path=again))
        assert load_record(again, subject_names()) == replace(record, path=again)
        again.unlink()

    def goldens(self, path):
        root = path.parents[4]
        for kind in KINDS:
            for name, golden in Repository.at(root).goldens(TARGET, subject_names(), kind).items():
                self.difference(name, golden)

    def difference(self, name, golden):
        now = {**GOLDEN, "est_ms": 8.0}
        for before, after in ((golden, now), (now, golden)):
            found = Difference(BOARD, LABEL, "model", name, before, after)
            assert "\n" not in found.summary()
            assert math.isfinite(found.change_pct)
            assert found.most_moved() is not None
            json.dumps(found.data(), allow_nan=False)

    def document(self, path):
        root = path.parents[2]
        check_goldens(Repository.at(root))
        for target in Repository.at(root).targets():
            for golden in Repository.at(root).goldens(target, subject_names(), MODEL_KIND).values():
                assert is_sane(golden["est_ms"])
        rows = golden_inputs(Repository.at(root), BOARD).rows
        self.estimates(with_inputs(PROFILE, {name: row[1] for name, row in rows.items()}))

    def session(self, path):
        root = path.parents[1]
        document = golden_session(Repository.at(root))
        assert all("\n" not in line for line in session_changes(document, {}) + session_changes({}, document))

    def latencies(self, path):
        assert all(is_sane(row.measured_ms) for row in read_latencies(path))

    def streams(self, path):
        root = path.parents[1]
        check_goldens(Repository.at(root))

    def cross_validation(self, path):
        repository, folder = Repository.at(path.parent), path.parent
        for means in (repository.held_out_means_pct(folder), *repository.held_out_pct(folder).values()):
            assert all(map(math.isfinite, means.values()))
        repository.cross_validation(folder)

    def benchmarks(self, path):
        found = load_microbenchmarks(path)
        assert all(is_sane(item.latency_us) and is_sane(item.spread) for item in as_evidence(found))

    def last_run(self, path):
        measured = {"resnet18": SimpleNamespace(median_ms=6.7)}
        for line in repeat_lines(SimpleNamespace(target=TARGET, measured=measured)):
            assert is_one_line(line, path) if "not known, written anew: " in line else "inf" not in line

    def figures(self, path):
        assert all(is_sane(figure.measured_us) and is_sane(figure.spread) for figure in read_figures(path))

    def published(self, path):
        assert all(is_sane(row.measured_us) for row in read_table(path))


GOLDEN = json.loads(text_of("golden", BOARD, LABEL, "test_models", "test_model[vgg11].json"))
TARGET = resolve()
PROFILE = TARGET.profile
TABLE = io.StringIO()
csv.writer(TABLE, lineterminator="\n").writerows(
    [CONV2D, ["standard", 256, 256, 56, 3, 1, 1, 16, "fp32", 14.0], ["depthwise", 32, 32, 9, 3, 1, 32, 1, "fp16", 2.5]]
)
FIGURES = text_of("estimator", "calibration", "evidence", "public-gpus.csv").splitlines()
LATENCIES = """hardware,thermal_profile,precision,model,batch,measured_ms
Jetson-Orin-AGX,30W,fp32,resnet18,32,88
NVIDIA-L4,default,fp16,vgg11,1,2
"""
TREE = "tree/golden"
FILES = {
    "profile": (3, "board.toml", PROFILE.path.read_text(encoding="utf-8"), Readers.profile),
    "transferred": (2, "other.toml", text_of("estimator", "hardware", "Jetson-Orin-NX-16GB.toml"), Readers.profile),
    "public GPU": (1, "public.toml", text_of("estimator", "hardware", "NVIDIA-L4.toml"), Readers.profile),
    "ten lines": (3, "new.toml", (TEMPLATES / "gpu.toml").read_text(encoding="utf-8"), Readers.profile),
    "cpu": (
        2,
        "local-cpu.toml",
        (TEMPLATES / "local-cpu.toml").read_text(encoding="utf-8") + CORRECTIONS,
        Readers.profile,
    ),
    "record": (
        5,
        f"{TREE}/a/b/record-models.toml",
        text_of("golden", BOARD, LABEL, "record-models.toml"),
        Readers.record,
    ),
    "golden": (
        5,
        f"{TREE}/{BOARD}/{LABEL}/test_models/test_model[vgg11].json",
        text_of("golden", BOARD, LABEL, "test_models", "test_model[vgg11].json"),
        Readers.goldens,
    ),
    "estimates": (
        4,
        f"table/golden/{BOARD}/estimates.md",
        sections(text_of("golden", BOARD, "estimates.md"), "Inputs", "15W-fp32-b1"),
        Readers.document,
    ),
    "op streams": (
        3,
        "streams/golden/op-streams.md",
        sections(text_of("golden", "op-streams.md"), "fp32-b1", "fp16-b1"),
        Readers.streams,
    ),
    "session": (2, "session/golden/tests.md", text_of("golden", "tests.md"), Readers.session),
    "latencies": (1, "elsewhere.csv", LATENCIES, Readers.latencies),
    "cross-validation": (
        3,
        "cross/cross-validation.json",
        text_of("golden", BOARD, LABEL, "cross-validation.json"),
        Readers.cross_validation,
    ),
    "benchmarks": (3, "microbenchmarks.json", "", Readers.benchmarks),
    "last run": (
        2,
        f"golden-latency/{BOARD}/{LABEL}/last-run.json",
        '{\n "resnet18": 6.76,\n "vgg11": 8.0\n}\n',
        Readers.last_run,
    ),
    "published": (3, "table.csv", TABLE.getvalue(), Readers.published),
    "figures": (1, "figures.csv", "\n".join(FIGURES[:1] + FIGURES[-2:]), Readers.figures),
}
WEIGHTS = sum(weight for weight, *_ in FILES.values())


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("fuzz")
    for _, name, text, _ in FILES.values():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    return root


def files(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


@pytest.mark.parametrize("kind", FILES)
def test_a_damaged_file_is_refused_in_one_line_or_sane(kind, folder, ops, monkeypatch):
    weight, name, text, read = FILES[kind]
    path = folder / name
    text = text or benchmarks_text(folder)
    if read is Readers.last_run:
        monkeypatch.setenv("XDG_CACHE_HOME", str(folder))
    readers, before = Readers(ops), files(folder)
    path.write_text(text, encoding="utf-8")
    read(readers, path)

    @seed(SEED)
    @settings(max_examples=round(CASES * weight / WEIGHTS), database=None)
    @given(damaged(text))
    def is_refused_or_sane(broken):
        path.write_bytes(broken.encode("utf-8", "surrogatepass"))
        assert problem(readers, read, path) is None

    is_refused_or_sane()
    path.write_text(text, encoding="utf-8")
    assert files(folder) == before


def problem(readers, read, path):
    """What is wrong with how the file was read; None where it was refused in one line, or is sane."""
    try:
        read(readers, path)
    except GoldenLatencyError as error:
        message = str(error)
        return None if is_one_line(message, path) else message
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return None


def is_one_line(message, path):
    """Cause first: the file, the key in it or that it cannot be parsed, and what is wrong."""
    return path.name in message and "\n" not in message and len(message) < 2000 and ": " in message
