"""Runs the live suite and keeps what it saw; a run that measured nothing says "not measured" and fails, never passes.

    python .ci/measure.py FOLDER [options for pytest]

FOLDER then holds log.txt, junit.xml, benchmark.json, table.md, table.json and report.html, as far as the run came. The
exit code is pytest's, but never 0 unless every model of the table was measured, and every one of golden/tests.md unless
an option selects models.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, List, Optional, Sequence
from xml.etree import ElementTree

import accounted

RESULTS = ("log.txt", "junit.xml", "benchmark.json", "table.md", "table.json", "report.html")
_HAS_RUN = (0, 1)
_SELECTING = ("--models", "--skip", "-k", "-m")
"""Options that leave models out on purpose."""
_GUIDE = "see docs/runner.md"
_ERROR_LINE = re.compile(r"^(?:ERROR: |.*?: error: )(?!usage:)(.+)$", re.MULTILINE)


def main(arguments: List[str]) -> int:
    folder = Path(arguments[0])
    folder.mkdir(parents=True, exist_ok=True)
    for name in RESULTS:
        (folder / name).unlink(missing_ok=True)  # an older run's results must not pass for this one's
    exit_code, reason = 1, torch_problem()
    if reason is None:
        exit_code = run_pytest(folder, arguments[1:])
        reason = why_not_measured(folder, exit_code, arguments[1:])
    if reason is None:
        return exit_code
    say(folder, f"not measured: {reason}")
    return exit_code or 1


def torch_problem() -> Optional[str]:
    """Says why torch is not the one of the machine's Python, where the environment is one that must use it."""
    if not _sees_system_packages():
        return None
    torch = importlib.util.find_spec("torch")
    if torch is None or torch.origin is None:
        return f"the system's Python {sys.version.split()[0]} has no torch: install NVIDIA's build there, {_GUIDE}"
    if Path(sys.prefix) in Path(torch.origin).parents:
        return f"torch was installed into {sys.prefix}, where it hides the system's: delete that folder"
    return None


def _sees_system_packages() -> bool:
    settings = Path(sys.prefix, "pyvenv.cfg")
    text = settings.read_text(encoding="utf-8") if settings.is_file() else ""
    return re.search(r"^include-system-site-packages\s*=\s*true$", text, re.MULTILINE) is not None


def run_pytest(folder: Path, options: List[str]) -> int:
    """Runs pytest, its output on the screen and in log.txt; returns its exit code."""
    written = [f"--junitxml={folder / 'junit.xml'}", f"--benchmark-json={folder / 'benchmark.json'}"]
    tables = [f"--output={folder / name}" for name in ("table.md", "table.json")]
    tables.append(f"--report={folder / 'report.html'}")
    command = [sys.executable, "-m", "pytest", *options, *written, *tables]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}  # the log must show where a run that was ended had come to
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment) as process:
        assert process.stdout is not None
        for line in process.stdout:
            say(folder, line.decode("utf-8", "replace").rstrip("\n"))
    return process.returncode


def say(folder: Path, line: str) -> None:
    print(line, flush=True)
    with (folder / "log.txt").open("a", encoding="utf-8") as log:
        log.write(line + "\n")


def why_not_measured(folder: Path, exit_code: int, options: Sequence[str] = ()) -> Optional[str]:
    """Says why the run is none that measured, None for one that did."""
    if exit_code not in _HAS_RUN:
        log = folder / "log.txt"
        errors = _ERROR_LINE.findall(log.read_text(encoding="utf-8") if log.is_file() else "")
        return errors[-1] if errors else f"pytest ended with exit code {exit_code}"
    models, measurements = len(_json(folder / "table.json", [])), _json(folder / "benchmark.json", {})
    measured = len(measurements.get("benchmarks", []))
    if measured == 0:
        return first_problem(folder / "junit.xml") or "no test took a measurement"
    if exit_code == 0 and measured < models:
        return f"only {measured} of {models} models took a measurement"
    if exit_code == 0 and not any(option.split("=")[0] in _SELECTING for option in options):
        return accounted.why_not([folder / "junit.xml"], "::test_model[")
    return None


def _json(path: Path, otherwise: Any) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return otherwise


def first_problem(junit: Path) -> Optional[str]:
    """Returns the first line of the first error, failure or skip."""
    try:
        root = ElementTree.parse(junit).getroot()
    except (OSError, ElementTree.ParseError):
        return None
    for kind in ("error", "failure", "skipped"):
        for problem in root.iter(kind):
            lines = (problem.get("message") or problem.text or "").strip().splitlines()
            return lines[0] if lines else kind
    return None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
