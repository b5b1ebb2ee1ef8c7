"""What the drivers of a divided batch and the process that started them say to each other, pickled, over a socket."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from search.driver.batch import Member
from search.driver.options import Options
from search.workers.pool import Part


@dataclass(frozen=True, kw_only=True)
class Work:
    """To a driver, first of all.

    Attributes:
        due: its runs, with their options. folder: of the batch.
        runs: of all drivers together.
        address: of the Ray that they share; None where the options have it.
        part: its own part of that, as long as nothing else is said.
        program: as the user started it, for the commands that messages name.
        terminal, width, colours: of the console on which all is shown.
    """

    due: Sequence[tuple[Member, Options]]
    folder: Path
    runs: int
    address: str | None
    part: Part
    program: str
    terminal: bool
    width: int
    colours: str | None


@dataclass(frozen=True)
class Stop:
    """To a driver: stop all runs, as after Ctrl-C."""


@dataclass(frozen=True)
class Row:
    """From a driver: how a run stands, see `BatchProgress.show`."""

    name: str
    row: tuple[str, ...]
    line: str


@dataclass(frozen=True)
class Printed:
    """From a driver: what it has printed, with its colours."""

    text: str


@dataclass(frozen=True)
class Ended:
    """From a driver: a run has ended, see `BatchProgress.ended`."""

    name: str
    how: str


@dataclass(frozen=True)
class Over:
    """From a driver, last of all.

    Attributes:
        problems: name of a run -> what ended it alone.
        fault: what ended all of its runs, "" for nothing.
    """

    problems: dict[str, str]
    fault: str = ""
