"""Weights & Biases: the run and every training run below it are runs of one group; files are artefacts.

`WANDB_MODE`, `WANDB_PROJECT`, `WANDB_ENTITY`, `WANDB_API_KEY`, `WANDB_BASE_URL` and `WANDB_DIR` hold here too. With
`WANDB_MODE=offline`, `wandb sync` sends what was written.
"""

from __future__ import annotations

import netrc
import os
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from search.tracking.entries import Entry, EntryState, Point
from search.tracking.tracker import EXPERIMENT, Identity, Sent, Tracker, address_parts, from_environment, missing

MODES = ("online", "offline")
INIT_SECONDS = 20.0
"""To wait for W&B when a run begins. Whoever follows a run tries again anyway."""
_WHOLE = (EntryState.COMPLETE, EntryState.PRUNED)


def place_of(given: str) -> str:
    """The folder in which W&B keeps its files; "" for the run folder."""
    place = from_environment(given, "WANDB_DIR")
    return str(Path(place).expanduser().resolve()) if place else ""


def experiment_of(given: str) -> str:
    """W&B's project, with the entity in front of it where that is named so: ENTITY/PROJECT."""
    return from_environment(given, "WANDB_PROJECT", default=EXPERIMENT)


def mode() -> str:
    """W&B's own setting."""
    return os.environ.get("WANDB_MODE") or "online"


def problem(place: str) -> str:
    """See `search.tracking.trackers`."""
    if lacks := missing("wandb"):
        return lacks
    if mode() not in MODES:
        return f"WANDB_MODE must be {' or '.join(MODES)}; got {mode()}: leave --track wandb out to send nothing"
    if place and Path(place).exists() and not Path(place).is_dir():
        return f"{place} is a file; name a folder"
    if mode() == "online" and not os.environ.get("WANDB_API_KEY") and not _logged_in():
        return "W&B knows no key of yours: `wandb login`, or set WANDB_API_KEY, or WANDB_MODE=offline"
    return ""


def _logged_in() -> bool:
    """True where `wandb login` has left a key."""
    host = address_parts(os.environ.get("WANDB_BASE_URL") or "https://api.wandb.ai").hostname
    with suppress(OSError, netrc.NetrcParseError):
        file = os.environ.get("NETRC")
        return netrc.netrc(file).authenticators(host or "") is not None
    return False


def open_tracker(identity: Identity, place: str, experiment: str) -> WandbGroup:
    """Nothing is asked of W&B yet."""
    return WandbGroup(identity, Path(place) if place else identity.folder, experiment)


class WandbGroup(Tracker):
    """See `Tracker`.

    W&B cannot go on with a run that it keeps offline, so an entry that is not done is begun anew in a later session,
    and what was kept of it is removed; online it drops the steps that it has.
    """

    goes_on = False

    def __init__(self, identity: Identity, place: Path, experiment: str) -> None:
        self._identity, self._place = identity, place
        entity, slash, project = experiment.rpartition("/")
        self._project, self._entity = project, entity if slash else None
        self._runs: dict[str, Any] = {}
        self._states: dict[str, EntryState] = {}
        self._files: dict[str, dict[str, Path]] = {}

    def begin(self, entry: Entry, sent: Sent) -> None:
        import wandb  # a second to import

        for earlier in self._place.glob(f"wandb/offline-run-*-{self._id(entry)}"):
            shutil.rmtree(earlier, ignore_errors=True)
        self._place.mkdir(parents=True, exist_ok=True)
        self._runs[entry.key] = wandb.init(
            dir=str(self._place),
            id=self._id(entry),
            resume="allow" if mode() == "online" else None,
            reinit="create_new",
            project=self._project,
            entity=self._entity,
            group=self._identity.name,
            job_type=entry.kind,
            name=entry.name,
            notes=entry.text or None,
            tags=[self._identity.batch] if self._identity.batch else None,
            config=dict(entry.params),
            settings=_settings(wandb),
        )

    def _id(self, entry: Entry) -> str:
        return f"{self._identity.key}-{entry.key}"

    def add(self, entry: Entry, sent: Sent, points: Sequence[Point]) -> None:
        for point in points:
            self._runs[entry.key].log({**point.values, "_timestamp": point.time}, step=point.step)

    def settle(self, entry: Entry, sent: Sent, standing: Mapping[str, str], scores: Mapping[str, float]) -> None:
        run = self._runs[entry.key]
        run.summary.update({name: text for name, text in standing.items() if name != "text"})
        run.summary.update(dict(scores))
        self._states[entry.key] = entry.state
        if entry.kind == "trial" and entry.ended is not None:  # of a thousand trials only those under way are open
            self._finish(entry.key)

    def keep(self, entry: Entry, sent: Sent, files: Mapping[str, Path]) -> None:
        """They are one artefact, or one of the run and one of its models, so they wait until all are there."""
        self._files.setdefault(entry.key, {}).update(files)

    def close(self) -> None:
        import wandb

        for key, files in self._files.items():
            self._log_files(key, "run", {name: path for name, path in files.items() if "/" not in name})
            self._log_files(key, "model", {name: path for name, path in files.items() if "/" in name})
        for key in list(self._runs):
            self._finish(key)
        wandb.teardown()  # else W&B goes on writing for a while

    def _log_files(self, key: str, kind: str, files: Mapping[str, Path]) -> None:
        import wandb

        artifact = wandb.Artifact(f"{self._identity.key}-{kind}", type=kind)
        for name, path in files.items():
            artifact.add_file(str(path), name=name)
        if files:
            self._runs[key].log_artifact(artifact)

    def _finish(self, key: str) -> None:
        self._runs.pop(key).finish(exit_code=int(self._states.get(key) not in _WHOLE))


def _settings(wandb: Any) -> Any:
    """Nothing of this machine and this process is sent, and nothing is printed."""
    return wandb.Settings(
        mode=mode(), console="off", quiet=True, silent=True, disable_git=True, disable_code=True, x_disable_stats=True,
        x_disable_meta=True, init_timeout=INIT_SECONDS,
    )  # fmt: skip
