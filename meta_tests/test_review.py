"""A review names what moved goldens: each input alone, op streams, records, or the code; and what that did."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from dataclasses import replace

import pytest

from estimator.__main__ import main
from estimator.checked import Bounds
from estimator.cost.price import PROCESSORS
from estimator.errors import UsageError
from estimator.estimates import Estimates
from estimator.goldens.content import (
    ESTIMATE_TITLES,
    STREAM_TITLES,
    estimate_row,
    golden_data,
    stream_row,
)
from estimator.goldens.extensions import json_text
from estimator.goldens.inputs import INPUT_TITLES, inputs_table, with_inputs
from estimator.goldens.repository import OP_STREAMS, Repository, golden_root
from estimator.goldens.tables import INPUTS, Table, parse_document
from estimator.hardware.boards import load_profile
from estimator.hardware.quantities import FACTS, GPU_CONSTANTS, Fact
from estimator.hardware.reading import read_profile
from estimator.lower import rules
from estimator.lower.stream import stream_kernel
from estimator.records.kinds import MODEL_KIND
from estimator.records.record import PROVENANCE_KEYS, Record, write_record
from estimator.review.causes import changed_inputs, find_causes
from estimator.review.formats import FORMATS, markdown_text, terminal_text
from estimator.review.review import review
from estimator.review.sections import cause_cells, headline, sections_of
from estimator.review.sides import read_side
from estimator.review.verdict import verdict_lines
from estimator.subjects.zoo import find_models
from estimator.target import resolve
from meta_tests.estimating import ESTIMATES

NAMES = ("resnet18", "mobilenet_v2", "vgg11", "vit_b_32", "deeplabv3_resnet50")
UNMEASURED = (("50W", "fp32"), ("50W", "fp16"))
MEASURED_MS = {"resnet18": (7.0, 6.76, 6.71), "vgg11": (8.08, 8.1, 8.0)}
MEMORY = "Jetson-Orin-AGX"


class Tree:
    """A folder with goldens of a few models, made from a profile as an update would."""

    def __init__(self, root, profile=None, measured_ms=MEASURED_MS, names=NAMES):
        self.root, self.names = root, names
        self.profile = profile or load_profile()
        self._estimates = Estimates(ESTIMATES.streams)  # its own, for rules that a test has changed
        self._write_tables()
        self._write_measured(measured_ms)

    def _write_tables(self):
        tables, streams = {INPUTS: inputs_table(self.profile, {})}, {}
        for mode, precision in UNMEASURED:
            target = replace(resolve(MEMORY, mode, precision), profile=self.profile)
            label = target.label if precision != "fp32" else "MAXN-fp32-b1"
            target = target if precision != "fp32" else replace(target, mode=self.profile.mode("MAXN"))
            results = {model.name: self._estimates.compared(model, target) for model in find_models(self.names)}
            tables[label] = Table(ESTIMATE_TITLES, {name: estimate_row(result) for name, result in results.items()})
            rows = {name: stream_row(name, result.ops, result) for name, result in results.items()}
            streams[target.stream_label] = Table(STREAM_TITLES, rows)
        repository = Repository.at(self.root)
        write_document(repository, repository.estimates_path(MEMORY), tables)
        write_document(repository, repository.streams_path, streams)

    def _write_measured(self, measured_ms):
        folder = golden_root(self.root) / MEMORY / "50W-fp32-b1"
        record = Record(folder / MODEL_KIND.record, dict.fromkeys(PROVENANCE_KEYS, "synthetic"), measured_ms)
        record.path.parent.mkdir(parents=True)
        write_record(record)
        target = replace(resolve(MEMORY, "50W"), profile=self.profile)
        for model in find_models(measured_ms):
            result = self._estimates.compared(model, target, record.median_ms(model.name))
            path = MODEL_KIND.golden_path(folder, model.name)
            path.parent.mkdir(exist_ok=True)
            path.write_text(json_text(golden_data(result)), encoding="utf-8")


def write_document(repository, path, tables):
    repository.write(path, repository.document_text(path, tables))


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return Tree(tmp_path_factory.mktemp("base")).root


def reviewed(before, now):
    return review(
        *(read_side(name, Repository(root, True)) for name, root in (("before", before), ("now", now))),
        Estimates(ESTIMATES.streams),
    )


def asked(found):
    """What whoever accepts the change is asked to check, but for the last question, which is always there."""
    *questions, last = list(headline(found))[-1][len("To check: ") : -1].split("; ")
    assert last == "does what moved follow from what changed"
    return questions


def table_of(found, title):
    """The titles of a section's table in the review, and its rows."""
    table = next(section.table for section in sections_of(found) if section.title == title)
    return [column.title for column in table.columns], table.rows


