"""What stands in a tracker, read by its own library: MLflow's client, TensorBoard's accumulator, W&B's records.

And an MLflow server on loopback.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import struct
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from search.tracking.trackers.mlflow import KEY
from search.tracking.trackers.tensorboard import FILE

Points = dict[str, list[tuple[int, float]]]
"""Name -> step and value of all that was logged, in the order in which it was."""
BLOCK, HEADER = 32_768, 7
"""Of the log format of LevelDB, in which W&B keeps records behind seven bytes of its own."""


@dataclass
class Read:
    """An entry as a tracker has it; what a tracker has no place for is empty."""

    params: dict[str, str] = field(default_factory=dict)
    points: Points = field(default_factory=dict)
    scores: dict[str, float] = field(default_factory=dict)
    state: str = ""
    reason: str = ""
    tags: dict[str, str] = field(default_factory=dict)
    parent: str = ""
    files: set[str] = field(default_factory=set)


def read_mlflow(place: str, key: str, experiment: str) -> dict[str, Read]:
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=place)
    found = client.get_experiment_by_name(experiment)
    assert found is not None
    runs = {run.info.run_id: run for run in client.search_runs([found.experiment_id], max_results=5000)}
    own = {run.data.tags[KEY]: run for run in runs.values() if run.data.tags[KEY].startswith(f"{key}/")}
    assert len(own) == sum(run.data.tags[KEY].startswith(f"{key}/") for run in runs.values())  # none is there twice
    entries = {}
    for full, run in own.items():
        history = {name: client.get_metric_history(run.info.run_id, name) for name in run.data.metrics}
        points = {name: [(each.step, each.value) for each in own] for name, own in history.items()}
        parent = runs.get(run.data.tags.get("mlflow.parentRunId", ""))
        entries[full.removeprefix(f"{key}/")] = Read(
            params=dict(run.data.params),
            points={name: values for name, values in points.items() if values[0][0]},
            scores={name: values[-1][1] for name, values in points.items() if not values[0][0]},
            state=run.data.tags["ser-search.state"],
            reason=run.data.tags.get("ser-search.reason", ""),
            tags={**run.data.tags, "status": run.info.status},
            parent="" if parent is None else parent.data.tags[KEY].removeprefix(f"{key}/"),
            files=set(_mlflow_files(client, run.info.run_id, "")),
        )
        assert all(len(values) == 1 for name, values in points.items() if not values[0][0])
    return entries


def _mlflow_files(client: Any, run: str, folder: str) -> Iterator[str]:
    for item in client.list_artifacts(run, folder or None):
        if item.is_dir:
            yield from _mlflow_files(client, run, item.path)
        else:
            yield item.path


def read_tensorboard(folder: Path) -> dict[str, Read]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.plugins.hparams import metadata
    from tensorboard.util import tensor_util

    entries = {}
    for path in sorted(folder.rglob(FILE)):
        events = EventAccumulator(str(path), size_guidance={"tensors": 0, "images": 0})
        events.Reload()
        read = Read(parent="" if path.parent == folder else "run")
        read.files = set(events.Tags()["images"])
        for tag in events.Tags()["tensors"]:
            about = events.SummaryMetadata(tag).plugin_data
            values = [(each.step, tensor_util.make_ndarray(each.tensor_proto)) for each in events.Tensors(tag)]
            if tag == metadata.SESSION_START_INFO_TAG:
                start = metadata.parse_session_start_info_plugin_data(about.content)
                read.params = {name: _plain(value) for name, value in start.hparams.items()}
                assert len(values) == 1
            elif about.plugin_name == "text":
                text = values[-1][1].item().decode()
                if tag != "about":
                    read.files.add(tag)
                    continue
                rows = [line.strip("| ").split(" | ", 1) for line in text.splitlines() if line.startswith("| ")]
                read.tags = {row[0]: row[1] for row in rows if len(row) == 2}
                read.state, read.reason = read.tags["state"], read.tags.get("reason", "")
            elif tag.startswith("end/"):
                assert len(values) == 1, tag
                read.scores[tag.removeprefix("end/")] = float(values[0][1])
            elif about.plugin_name == "scalars":
                read.points[tag] = [(step, float(value)) for step, value in values]
        entries["run" if path.parent == folder else path.parent.name] = read
    return entries


def _plain(value: Any) -> str:
    kind = value.WhichOneof("kind")
    return str(getattr(value, kind))


def read_wandb(folder: Path, key: str) -> dict[str, Read]:
    """The entries that W&B keeps offline, which `wandb sync` would send."""
    entries: dict[str, Read] = {}
    for path in sorted(folder.glob("wandb/offline-run-*/run-*.wandb")):
        name = path.stem.removeprefix(f"run-{key}-")
        assert name not in entries, f"{name} is there twice"
        read = entries[name] = Read(parent="" if name == "run" else "run")
        for record in wandb_records(path):
            kind = record.WhichOneof("record_type")
            if kind == "run":
                known = {item.key: str(json.loads(item.value_json)) for item in record.run.config.update}
                read.params |= {name: value for name, value in known.items() if name != "_wandb"}
                read.tags |= {"group": record.run.run_group, "kind": record.run.job_type}
                read.tags |= {"tags": ",".join(record.run.tags)}
            elif kind == "history":
                items = record.history.item
                row = {"/".join(item.nested_key) or item.key: json.loads(item.value_json) for item in items}
                for name, value in row.items():
                    if not name.startswith("_"):
                        read.points.setdefault(name, []).append((row.get("_step", record.history.step.num), value))
            elif kind == "summary":
                for item in record.summary.update:
                    value = json.loads(item.value_json)
                    if item.key and not item.key.startswith("_"):
                        read.tags[item.key] = value
            elif kind == "request" or kind == "artifact":
                artifact = record.artifact if kind == "artifact" else record.request.log_artifact.artifact
                read.files |= {entry.path for entry in artifact.manifest.contents}
        read.state, read.reason = read.tags.get("state", ""), read.tags.get("reason", "")
        read.scores = {name: value for name, value in read.tags.items() if isinstance(value, int | float)}
    return entries


def wandb_records(path: Path) -> Iterator[Any]:
    """The records of a .wandb file, as W&B's own protocol defines them."""
    from wandb.proto.wandb_internal_pb2 import Record

    data, position, parts = path.read_bytes(), HEADER, b""
    while position < len(data):
        left = BLOCK - position % BLOCK
        if left < HEADER:  # what no header fits into is filled up
            position += left
            continue
        _, length, kind = struct.unpack("<IHB", data[position : position + HEADER])
        body = data[position + HEADER : position + HEADER + length]
        position += HEADER + length
        parts = body if kind in (1, 2) else parts + body  # whole, first; middle, last
        if kind in (1, 4):
            yield Record.FromString(parts)


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


@contextmanager
def mlflow_server(folder: Path, port: int) -> Iterator[str]:
    """A server with its database and artefacts in a folder, while the block lasts; its address."""
    folder.mkdir(exist_ok=True)
    command = [
        sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1",
        "--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--artifacts-destination", str(folder / "artefacts"),
    ]  # fmt: skip
    with (folder / "log.txt").open("ab") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
    address = f"http://127.0.0.1:{port}"
    try:
        limit = time.monotonic() + 180
        while not _answers(address):
            assert server.poll() is None, (folder / "log.txt").read_text()
            assert time.monotonic() < limit, (folder / "log.txt").read_text()
            time.sleep(0.1)
        yield address
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()


def _answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(f"{address}/health", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False
