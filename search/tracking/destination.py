"""Where a run is sent: which tracker, and which server, folder or experiment of it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

from search.tracking.trackers import tracker_module, tracker_names
from ser_core.config import ConfigError, raise_problems
from ser_core.suggestions import did_you_mean

NO_TRACKER = "none"
"""In `--track`: send nothing, also where earlier sessions of the run did."""


@dataclass(frozen=True, kw_only=True)
class Destination:
    """One place of one tracker.

    Attributes:
        tracker: the name of its module in `search.tracking.trackers`.
        place: address or folder as the tracker takes it; "" for the default, which may lie in the run folder.
        experiment: the tracker's experiment or project; "" where it has none.
    """

    tracker: str
    place: str
    experiment: str

    @property
    def name(self) -> str:
        """A name for files, apart for each destination."""
        digest = hashlib.sha256(f"{self.place}\n{self.experiment}".encode()).hexdigest()[:8]
        return f"{self.tracker}-{digest}"

    @property
    def options(self) -> str:
        """As `ser track` takes it."""
        place, experiment = f"={self.place}" if self.place else "", f" --experiment {self.experiment}"
        return f"--to {self.tracker}{place}{experiment if self.experiment else ''}"

    def __str__(self) -> str:
        return f"{self.tracker} at {self.place}" if self.place else self.tracker


def destinations_of(texts: Iterable[str], experiment: str = "", flag: str = "--track") -> tuple[Destination, ...]:
    """NAME or NAME=PLACE, each as a destination that can be used; `NO_TRACKER` alone for none.

    What is left out comes from the tracker's own environment variables.

    Raises:
        ConfigError: trackers that are unknown or not installed, places that they cannot take; all at once.
    """
    texts = list(texts)
    if NO_TRACKER in texts:
        if len(texts) > 1:
            raise ConfigError(f"{flag} {NO_TRACKER} excludes other trackers; got {', '.join(texts)}")
        return ()
    found, problems = [], []
    for text in texts:
        name, _, place = text.partition("=")
        if name not in tracker_names():
            known = ", ".join((*tracker_names(), NO_TRACKER))
            problems.append(f"{flag} {name}: unknown tracker; known: {known}{did_you_mean(name, tracker_names())}")
            continue
        if urlsplit(place).password:
            problems.append(
                f"{flag} {name}: an address with a password would be kept in the run folder; leave it out and set the "
                f"environment variables for it (docs/trackers.md)"
            )
            continue
        module = tracker_module(name)
        destination = Destination(
            tracker=name, place=module.place_of(place), experiment=module.experiment_of(experiment)
        )
        if problem := module.problem(destination.place):
            problems.append(f"{flag} {name}: {problem}")
        found.append(destination)
    raise_problems(problems)
    return tuple(dict.fromkeys(found))
