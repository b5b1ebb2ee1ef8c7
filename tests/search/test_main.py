"""`ser`: one command, whose parts load when they are called; and the scripts beside it."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from inspect import cleandoc
from pathlib import Path

import pytest
from typer.testing import CliRunner

from search.__main__ import COMMANDS, app, load_command

REPOSITORY = Path(__file__).parents[2]
SCRIPTS = ("run", "dashboard", "compare", "cluster")


@pytest.mark.parametrize("name", COMMANDS)
def test_the_list_of_commands_says_what_each_says_itself(name: str) -> None:
    paragraph = " ".join(cleandoc(load_command(name).help).split("\n\n")[0].split())
    assert COMMANDS[name][1] == paragraph


def test_the_list_of_commands_loads_none_of_them() -> None:
    program = (
        "import sys; from search.__main__ import main; sys.argv = ['ser', '--help']\n"
        "try: main()\n"
        "except SystemExit: print(*[name for name in sys.modules if name.startswith(('search.', 'torch', 'numpy'))])\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=True)
    *help_text, loaded = done.stdout.splitlines()
    assert loaded == "search.__main__"
    assert all(any(f" {name} " in line for line in help_text) for name in COMMANDS)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["serch"], "Did you mean search?"),
        (["search", "--modle", "mlp"], "--model"),
        (["search", "--model", "cnn_lstn", "--data", "demo"], "Did you mean cnn_lstm?"),
        (["cluster", "check"], "Missing argument"),
    ],
)
def test_what_is_mistyped_is_suggested(arguments: list[str], message: str) -> None:
    result = CliRunner(env={"COLUMNS": "300"}).invoke(app, arguments)
    assert result.exit_code == 2
    assert message in " ".join(result.output.split())


@pytest.mark.parametrize(
    ("words", "offered"),
    [("ser da", ["dashboard", "data"]), ("ser search --tri", ["--trials"]), ("ser search --model cnn", ["cnn_lstm"])],
)
def test_the_shell_completes_commands_options_and_models(words: str, offered: list[str]) -> None:
    call = {"_SER_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(len(words.split()) - 1)}
    program = "from search.__main__ import app; app(prog_name='ser')"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=120, env={**os.environ, **call}
    )
    assert done.stdout.split() == offered, done.stderr


def test_the_commands_that_are_installed_exist() -> None:
    scripts = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["scripts"]
    assert scripts == {"ser": "search.__main__:main", "ser-search": "search.run:main"}


@pytest.mark.parametrize("name", SCRIPTS)
def test_the_scripts_run_from_any_folder(name: str, tmp_path: Path) -> None:
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    script = [sys.executable, str(REPOSITORY / "search" / f"{name}.py"), "--help"]
    done = subprocess.run(script, capture_output=True, text=True, timeout=120, env=environment, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "Usage" in done.stdout


def test_nothing_beside_the_scripts_hides_a_library() -> None:
    """The folder of a script comes first on its path, so a library must not bear a name that lies there."""
    names = {path.stem for path in (REPOSITORY / "search").iterdir() if not path.name.startswith("_")}
    assert names & (set(sys.stdlib_module_names) | set(packages_distributions())) == set()
