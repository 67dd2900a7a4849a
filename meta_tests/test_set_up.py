"""README, docs, tox and the package say the same. test_documented_commands.py runs the commands of the pages."""

from __future__ import annotations

import configparser
import re
from pathlib import Path

from estimator.files import read_toml
from estimator.goldens.repository import Repository
from estimator.suite.live_options import add_live_options
from estimator.suite.options import SETTINGS, Declared, add_options

ROOT = Path(__file__).parents[1]
DOCS = sorted((ROOT / "docs").glob("*.md"))
PAGES = {path: path.read_text("utf-8") for path in (*(ROOT / f"{n}.md" for n in ("README", "CONTRIBUTING")), *DOCS)}
README = PAGES[ROOT / "README.md"]


def anchors(text):  # as GitHub makes them of headings
    headings = re.findall(r"^#+ (.+)$", without_code(text), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def without_code(text):
    return re.sub(r"^ *```.*?^ *```$", "", text, flags=re.DOTALL | re.MULTILINE)


def dead_links(path, text):
    for target in re.findall(r"\]\((?!https?://)([^)\s]+)\)", without_code(text)):
        name, _, anchor = target.partition("#")
        page = path.parent / name if name else path
        if not page.exists() or (anchor and anchor not in anchors(page.read_text(encoding="utf-8"))):
            yield f"{path.name}: {target}"


def test_every_link_leads_to_a_file_and_a_heading_and_the_readme_to_every_page():
    assert [link for path, text in PAGES.items() for link in dead_links(path, text)] == []
    assert [page.name for page in DOCS if f"](docs/{page.name}" not in README] == []
    assert len(README.splitlines()) <= 100


def test_every_option_and_setting_of_the_suite_is_in_a_table_of_the_docs_and_no_other(request):
    here, elsewhere = Declared(), Declared()
    for options, has_zoo in ((here, True), (elsewhere, False)):
        add_options(options, Repository(ROOT, has_zoo))
        add_live_options(options, Repository(ROOT, has_zoo))
    cells = " ".join(re.findall(r"^\| (`.*?) \|", "\n".join(PAGES.values()), flags=re.MULTILINE))
    assert {*here, *elsewhere, *SETTINGS.values()} - set(re.findall(r"`([\w-]+)", cells)) == set()
    assert set(re.findall(r"`(--latency-[\w-]+)", cells)) == elsewhere
    tables = PAGES[ROOT / "docs" / "options.md"].split("\n## What can go wrong")[0]
    for name in re.findall(r"^\| `(--[a-z-]+)", tables, flags=re.MULTILINE):
        request.config.getoption(name)


def test_tox_s_environments_are_in_the_docs_know_that_they_run_in_ci_and_pin_torch():
    tox = configparser.ConfigParser(interpolation=None)
    tox.read(ROOT / "tox.ini", encoding="utf-8")
    names = {name.strip("{}") for section in tox.sections() for name in section.split(":")[1:]}
    ci = PAGES[ROOT / "docs" / "ci.md"]
    assert [name for text in sorted(names) for name in text.split(",") if f"`{name}`" not in ci] == []
    passed = {section: tox[section].get("pass_env", "CI") for section in tox}
    assert [section for section, names in passed.items() if names != "CI" and "{[testenv]pass_env}" not in names] == []
    assert "torch==2.1.2; python_version" in (ROOT / "tox.ini").read_text(encoding="utf-8")
    jetson, project = tox["testenv:jetson"], read_toml(ROOT / "pyproject.toml")["project"]
    wanted = {*project["dependencies"], *project["optional-dependencies"]["report"]}
    assert {"torch", "torchvision"} < wanted  # never pinned: on a Jetson torch is NVIDIA's build
    assert {line.replace('"', "'") for line in jetson["deps"].split("\n") if line} == wanted - {"torch", "torchvision"}
    assert "--no-deps" in jetson["commands_pre"]


def test_the_wheel_carries_every_file_that_the_estimator_reads():
    patterns = read_toml(ROOT / "pyproject.toml")["tool"]["setuptools"]["package-data"]["*"]
    files = [path for path in (ROOT / "estimator").rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    left = []
    for path in (path for path in files if path.suffix != ".py"):
        package = next(folder for folder in path.parents if (folder / "__init__.py").exists())
        if not any(path in package.glob(pattern) for pattern in patterns):
            left.append(path)
    assert left == []
