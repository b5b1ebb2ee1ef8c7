"""What has been sent where, kept in the run folder: `tracking/TRACKER-xxxxxxxx.json`, a file a destination."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from search.run_folder.paths import TRACKING_FOLDER
from search.tracking.destination import Destination
from search.tracking.tracker import Sent
from ser_core.config import ConfigError
from ser_core.json_document import DocumentError, read_object, typed
from ser_core.whole_file import write_json


@dataclass(kw_only=True)
class SentFile:
    """Positions in one destination.

    Attributes:
        key: of the run, see `search.tracking.entries.run_key`. Positions of another run are worth nothing.
        follows: sessions of the search send to it; False for what `ser track` alone has sent.
        problem: why the last try failed, "" when it did not.
        entries: by key.
    """

    key: str
    tracker: str
    place: str
    experiment: str
    follows: bool = False
    problem: str = ""
    entries: Mapping[str, Sent] = field(default_factory=dict)

    @property
    def destination(self) -> Destination:
        return Destination(tracker=self.tracker, place=self.place, experiment=self.experiment)

    def of(self, key: str) -> Sent:
        """What was sent of an entry."""
        if key not in self.entries:
            self.entries = {**self.entries, key: Sent()}
        return self.entries[key]

    def save(self, folder: Path) -> None:
        """Write it, whole or not at all.

        Raises:
            OSError: a disk that is full or cannot be written.
        """
        path = sent_path(folder, self.destination)
        path.parent.mkdir(exist_ok=True)
        write_json(path, asdict(self))


def sent_path(folder: Path, destination: Destination) -> Path:
    """Where the positions of a run in a destination are kept."""
    return folder / TRACKING_FOLDER / f"{destination.name}.json"


def read_sent(path: Path) -> SentFile | None:
    """The positions in a file, None where there is none.

    Raises:
        ConfigError: a file that is damaged.
    """
    try:
        sent: SentFile = typed(SentFile, read_object(path))
    except FileNotFoundError:
        return None
    except DocumentError as error:
        raise ConfigError(
            f"{error}; delete {path}: everything is sent again, and nothing will be there twice"
        ) from error
    return sent


def followed(folder: Path) -> tuple[Destination, ...]:
    """Where earlier sessions of the search in this folder sent it.

    Raises:
        ConfigError: see `read_sent`.
    """
    kept: list[Any] = [read_sent(path) for path in sorted((folder / TRACKING_FOLDER).glob("*.json"))]
    return tuple(sent.destination for sent in kept if sent.follows)
