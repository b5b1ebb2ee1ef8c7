"""What every tracker does with the entries of a run."""

from __future__ import annotations

import os
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, urlsplit

from ser_core.config import ConfigError
from ser_core.errors import UserError

if TYPE_CHECKING:
    from search.tracking.entries import Entry, Point  # read runs, and the options need the names of trackers alone

EXPERIMENT = "ser-search"
"""Experiment or project where nothing names another."""


class TrackerError(UserError, RuntimeError):
    """A tracker that cannot be reached or refuses what it is sent."""


@dataclass(frozen=True, kw_only=True)
class Identity:
    """Which run is sent.

    Attributes:
        key: see `search.tracking.entries.run_key`.
        name: of the run, with that of its batch.
        batch: its name, "" where there is none.
        folder: of the run.
    """

    key: str
    name: str
    batch: str
    folder: Path


@dataclass(kw_only=True)
class Sent:
    """What a tracker has been sent of an entry.

    Attributes:
        note: what the tracker wants to know of it in a later session: an identifier, a size.
        points: how many.
        standing, scores: see `Entry`, as they were sent last.
        files: name -> what tells their contents from others.
        done: the entry has ended, and all of it was sent.
    """

    note: str = ""
    points: int = 0
    standing: Mapping[str, str] = field(default_factory=dict)
    scores: Mapping[str, float] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    done: bool = False

    def forget(self) -> None:
        """Nothing has been sent."""
        self.note, self.points, self.done = "", 0, False
        self.standing, self.scores, self.files = {}, {}, {}


class Tracker(ABC):
    """One run in one place of a tracker.

    Each method may be called again with what it was called with before, since a process may end between sending and
    noting it; nothing may be there twice. All raise what the tracker's library raises when it cannot be reached.

    Attributes:
        goes_on: an entry is continued in a later session where it was left. Otherwise one that is not done is sent anew
            from its beginning.
    """

    goes_on = True

    @abstractmethod
    def begin(self, entry: Entry, sent: Sent) -> None:
        """Make the entry, or find it again; once a session, before anything else is sent of it."""

    @abstractmethod
    def add(self, entry: Entry, sent: Sent, points: Sequence[Point]) -> None:
        """Send points that follow those that it has."""

    @abstractmethod
    def settle(self, entry: Entry, sent: Sent, standing: Mapping[str, str], scores: Mapping[str, float]) -> None:
        """Send how the entry stands, of which `standing` and `scores` are what is new."""

    @abstractmethod
    def keep(self, entry: Entry, sent: Sent, files: Mapping[str, Path]) -> None:
        """Send files of the entry, by the names that they have below the run folder."""

    @abstractmethod
    def close(self) -> None:
        """The end of the session; entries may be unfinished."""


def missing(package: str) -> str:
    """What to say where a tracker's library is not installed; "" where it is."""
    if find_spec(package) is not None:
        return ""
    return f"it needs {package}, which is not installed: pip install 'ser-search[{package}]'"


def from_environment(given: str, *variables: str, default: str = "") -> str:
    """What was given, or the first of these variables that is set, or the default."""
    return given or next((value for name in variables if (value := os.environ.get(name))), default)


def address_parts(address: str) -> SplitResult:
    """The parts of an address, or of a folder's path.

    Raises:
        ConfigError: an address that is none, which the message names without what may be a password.
    """
    try:
        return urlsplit(address)
    except ValueError as error:
        shown = re.sub(r"//[^/]*@", "//…@", address)
        raise ConfigError(f"{shown} is no address: {error}; write it as http://HOST:PORT") from error
