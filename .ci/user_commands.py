#!/usr/bin/env python3
"""Runs what the documents tell a user to type, in an environment that has what a user has and nothing else.

`.ci/commands.toml` is the list. Each entry is typed into bash in a clean clone; it must end with its exit code and
print its lines. `--check` runs none of them and names each command of a document that the list does not know;
`--install` runs the line by which docs/measuring.md installs what a Jetson needs beside its own torch.
"""

from __future__ import annotations

import argparse
import fnmatch
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata
from pathlib import Path
from typing import Any, Dict, Iterator, List, Mapping, Sequence

ROOT = Path(__file__).resolve().parents[1]
_DOCUMENTS = ("README.md", "CONTRIBUTING.md", "docs/*.md", "examples/*/README.md")
_OF_A_USER = re.compile(r"(pytest|python|\.?/?\S*tox|pip|\.ci/run|CI=1) .+|\.ci/run")
_LIMIT_S = 300


def main() -> int:
    """Returns 0, or 1 where a command did not do what its entry says or a document has one that has no entry."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="run nothing; name the commands that the list lacks")
    parser.add_argument("--install", action="store_true", help="run the line of docs/measuring.md for a Jetson")
    parser.add_argument(
        "--package", choices=("without", "only"), help="leave out what needs the package installed, or all else"
    )
    parser.add_argument("--only", default="", metavar="TEXT", help="run the commands that contain it")
    parser.add_argument("--root", type=Path, default=ROOT, help="of the documents and the list")
    options = parser.parse_args()
    if options.install:
        return subprocess.call([sys.executable, "-m", *shlex.split(_line_for_a_jetson(options.root))])
    commands = _read_list(options.root)
    unknown = [line for line in documented(options.root) if not _is_known(line, commands)]
    for line in unknown:
        print(f"not in .ci/commands.toml: {line}")
    if options.check or unknown:
        return 1 if unknown else 0
    chosen = [each for each in commands["command"] if options.only in each["run"]]
    wanted = {"without": (False,), "only": (True,), None: (False, True)}[options.package]
    possible = [each for each in chosen if _torch_release() >= each.get("least_torch", [])]
    return _run_all(options.root, [each for each in possible if each.get("needs_package", False) in wanted])


def documented(root: Path) -> Iterator[str]:
    """Yields `DOCUMENT: COMMAND` for each command of a shell block, behind `$`, or in the text."""
    for path in sorted(path for pattern in _DOCUMENTS for path in root.glob(pattern)):
        text = path.read_text(encoding="utf-8").replace("\\\n", " ")
        blocks = re.findall(r"^ *```(\w*)\n(.*?)\n *```$", text, flags=re.DOTALL | re.MULTILINE)
        prose = re.sub(r"^ *```.*?^ *```$", "", text, flags=re.DOTALL | re.MULTILINE)
        found = [line for kind, block in blocks for line in block.splitlines() if kind == "sh" or "$ " in line[:4]]
        found += [code for code in re.findall(r"`([^`\n]+)`", prose) if _OF_A_USER.fullmatch(code)]
        for line in found:
            command = re.sub(r"\s+# .*| +$", "", line.strip().replace("$ ", "", 1))
            if command:
                yield f"{path.relative_to(root)}: {' '.join(command.split())}"


def _is_known(line: str, commands: Mapping[str, List[Mapping[str, Any]]]) -> bool:
    run = [text for entry in commands["command"] for text in (entry["run"], entry.get("documented", ""))]
    run += [text for entry in commands["command"] for text in entry["run"].split(" && ")]
    left = [pattern for entry in commands["not_run"] for pattern in entry["commands"]]
    document, _, text = line.partition(": ")
    return text in run or any(fnmatch.fnmatchcase(each, pattern) for each in (text, document) for pattern in left)


def _read_list(root: Path) -> Dict[str, Any]:
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    return tomllib.loads((root / ".ci" / "commands.toml").read_text(encoding="utf-8"))


def _line_for_a_jetson(root: Path) -> str:
    found = re.search(r"`(pip install pytest [^`]+)`", (root / "docs" / "measuring.md").read_text(encoding="utf-8"))
    if found is None:
        raise SystemExit("docs/measuring.md: no line `pip install pytest ...`")
    return " ".join(found[1].split())


def _torch_release() -> List[int]:  # empty without torch
    try:
        return [int(number) for number in metadata.version("torch").split(".")[:2]]
    except metadata.PackageNotFoundError:
        return []


def _run_all(root: Path, entries: Sequence[Mapping[str, Any]]) -> int:
    with tempfile.TemporaryDirectory() as folder:
        _make_origin(root, Path(folder, "origin"))
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            failures = list(pool.map(lambda entry: _failure(Path(folder), entry), entries))
    failed = [text for text in failures if text]
    print("".join(failed) + f"{len(entries) - len(failed)} passed, {len(failed)} failed")
    return 1 if failed else 0


def _make_origin(root: Path, origin: Path) -> None:
    """What git sees of the working tree, new files too, as the one commit of a repository."""
    git = ("git", "-c", "user.name=user", "-c", "user.email=user@localhost")
    subprocess.run([*git, "init", "-q", "-b", "main", str(origin)], check=True)
    of_origin = (*git, "--git-dir", str(origin / ".git"), "--work-tree", str(root))
    for words in (("add", "-A"), ("commit", "-q", "-m", "all"), ("tag", "v0.1.0")):
        subprocess.run([*of_origin, *words], cwd=root, check=True, stdout=subprocess.DEVNULL)


def _failure(folder: Path, entry: Mapping[str, Any]) -> str:
    """Types the entry's command into a clean clone; returns what was wrong, or nothing."""
    home = _clean_home(folder)
    start_s = time.monotonic()
    done = subprocess.run(
        ["bash", "-c", entry["run"]],
        cwd=home / entry.get("folder", "clone"),
        env=_environment(folder / "home"),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=_LIMIT_S,
    )
    wrong = _difference(entry, done.returncode, done.stdout)
    print(f"{'FAILED' if wrong else 'ok    '} {time.monotonic() - start_s:5.1f} s  {entry['run']}", flush=True)
    return f"\n{entry['run']}\n{wrong}\n{done.stdout[-4000:]}\n" if wrong else ""