def named(found):
    """Every cause that the review names, moved estimates or not."""
    inputs = {f"input {change.name}" for change in found.inputs}
    return inputs | {cause.kind for cause in found.causes if cause.kind != "input"}


MOVED_INPUTS = [
    *(f"constant.{name}" for name in GPU_CONSTANTS),
    *(f"fact.{name}" for name in load_profile().facts),
    *(f"mode.50W.{name}" for name in ("cpu_mhz", "gpu_mhz", "sms", "bandwidth_gb_s")),
]


FEW = {"names": ("resnet18", "mobilenet_v2"), "measured_ms": {"resnet18": MEASURED_MS["resnet18"]}}


@pytest.fixture(scope="module")
def few(tmp_path_factory):
    return Tree(tmp_path_factory.mktemp("few"), **FEW).root


@pytest.mark.parametrize("name", MOVED_INPUTS)
def test_an_input_that_moved_is_named_and_nothing_else(few, tmp_path, name):
    profile = load_profile()
    value = float(inputs_table(profile, {}).rows[name][1]) * 1.01
    value = round(value) - 1 if name.endswith("sms") else value
    found = reviewed(few, Tree(tmp_path / "now", with_inputs(profile, {name: repr(value)}), **FEW).root)
    assert named(found) == {f"input {name}"}
    moved = {d.place for d in found.differences if d.moved}
    assert moved <= set(found.causes[0].shares_pct)
    assert found.inputs[0].change_pct == pytest.approx(-100 / 16 if name.endswith("sms") else 1)


def of_a_board_with(tmp_path, **facts):
    """The profile of the board whose file has these facts, too."""
    path = tmp_path / f"{MEMORY}.toml"
    lines = "".join(f"[facts.{name}]\n{table}\n" for name, table in facts.items())
    path.write_text(load_profile().path.read_text(encoding="utf-8") + lines, encoding="utf-8")
    return read_profile(path)


@pytest.fixture
def synthetic_fact(monkeypatch, tmp_path):
    """Declares an optional fact, which a formula asks for; returns a profile that gives it."""
    declared = Fact(Bounds(0.1, 10, "times"), "how much slower all kernels are", default=1.0)
    monkeypatch.setitem(FACTS, "slower_kernels", declared)
    priced = PROCESSORS["gpu"]

    def slower(ops, kernels, target, constants):
        found = priced(ops, kernels, target, constants)
        return replace(found, device_us=found.device_us * target.profile.fact("slower_kernels"))

    monkeypatch.setitem(PROCESSORS, "gpu", slower)
    return of_a_board_with(tmp_path, slower_kernels="value = 2.0\nunit = 'times'\nsource = 'x'\nlower = 1\nupper = 3")


def test_an_optional_fact_that_comes_or_goes_is_a_cause_like_any_other(base, tmp_path, synthetic_fact):
    given = Tree(tmp_path / "given", synthetic_fact).root
    for before, now, values, sign in ((base, given, "none -> 2", 1), (given, base, "2 -> none", -1)):
        found = reviewed(before, now)
        assert named(found) == {"input fact.slower_kernels"}
        (cause,) = found.causes
        moved = {difference.place: difference.change_pct for difference in found.differences}
        assert cause.shares_pct == pytest.approx(moved, abs=0.1)
        assert all(sign * share > 0 for share in moved.values())
        (line,) = [line for line in verdict_lines(found, "", "") if "slower_kernels" in line]
        assert line.startswith(f"    slower_kernels {values} times, {MEMORY}: moves {len(moved)} estimates by ")
        assert re.search(rf"slower_kernels +{values.replace(' -> ', ' +')} ", terminal_text(found))


def test_a_fact_that_is_absent_is_in_no_golden_and_its_default_moves_nothing(base, tmp_path, synthetic_fact):
    assert reviewed(base, Tree(tmp_path / "now").root).is_empty
    assert "fact.slower_kernels" not in inputs_table(load_profile(), {}).rows


