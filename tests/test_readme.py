"""README.md names what exists, and all of it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import typer

from search.run import app
from ser_core.architectures import architectures

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")


def section(title: str) -> str:
    match = re.search(rf"^## {title}\n(.*?)(?=^## |\Z)", README, flags=re.MULTILINE | re.DOTALL)
    assert match is not None, f"README.md has no section {title!r}"
    return match[1]


def first_cells(text: str) -> list[str]:
    """Code in the first column of the tables in `text`."""
    rows = [line.split("|")[1] for line in text.splitlines() if line.startswith("|")]
    return [code for cell in rows[1:] for code in re.findall(r"`([^`]+)`", cell)]


def test_the_table_of_options_is_the_command_line() -> None:
    known = {
        option for param in typer.main.get_command(app).params for option in (*param.opts, *param.secondary_opts)
    } - {"--help"}
    described = {code.split()[0] for code in first_cells(section("Options")) if code.startswith("--")}
    assert described == known


def test_commands_use_options_that_exist() -> None:
    known = {option for param in typer.main.get_command(app).params for option in (*param.opts, *param.secondary_opts)}
    commands = [line for line in README.splitlines() if re.search(r"search/run\.py|^ +ser-search", line)]
    used = {option for line in commands for option in re.findall(r"(?<= )--[a-z-]+", line)}
    assert len(commands) >= 5
    assert used <= known


def test_the_table_of_models_is_complete() -> None:
    described = [code for code in first_cells(section("Models")) if not code.startswith("--")]
    assert sorted(described) == sorted(architectures())


@pytest.mark.parametrize("target", re.findall(r"\bmake ([a-z-]+)", README))
def test_make_targets_exist(target: str) -> None:
    makefile = (Path(__file__).parents[1] / "Makefile").read_text(encoding="utf-8")
    assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE)