def _clean_home(folder: Path) -> Path:
    """Returns this thread's folder with a clone, one of nothing, and one of the example repository, as if new.

    Only what Python has compiled stays, a third of the time that a command takes.
    """
    home, example = folder / str(threading.get_ident()), Path("examples", "own-model")
    if not home.exists():
        subprocess.run(["git", "clone", "-q", str(folder / "origin"), str(home / "clone")], check=True)
    git = ("git", "-C", str(home / "clone"))
    subprocess.run([*git, "reset", "-q", "--hard"], check=True)
    subprocess.run([*git, "clean", "-q", "-dffx", "-e", "__pycache__"], check=True)
    for name in ("elsewhere", "own-model"):
        shutil.rmtree(home / name, ignore_errors=True)
    (home / "elsewhere").mkdir()
    if (home / "clone" / example).exists():
        shutil.copytree(home / "clone" / example, home / "own-model")
    return home


def _environment(home: Path) -> Dict[str, str]:
    """A user's own: no CI, a home that nobody used before, nothing of the pytest or tox that runs this."""
    kept = {name: text for name, text in os.environ.items() if not name.startswith(("CI", "PYTEST", "TOX_", "PYTHON"))}
    home.mkdir(exist_ok=True)
    return {**kept, "HOME": str(home), "XDG_CACHE_HOME": str(home / ".cache"), "COLUMNS": "160"}


def _difference(entry: Mapping[str, Any], code: int, output: str) -> str:
    wanted = entry.get("exit", 0)
    if code != wanted:
        return f"exit code {code}, not {wanted}"
    lines = [line.strip() for line in output.splitlines()]
    says = [entry["says"]] if isinstance(entry["says"], str) else entry["says"]
    missing = [each for each in says if not any(fnmatch.fnmatchcase(line, each) for line in lines)]
    return f"no line is like {missing[0]!r}" if missing else ""


if __name__ == "__main__":
    sys.exit(main())
