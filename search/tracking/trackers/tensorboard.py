"""TensorBoard: a folder of event files, one file for the run and one for every training run below it.

What stands in a file depends on the run folder alone, so a file that was left half-written is cut off where it was
noted last and goes on with the very same bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from search.tracking.entries import OVERVIEW, Entry, EntryState, Point
from search.tracking.tracker import Identity, Sent, Tracker, missing

FOLDER = "tensorboard"
"""In the run folder, where no other place is named."""
FILE = "events.out.tfevents.0000000000.ser-search"
"""TensorBoard looks for `tfevents` in a name."""
OWNER = "run"
"""Beside the run's file in a folder of several runs: the key of the run that the folder belongs to."""


def place_of(given: str) -> str:
    """The folder in which each run gets one of its own; "" for the run folder's."""
    return str(Path(given).expanduser().resolve()) if given else ""


def experiment_of(given: str) -> str:
    """TensorBoard knows no experiments but folders."""
    return ""


def problem(place: str) -> str:
    """See `search.tracking.trackers`."""
    if place and Path(place).exists() and not Path(place).is_dir():
        return f"{place} is a file; name a folder"
    return missing("tensorboard")


def open_tracker(identity: Identity, place: str, experiment: str) -> TensorBoardFiles:
    """Raises OSError for a folder that cannot be written."""
    folder = _own_folder(Path(place), identity) if place else identity.folder / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    return TensorBoardFiles(folder)


def _own_folder(place: Path, identity: Identity) -> Path:
    """NAME below a folder of several runs, or NAME-KEY where NAME is another run's: names of runs are not unique."""
    folder = place / identity.name
    if not _owns(folder, identity):
        folder = folder.with_name(f"{folder.name}-{identity.key}")
        if not _owns(folder, identity):
            raise FileExistsError(f"{folder} holds something else than this run: move it away")
    return folder


def _owns(folder: Path, identity: Identity) -> bool:
    """True where the folder is the run's, which a new or empty one becomes."""
    folder.mkdir(parents=True, exist_ok=True)
    try:
        if next(folder.iterdir(), None) is None:
            with (folder / OWNER).open("xb") as file:
                file.write(identity.key.encode())
        return (folder / OWNER).read_bytes() == identity.key.encode()
    except (FileExistsError, FileNotFoundError, IsADirectoryError):  # somebody was first, or it is of unknown origin
        return False


class TensorBoardFiles(Tracker):
    """See `Tracker`. A note is the size of the entry's file when all of it was noted."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def begin(self, entry: Entry, sent: Sent) -> None:
        from tensorboard.plugins.hparams.summary_v2 import hparams_pb

        path = self._file(entry)
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists() or path.stat().st_size < int(sent.note or 0):
            sent.forget()  # the file was lost: it is written anew
        size = int(sent.note or 0)
        with path.open("ab") as file:
            file.truncate(size)
        if not size:
            known = hparams_pb(dict(entry.params), trial_id=entry.key, start_time_secs=entry.started)
            version = _event(entry.started, file_version="brain.Event:2")
            self._write(entry, sent, [version, _event(entry.started, summary=known)])

    def _file(self, entry: Entry) -> Path:
        return self._folder / FILE if entry.kind == OVERVIEW else self._folder / entry.key / FILE

    def add(self, entry: Entry, sent: Sent, points: Sequence[Point]) -> None:
        from tensorboard.plugins.scalar.summary_v2 import scalar_pb

        events = [
            _event(point.time, point.step, summary=scalar_pb(name, value))
            for point in points
            for name, value in point.values.items()
        ]
        self._write(entry, sent, events)

    def settle(self, entry: Entry, sent: Sent, standing: Mapping[str, str], scores: Mapping[str, float]) -> None:
        from tensorboard.plugins.scalar.summary_v2 import scalar_pb

        summaries = [scalar_pb(f"end/{name}", value) for name, value in scores.items()]
        if standing:
            summaries.append(_text("about", _about(entry)))
        if "state" in standing and entry.ended is not None:
            summaries.append(_session_end(entry))
        self._write_last(entry, sent, summaries)

    def keep(self, entry: Entry, sent: Sent, files: Mapping[str, Path]) -> None:
        """Model cards as text and pictures as images; TensorBoard has no place for other files."""
        cards = [_text(name, path.read_text(encoding="utf-8")) for name, path in files.items() if path.suffix == ".md"]
        pictures = [_picture(name, path.read_bytes()) for name, path in files.items() if path.suffix == ".png"]
        self._write_last(entry, sent, [*cards, *pictures])

    def close(self) -> None:
        """Nothing is left open."""

    def _write_last(self, entry: Entry, sent: Sent, summaries: Sequence[Any]) -> None:
        """Write what belongs to the last point so far."""
        last = len(entry.points)
        self._write(entry, sent, [_event(entry.settled_at, last, summary=summary) for summary in summaries])

    def _write(self, entry: Entry, sent: Sent, events: Sequence[Any]) -> None:
        from tensorboard.summary.writer.record_writer import RecordWriter

        with self._file(entry).open("ab") as file:
            writer = RecordWriter(file)
            for event in events:
                writer.write(event.SerializeToString())
            sent.note = str(file.tell())


def _event(when: float, step: int = 0, **what: Any) -> Any:
    from tensorboard.compat.proto.event_pb2 import Event

    return Event(wall_time=when, step=step, **what)


def _text(tag: str, markdown: str) -> Any:
    from tensorboard.plugins.text.summary_v2 import text_pb

    return text_pb(tag, markdown)


def _picture(tag: str, png: bytes) -> Any:
    from tensorboard.compat.proto.summary_pb2 import Summary

    width, height = struct.unpack(">II", png[16:24])  # of the header, which comes first in every PNG file
    image = Summary.Image(height=height, width=width, colorspace=4, encoded_image_string=png)
    return Summary(value=[Summary.Value(tag=tag, image=image)])


def _session_end(entry: Entry) -> Any:
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.plugins.hparams import api_pb2, metadata, plugin_data_pb2

    status = api_pb2.STATUS_FAILURE if entry.state is EntryState.FAIL else api_pb2.STATUS_SUCCESS
    end = plugin_data_pb2.SessionEndInfo(status=status, end_time_secs=entry.ended)
    about = metadata.create_summary_metadata(plugin_data_pb2.HParamsPluginData(session_end_info=end))
    tag = metadata.SESSION_END_INFO_TAG
    return Summary(value=[Summary.Value(tag=tag, metadata=about, tensor=metadata.NULL_TENSOR)])


def _about(entry: Entry) -> str:
    """How it stands as a table, below the description."""
    rows = [(name, text) for name, text in entry.standing.items() if text and name != "text"]
    lines = ["| | |", "|---|---|", *(f"| {name} | {_cell(text)} |" for name, text in rows)]
    return "\n\n".join(filter(None, [entry.text, "\n".join(lines)]))


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())
