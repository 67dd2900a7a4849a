"""`python -m bench.mutants`: mutants of the estimator, and how many of them the default tests catch.

Each mutant is one change of one module, made in memory: the tree is read, never written. A process that has imported
torch forks for each of them; the child imports the mutated module, and so does every Python that its tests start. It
runs the test files that TESTS names for the module, until one test fails. A mutant is caught when a test fails, when
nothing can be collected, or when its time is up. `equivalent_mutants.toml` names those that change nothing that anybody
could see, each with the reason. Survivors are printed; the exit code is 1 if fewer are caught than `--least`.
"""

from __future__ import annotations

import argparse
import contextlib
import fnmatch
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, Iterator, List, Mapping, Optional, Sequence, Tuple

from estimator.files import read_toml
from estimator.subjects._torchvision import declare_missing_operators

from .bars import beside_bar
from .mutations import VARIABLE, Mutation, install, mutations

ROOT = Path(__file__).parent.parent
EQUIVALENT = Path(__file__).with_name("equivalent_mutants.toml")
SEED = 17
LEAST_PCT = 95.0
_ALL = "*"
TESTS: Sequence[Tuple[str, str, str]] = (
    ("estimator/lower/*.py", "rules lower on_cuda doubt models cost", "cost_cpu inputs"),
    ("estimator/cost/gpu.py", "limits cost models monotone published", "explain"),
    ("estimator/cost/cpu.py", "limits cost_cpu monotone", "local_cpu explain"),
    ("estimator/cost/corrections.py", "corrections cost_cpu", "calibration local_cpu"),
    ("estimator/cost/recurrent.py", "on_cuda doubt drawn", "documents"),
    ("estimator/cost/*.py", "cost cost_cpu models", "explain"),
    ("estimator/schedule.py", "schedule cost cost_cpu models", ""),
    ("estimator/interval.py", "interval doubt estimate models cost", "software new_device"),
    ("estimator/compare.py", "compare report models", ""),
    (
        "estimator/goldens/*.py",
        "difference goldens golden_tables golden_extensions recorded boards models",
        "gate review suite_goldens suite_run suite_verdict",
    ),
    ("estimator/records/*.py", "recorded goldens models", "measure_recording suite_bad_input"),
    ("estimator/checked.py", "checked recorded profile", "goldens suite_bad_input"),
    ("estimator/suite/golden_verdict.py", "golden_verdict", "suite_verdict"),
    ("estimator/suite/live_verdict.py", "live_verdict live_session", "live"),
    (
        "estimator/suite/live*.py",
        "live_options live_band live_speed live_session",
        "software measure_turns live calibrating",
    ),
    ("estimator/measure/verdict.py", "measure_verdict measure_together", ""),
    ("estimator/measure/together.py", "measure_together", ""),
    ("estimator/measure/device/*.py", "measure_state measure_company", "measure_protocol measure_recording"),
    ("estimator/hardware/profile.py", "profile boards models cost", "local_cpu"),
    ("estimator/hardware/__main__.py", "new_device", "set_up"),
    ("estimator/hardware/software.py", "software", ""),
    ("estimator/hardware/*.py", "profile boards corrections cost_cpu models cost", "software new_device set_up"),
)
"""The modules that are mutated, by the first pattern that fits, and the files of their tests.

First the quick ones; those that start processes, or take their time, see what is left.
"""


Tests = Tuple[Tuple[str, ...], ...]
"""Files of tests: those that run in the process, then those that start others."""
_KEPT: List[object] = []


@dataclass(frozen=True)
class Outcome:
    """How a child ended: its exit code, None where its time was up, and how long it took."""

    code: Optional[int]
    took_s: float

    @property
    def word(self) -> str:
        """Returns "survived", "caught", or why it counts as caught."""
        return {0: "survived", None: "time is up"}.get(self.code, "caught")