def test_a_fact_that_comes_with_another_value_for_each_board_has_a_row_for_each_value():
    def side(values):
        return {name: Table(INPUT_TITLES, {"fact.l2_mib": ("fact.l2_mib", value, "MiB")}) for name, value in values}

    before, now = side([("A", "1"), ("B", "1"), ("C", "1")]), side([("A", "2"), ("B", "4"), ("C", "4")])
    rows = [cause_cells(cause)[:3] for cause in find_causes([], changed_inputs(before, now), [])]
    assert rows == [("l2_mib", "1", "2"), ("l2_mib (2 boards)", "1", "4")]


def with_rows(root, change):
    """The tree with other rows of inputs."""
    repository = Repository.at(root)
    path = repository.estimates_path(MEMORY)
    sections = dict(repository.document(path))
    rows = change(dict(sections[INPUTS].rows))
    write_document(repository, path, {**sections, INPUTS: Table(sections[INPUTS].titles, rows)})
    return root


def without(*beginnings):
    return lambda rows: {name: row for name, row in rows.items() if not name.startswith(beginnings)}


@pytest.mark.parametrize(
    ("changed", "came", "went"),
    [
        (
            without("constant.view_kcycles"),
            f"view_kcycles none -> * kcycle of the CPU per op, {MEMORY}: ",
            f"view_kcycles * -> none kcycle of the CPU per op, {MEMORY}: ",
        ),
        (without("mode.15W."), "power mode 15W: new, *: 0 estimates came", "power mode 15W: gone, *: 0 estimates went"),
    ],
    ids=["constant", "mode"],
)
def test_a_constant_or_a_mode_that_comes_or_goes_is_named(base, tmp_path, changed, came, went):
    other = with_rows(Tree(tmp_path / "other").root, changed)
    for before, now, text in ((other, base, came), (base, other, went)):
        found = reviewed(before, now)
        assert len(found.inputs) == 1
        pytest.LineMatcher(list(verdict_lines(found, "", ""))).fnmatch_lines([f"    {text}*"])


def test_a_board_that_comes_or_goes_is_named_with_its_estimates(base, tmp_path):
    both = shutil.copytree(base, tmp_path / "both")
    shutil.copytree(golden_root(both) / MEMORY, golden_root(both) / "NVIDIA-B200")
    for before, now, what in ((base, both, "new"), (both, base, "gone")):
        found = reviewed(before, now)
        assert [change.name for change in found.inputs] == ["board.NVIDIA-B200"]
        assert any(
            line.startswith(f"    board NVIDIA-B200: {what}, NVIDIA-B200: 12 estimates ")
            for line in verdict_lines(found, "", "")
        )
        assert "board NVIDIA-B200" in terminal_text(found)


def test_what_a_constant_that_came_with_code_did_is_the_code_s(base, tmp_path, monkeypatch):
    def twice(op, *_, **__):
        return rules.Lowered(op, "pointwise", 0, (stream_kernel(op), stream_kernel(op)))

    before = with_rows(Tree(tmp_path / "before").root, without("constant.view_kcycles"))
    monkeypatch.setattr(rules, "_RULES", {**rules._RULES, "aten.relu_": twice})
    lines = list(verdict_lines(reviewed(before, Tree(tmp_path / "now").root), "", ""))
    assert lines[1].endswith("came or went together with code that asks for it: its share is the code's")
    assert lines[2].startswith("    the code (with view_kcycles) did, in ")


def test_of_two_inputs_each_has_its_share(base, tmp_path):
    values = {"constant.dispatch_kcycles": "130.0", "constant.stream_efficiency": "0.8"}
    found = reviewed(base, Tree(tmp_path / "now", with_inputs(load_profile(), values)).root)
    assert named(found) == {f"input {name}" for name in values}
    shares = {cause.title: cause.shares_pct.get((MEMORY, "50W-fp32-b1", "resnet18"), 0.0) for cause in found.causes}
    assert shares["dispatch_kcycles"] > 2
    assert 0 <= shares["stream_efficiency"] < 1


