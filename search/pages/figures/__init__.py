"""The figures of a study, found by looking into this folder.

A module `search/pages/figures/x.py` is a figure. It holds:

- `TITLE`: what the figure shows; `SECTION`: one of `SECTIONS`; `ORDER`: its place there, small first; `WIDE`: True when
  it takes the whole width of a page, False when two stand side by side;
- `EMPTY`: the sentence that stands in its place while there is nothing to draw;
- `info(run: RunView) -> Info | None`: a frozen dataclass with the very numbers that are drawn; None when there are
  none;
- `reading(info) -> str`: one sentence that a person can take away, written from the data;
- `table(info) -> list[dict[str, Value | None]]`: the rows behind the figure, all with the same keys, for the table
  under it and the CSV file: plain values, units in the keys ("val_uar_percent"), None where there is none;
- `figure(info, *, narrow=False) -> plotly.graph_objects.Figure`: draws. `narrow` is the phone's layout: the traces must
  be the same, as a page embeds them once and only exchanges the layout;
- `concerns(run: RunView) -> bool`, only where a figure can never say anything of some runs: their pages go without it;
- `info_of(runs: Sequence[RunView]) -> Info | None`, only where one figure can hold several runs: the page that compares
  runs draws it once for all of them, by the same `reading`, `table` and `figure`. Of every other figure that page
  shows one per run. A figure that says nothing about a single run has no `info`;
- `info_of_folds(models) -> Info | None`, only where a figure shows the folds of a protocol, from the part `models` of
  protocol.json; it has neither of the others.

Figures see `search.run_folder`, the dataclasses of `ser_core`, numpy and plotly, nothing else. Names from data
go through `_style.plain`, since plotly takes text for a subset of HTML.
"""

from __future__ import annotations

import pkgutil
from importlib import import_module
from types import ModuleType

SECTIONS = ("Result", "Search", "Workers", "Data and model")


def figure_modules() -> tuple[ModuleType, ...]:
    """All figures in the order of the page."""
    names = [module.name for module in pkgutil.iter_modules(__path__) if not module.name.startswith("_")]
    modules = [import_module(f"{__name__}.{name}") for name in names]
    return tuple(sorted(modules, key=lambda module: (SECTIONS.index(module.SECTION), module.ORDER)))
