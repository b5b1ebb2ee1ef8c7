"""The HTML of a page: one file that needs no other, or the same page as the live view serves it.

The file fetches nothing: plotly.js is in it once, and its content security policy allows these very scripts alone, so
that a name out of a corpus stays text even if an escape were forgotten. The served page fetches its scripts from where
it came from, and its policy allows no others.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from search.comparison.comparable import named_apart
from search.pages.batch_head import BatchHead
from search.pages.comparison_head import ComparisonHead, comparison_head
from search.pages.figures._style import DARK
from search.pages.run_head import page_head
from search.pages.sections import (
    Section,
    compared_sections,
    page_data,
    protocol_sections,
    run_sections,
    test_sections,
    trial_table,
)
from search.run_folder.run_view import RunView

SCRIPTS = ("plotly.js", "table.js", "dashboard.js")
LIVE_SCRIPTS = (*SCRIPTS, "live.js")
_PARTS = Path(__file__).parent / "templates"
_POLICY = "style-src 'unsafe-inline'; img-src data: blob:; base-uri 'none'; form-action 'none'"


@dataclass(frozen=True, kw_only=True)
class LiveState:
    """What the served page says beyond the file.

    Attributes:
        last: when the newest record was written, in seconds since 1970; None before the first.
        stopping: somebody asked the search to stop, and its driver has not noticed yet.
        optuna_command: what serves the study in optuna-dashboard.
        optuna_address: where it is served already, or "".
    """

    last: float | None
    stopping: bool
    optuna_command: str
    optuna_address: str


@dataclass(frozen=True)
class _Script:
    """One script: its text, or where it is fetched from."""

    text: str = ""
    address: str = ""


def build_page(run: RunView) -> str:
    """The whole page of a run at any moment of it, as one file."""
    return _run_page(run, None, file_policy(), _inline_scripts())


def build_live_page(run: RunView, live: LiveState) -> str:
    """The page of a run as it is served, with the controls of a live view."""
    return _run_page(run, live, SERVED_POLICY, [_Script(address=f"/{name}") for name in LIVE_SCRIPTS])


def build_batch_page(head: BatchHead, addresses: Mapping[str, str], *, stopping: bool) -> str:
    """The page of a batch as it is served.

    Args:
        addresses: of the pages of its runs, by their names.
        stopping: somebody asked all runs to stop, and their driver has not noticed yet.
    """
    return _render(
        "batch.html.jinja",
        head=head,
        addresses=addresses,
        stopping=stopping,
        data=page_data([]),
        policy=SERVED_POLICY,
        scripts=[_Script(address=f"/{name}") for name in LIVE_SCRIPTS],
    )


def build_comparison(runs: Sequence[RunView]) -> str:
    """A page that shows several runs beside one another, as one file; of equal names each gets its number."""
    runs = named_apart(runs)
    return build_table_page(comparison_head(runs), compared_sections(runs))


def build_protocol(head: ComparisonHead, models: Sequence[RunView], numbers: Mapping[str, Mapping[str, Any]]) -> str:
    """A page of every fold of a protocol, as one file; `models` have the test clips of all folds in their results.

    Args:
        numbers: the part `models` of protocol.json.
    """
    return build_table_page(head, protocol_sections(models, numbers))


def build_tested(head: ComparisonHead, result: Mapping[str, Any]) -> str:
    """A page of a test alone, as one file; `result` has `test` and `corpus` as result.json has them."""
    return build_table_page(head, test_sections(result))


def build_table_page(head: ComparisonHead, sections: Sequence[Section]) -> str:
    """A page with a table above its figures, as one file."""
    return _render(
        "compare.html.jinja",
        head=head,
        sections=sections,
        data=page_data(sections),
        policy=file_policy(),
        scripts=_inline_scripts(),
    )


def script_text(name: str) -> str:
    """One of `LIVE_SCRIPTS`."""
    return get_plotlyjs() if name == "plotly.js" else (_PARTS / name).read_text(encoding="utf-8")


def style_text() -> str:
    """What all pages look like, as CSS."""
    return (_PARTS / "dashboard.css").read_text(encoding="utf-8")


def file_policy() -> str:
    """A content security policy that allows the scripts of the file, inline styles and pictures made on the page."""
    hashes = [base64.b64encode(hashlib.sha256(script_text(n).encode()).digest()).decode() for n in SCRIPTS]
    allowed = " ".join(f"'sha256-{digest}'" for digest in hashes)
    return f"default-src 'none'; script-src {allowed}; {_POLICY}"


SERVED_POLICY = f"default-src 'none'; script-src 'self'; connect-src 'self'; {_POLICY}"


def _run_page(run: RunView, live: LiveState | None, policy: str, scripts: Sequence[_Script]) -> str:
    sections = run_sections(run)
    return _render(
        "dashboard.html.jinja",
        head=page_head(run),
        live=live,
        sections=sections,
        data=page_data(sections, trial_table(run)),
        policy=policy,
        scripts=scripts,
    )


def _inline_scripts() -> list[_Script]:
    return [_Script(text=script_text(name)) for name in SCRIPTS]


def _render(template: str, *, data: Mapping[str, Any], **values: Any) -> str:
    css = Markup(style_text())
    whole = {**data, "dark": DARK}
    return _templates().get_template(template).render(css=css, data=Markup(json_for_html(whole)), **values)


def json_for_html(data: Any) -> str:
    """JSON that cannot end the script element it stands in."""
    text = json.dumps(data, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


@cache
def _templates() -> Environment:
    return Environment(
        loader=FileSystemLoader(_PARTS),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        finalize=_unbroken,
    )


def _unbroken(value: object) -> object:
    """Keep a number on one line with its per cent sign; markup stays as it is."""
    return re.sub(r"(?<=\d) %", "\u00a0%", value) if type(value) is str else value