def test_a_rule_that_changed_is_the_code(base, tmp_path, monkeypatch):
    def twice(op, *_, **__):
        return rules.Lowered(op, "pointwise", 0, (stream_kernel(op), stream_kernel(op)))

    monkeypatch.setattr(rules, "_RULES", {**rules._RULES, "aten.relu_": twice})
    found = reviewed(base, Tree(tmp_path / "now").root)
    assert named(found) == {"code"}
    assert asked(found) == ["is it meant that the code moves estimates"]
    assert {"resnet18", "vgg11"} <= {name for _, _, name in found.causes[0].shares_pct}


def test_an_op_stream_that_changed_is_named_with_the_ops_that_came_and_went(base, tmp_path):
    now = Tree(tmp_path / "now").root
    path = golden_root(now) / f"{OP_STREAMS}.md"
    sections = dict(parse_document(path.read_text(encoding="utf-8")))
    rows = dict(sections["fp32-b1"].rows)
    row = list(rows["resnet18"])
    row[STREAM_TITLES.index("Digest")] = "0123456789ab"
    row[STREAM_TITLES.index("Ops by name")] = row[STREAM_TITLES.index("Ops by name")].replace("relu_ 17", "relu_ 16")
    write_document(
        Repository.at(now), path, {**sections, "fp32-b1": Table(STREAM_TITLES, {**rows, "resnet18": tuple(row)})}
    )
    found = reviewed(base, now)
    assert named(found) == {"op stream"}
    assert found.causes[0].title == "relu_ 17 -> 16"
    (question,) = asked(found)
    assert question.startswith("which release of torch or torchvision, or which model, brought the other op stream")


def test_a_record_that_changed_is_named_with_its_runs(base, tmp_path):
    found = reviewed(base, Tree(tmp_path / "now", measured_ms={**MEASURED_MS, "vgg11": (9.0, 9.1)}).root)
    assert named(found) == {"record"}
    assert [(change.name, change.before_ms, change.now_ms) for change in found.records] == [
        ("vgg11", MEASURED_MS["vgg11"], (9.0, 9.1))
    ]
    assert asked(found) == ["was the device measured as its record says"]
    _, (row,) = table_of(found, "Records that changed")
    assert row == (f"{MEMORY} 50W-fp32-b1 vgg11", "8.08", "9.05", "+12.0 %", "3 -> 2", "1.2 %", "1.1 %")
    _, (errors,) = table_of(found, "In-sample beside held-out")
    assert (errors[0], errors[-1]) == (f"{MEMORY} 50W-fp32-b1", "WORSE")


def test_what_came_and_what_went_is_counted(base, tmp_path):
    now = Tree(tmp_path / "now", measured_ms={"resnet18": MEASURED_MS["resnet18"]}).root
    for sides, absent, ones in (
        ((base, now), "now", {"vanished", "ratings worse"}),
        ((now, base), "before", {"new"}),
    ):
        found = reviewed(*sides)
        page = json.loads(FORMATS["json"](found))
        assert [(row["name"], row[absent]) for row in page["differences"]] == [("vgg11", {})]
        titles, (counts,) = table_of(found, "Counts")
        numbers = {title: number for title, number in zip(titles, counts) if number != "0"}
        assert numbers == {"unchanged": "11", "configurations not judged": "2", **dict.fromkeys(ones, "1")}
        assert "are the models or configurations that came and went meant to" in asked(found)


def cross_validated(root, in_sample_pct, family_pct):
    errors = {"in_sample": in_sample_pct, "leave_one_model_out": 3.0, "leave_one_family_out": family_pct}
    data = {kind: {"mean_abs_error_pct": pct, "max_abs_error_pct": 2 * pct} for kind, pct in errors.items()}
    path = golden_root(root) / MEMORY / "50W-fp32-b1" / "cross-validation.json"
    path.write_text(json.dumps(data), encoding="utf-8")
    return root


@pytest.fixture
def overfitted(tmp_path):
    moved = with_inputs(load_profile(), {"constant.dispatch_kcycles": "112.8"})
    before = cross_validated(Tree(tmp_path / "before").root, 1.9, 4.0)
    return before, cross_validated(Tree(tmp_path / "now", moved).root, 1.7, 4.6)


def test_an_in_sample_error_that_falls_while_the_held_out_one_rises_is_called_over_fitting(overfitted):
    text = terminal_text(reviewed(*overfitted))
    assert "OVER-FITTING on Jetson-Orin-AGX 50W-fp32-b1: the in-sample error falls" in text
    assert "(in-sample 1.90 -> 1.70 %, a family left out 4.00 -> 4.60 %)" in text


