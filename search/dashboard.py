"""Bind the figures of a run into one self-contained HTML page; also the command that rebuilds pages.

    python search/dashboard.py RUN...

The page fetches nothing: plotly.js is in it once, and its content security policy allows these very scripts alone, so
that a name out of a corpus stays text even if an escape were forgotten.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from itertools import groupby
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any

import typer
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from plotly.io.json import to_json_plotly
from plotly.offline import get_plotlyjs

from search.figures import figure_modules
from search.figures._style import DARK
from search.importance import knob_importance
from search.page_head import page_head
from search.view import RunFolderError, RunView, read_run
from ser_core.config import ConfigError

PAGE_FILE = "dashboard.html"
_PARTS = Path(__file__).parent / "page"


@dataclass(frozen=True, kw_only=True)
class PageFigure:
    """A figure as the page shows it; without `drawing` its EMPTY sentence stands in its place."""

    name: str
    section: str
    title: str
    empty: str
    wide: bool
    reading: str = ""
    drawing: Mapping[str, Any] | None = None

    @property
    def height(self) -> int:
        """In pixels on a wide page; kept free before it is drawn."""
        return int(self.drawing["layout"]["height"]) if self.drawing else 0


@dataclass(frozen=True, kw_only=True)
class Section:
    """Figures under one heading."""

    name: str
    figures: tuple[PageFigure, ...]

    @property
    def drawn(self) -> bool:
        """False when there is nothing to draw in the whole section."""
        return any(figure.drawing for figure in self.figures)


def write_dashboard(folder: Path, run: RunView | None = None) -> Path:
    """Write `dashboard.html` into a run folder, whole or not at all; what it shows is `run`, else what the folder says.

    Raises:
        RunFolderError, ConfigError: a folder that is not a readable run, see `read_run`.
        OSError: a folder that cannot be written.
    """
    path = folder / PAGE_FILE
    page = build_page(read_run(folder) if run is None else run)
    temporary = folder / f".{PAGE_FILE}.{os.getpid()}.part"
    try:
        temporary.write_text(page, encoding="utf-8", newline="\n")
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return path


def build_page(run: RunView) -> str:
    """The whole page of a run at any moment of it, as HTML."""
    if run.importance is None:
        run = replace(run, importance=knob_importance(run))
    drawn = [_page_figure(module, run) for module in figure_modules()]
    sections = [
        Section(name=name, figures=tuple(own)) for name, own in groupby(drawn, key=lambda figure: figure.section)
    ]
    data = {"figures": [figure.drawing for figure in drawn if figure.drawing], "dark": DARK}
    plotly, script = get_plotlyjs(), _part("dashboard.js")
    return _template().render(
        head=page_head(run),
        sections=sections,
        policy=_policy(plotly, script),
        css=Markup(_part("dashboard.css")),
        figures=Markup(_json_for_html(data)),
        plotly=Markup(plotly),
        script=Markup(script),
    )


def _page_figure(module: ModuleType, run: RunView) -> PageFigure:
    name = module.__name__.rpartition(".")[2]
    page_figure = PageFigure(
        name=name, section=module.SECTION, title=module.TITLE, empty=module.EMPTY, wide=module.WIDE
    )
    info = module.info(run)
    if info is None:
        return page_figure
    wide, narrow = (json.loads(to_json_plotly(module.figure(info, narrow=narrow))) for narrow in (False, True))
    drawing = {"name": name, "data": wide["data"], "layout": wide["layout"], "narrow_layout": narrow["layout"]}
    return replace(page_figure, reading=module.reading(info), drawing=drawing)


def _policy(*scripts: str) -> str:
    """A content security policy that allows these scripts, inline styles and pictures made on the page."""
    hashes = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts]
    allowed = " ".join(f"'sha256-{digest}'" for digest in hashes)
    return f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data: blob:; base-uri 'none'"


def _json_for_html(data: Any) -> str:
    """JSON that cannot end the script element it stands in."""
    text = json.dumps(data, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


@cache
def _template() -> Any:
    environment = Environment(
        loader=FileSystemLoader(_PARTS), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    return environment.get_template("dashboard.html.jinja")


def _part(name: str) -> str:
    return (_PARTS / name).read_text(encoding="utf-8")


def rebuild(runs: Annotated[list[Path], typer.Argument(help="run folders", show_default=False)]) -> None:
    """Rebuild dashboard.html in each run folder from its records."""
    failed = False
    for folder in runs:
        try:
            typer.echo(write_dashboard(folder))
        except (RunFolderError, ConfigError, OSError) as error:
            failed = True
            typer.echo(f"{folder}: {error}", err=True)
    if failed:
        raise typer.Exit(1)


def main() -> None:
    """The command."""
    typer.run(rebuild)


if __name__ == "__main__":
    main()
