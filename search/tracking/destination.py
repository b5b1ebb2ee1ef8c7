"""Where a run is sent: which tracker, and which server, folder or experiment of it."""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Iterable
from dataclasses import dataclass

from search.tracking.tracker import address_parts
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
        """As `ser track` takes it, for a shell."""
        to = f"{self.tracker}={self.place}" if self.place else self.tracker
        return shlex.join(["--to", to, *(["--experiment", self.experiment] if self.experiment else [])])

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
        try:
            found.append(_destination(text, experiment))
        except ConfigError as error:
            problems.append(f"{flag} {text.partition('=')[0]}: {error}")
    raise_problems(problems)
    return tuple(dict.fromkeys(found))


def _destination(text: str, experiment: str) -> Destination:
    """NAME or NAME=PLACE.

    Raises:
        ConfigError: a tracker that is unknown or not installed, a place that it cannot take.
    """
    name, _, given = text.partition("=")
    if name not in tracker_names():
        known = ", ".join((*tracker_names(), NO_TRACKER))
        raise ConfigError(f"unknown tracker; known: {known}{did_you_mean(name, tracker_names())}")
    if address_parts(given).password:
        raise ConfigError(
            "an address with a password would be kept in the run folder; leave it out and set the environment "
            "variables for it (docs/trackers.md)"
        )
    module = tracker_module(name)
    place = module.place_of(given)
    if problem := module.problem(place):
        raise ConfigError(problem)
    return Destination(tracker=name, place=place, experiment=module.experiment_of(experiment))