@pytest.mark.parametrize(("gate", "exit_code"), [("held-out", 1), ("any", 1), ("rating", 0)])
def test_the_exit_code_gates_where_it_is_asked_to(overfitted, gate, exit_code, capsysbinary):
    arguments = ["review", *map(str, overfitted)]
    assert main(arguments) == 0
    assert main([*arguments, "--fail-on", gate]) == exit_code
    assert main(["review", str(overfitted[0]), str(overfitted[0]), "--fail-on", gate]) == 0


def test_a_worse_rating_comes_first_and_gates(base, tmp_path, capsysbinary):
    now = Tree(tmp_path / "now", with_inputs(load_profile(), {"constant.dispatch_kcycles": "140.0"})).root
    assert main(["review", str(base), str(now), "--fail-on", "rating"]) == 1
    lines = capsysbinary.readouterr().out.decode().splitlines()
    assert lines[1].startswith("  1 rating got worse: resnet18 EXCELLENT -> GOOD. ")


def test_an_unchanged_tree_is_one_line(base, capsysbinary):
    assert main(["review", str(base), str(base)]) == 0
    (line,) = capsysbinary.readouterr().out.decode().splitlines()
    assert line.endswith("Nothing changed: all 12 goldens, inputs and records are the same.")


def test_markdown_stays_below_64_kb_and_says_where_it_was_cut(base, tmp_path):
    moved = with_inputs(load_profile(), {"constant.dispatch_kcycles": "112.8"})
    found = reviewed(base, Tree(tmp_path / "now", moved).root)
    whole = markdown_text(found)
    assert whole.count("<details>") == whole.count("</details>") > 0
    many = replace(
        found,
        differences=tuple(
            replace(d, label="MAXN-fp32-b1", name=f"{d.name}{i}") for d in found.differences for i in range(300)
        ),
    )
    text = markdown_text(many)
    assert len(text.encode()) < 65536
    assert "**Truncated here**" in text
    assert text.count("<details>") == text.count("</details>")


def test_a_records_text_opens_no_tag_and_ends_no_cell(base, tmp_path):
    now = Tree(tmp_path / "now").root
    path = golden_root(now) / MEMORY / "50W-fp32-b1" / MODEL_KIND.record
    about = {**dict.fromkeys(PROVENANCE_KEYS, "synthetic"), "software": "<script>|torch"}
    write_record(Record(path, about, MEASURED_MS))
    assert "&lt;script>\\|torch" in markdown_text(reviewed(base, now))


def test_the_json_has_what_moved_and_why_by_place(overfitted):
    data = json.loads(FORMATS["json"](reviewed(*overfitted)))
    (change,), (cause,) = data["inputs"], data["causes"]
    assert (change["name"], change["before"], change["now"]) == ("constant.dispatch_kcycles", "114.0", "112.8")
    assert cause["shares_pct"][f"{MEMORY} 50W-fp32-b1 resnet18"] < 0
    assert {row["name"] for row in data["differences"]} == set(NAMES)
    assert data["cross_validations"][0][f"{MEMORY} 50W-fp32-b1"]["mean_pct"]["in_sample"] == 1.9


BAD = {
    "format": (("--format", "pdf"), "error: --format: unknown 'pdf'; known: terminal, markdown, json"),
    "gate": (("--fail-on", "luck"), "error: --fail-on: unknown 'luck'; known: rating, held-out, any"),
    "revision": (("no-such-revision",), "error: git read-tree *no-such-revision*"),
}


