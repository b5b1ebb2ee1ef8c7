"""Every command and every piece of Python in README, CONTRIBUTING and docs/ is one that exists."""

from __future__ import annotations

import ast
import importlib
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer

from search.__main__ import load_command
from tests.docs.pages import PAGES, REPOSITORY, Command, commands, python_blocks

COMMANDS = [command for page in PAGES for command in commands(page)]
OURS = {
    "search/run.py": "search.run",
    "search/compare.py": "search.compare",
    "search/dashboard.py": "search.dashboard",
    "search/cluster.py": "search.cluster",
    "search/serve.py": "search.serve",
}
OF_OTHERS = {"ray", "aws", "export", "arecord", "ssh", "optuna-dashboard", "source", "pip", "curl", "serve"}
"""Programs that are not the project's: their options are not looked at."""


def click_command(module: str) -> Any:
    """The command of a module: its Typer application, or the one function that it runs."""
    found = importlib.import_module(module)
    if hasattr(found, "app"):
        return typer.main.get_command(found.app)
    app = typer.Typer()
    app.command()(found.command)
    return typer.main.get_command(app)


def parse(command: Any, words: list[str]) -> None:
    """Options, arguments and their types, without running anything."""
    while hasattr(command, "commands"):  # a group
        found = command.commands.get(words[0])
        assert found is not None, f"{command.name} has no {words[0]}"
        command, words = found, words[1:]
    command.make_context("", words, resilient_parsing=False)


def check(words: list[str]) -> None:
    """One command line, by what it starts."""
    program, *rest = words
    if program == "make":
        targets = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
        assert all(re.search(rf"^{word}:", targets, flags=re.MULTILINE) for word in rest if "=" not in word)
    elif program == "ser":
        parse(load_command(rest[0]), rest[1:])
    elif program == "python" and rest[0] == "-m":
        if rest[1].startswith("ser_core."):
            parse(click_command(rest[1]), rest[2:])
        elif rest[1] == "pytest":
            assert all((REPOSITORY / word).exists() for word in rest[2:])
        else:
            assert rest[1] in ("pip", "mkdocs")
    elif program == "sbatch":  # a script, its run folder, and options of `ser search`
        script = next(place for place, word in enumerate(rest) if not word.startswith("-"))
        assert (REPOSITORY / rest[script]).is_file()
        parse(load_command("search"), rest[script + 2 :])
    elif program == "docker":
        if "ser" in rest:
            check(rest[rest.index("ser") :])
    elif program == "python":
        assert (REPOSITORY / rest[0]).is_file()
        if rest[0] in OURS:
            parse(click_command(OURS[rest[0]]), rest[1:])
        else:
            check_script(rest[0], rest[1:])
    else:
        assert program in OF_OTHERS, f"{program} is not a command that the tests know"
    if "--" in rest:  # a command for another machine
        rest = rest[rest.index("--") + 1 :]
        inner = ["python", "search/run.py", *rest] if program == "ray" and words[1] == "submit" else rest
        check(inner)


def check_script(script: str, words: list[str]) -> None:
    """A script of benchmarks/, docs/ or examples/ knows the options, those of a command that it has among them."""
    if options := [word for word in words if word.startswith("-")]:
        command = [word for word in words[:1] if word.isalpha()]
        done = subprocess.run(
            [sys.executable, REPOSITORY / script, *command, "--help"], capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, done.stderr
        assert all(option in done.stdout for option in options)


def test_the_pages_hold_commands() -> None:
    assert len(COMMANDS) > 40
    assert {command.page for command in COMMANDS} > {"README.md", "first-search.md", "clusters.md", "use-a-model.md"}


@pytest.mark.parametrize("command", COMMANDS, ids=str)
def test_a_command_of_the_documentation_can_be_given(command: Command) -> None:
    check(list(command.words))


@pytest.mark.parametrize("page", [page for page in PAGES if python_blocks(page)], ids=lambda page: page.name)
def test_the_names_that_python_code_imports_exist(page: Path) -> None:
    for code in python_blocks(page):
        if code.startswith("--8<--"):  # a whole script, which has a test of its own
            continue
        for node in ast.walk(ast.parse(code)):
            if isinstance(node, ast.Import):
                modules = {alias.name: importlib.import_module(alias.name) for alias in node.names}
            elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in modules:
                assert hasattr(modules[node.value.id], node.attr)


def test_the_readme_is_read_in_a_minute() -> None:
    assert len((REPOSITORY / "README.md").read_text(encoding="utf-8").splitlines()) <= 170
    assert (REPOSITORY / "docs" / "dashboard.png").stat().st_size < 300_000


@pytest.mark.parametrize("file", [*PAGES, REPOSITORY / "CHANGELOG.md"], ids=lambda page: page.name)
def test_links_lead_to_files(file: Path) -> None:
    for link in re.findall(r"\]\(([^)#]+)", file.read_text(encoding="utf-8")):
        assert link.startswith("https://") or (file.parent / link).exists(), link
