"""What the pages take from the code is all there is."""

from __future__ import annotations

import importlib.util
import re
from types import ModuleType

import pytest
import typer

from search.run import app
from ser_core.architectures import architectures, default_config
from spaces import space_for
from tests.docs.pages import PAGES, REPOSITORY, first_cells


@pytest.fixture(scope="module")
def generated() -> ModuleType:
    """docs/generated.py, as MkDocs loads it: by its path."""
    spec = importlib.util.spec_from_file_location("generated", REPOSITORY / "docs" / "generated.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_options_are_those_of_the_command_line(generated: ModuleType) -> None:
    known = {name for param in typer.main.get_command(app).params for name in (*param.opts, *param.secondary_opts)}
    assert {cell.split()[0] for cell in first_cells(generated.options())} == known - {"--help"}


def test_every_setting_has_a_row(generated: ModuleType) -> None:
    rows = set(first_cells(generated.settings()))
    for model in architectures():
        own = set(default_config(model).params())
        assert own <= rows | set(first_cells(generated.models()))


@pytest.mark.parametrize("model", architectures())
def test_every_knob_has_a_row(generated: ModuleType, model: str) -> None:
    table = re.search(rf"^### {model}\n(.*?)(?=^### |\Z)", generated.spaces(), flags=re.MULTILINE | re.DOTALL)
    assert table is not None
    assert first_cells(table[1]) == list(space_for(model).knobs)


def test_a_mark_is_replaced_and_an_unknown_one_refused(generated: ModuleType) -> None:
    page = "before\n<!-- generated: figures -->\nafter"
    assert "Confusion" in generated.on_page_markdown(page)
    with pytest.raises(KeyError, match="nonsense"):
        generated.on_page_markdown("<!-- generated: nonsense -->")


def test_every_part_is_used(generated: ModuleType) -> None:
    used = [name for page in PAGES for name in re.findall(r"<!-- generated: (\w+) -->", page.read_text("utf-8"))]
    assert sorted(used) == sorted(generated.PARTS)