@pytest.mark.parametrize(("arguments", "message"), BAD.values(), ids=BAD)
def test_a_mistake_is_one_line_and_exit_code_4(request, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(request.config.rootpath)
    assert main(["review", *arguments]) == 4
    (line,) = capsys.readouterr().err.splitlines()
    pytest.LineMatcher([line]).fnmatch_lines([message])


def test_a_folder_without_goldens_is_refused(tmp_path):
    with pytest.raises(UsageError, match="there is no folder golden to review"):
        read_side("here", Repository(tmp_path, True))


def test_a_branch_is_reviewed_from_where_it_left_the_main_one(tmp_path, monkeypatch, capsysbinary):
    def git(*words):
        about = ("-c", "user.name=a", "-c", "user.email=a@b")
        subprocess.run(["git", *about, *words], cwd=tmp_path, check=True, capture_output=True)

    Tree(tmp_path)
    git("init", "-q", "-b", "main")
    git("add", "-A")
    git("commit", "-qm", "before")
    git("checkout", "-qb", "work")
    moved = with_inputs(load_profile(), {"constant.dispatch_kcycles": "112.8"})
    for path in sorted(tmp_path.glob("golden/**/*")):
        if path.is_file():
            path.unlink()
    for folder in sorted((path for path in tmp_path.glob("golden/**/*") if path.is_dir()), reverse=True):
        folder.rmdir()
    Tree(tmp_path, moved)
    monkeypatch.chdir(tmp_path)
    assert main(["review"]) == 0
    text = capsysbinary.readouterr().out.decode()
    assert "-> the working tree" in text.splitlines()[0]
    assert "dispatch_kcycles" in text


SAME = "All 2 goldens, inputs and records are the same."  # elsewhere than in the suite's own repository
JUDGES, OTHERS = f"What judges changed: {{}}. {SAME}", f"{SAME} Other files changed: {{}}."
PYTEST = "[tool.pytest.ini_options]\n"


@pytest.mark.parametrize(
    ("name", "before", "now", "said"),
    [
        ("conftest.py", "import os\n", "import os\nimport re\nimport sys\n", JUDGES.format("conftest.py (2 lines)")),
        ("deep/conftest.py", None, "a\n", JUDGES.format("deep/conftest.py (new)")),
        ("pytest.toml", None, "[pytest]\n", JUDGES.format("pytest.toml (new)")),
        ("meta_tests/test_own.py", "a\nb\n", None, JUDGES.format("meta_tests/test_own.py (gone, 2 lines)")),
        ("pyproject.toml", PYTEST, f'{PYTEST}addopts = "-x"\n', JUDGES.format("pyproject.toml (1 line)")),
        (".gitattributes", None, "* -diff\n", JUDGES.format(".gitattributes (new)")),
        ("estimator/hardware/boards.py", "a\n", "b\n", OTHERS.format("estimator/hardware/boards.py (1 line)")),
        ("evidence.csv", "a\nb\nc\n", "a\n", OTHERS.format("evidence.csv (binary)")),
        ("docs/method.md", "a\n", "b\n", f"Nothing changed: {SAME[:1].lower()}{SAME[1:]}"),
    ],
)
def test_files_that_changed_beside_the_goldens_are_named_whatever_gitattributes_says(
    base, tmp_path, monkeypatch, capsysbinary, name, before, now, said
):
    root = shutil.copytree(base, tmp_path / "tree")
    attributes = "golden/** export-ignore\n*.py export-ignore\n*.csv -diff\n"
    write(root, {".gitignore": "ignored\n", "ignored/a.py": "a", name: before})
    commit_all(root)
    (root / ".git" / "info" / "attributes").write_text(attributes, encoding="utf-8")
    write(root, {name: now})
    monkeypatch.chdir(root)
    assert main(["review", "HEAD"]) == 0
    assert said in capsysbinary.readouterr().out.decode()
    assert main(["review", "HEAD", "HEAD"]) == 0
    assert "Nothing changed: " in capsysbinary.readouterr().out.decode()


def test_a_golden_that_became_a_link_is_named(base, tmp_path, monkeypatch, capsysbinary):
    root = shutil.copytree(base, tmp_path / "tree")
    commit_all(root)
    (golden_root(root) / f"{OP_STREAMS}.md").rename(root / "kept.md")
    (golden_root(root) / f"{OP_STREAMS}.md").symlink_to(root / "kept.md")
    monkeypatch.chdir(root)
    assert main(["review", "HEAD"]) == 0
    said = capsysbinary.readouterr().out.decode()
    assert f"What judges changed: golden/{OP_STREAMS}.md (a file and a link, " in said


def commit_all(root):
    for words in (["init", "-q", "-b", "main"], ["add", "-A"], ["commit", "-qm", "before"]):
        subprocess.run(["git", "-c", "user.name=a", "-c", "user.email=a@b", *words], cwd=root, check=True)


def write(root, texts):
    """Writes these files below a root; None deletes one."""
    for name, text in texts.items():
        (root / name).parent.mkdir(exist_ok=True, parents=True)
        (root / name).write_text(text or "", encoding="utf-8")
        if text is None:
            (root / name).unlink()
