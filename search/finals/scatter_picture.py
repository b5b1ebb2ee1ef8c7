"""`scatter.png` beside a model card: what is predicted of the test clips, over their ratings."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from search.finals.confusion_picture import fonts_with
from ser_core.named_scores import SCORES
from ser_core.whole_file import replacing


def write_scatter_picture(path: Path, result: Mapping[str, Any]) -> Path:
    """A panel per dimension, with the line on which predictions are the ratings; of the default model.

    Where no font of this machine has the letters of a name, dimensions are numbered in their order.

    Raises:
        OSError: a folder that cannot be written.
    """
    names, found = result["target"]["names"], result["test"]["per_dimension"]
    fonts = fonts_with("".join(names))
    figure = Figure(figsize=(1 + 3.4 * len(names), 3.8), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, len(names), squeeze=False)[0]
    for number, (axes, name) in enumerate(zip(panels, names, strict=True), 1):
        rated, told = np.array(found[name]["scatter"]).T
        edges = [min(rated.min(), told.min()), max(rated.max(), told.max())]
        axes.plot(edges, edges, color="grey", linestyle="--", linewidth=1)
        axes.scatter(rated, told, s=10, alpha=0.4)
        agreement = SCORES["ccc"].text(found[name]["ccc"]["ensemble"]["value"])
        axes.set(xlabel="rated", ylabel="predicted", title=f"{name if fonts else number}: CCC {agreement}")
        axes.title.set_parse_math(False)  # a dollar sign in a name begins no formula
        if fonts:
            axes.title.set_fontfamily(fonts)
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=120, format="png")
    return path
