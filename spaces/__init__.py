"""What may be searched, one file per model: `SPACE`, dotted name -> knob, and `FIRST`, the configurations to try first.

Where they depend on the kind of initial weights, `SPACE_OF` and `FIRST_OF` hold those of a kind, by its name. A model
without a file is searched over `common.COMMON`. Standard library only.
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec

from spaces.common import COMMON
from spaces.knobs import Space


def space_for(model: str, weights: str = "") -> Space:
    """The search space of a model: its own file's, or else the knobs that all share.

    Args:
        weights: kind of its initial weights; a kind that its file does not name has the usual space.
    """
    if find_spec(f"{__name__}.{model}") is None:
        return Space(knobs=COMMON)
    module = import_module(f"{__name__}.{model}")
    knobs, first = getattr(module, "SPACE_OF", {}), getattr(module, "FIRST_OF", {})
    return Space(knobs=knobs.get(weights, module.SPACE), first=first.get(weights, module.FIRST))