def main(arguments: Optional[List[str]] = None) -> int:
    """Returns 0 if at least `--least` percent of the mutants that are not equivalent are caught, else 1."""
    options = _parser().parse_args(arguments)
    chosen = sample(list(all_mutations(options.modules)), options)
    with tempfile.TemporaryDirectory() as folder:
        prepare(Path(folder))
        outcomes = run_all(chosen, equivalents(), Runner(Path(folder), options.quick), options.seconds)
    return _summary(outcomes, options.least)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.mutants", description=__doc__)
    parser.add_argument("--sample", type=int, default=100, metavar="N", help="so many mutants; default: %(default)s")
    parser.add_argument("--seed", type=int, default=SEED, metavar="N", help="default: %(default)s")
    parser.add_argument("--modules", default="*", metavar="PATTERN", help='only these, "estimator/cost/*"')
    parser.add_argument("--only", default="", metavar="TEXT", help="only mutants whose name contains this, all of them")
    parser.add_argument("--seconds", type=float, default=float("inf"), metavar="S", help="start none after so long")
    parser.add_argument("--quick", action="store_true", help="only the files that are quick")
    parser.add_argument("--least", type=float, default=LEAST_PCT, metavar="PCT", help="default: %(default)s")
    return parser


def modules(pattern: str) -> Iterator[Tuple[Path, Tests]]:
    """Yields the modules that are mutated and fit the pattern, each with its test files."""
    for path in sorted((ROOT / "estimator").rglob("*.py")):
        name = path.relative_to(ROOT).as_posix()
        tests = next((tests for known, *tests in TESTS if fnmatch.fnmatch(name, known)), [])
        if tests and fnmatch.fnmatch(name, pattern):
            yield path, tuple(files for files in map(test_files, tests) if files)


def test_files(names: str) -> Tuple[str, ...]:
    """Returns the files of these tests; the tables of models are those of the main job."""
    of_models = {"models": Path("test_models")}
    paths = (of_models.get(name, Path("meta_tests", f"test_{name}.py")) for name in names.split())
    return tuple(str(path) for path in paths if (ROOT / path).exists())


def all_mutations(pattern: str) -> Iterator[Tuple[Mutation, Tests]]:
    """Yields every mutation of the modules that fit, with the tests that are to catch it."""
    for path, tests in modules(pattern):
        name = path.relative_to(ROOT).with_suffix("").as_posix().replace("/", ".")
        if not name.endswith("__init__"):
            yield from ((mutation, tests) for mutation in mutations(name, path.read_text(encoding="utf-8")))


def sample(found: List[Tuple[Mutation, Tests]], options: argparse.Namespace) -> Sequence[Tuple[Mutation, Tests]]:
    """Returns so many of them in random order, always the same for a seed; with `--only`, all that it names."""
    if options.only:
        return [(mutation, tests) for mutation, tests in found if options.only in mutation.name]
    return random.Random(options.seed).sample(found, min(options.sample, len(found)))


def equivalents() -> Mapping[str, str]:
    """Returns the mutants that change nothing that could be seen, by name or kind, with the reason."""
    return {name: reason for reason, names in read_toml(EQUIVALENT).items() for name in names}


def is_equivalent(name: str, known: Mapping[str, str]) -> bool:
    """Whether a mutant of this name is one of them, or of their kind."""
    return name in known or any(kind.startswith(_ALL) and name.endswith(kind[len(_ALL) :]) for kind in known)


def prepare(folder: Path) -> None:
    """Lets every Python that is started from now on mutate what it imports, and imports what takes long."""
    shutil.copy(Path(__file__).with_name("mutations.py"), folder)
    (folder / "sitecustomize.py").write_text("import mutations\n\nmutations.install()\n", encoding="utf-8")
    paths = [str(folder), *filter(None, [os.environ.get("PYTHONPATH")])]
    os.environ.update(
        PYTHONPATH=os.pathsep.join(paths),
        PYTHONDONTWRITEBYTECODE="1",
        HYPOTHESIS_STORAGE_DIRECTORY=str(folder / "hypothesis"),
        XDG_CACHE_HOME=str(folder / "cache"),
        OMP_NUM_THREADS="1",
    )
    import hypothesis  # noqa: F401
    import pytest  # noqa: F401
    import scipy.optimize  # noqa: F401

    operators = declare_missing_operators()  # they live as long as this does: a child drops the module that made it
    _KEPT.append(operators)
    import torchvision  # noqa: F401


