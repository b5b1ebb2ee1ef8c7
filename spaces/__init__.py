"""What may be searched, one file per model: `SPACE`, dotted name -> knob, and `FIRST`, the configurations to try first.

A model without a file is searched over `common.COMMON`. Standard library only.
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec

from spaces.common import COMMON
from spaces.knobs import Space


def space_for(model: str) -> Space:
    """The search space of a model: its own file's, or else the knobs that all share."""
    if find_spec(f"{__name__}.{model}") is None:
        return Space(knobs=COMMON)
    module = import_module(f"{__name__}.{model}")
    return Space(knobs=module.SPACE, first=module.FIRST)
