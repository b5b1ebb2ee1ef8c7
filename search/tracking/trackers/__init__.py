"""The trackers, found by looking into this folder.

A module `search/tracking/trackers/x.py` is a tracker. It holds:

- `place_of(given: str) -> str`: the place that a user gave, or the one that the tracker's own environment variables or
  defaults name, so that it holds from any folder; "" for one that lies in the run folder;
- `experiment_of(given: str) -> str`: likewise the experiment or project; "" where the tracker has none;
- `problem(place: str) -> str`: what keeps it from being used on this machine and what to do, or "". It asks no network,
  and loads nothing that takes long;
- `open_tracker(identity: Identity, place: str, experiment: str) -> Tracker`: see `search.tracking.tracker`.

None of them imports its library before `open_tracker`. The contract tests send the same runs to each of them.
"""

from __future__ import annotations

import pkgutil
from importlib import import_module
from types import ModuleType


def tracker_names() -> tuple[str, ...]:
    """All trackers."""
    return tuple(module.name for module in pkgutil.iter_modules(__path__) if not module.name.startswith("_"))


def tracker_module(name: str) -> ModuleType:
    """The module of a tracker."""
    return import_module(f"{__name__}.{name}")
