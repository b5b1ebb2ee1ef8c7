"""Figures as a page has them: text for the reader, values for its script, and the table behind them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from types import ModuleType
from typing import Any

import plotly.graph_objects as go
from plotly.io.json import to_json_plotly

from search.pages.figures import figure_modules
from search.pages.knob_importance import knob_importance
from search.run_folder.records import TrialRecord, Value
from search.run_folder.run_view import RunView
from ser_core.named_scores import Score
from ser_core.whole_file import defined

COMPARED_SECTIONS = ("Result", "Search")
"""Sections whose figures are worth comparing with those of another run."""

TEST_FIGURES = ("speaker_scores", "groups", "dimensions", "range_error", "confusion", "recall", "reliability")
TEST_FIGURES_OF_ALL = ("forest", "differences")
"""Figures of the test alone, which show nothing of the search that led there."""


@dataclass(frozen=True, kw_only=True)
class PageFigure:
    """A figure as the page shows it; without `drawing` its EMPTY sentence stands in its place.

    `name` is one of a kind on the page; `run` names the run on a page of several.
    """

    name: str
    section: str
    title: str
    empty: str
    wide: bool
    run: str = ""
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
    def anchor(self) -> str:
        return self.name.lower().replace(" ", "-")

    @property
    def drawn(self) -> bool:
        """False when there is nothing to draw in the whole section."""
        return any(figure.drawing for figure in self.figures)


def run_sections(run: RunView) -> list[Section]:
    """All figures of one run."""
    run = _with_importance(run)
    return _sections([_page_figure(module, module.info(run)) for module in _modules_of(run)])


def run_figures(run: RunView) -> dict[str, go.Figure]:
    """The figures of one run that have something to draw, by the names of their modules, in the order of the page."""
    run = _with_importance(run)
    found = {_name(module): (module, module.info(run)) for module in _modules_of(run)}
    return {name: module.figure(info) for name, (module, info) in found.items() if info is not None}


def compared_sections(runs: Sequence[RunView]) -> list[Section]:
    """Figures that hold all runs first; then every other figure of each run that has it, run beside run."""
    views = [_with_importance(run) for run in runs]
    modules = [module for module in figure_modules() if hasattr(module, "info") and not hasattr(module, "info_of")]
    modules = [module for module in modules if module.SECTION in COMPARED_SECTIONS]
    return _sections([*_together(views), *_beside(modules, {view.name: view for view in views})])


def protocol_sections(models: Sequence[RunView], numbers: Mapping[str, Mapping[str, Any]]) -> list[Section]:
    """Figures of the test alone, of architectures whose results hold the test clips of every fold.

    Args:
        numbers: the part `models` of protocol.json.
    """
    modules = [module for module in figure_modules() if _name(module) in TEST_FIGURES]
    together = [figure for figure in _together(models) if figure.name in TEST_FIGURES_OF_ALL]
    apart = _beside(modules, {run.plan.model: run for run in models})
    of_folds = [module for module in figure_modules() if hasattr(module, "info_of_folds")]
    drawn = [_page_figure(module, module.info_of_folds(numbers)) for module in of_folds]
    folds = [replace(figure, section="All folds") for figure in drawn if figure.drawing]
    return _sections([*folds, *(together if len(models) > 1 else ()), *apart])


def _modules_of(run: RunView) -> list[ModuleType]:
    """The figures that a page of this run has a place for."""
    own = (module for module in figure_modules() if hasattr(module, "info"))
    return [module for module in own if _concerns(module, run)]


def _concerns(module: ModuleType, run: RunView | _Tested) -> bool:
    return not hasattr(module, "concerns") or module.concerns(run)


def test_sections(result: Mapping[str, Any]) -> list[Section]:
    """Figures of the test alone, of a result that no search led to."""
    tested = _Tested(result)
    modules = [module for module in figure_modules() if _name(module) in TEST_FIGURES and _concerns(module, tested)]
    return _sections([_page_figure(module, module.info(tested)) for module in modules])


@dataclass(frozen=True)
class _Tested:
    """What figures of the test alone look at."""

    result: Mapping[str, Any]


def _together(runs: Sequence[RunView]) -> list[PageFigure]:
    """Figures that hold all runs."""
    modules = [module for module in figure_modules() if hasattr(module, "info_of")]
    return [replace(_page_figure(own, own.info_of(runs)), section="All runs", wide=True) for own in modules]


def _beside(modules: Sequence[ModuleType], runs: Mapping[str, RunView]) -> list[PageFigure]:
    """Figures of one run, of every run that has them, run beside run under its heading."""
    found = []
    for module in modules:
        for index, (heading, run) in enumerate(runs.items()):
            figure = _page_figure(module, module.info(run))
            if figure.drawing:
                name = f"{figure.name}-{index}"
                drawing = {**figure.drawing, "name": name, "run": heading}
                found.append(replace(figure, name=name, run=heading, drawing=drawing))
    return found


def page_data(sections: Sequence[Section], trials: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """What the page's script needs: drawings with their tables, and the table of trials."""
    drawings = [figure.drawing for section in sections for figure in section.figures if figure.drawing]
    return {"figures": drawings, "trials": trials}


def trial_table(run: RunView) -> dict[str, Any]:
    """Every trial of the run in a row, with its knobs."""
    knobs, in_turn = list(run.plan.space), run.plan.folds_in_turn > 1
    trials = (run.records.trials[number] for number in sorted(run.records.trials))
    return _table([_trial_row(trial, knobs, run.plan.headline, in_turn=in_turn) for trial in trials])


def _trial_row(trial: TrialRecord, knobs: Sequence[str], score: Score, *, in_turn: bool) -> dict[str, Value | None]:
    return {
        "trial": trial.number,
        "state": trial.state.value,
        f"val_{score.column}": score.cell(trial.value),
        "best_epoch": trial.best_epoch or None,
        "epochs": len(trial.epochs),
        **({"folds": trial.folds} if in_turn else {}),
        "train_seconds": round(trial.train_seconds, 1),
        "origin": trial.origin,
        **{name: trial.params.get(name) for name in knobs},
        "worker": trial.worker,
        "reason": trial.reason,
    }


def _with_importance(run: RunView) -> RunView:
    return run if run.importance is not None else replace(run, importance=knob_importance(run))


def _sections(figures: Sequence[PageFigure]) -> list[Section]:
    grouped = groupby(figures, key=lambda figure: figure.section)
    return [Section(name=name, figures=tuple(own)) for name, own in grouped]


def _name(module: ModuleType) -> str:
    return module.__name__.rpartition(".")[2]


def _page_figure(module: ModuleType, info: Any) -> PageFigure:
    name = _name(module)
    page_figure = PageFigure(
        name=name, section=module.SECTION, title=module.TITLE, empty=module.EMPTY, wide=module.WIDE
    )
    if info is None:
        return page_figure
    wide, narrow = (json.loads(to_json_plotly(module.figure(info, narrow=narrow))) for narrow in (False, True))
    drawing = {
        "name": name,
        "title": module.TITLE,
        "data": wide["data"],
        "layout": wide["layout"],
        "narrow_layout": narrow["layout"],
        "table": _table(module.table(info)),
    }
    return replace(page_figure, reading=module.reading(info), drawing=drawing)


def _table(rows: Sequence[Mapping[str, Value | None]]) -> dict[str, Any]:
    """Rows, with their keys named once; a number that is not finite becomes null."""
    columns = list(rows[0]) if rows else []
    return {"columns": columns, "rows": [[defined(row[key]) for key in columns] for row in rows]}
