"""README, CONTRIBUTING and the pages of docs/ as the tests read them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
PAGES = sorted([REPOSITORY / "README.md", REPOSITORY / "CONTRIBUTING.md", *(REPOSITORY / "docs").glob("*.md")])


@dataclass(frozen=True)
class Command:
    """A command line of a page, as a shell takes it apart."""

    page: str
    words: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.page}: {shlex.join(self.words)}"


def python_blocks(page: Path) -> list[str]:
    """The Python code of a page."""
    return re.findall(r"^```python\n(.*?)^```", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)


def commands(page: Path) -> Iterator[Command]:
    """What stands in indented blocks, the parts of a pipe or a list each by itself, without comments.

    Blocks between fences hold code, trees and output.
    """
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    text = re.sub(r"^::: .*(\n +.*)*", "", text, flags=re.MULTILINE)  # mkdocstrings and its options
    text = re.sub(r" *\\\n +", " ", text)  # a command that goes on in the next line
    for line in text.splitlines():
        if line.startswith("    "):
            lexer = shlex.shlex(line, posix=True, punctuation_chars="|;&")
            lexer.whitespace_split = True
            yield from _parts(page.name, list(lexer))


def _parts(page: str, words: list[str]) -> Iterator[Command]:
    command: list[str] = []
    for word in [*words, ";"]:
        if word and not set(word) - set("|;&"):
            if command:
                yield Command(page, tuple(command))
            command = []
        else:
            command.append(word)


def first_cells(text: str) -> list[str]:
    """Code in the first column of the tables in a text."""
    rows = [re.split(r"(?<!\\)\|", line)[1] for line in text.splitlines() if line.startswith("|")]
    return [code for cell in rows for code in re.findall(r"`([^`]+)`", cell)]
