"""`confusion.png` beside a model card: which emotion of the test clips is taken for which."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import font_manager
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from sklearn.metrics import ConfusionMatrixDisplay

from ser_core.whole_file import replacing


def write_confusion_picture(path: Path, result: Mapping[str, Any]) -> Path:
    """Row-normalised confusion of the test clips, all seeds together.

    Where no font of this machine has the letters of the classes, the classes are numbered in their order.

    Raises:
        OSError: a folder that cannot be written.
    """
    counts = np.array(result["test"]["confusion"], dtype=float)
    shares = 100 * counts / np.maximum(1, counts.sum(axis=1, keepdims=True))
    classes = result["corpus"]["classes"]
    fonts = fonts_with("".join(classes))
    size = 2.5 + 0.6 * len(counts)
    figure = Figure(figsize=(size + 1, size), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    labels = classes if fonts else [str(number) for number in range(1, len(classes) + 1)]
    display = ConfusionMatrixDisplay(shares, display_labels=labels)
    display.plot(ax=axes, cmap="Blues", values_format=".0f", xticks_rotation=45, im_kw={"vmin": 0, "vmax": 100})
    for label in (*axes.get_xticklabels(), *axes.get_yticklabels()):
        label.set_parse_math(False)  # a dollar sign in a name begins no formula
        if fonts:
            label.set_fontfamily(fonts)
    order = "" if fonts else " (numbered as in the table of classes)"
    axes.set(xlabel=f"predicted{order}", ylabel=f"true{order}", title="Test clips, % of the true class")
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=120, format="png")
    return path


def fonts_with(text: str) -> Sequence[str]:
    """Families of installed fonts that together have every character of `text`, matplotlib's own first; () for none."""
    own = font_manager.findfont(font_manager.FontProperties())
    found = [font_manager.get_font(own).family_name]
    missing = set(map(ord, text)) - _characters(own)
    for font in font_manager.fontManager.ttflist:
        if not missing:
            break
        if font.name.startswith("Last Resort"):  # it has a box for every character
            continue
        if here := missing & _characters(font.fname):
            found.append(font.name)
            missing -= here
    return () if missing else tuple(found)


def _characters(font_file: str) -> set[int]:
    """The characters that a font has; none for a file that cannot be read."""
    try:
        return set(font_manager.get_font(font_file).get_charmap())
    except (OSError, RuntimeError):
        return set()