def run_all(
    chosen: Sequence[Tuple[Mutation, Tests]], equivalent: Mapping[str, str], runner: Runner, seconds: float
) -> List[Tuple[Mutation, str]]:
    """Runs them one after the other, printing how each ends; returns each with the word for it."""
    start_s, outcomes = time.monotonic(), []
    for mutation, tests in chosen:
        if time.monotonic() - start_s > seconds:
            break
        if is_equivalent(mutation.name, equivalent):
            outcomes.append((mutation, "equivalent"))
            continue
        outcome = runner.outcome(mutation, tests)
        outcomes.append((mutation, outcome.word))
        print(f"{outcome.word:10} {outcome.took_s:5.1f} s  line {mutation.line}  {mutation.name}", flush=True)
    return outcomes


class Runner:
    """Runs the tests of mutants in forks, one after the other; `quick` leaves out the files that take longer."""

    def __init__(self, folder: Path, quick: bool) -> None:
        self._folder, self._quick = folder, quick
        self._usual_s: Dict[Sequence[str], float] = {}

    def outcome(self, mutation: Mutation, tests: Tests) -> Outcome:
        """Returns how the tests end with the mutation: those that take long run only where the others are green."""
        took_s, mutant = 0.0, f"{mutation.module}:{mutation.number}"
        for files in tests[:1] if self._quick else tests:
            found = run(mutant, files, self._folder, 20 + 5 * self._usual(files))
            took_s += found.took_s
            if found.code != 0:
                return Outcome(found.code, took_s)
        return Outcome(0, took_s)

    def _usual(self, files: Sequence[str]) -> float:
        """The seconds that they take without a mutant; SystemExit when one of them fails as it is."""
        if files not in self._usual_s:
            found = run("", files, self._folder, 900)
            if found.code != 0:
                raise SystemExit(f"without a mutant these are not green, exit code {found.code}: {' '.join(files)}")
            self._usual_s[files] = found.took_s
            print(f"without    {found.took_s:5.1f} s  {' '.join(files)}", flush=True)
        return self._usual_s[files]


def run(mutant: str, tests: Sequence[str], folder: Path, limit_s: float) -> Outcome:
    """Runs the tests in a fork that imports the mutant, "" for none; everything it started ends with it."""
    start_s = time.monotonic()
    pid = os.fork()
    if pid == 0:
        _test(mutant, tests, folder)
    try:
        code = _wait(pid, start_s + limit_s)
    finally:
        _kill(pid)
    return Outcome(code, time.monotonic() - start_s)


def _test(mutant: str, tests: Sequence[str], folder: Path) -> None:
    """The child: never returns."""
    code = 70
    try:
        os.setsid()
        with open(folder / "output.txt", "wb") as out:
            os.dup2(out.fileno(), 1)
            os.dup2(out.fileno(), 2)
        os.environ[VARIABLE] = mutant
        for name in [name for name in sys.modules if name.split(".")[0] == "estimator"]:
            del sys.modules[name]
        install()
        import pytest

        options = ("-x", "-q", "-n", "0", "-p", "no:cacheprovider", "--basetemp", str(folder / "tests"))
        code = int(pytest.main([*options, *tests]))
        sys.stdout.flush()
    finally:
        os._exit(code)


def _wait(pid: int, until_s: float) -> Optional[int]:
    """The exit code, None when the time is up; of a signal, its number and 128."""
    while time.monotonic() < until_s:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.WEXITSTATUS(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status)
        time.sleep(0.05)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return None


def _kill(group: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)


def _summary(outcomes: Sequence[Tuple[Mutation, str]], least_pct: float) -> int:
    words = [word for _, word in outcomes]
    judged = len(words) - words.count("equivalent")
    caught = judged - words.count("survived")
    for mutation, word in outcomes:
        if word == "survived":
            print(f"survivor: {mutation.name} (line {mutation.line})")
    score_pct = 100 * caught / judged if judged else 100.0
    about = f"caught {caught} of {judged} mutants, {words.count('equivalent')} more are equivalent: {score_pct:.1f} %"
    print(beside_bar(about, f">= {least_pct:.0f} %", score_pct >= least_pct))
    return 0 if score_pct >= least_pct else 1


if __name__ == "__main__":
    sys.exit(main())
