"""The list of what a user types: it knows every command of the documents, and an entry that is not kept is red."""

import shutil
import subprocess
import sys

import pytest

KEPT = '[[command]]\nrun = "echo hello; exit 3"\nexit = 3\nsays = "hel*"\n'
NOT_RUN = '[[not_run]]\nwhy = "needs a device"\ncommands = ["pytest --device *"]\n'


def user_commands(request, *arguments):
    script = request.config.rootpath / ".ci" / "user_commands.py"
    done = subprocess.run([sys.executable, str(script), *map(str, arguments)], stdout=subprocess.PIPE, text=True)
    return done.returncode, done.stdout


@pytest.fixture
def repository(tmp_path):
    """Returns a function that writes a README with this text and a list with these entries."""

    def written(text, entries):
        (tmp_path / ".ci").mkdir(exist_ok=True)
        (tmp_path / ".ci" / "commands.toml").write_text(entries)
        (tmp_path / "README.md").write_text(text)
        return tmp_path

    return written


@pytest.mark.parametrize(
    "text", ["```sh\npytest --new   # a comment\n```", "```text\n$ pytest --new\n```", "type `pytest --new` there"]
)
def test_a_command_that_the_list_does_not_know_is_named_and_nothing_is_run(request, repository, text):
    root = repository(f"{text}\n`pytest --device cuda`\n", KEPT + NOT_RUN)
    assert user_commands(request, "--root", root) == (1, "not in .ci/commands.toml: README.md: pytest --new\n")


@pytest.mark.skipif(shutil.which("git") is None, reason="each command gets a clone")
def test_a_command_that_ends_or_prints_otherwise_than_its_entry_says_is_red(request, repository):
    other_code, other_line = KEPT.replace("exit = 3", "exit = 4"), KEPT.replace("hel*", "bye")
    code, printed = user_commands(request, "--root", repository("", KEPT + other_code + other_line + NOT_RUN))
    assert code == 1
    assert "exit code 3, not 4" in printed
    assert "no line is like 'bye'" in printed
    assert printed.splitlines()[-1] == "1 passed, 2 failed"
    assert user_commands(request, "--root", repository("", KEPT + NOT_RUN))[0] == 0
