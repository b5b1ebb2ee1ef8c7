"""A run as a notebook shows it: what was done, the numbers, and the picture of its search.

The picture is an SVG and needs no script, so that it is there wherever a notebook is looked at: on a forge, in a mail.
"""

from __future__ import annotations

import io
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from search.pages.figures._style import BLUE, GRID, INK, MUTED, ORANGE, PURPLE, SLATE, SURFACE
from search.pages.figures.history import HistoryInfo, info, reading
from search.pages.run_head import page_head
from search.run_folder.records import TrialState
from search.run_folder.run_view import RunView

_COLOURS = {
    TrialState.COMPLETE: BLUE,
    TrialState.PRUNED: SLATE,
    TrialState.FAIL: PURPLE,
    TrialState.RUNNING: MUTED,
}
_TEMPLATES = Path(__file__).parent / "templates"


def run_summary(run: RunView) -> str:
    """The head of a run's page as HTML, with what nobody may overlook, and its trials as a picture."""
    history = info(run)
    templates = Environment(loader=FileSystemLoader(_TEMPLATES), autoescape=True, undefined=StrictUndefined)
    return templates.get_template("notebook.html.jinja").render(
        head=page_head(run),
        picture=Markup("") if history is None else Markup(history_picture(history)),
        reading="" if history is None else reading(history),
        ink=INK,
        muted=MUTED,
        surface=SURFACE,
        grid=GRID,
    )


def history_picture(history: HistoryInfo) -> str:
    """The score of each trial and the best so far, as an SVG element."""
    from matplotlib.backends.backend_svg import FigureCanvasSVG  # half a second to import
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 2.6), layout="constrained", facecolor="none")
    FigureCanvasSVG(figure)
    axes = figure.add_subplot(facecolor="none")
    for state, colour in _COLOURS.items():
        points = [point for point in history.points if point.state is state]
        axes.scatter(
            [point.number for point in points],
            [history.score.scaled(point.value) for point in points],
            s=18,
            color=colour,
        )
    numbers = [point.number for point in history.points]
    axes.step(
        numbers, [history.score.scaled(best) for best in history.best_so_far], where="post", color=ORANGE, linewidth=1.8
    )
    axes.set_xlabel("trial number", color=MUTED)
    axes.set_ylabel(f"validation score{history.score.percent * ', %'}", color=MUTED)
    axes.tick_params(colors=MUTED, length=0)
    axes.grid(color=GRID)
    axes.set_axisbelow(True)
    axes.spines[:].set_visible(False)
    text = io.StringIO()
    figure.savefig(text, format="svg", metadata={"Date": None})
    return f"<svg style='max-width:100%;height:auto'{text.getvalue().partition('<svg')[2]}"
