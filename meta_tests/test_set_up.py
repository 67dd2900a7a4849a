"""README, docs, tox, CI and the package say the same."""

import configparser
import itertools
import re

import pytest

from estimator.files import read_toml
from estimator.suite import plugin

OPTION_PAGES = ("options.md", "measuring.md")


class OptionNames(list):  # in place of pytest's parser
    def getgroup(self, *_):
        return self

    def addoption(self, *names, **_):
        self.extend(names)

    def addini(self, name, *_):
        self.settings = [*getattr(self, "settings", ()), name]


@pytest.fixture
def root(request):
    return request.config.rootpath


@pytest.fixture
def readme(root):
    return read(root / "README.md")


@pytest.fixture
def quickstart_commands(readme):
    quickstart = readme.split("\n## ")[1]
    assert quickstart.startswith("Quickstart")
    return shell_blocks(quickstart)


@pytest.fixture
def pages(root):
    paths = [root / "README.md", root / "CONTRIBUTING.md", root / "CHANGELOG.md", *sorted((root / "docs").glob("*.md"))]
    return {path: read(path) for path in paths}


@pytest.fixture
def shell_lines(pages):
    blocks = itertools.chain.from_iterable(map(shell_blocks, pages.values()))
    return [line.split("  # ")[0] for block in blocks for line in block.splitlines()]


@pytest.fixture
def tox(root):
    parser = configparser.ConfigParser(interpolation=None)
    parser.read(root / "tox.ini", encoding="utf-8")
    return parser


def read(path):
    return path.read_text(encoding="utf-8")


def shell_blocks(text):
    return re.findall(r"^ *```sh\n(.*?)\n *```$", text, flags=re.DOTALL | re.MULTILINE)


def without_code(text):
    return re.sub(r"^ *```.*?^ *```$", "", text, flags=re.DOTALL | re.MULTILINE)


def anchors(text):  # as GitHub makes them of headings
    headings = re.findall(r"^#+ (.+)$", without_code(text), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def dead_links(path, text):
    for target in re.findall(r"\]\(([^)\s]+)\)", without_code(text)):
        if re.match(r"https?://", target):
            continue
        name, _, anchor = target.partition("#")
        page = path.parent / name if name else path
        if not page.exists() or (anchor and anchor not in anchors(read(page))):
            yield f"{path.name}: {target}"


def environments(tox):
    names = [section.split(":", 1)[1] for section in tox.sections() if section.startswith("testenv:")]
    return {name for text in names for name in text.strip("{}").split(",")}


def listed_options(page):
    table = read(page).split("\n## What can go wrong")[0]
    cells = re.findall(r"^\| (`--.*?) \|", table, flags=re.MULTILINE)
    return set(re.findall(r"--[a-z-]+", str(cells)))


def test_the_readme_fits_on_a_page(readme):
    assert len(readme.splitlines()) <= 100


def test_the_quickstart_is_two_commands_that_do_their_own_set_up(quickstart_commands):
    set_up = "python3 -m venv .venv && .venv/bin/pip install --quiet tox && .venv/bin/tox run"
    assert quickstart_commands == [f"{set_up} -e suite", set_up]


def test_ci_calls_the_readme_s_test_command(root, quickstart_commands):
    assert quickstart_commands[1] in read(root / ".ci" / "run").splitlines()


def test_every_link_leads_to_a_file_and_a_heading_that_exist(pages):
    links = sum(len(re.findall(r"\]\((?!http)", text)) for text in pages.values())
    assert links > 20
    assert [link for path, text in pages.items() for link in dead_links(path, text)] == []


def test_the_readme_leads_to_every_page(root, readme):
    pages = [f"docs/{path.name}" for path in sorted((root / "docs").glob("*.md"))]
    wanted = [*pages, "CONTRIBUTING.md", "CHANGELOG.md"]
    assert [page for page in wanted if f"]({page}" not in readme] == []


def test_every_option_of_the_suite_is_in_a_table_of_the_docs(root):
    options = OptionNames()
    plugin.pytest_addoption(options)
    listed = set().union(*(listed_options(root / "docs" / name) for name in OPTION_PAGES))
    assert len(options) > 10
    assert set(options) - listed == set()
    own_models = read(root / "docs" / "own-models.md")
    assert [name for name in options.settings if f"| `{name}` |" not in own_models] == []


@pytest.mark.parametrize("page", OPTION_PAGES)
def test_every_option_in_a_table_of_the_docs_is_one_that_pytest_takes(page, root, request):
    listed = listed_options(root / "docs" / page)
    assert listed
    for option in listed:
        request.config.getoption(option)


def test_every_command_of_a_page_uses_options_that_pytest_takes(shell_lines, request):
    arguments = [re.findall(r"(?:^|[/ ])pytest (.*)|tox run -e \S+ -- (.*)", line) for line in shell_lines]
    used = set(re.findall(r"--[a-z-]+", str(arguments)))
    assert used >= {"--every-configuration", "--snapshot-update", "--record"}
    for option in used:
        request.config.getoption(option)


def test_every_environment_that_a_page_runs_is_tox_s(shell_lines, tox):
    run = [names.split(",") for line in shell_lines for names in re.findall(r"tox \w+ -e (\S+)", line)]
    assert {"suite", "jetson", "lint", "types"} <= {name for names in run for name in names} <= environments(tox)


def test_every_environment_of_tox_is_in_the_docs(root, tox):
    assert [name for name in sorted(environments(tox)) if f"`{name}`" not in read(root / "docs" / "ci.md")] == []


def test_the_readme_s_environments_are_tox_s(tox):
    assert {"tests", "lint", "types", "workflows"} <= set(tox["tox"]["env_list"].split(", "))
    assert tox["testenv:suite"]["commands"] == "pytest {posargs}"
    tests = tox["testenv:{tests,py38-torch21,py310-torch25,py311-torch213,py313-torch213}"]["commands"]
    assert tests.split("\n")[1].startswith("pytest test_models test_patterns meta_tests")
    assert tests.split("\n")[2].startswith("pytest --every-configuration")
    assert {"testenv:lint", "testenv:types", "testenv:bench"} < set(tox.sections())


def test_every_supported_pair_is_pinned_in_tox(tox):
    pins = tox["torch"]["deps"].split("\n")
    for pin in (
        "torch==2.1.2; ",
        "torchvision==0.16.2; ",
        "!torch25: torch==2.13.0; ",
        "!torch25: torchvision==0.28.0; ",
    ):
        assert any(line.startswith(pin) for line in pins)
    assert {"torch25: torch==2.5.1", "torch25: torchvision==0.20.1"} <= set(pins)


def test_torch_is_never_pinned_by_the_package(root):
    dependencies = read_toml(root / "pyproject.toml")["project"]["dependencies"]
    assert {"torch", "torchvision"} <= set(dependencies)


def test_every_dependency_says_what_it_is_for(root):
    text = read(root / "pyproject.toml")
    project = read_toml(root / "pyproject.toml")["project"]
    optional = itertools.chain.from_iterable(project["optional-dependencies"].values())
    for dependency in (*project["dependencies"], *optional):
        assert re.search(rf'^    "{re.escape(dependency)}",  # \S', text, flags=re.MULTILINE)
