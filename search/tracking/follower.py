"""Brings a tracker up to what a run folder says: the difference between its records and what was sent before."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from filelock import FileLock, Timeout

from search.run_folder.paths import DASHBOARD_FILE, FINAL_FOLDER, PLAN_FILE, RECORDS_FILE, RESULT_FILE
from search.run_folder.records import TrialState
from search.run_folder.records_reader import RecordsReader
from search.run_folder.run_view import RunView, read_run
from search.tracking.destination import Destination
from search.tracking.entries import (
    Entry,
    EntryState,
    batch_of,
    final_entries,
    overview,
    run_key,
    trial_entry,
    trial_key,
)
from search.tracking.sent_file import SentFile, read_sent, sent_path
from search.tracking.tracker import Identity, Tracker, TrackerError
from search.tracking.trackers import tracker_module
from ser_core.config import ConfigError

SAVE_SECONDS = 1.0
"""Positions are noted at most this often while much is sent."""
LONGEST_REASON = 300
"""Characters of what a library says went wrong."""


class Follower:
    """Sends a run to one destination, as far as it is not there; used from one process at a time.

    Whatever ends it, a later one goes on: what was sent and not noted is sent again, and is the same.
    """

    def __init__(self, folder: Path, destination: Destination, *, follows: bool = False) -> None:
        """
        Args:
            follows: sessions of the search send to this destination.

        Raises:
            RunFolderError, ConfigError: no readable run, or damaged positions.
            ValueError: a run that has not begun.
        """
        self._folder, self._destination = folder, destination
        run = read_run(folder)
        batch = batch_of(folder)
        name = f"{batch}/{run.name}" if batch else run.name
        self._identity = Identity(key=run_key(run), name=name, batch=batch, folder=folder)
        kept = read_sent(sent_path(folder, destination))
        if kept is None or kept.key != self._identity.key:
            kept = SentFile(key=self._identity.key, **vars(destination))
        self._sent = replace(kept, follows=kept.follows or follows)
        self._reader = RecordsReader(folder / RECORDS_FILE)
        self._tracker: Tracker | None = None
        self._begun: set[str] = set()
        self._saved_at = 0.0

    @property
    def problem(self) -> str:
        """Why the last try failed; "" when it did not."""
        return self._sent.problem

    def update(self, *, working: bool) -> None:
        """Send everything that the folder has and the tracker has not.

        Args:
            working: the run has a driver, so that its result and its files may still change.

        Raises:
            TrackerError: the tracker cannot be reached, or refuses something. What was sent before is noted.
            RunFolderError, ConfigError, OSError: a folder that cannot be read or written.
        """
        self._reader.update()
        run = read_run(self._folder, self._reader.records)
        self._send(run, working=working)
        self._sent.problem = ""
        self._sent.save(self._folder)

    def close(self) -> None:
        """The end of the session.

        Raises:
            TrackerError: see `update`.
        """
        if self._tracker is None:
            return
        with self._asking():
            self._tracker.close()

    @contextmanager
    def _asking(self) -> Iterator[None]:
        """What is raised within the block is the tracker's, not a fault of what is sent."""
        try:
            yield
        except Exception as error:  # every tracker's library has dozens of its own
            raise self._failed(error) from error

    def _failed(self, error: Exception) -> TrackerError:
        """Note what went wrong; the next try begins anew, since what the library has open may be in any state."""
        self._sent.problem = f"{self._destination}: {_reason(error)}"
        self._sent.save(self._folder)
        tracker, self._tracker = self._tracker, None
        self._begun.clear()
        if tracker is not None:
            with suppress(Exception):
                tracker.close()
        return TrackerError(self._sent.problem)

    def _send(self, run: RunView, *, working: bool) -> None:
        if self._tracker is None:
            module = tracker_module(self._destination.tracker)
            with self._asking():
                place, experiment = self._destination.place, self._destination.experiment
                self._tracker = module.open_tracker(self._identity, place, experiment)
        parent = overview(run, self._identity.batch, working=working)
        self._show(parent)
        for trial in run.records.trials.values():
            sent = self._sent.of(trial_key(trial.number))
            if not sent.done:
                self._show(trial_entry(trial))
                sent.done = trial.state is not TrialState.RUNNING
        over = not working and run.result is not None
        for entry in final_entries(run):
            sent = self._sent.of(entry.key)
            if not sent.done:
                self._show(entry)
                sent.done = over and entry.state is EntryState.COMPLETE
        if over:
            self._keep(parent)

    def _show(self, entry: Entry) -> None:
        """Bring one entry up to date."""
        sent = self._sent.of(entry.key)
        if entry.key not in self._begun:
            if not self._opened.goes_on:
                sent.forget()
            with self._asking():
                self._opened.begin(entry, sent)
            self._begun.add(entry.key)
        if points := entry.points[sent.points :]:
            with self._asking():
                self._opened.add(entry, sent, points)
            sent.points = len(entry.points)
        standing = {name: text for name, text in entry.standing.items() if sent.standing.get(name, "") != text}
        scores = {name: score for name, score in entry.scores.items() if sent.scores.get(name) != score}
        if standing or scores:
            with self._asking():
                self._opened.settle(entry, sent, standing, scores)
            sent.standing, sent.scores = {**sent.standing, **standing}, {**sent.scores, **scores}
        if time.monotonic() >= self._saved_at + SAVE_SECONDS:
            self._sent.save(self._folder)
            self._saved_at = time.monotonic()

    @property
    def _opened(self) -> Tracker:
        assert self._tracker is not None  # `_send` opens it before anything else
        return self._tracker

    def _keep(self, parent: Entry) -> None:
        """Send the page, the result and the models, as far as they are not there as they are now."""
        sent = self._sent.of(parent.key)
        for name, path in run_files(self._folder).items():
            digest = _digest(path)
            if sent.files.get(name) != digest:
                with self._asking():
                    self._opened.keep(parent, sent, {name: path})
                sent.files = {**sent.files, name: digest}
                self._sent.save(self._folder)


def run_files(folder: Path) -> Mapping[str, Path]:
    """What is kept of a finished run, by its name below the run folder."""
    own = [folder / name for name in (PLAN_FILE, RESULT_FILE, DASHBOARD_FILE)]
    final = [path for path in sorted((folder / FINAL_FOLDER).rglob("*")) if not path.name.startswith(".")]
    return {path.relative_to(folder).as_posix(): path for path in (*own, *final) if path.is_file()}


@contextmanager
def sole_sender(folder: Path, destination: Destination) -> Iterator[None]:
    """Nobody else sends the run to this destination within the block.

    Raises:
        ConfigError: somebody does.
    """
    path = sent_path(folder, destination)
    path.parent.mkdir(exist_ok=True)
    lock = FileLock(path.with_name(f".{path.stem}.lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise ConfigError(f"another process sends {folder} to {destination} already; wait for its end") from error
    try:
        yield
    finally:
        lock.release()


def _reason(error: BaseException) -> str:
    """What went wrong: of a network the system's own words, which libraries hide under pages of theirs."""
    root = error
    while (below := root.__cause__ or root.__context__) is not None:
        root = below
    told = root if isinstance(root, OSError) else error
    return f"{type(told).__name__}: {' '.join(str(told).split())[:LONGEST_REASON]}"


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]
