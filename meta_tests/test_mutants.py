"""The mutants of `python -m bench.mutants`: what is changed, imported so, and said to change nothing."""

from __future__ import annotations

import sys

import pytest

from bench import mutants
from bench.mutants import Outcome, Runner, all_mutations, equivalents, is_equivalent, modules, run_all
from bench.mutations import MutatingFinder, mutated, mutations

SOURCE = '''
"""A docstring."""
from typing import Optional

LIMIT: Optional[int] = 3


def judged(values, least=2):
    """Another one."""
    if not values:
        return None
    found = [value for value in values if value > least]
    return dict(all=all(value < LIMIT for value in found), most=max(found) if found else 0)
'''
CHANGES = [
    ("module", "3", "+ 1"),
    ("module", "3", "* 2"),
    ("judged", "2", "+ 1"),
    ("judged", "2", "* 2"),
    ("judged", "if not values: return None", "the condition never holds"),
    ("judged", "if not values: return None", "the condition always holds"),
    ("judged", "not values", "not is deleted"),
    ("judged", "comprehension", "the filter is dropped"),
    ("judged", "value > least", "> becomes >="),
    ("judged", "value > least", "> becomes <="),
]


def called(number, values, monkeypatch, tmp_path):
    """What the function returns in the module with the mutation of this number."""
    (tmp_path / "judging.py").write_text(SOURCE, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "judging", raising=False)
    monkeypatch.setattr(sys, "meta_path", [MutatingFinder(f"judging:{number}"), *sys.meta_path])
    import judging

    return judging.judged(values)


def test_each_change_is_named_by_function_and_text():
    found = [(m.function, m.text, m.change) for m in mutations("judging", SOURCE)]
    assert [change for change in found if change in CHANGES] == CHANGES
    assert ("judged", "all", "all becomes any") in found
    assert ("judged", "max", "max becomes min") in found
    assert any(change == "most= is dropped" for _, _, change in found)
    assert any(change == "None is returned" for _, _, change in found)
    assert not any("docstring" in text or text == "int" for _, text, _ in found)
    assert len({m.number for m in mutations("judging", SOURCE)}) == len(found)


def test_changes_that_say_the_same_are_counted():
    names = [m.name for m in mutations("twice", "PAIR = (0, 0, 0)")]
    same = "twice module: `0`: + 1"
    assert names == [same, f"{same} #1", f"{same} #2"]


@pytest.mark.parametrize(
    ("text", "change", "values", "right", "wrong"),
    [
        ("value > least", "> becomes >=", (1, 2, 3), {"all": False, "most": 3}, {"all": False, "most": 3}),
        ("value > least", "> becomes <=", (1, 2, 3), {"all": False, "most": 3}, {"all": True, "most": 2}),
        ("max", "max becomes min", (3, 4), {"all": False, "most": 4}, {"all": False, "most": 3}),
        ("comprehension", "the filter is dropped", (1,), {"all": True, "most": 0}, {"all": True, "most": 1}),
        ("not values", "not is deleted", (3,), {"all": False, "most": 3}, None),
        ("3", "+ 1", (3,), {"all": False, "most": 3}, {"all": True, "most": 3}),
    ],
)
def test_a_module_is_imported_with_one_change(text, change, values, right, wrong, monkeypatch, tmp_path):
    names = {}
    exec(compile(SOURCE, "judging.py", "exec"), names)
    assert names["judged"](values) == right
    (number,) = (m.number for m in mutations("judging", SOURCE) if (m.text, m.change) == (text, change))
    assert called(number, values, monkeypatch, tmp_path) == wrong
    assert (tmp_path / "judging.py").read_text(encoding="utf-8") == SOURCE


def test_every_mutant_of_a_module_is_python():
    for mutation in mutations("judging", SOURCE):
        compile(mutated(SOURCE, mutation.number), "judging.py", "exec")


def test_every_pattern_finds_modules_and_tests_that_are_there():
    found = {path.name: tests for path, tests in modules("*")}
    assert {"schedule.py", "interval.py", "compare.py", "gpu.py", "verdict.py", "state.py", "live.py"} <= set(found)
    assert all(tests and all(tests) for tests in found.values())


def test_what_is_said_to_change_nothing_is_a_mutant_with_a_reason():
    names = [mutation.name for mutation, _ in all_mutations("*")]
    assert [known for known in equivalents() if not any(is_equivalent(name, {known: ""}) for name in names)] == []
    assert all(len(reason) > 20 for reason in equivalents().values())


def test_a_mutant_is_known_by_its_name_or_by_its_kind():
    known = {"a b: `1`: + 1": "", "*: `x`: encoding= is dropped": ""}
    assert is_equivalent("a b: `1`: + 1", known)
    assert is_equivalent("any module: `x`: encoding= is dropped", known)
    assert not is_equivalent("any module: `y`: encoding= is dropped", known)
    assert not is_equivalent("c a b: `1`: + 1", known)


def test_a_mutant_is_caught_by_the_first_files_that_fail(monkeypatch, tmp_path):
    (mutation, *_), asked = mutations("judging", SOURCE), []

    def run(mutant, files, folder, limit_s):
        asked.append((mutant, *files))
        return Outcome(1 if mutant and "slow" in files else 0, 1.0)

    monkeypatch.setattr(mutants, "run", run)
    tests = (("quick",), ("slow",), ("never",))
    assert Runner(tmp_path, quick=False).outcome(mutation, tests).word == "caught"
    assert asked == [("", "quick"), ("judging:0", "quick"), ("", "slow"), ("judging:0", "slow")]
    assert Runner(tmp_path, quick=True).outcome(mutation, tests).word == "survived"


def test_equivalent_mutants_run_no_test(capsys, tmp_path):
    (mutation, *_) = mutations("judging", SOURCE)
    runner = Runner(tmp_path, quick=False)
    assert run_all([(mutation, (("quick",),))], {mutation.name: "why"}, runner, 9.0) == [(mutation, "equivalent")]


@pytest.mark.parametrize(
    ("code", "word"), [(0, "survived"), (1, "caught"), (2, "caught"), (139, "caught"), (None, "time is up")]
)
def test_whatever_keeps_tests_from_passing_catches_a_mutant(code, word):
    assert Outcome(code, 1.0).word == word


@pytest.mark.parametrize(
    ("words", "line", "code"),
    [
        (["caught"] * 19 + ["survived"], "caught 19 of 20 mutants, 0 more are equivalent: 95.0 %  bar >= 95 %  met", 0),
        (
            ["caught", "survived", "equivalent", "time is up"],
            "caught 2 of 3 mutants, 1 more are equivalent: 66.7 %  bar >= 95 %  MISSED",
            1,
        ),
        ([], "caught 0 of 0 mutants, 0 more are equivalent: 100.0 %  bar >= 95 %  met", 0),
    ],
)
def test_the_score_leaves_out_what_is_equivalent(capsys, words, line, code):
    (mutation, *_) = mutations("judging", SOURCE)
    assert mutants._summary([(mutation, word) for word in words], 95.0) == code
    assert capsys.readouterr().out.splitlines()[-1] == line
