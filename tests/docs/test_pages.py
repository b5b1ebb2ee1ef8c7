"""The tables that are written by hand are complete, and the pages can be built."""

from __future__ import annotations

import itertools
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ser_core.architectures import architectures
from tests.docs.pages import REPOSITORY, first_cells

DOCS = REPOSITORY / "docs"


def section(page: str, title: str) -> str:
    """The text under a heading of the second order."""
    text = (DOCS / page).read_text(encoding="utf-8")
    match = re.search(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", text, flags=re.MULTILINE | re.DOTALL)
    assert match is not None, f"{page} has no section {title!r}"
    return match[1]


def test_the_table_of_models_is_complete() -> None:
    models, _, _ = (DOCS / "models.md").read_text(encoding="utf-8").partition("\n## ")
    described = [cell for cell in first_cells(models) if cell[0] != "-"]
    assert sorted(described) == sorted(architectures())


def test_the_tests_that_keep_a_promise_exist() -> None:
    named = re.findall(r"`(test_\w+)`", (DOCS / "troubleshooting.md").read_text(encoding="utf-8"))
    code = "\n".join(path.read_text(encoding="utf-8") for path in (REPOSITORY / "tests").rglob("test_*.py"))
    assert len(named) > 10
    assert [name for name in named if f"def {name}(" not in code] == []


def expanded(key: str) -> list[str]:
    """`a.{b,c}` stands for `a.b` and `a.c`."""
    parts = [part.split(",") for part in re.split(r"[{}]", key)]
    return ["".join(choice) for choice in itertools.product(*parts)]


def keys_of(value: Any, path: str = "") -> Iterator[str]:
    """Every key of a document by its path; `[]` for the items of a list of objects."""
    if path:
        yield path
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from keys_of(inner, f"{path}.{key}".lstrip("."))
    elif isinstance(value, list) and any(isinstance(item, dict) for item in value):
        for item in value:
            yield from keys_of(item, f"{path}[]")


def matches(pattern: str, key: str) -> bool:
    """`*` stands for any name, which may have dots in it, as knobs do."""
    return re.fullmatch(re.escape(pattern).replace(r"\*", ".+"), key) is not None


def test_every_key_of_a_real_result_is_described_and_none_else(full_run: Path) -> None:
    result = json.loads((full_run / "result.json").read_text(encoding="utf-8"))
    keys = list(dict.fromkeys(keys_of(result)))
    described = [key for cell in first_cells(section("run-folder.md", "result.json")) for key in expanded(cell)]
    assert len(set(described)) == len(described)
    leaves = [key for key in keys if not any(other.startswith((f"{key}.", f"{key}[]")) for other in keys)]
    assert [key for key in leaves if not any(matches(pattern, key) for pattern in described)] == []
    assert [pattern for pattern in described if not any(matches(pattern, key) for key in keys)] == []


def test_the_files_of_a_real_run_are_described(full_run: Path) -> None:
    described = re.findall(
        r"^ {2}([a-z_.]+)/? ", (DOCS / "run-folder.md").read_text(encoding="utf-8"), flags=re.MULTILINE
    )
    there = {path.name for path in full_run.iterdir() if not path.name.startswith(".")}
    assert there <= set(described)
    assert set(described) - there <= {"checkpoints", "errors", "stop.request", "tracking", "tensorboard", "wandb"}


@pytest.mark.slow
def test_the_pages_are_built_without_a_warning_and_fetch_nothing(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")],
        cwd=REPOSITORY, capture_output=True, text=True, timeout=600, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    pages = list((tmp_path / "site").rglob("*.html"))
    assert len(pages) > 20
    for page in pages:
        fetched = re.findall(r'<(?:script|img|link)[^>]+(?:src|href)="(https?:)?//', page.read_text(encoding="utf-8"))
        assert fetched == [], page.name
    options = (tmp_path / "site" / "options.html").read_text(encoding="utf-8")
    assert "<code>--warm-start</code>" in options
