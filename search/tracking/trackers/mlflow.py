"""MLflow: the run as a parent, every training run as a nested one, files as artefacts of the parent.

`MLFLOW_TRACKING_URI`, `MLFLOW_EXPERIMENT_NAME` and what MLflow reads besides (user, password, token) hold here too.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.request import url2pathname

from search.tracking.entries import OVERVIEW, Entry, EntryState, Point
from search.tracking.tracker import EXPERIMENT, Identity, Sent, Tracker, address_parts, from_environment, missing

KEY = "ser-search.key"
"""The tag by which an entry is found again."""
OWN_DEFAULTS = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
"""MLflow itself would try for minutes, and print two lines a trial. Whoever follows a run tries again anyway."""
_STATUS = {EntryState.RUNNING: "RUNNING", EntryState.FAIL: "FAILED", EntryState.STOPPED: "KILLED"}
_MOST = 100
"""Parameters of one request."""
_MOST_METRICS = 1000
_LONGEST = 5000
"""Characters of a tag, and of a parameter."""


def place_of(given: str) -> str:
    """The tracking URI: by default a database in the working folder, as in MLflow itself."""
    place = from_environment(given, "MLFLOW_TRACKING_URI", default="sqlite:///mlflow.db")
    parts = address_parts(place)
    if database := re.fullmatch(r"(sqlite(?:\+\w+)?:///)(?!/)(.+)", place):
        return f"{database[1]}{Path(database[2]).resolve()}"
    if parts.scheme == "file" and not parts.netloc and not parts.path.startswith("/"):
        return Path(url2pathname(parts.path)).resolve().as_uri()
    if not parts.scheme:
        return str(Path(place).expanduser().resolve())
    return place.replace(f"{parts.netloc}", parts.netloc.rpartition("@")[2]) if parts.password else place


def experiment_of(given: str) -> str:
    """MLflow's experiment."""
    return from_environment(given, "MLFLOW_EXPERIMENT_NAME", default=EXPERIMENT)


def problem(place: str) -> str:
    """See `search.tracking.trackers`."""
    known = ("", "file", "http", "https", "sqlite", "postgresql", "mysql", "mssql", "databricks", "uc", "databricks-uc")
    if address_parts(place).scheme.partition("+")[0] not in known:
        return f"a tracking URI starts with http://, https://, sqlite:///, file: or the like; got {place}"
    return missing("mlflow")


def open_tracker(identity: Identity, place: str, experiment: str) -> MlflowRun:
    """Raises what MLflow raises for a server that cannot be reached, or an experiment that was deleted."""
    for name, value in OWN_DEFAULTS.items():
        os.environ.setdefault(name, value)
    return MlflowRun(identity, with_credentials(place), experiment)


class MlflowRun(Tracker):
    """See `Tracker`. A metric that is logged again with the same step and time is the same one to MLflow's database."""

    def __init__(self, identity: Identity, place: str, experiment: str) -> None:
        from mlflow import MlflowClient  # seconds to import

        self._identity = identity
        self._client = MlflowClient(tracking_uri=place)
        self._experiment = self._experiment_id(experiment)
        self._parent = ""

    def _experiment_id(self, name: str) -> str:
        from mlflow.exceptions import MlflowException

        found = self._client.get_experiment_by_name(name)
        if found is None:
            try:
                return str(self._client.create_experiment(name))
            except MlflowException:  # another run has made it meanwhile
                found = self._client.get_experiment_by_name(name)
                if found is None:
                    raise
        return str(found.experiment_id)

    def begin(self, entry: Entry, sent: Sent) -> None:
        from mlflow.entities import Param

        sent.note = sent.note or self._known(entry) or self._make(entry)
        if entry.kind == OVERVIEW:
            self._parent = sent.note
        params = [Param(_name(name), str(value)[:_LONGEST]) for name, value in entry.params.items()]
        for some in _parts(params, _MOST):
            self._client.log_batch(sent.note, params=some)

    def _known(self, entry: Entry) -> str:
        """The identifier of a run that was made when this could not be noted."""
        found = self._client.search_runs([self._experiment], f"tags.`{KEY}` = '{self._key(entry)}'", max_results=1)
        return str(found[0].info.run_id) if found else ""

    def _make(self, entry: Entry) -> str:
        tags = {KEY: self._key(entry), _own("kind"): entry.kind, "mlflow.source.name": "ser search"}
        if entry.kind != OVERVIEW:
            tags["mlflow.parentRunId"] = self._parent
        run = self._client.create_run(self._experiment, _milliseconds(entry.started), tags, run_name=entry.name)
        return str(run.info.run_id)

    def _key(self, entry: Entry) -> str:
        return f"{self._identity.key}/{entry.key}"

    def add(self, entry: Entry, sent: Sent, points: Sequence[Point]) -> None:
        from mlflow.entities import Metric

        metrics = [
            Metric(name, value, _milliseconds(point.time), point.step)
            for point in points
            for name, value in point.values.items()
        ]
        for some in _parts(metrics, _MOST_METRICS):
            self._client.log_batch(sent.note, metrics=some)

    def settle(self, entry: Entry, sent: Sent, standing: Mapping[str, str], scores: Mapping[str, float]) -> None:
        from mlflow.entities import Metric, RunTag

        when = _milliseconds(entry.settled_at)
        metrics = [Metric(name, value, when, 0) for name, value in scores.items()]
        tags = {"mlflow.note.content" if name == "text" else _own(name): text for name, text in standing.items()}
        own = [RunTag(name, text[:_LONGEST]) for name, text in tags.items()]
        self._client.log_batch(sent.note, metrics=metrics, tags=own)  # neither is more than one request may have
        status = _STATUS.get(entry.state, "FINISHED")
        if entry.ended is None:
            self._client.update_run(sent.note, status=status)
        else:
            self._client.set_terminated(sent.note, status, when)

    def keep(self, entry: Entry, sent: Sent, files: Mapping[str, Path]) -> None:
        for name, path in files.items():
            self._client.log_artifact(sent.note, str(path), str(Path(name).parent) if "/" in name else None)

    def close(self) -> None:
        """Nothing is left open."""


def _parts(items: Sequence[Any], most: int) -> Iterator[Sequence[Any]]:
    """The items, so many at a time."""
    return (items[start : start + most] for start in range(0, len(items), most))


def _own(name: str) -> str:
    """The tag of a fact: letters, digits, and some marks."""
    return f"ser-search.{_name(name)}"


def _name(text: str) -> str:
    """A name that MLflow takes: letters, digits, and some marks."""
    return re.sub(r"[^\w\-. /]", "_", text)


def _milliseconds(seconds: float) -> int:
    return round(1000 * seconds)


def with_credentials(place: str) -> str:
    """The address with user and password, where the environment names the same one with them."""
    named = os.environ.get("MLFLOW_TRACKING_URI", "")
    return named if named and place_of(named) == place else place
