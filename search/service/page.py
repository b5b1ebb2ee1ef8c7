"""The page to try the model, and the files that it consists of: nothing is fetched from elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from search.pages.html import json_for_html, style_text
from search.service.facts import ModelFacts
from search.service.limits import Limits
from ser_core.targets import DIMENSIONS

_PARTS = Path(__file__).parent / "templates"
SCRIPTS = ("try.js", "answers.js", "service.js", "sound.js", "drawing.js", "recorder.js")
HOP_SECONDS = 0.25
"""From one moment of the ribbon to the next."""


def page_files(model: ModelFacts, limits: Limits) -> Mapping[str, tuple[bytes, str]]:
    """Path -> what is served there, and its media type."""
    scripts = {f"/{name}": (_text(name).encode(), "text/javascript; charset=utf-8") for name in SCRIPTS}
    style = f"{style_text()}\n{_text('try.css')}"
    return {
        "/": (_page(model, limits).encode(), "text/html; charset=utf-8"),
        "/style.css": (style.encode(), "text/css; charset=utf-8"),
        **scripts,
    }


def _page(model: ModelFacts, limits: Limits) -> str:
    facts = {
        "kind": model.target.kind,
        "names": model.target.names,
        "spans": model.spans,
        "clipSeconds": model.clip_seconds,
        "hopSeconds": HOP_SECONDS,
        "mostSeconds": limits.file_seconds,
        "mostMib": limits.request_mib,
    }
    templates = Environment(
        loader=FileSystemLoader(_PARTS), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    return templates.get_template("try.html.jinja").render(
        model=model,
        origin=model.origin,
        limits=limits,
        rates=model.target.kind == DIMENSIONS,
        facts=Markup(json_for_html(facts)),
    )


def _text(name: str) -> str:
    return (_PARTS / name).read_text(encoding="utf-8")
