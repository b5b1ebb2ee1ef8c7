"""One worker, without Ray around it: what fails, is freed, restored and refused, job by job."""

from __future__ import annotations

import errno
import gc
import math
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import ser_core.models
from search.jobs import Chunk, Job, Outcome
from search.run_folder.records import failure_kind
from search.workers.context import WorkerContext
from search.workers.training_actor import TrainingActor
from ser_core.architectures import architecture, default_config
from ser_core.artifact import load_model
from ser_core.features.store import FeatureStore
from ser_core.features.transforms import settings_key
from ser_core.splits import Fold
from tests.search.disks import mount

EPOCHS = 6
SABOTEUR = '''
"""An architecture that trains like a small perceptron until it fails in the way that its settings say."""

import weakref
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from ser_core.config import field_problems, raise_problems, setting
from ser_core.models.mlp import DEFAULTS

CITATION = "none"
PRECISION = "fp32"
CHANNELS_LAST = False
ALIVE = weakref.WeakSet()


@dataclass(frozen=True, kw_only=True)
class Config:
    how: str = setting("never", "what goes wrong")
    batch: int = setting(10, "in which training batch; 0 while it is built", low=0)

    def __post_init__(self):
        raise_problems(field_problems(self, "model"))


def fail(how, logits):
    if how == "NaN":
        return logits * float("nan")
    if how == "infinity":
        return logits * float("inf")
    if how == "host memory":
        raise MemoryError
    if how == "numpy":
        np.empty(10**14)
    if how == "Torch on the CPU":
        torch.empty(10**14)
    if how == "Torch on CUDA":
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
    if how == "CUDA's text":
        raise RuntimeError("CUDA error: out of memory")
    if how == "cuDNN":
        raise RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED")
    if how == "cuBLAS":
        raise RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`")
    if how == "the system":
        raise OSError(12, "Cannot allocate memory")
    if how == "a cycle":
        try:
            raise ValueError("no such\\nthing")
        except ValueError as error:
            kept = error  # an error whose traceback holds the frame that holds the error
            raise
    return logits


class Saboteur(nn.Module):
    def __init__(self, config, bins, classes):
        super().__init__()
        self.config, self.batches = config, 0
        self.layers = nn.Sequential(nn.Linear(bins, 16), nn.ReLU(), nn.Linear(16, classes))
        ALIVE.add(self)
        if config.batch == 0:
            fail(config.how, None)

    def forward(self, features, lengths):
        logits = self.layers(features.squeeze(1))
        self.batches += self.training
        return fail(self.config.how, logits) if self.batches == self.config.batch else logits


def build(config, *, frames, bins, classes):
    return Saboteur(config, bins, classes)
'''


@pytest.fixture
def saboteur(tmp_path: Path) -> Iterator[Any]:
    """The architecture above, found by its folder as every other is."""
    folder = tmp_path / "models"
    folder.mkdir()
    (folder / "saboteur.py").write_text(SABOTEUR, encoding="utf-8")
    ser_core.models.__path__.append(str(folder))
    yield architecture("saboteur")
    ser_core.models.__path__.remove(str(folder))
    del sys.modules["ser_core.models.saboteur"]


@pytest.fixture(autouse=True)
def _slow_machines_report_as_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("search.workers.training_actor.CHUNK_SECONDS", math.inf)
    monkeypatch.setattr("search.workers.training_actor.FIRST_CHECKPOINT_SECONDS", math.inf)


def make_actor(run_folder: Path, first: Job, *, model: str = "saboteur", device: str = "cpu") -> TrainingActor:
    """A worker with its first job, and forty clips of two classes that MFCC statistics tell apart."""
    run_folder.mkdir(exist_ok=True)
    features = default_config("mlp").features
    labels = np.arange(40) % 2
    frames = np.random.default_rng(0).normal(size=(40, 160)) + labels[:, None]
    store = FeatureStore(
        frames=frames.astype(np.float32), offsets=np.arange(41), labels=labels.astype(np.int64),
        clip_ids=tuple(map(str, range(40))), classes=("calm", "happy"), settings=features, fingerprint="test",
    )  # fmt: skip
    rows = np.arange(40)
    folds = {"search": (Fold(fit=rows[:30], evaluate=rows[30:]),), "refit": (Fold(fit=rows, evaluate=rows[:0]),)}
    context = WorkerContext(
        run_folder=str(run_folder), model=model, stores={}, folds=folds, device=device, threads=1, about={}
    )

    class Worker(TrainingActor):
        def setup(self, config: dict[str, Any], context: WorkerContext = context) -> None:
            super().setup(config, context)
            self._stores[settings_key(features)] = store  # Ray's object store would hand it out

    return Worker({"job": first, "share": 0.0})


def job(name: str, how: str = "never", *, batch: int = 10, precision: str = "fp32", **changes: Any) -> Job:
    """Four batches an epoch, so that batch 10 lies in epoch 3, after the pause."""
    params = {"optim.epochs": EPOCHS, "optim.batch_size": 8, "seed": 1, "model.how": how, "model.batch": batch}
    params["precision"] = precision
    values: dict[str, Any] = {"folds": "search", "last_epoch": EPOCHS, "pauses": (2,), **changes}
    return Job(name=name, params=params, **values)


def finish(actor: TrainingActor) -> list[Chunk]:
    """Let the actor work on its job until that has ended."""
    chunks: list[Chunk] = []
    while not chunks or chunks[-1].outcome is Outcome.GOING:
        chunks.append(actor.step()["chunk"])
        assert len(chunks) < 10
    return chunks


def scores(chunks: list[Chunk]) -> list[tuple[int, float, float]]:
    return [(r.epoch, r.train_loss, r.val_loss) for chunk in chunks for r in chunk.reports]


@pytest.mark.parametrize(
    ("how", "kind"),
    [
        ("NaN", "diverged"),
        ("infinity", "diverged"),
        ("host memory", "out of memory"),
        ("numpy", "out of memory"),
        ("Torch on the CPU", "out of memory"),
        ("Torch on CUDA", "out of memory"),
        ("CUDA's text", "out of memory"),
        ("cuDNN", "out of memory"),
        ("cuBLAS", "out of memory"),
        ("the system", "out of memory"),
        ("a cycle", "error ValueError"),
    ],
)
def test_a_failure_ends_its_job_alone_and_nothing_of_it_stays(
    how: str, kind: str, saboteur: Any, tmp_path: Path
) -> None:
    actor = make_actor(tmp_path / "run", job("bad", how))
    fresh = scores(finish(make_actor(tmp_path / "run", job("fresh"))))
    gc.collect()
    gc.disable()  # what the actor leaves to the collector's moods would not be freed in time on a GPU
    try:
        chunks = finish(actor)
        assert not saboteur.ALIVE
    finally:
        gc.enable()
    assert chunks[-1].outcome is Outcome.FAILED
    assert failure_kind(chunks[-1].reason) == kind
    assert "\n" not in chunks[-1].reason
    assert [epoch for epoch, *_ in scores(chunks)] == [1, 2]  # what it had before is reported
    assert "Traceback" in (tmp_path / "run" / "errors" / "bad.txt").read_text()
    assert actor.reset_config({"job": job("next")})
    assert scores(finish(actor)) == fresh  # bit by bit


def test_a_failure_while_the_model_is_built_leaves_nothing_either(saboteur: Any, tmp_path: Path) -> None:
    actor = make_actor(tmp_path / "run", job("bad", "Torch on the CPU", batch=0))
    gc.disable()
    try:
        (chunk,) = finish(actor)
        assert not saboteur.ALIVE
    finally:
        gc.enable()
    assert chunk.reason.startswith("out of memory: ")
    assert chunk.reports == []


def test_a_job_restored_from_a_checkpoint_reports_what_its_dead_worker_could_not(saboteur: Any, tmp_path: Path) -> None:
    """The worker died between its checkpoint and its report: no epoch may be missing, nor a rung go unjudged."""
    whole = scores(finish(make_actor(tmp_path / "whole", job("one"))))
    first = make_actor(tmp_path / "run", job("one"))
    first.step()  # its report is lost
    first.cleanup()
    second = make_actor(tmp_path / "run", job("one"))
    on_rung = second.step()["chunk"]
    assert on_rung.outcome is Outcome.GOING
    assert on_rung.restored == 2
    assert scores([on_rung]) == whole[:2]
    rest = finish(second)
    assert scores([on_rung, *rest]) == whole
    assert all(chunk.restored == 2 for chunk in rest)


def test_the_first_report_says_why_a_job_trains_in_fp32(
    saboteur: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Linear layers give NaN in bf16 here, as convolutions do on some processors."""
    expected = finish(make_actor(tmp_path / "fp32", job("one", precision="fp32")))
    computed = torch.nn.Linear.forward

    def broken(self: torch.nn.Linear, values: torch.Tensor) -> torch.Tensor:
        right = computed(self, values)
        return right * math.nan if right.dtype == torch.bfloat16 else right

    monkeypatch.setattr(torch.nn.Linear, "forward", broken)
    chunks = finish(make_actor(tmp_path / "run", job("one", precision="bf16")))
    assert scores(chunks) == scores(expected)
    reason = "trained in fp32, since in bf16 layer layers.0 gives values that are not finite"
    assert [chunk.precision_note for chunk in chunks] == [reason, ""]
    assert {chunk.precision_note for chunk in expected} == {""}


def test_a_torn_checkpoint_costs_its_epochs_and_not_the_job(saboteur: Any, tmp_path: Path) -> None:
    first = make_actor(tmp_path / "run", job("one"))
    first.step()
    first.cleanup()
    checkpoint = tmp_path / "run" / "checkpoints" / "one" / "last.safetensors"
    checkpoint.write_bytes(checkpoint.read_bytes()[:-100])
    chunks = finish(make_actor(tmp_path / "run", job("one")))
    assert [epoch for epoch, *_ in scores(chunks)] == list(range(1, EPOCHS + 1))
    assert chunks[-1].outcome is Outcome.DONE
    assert chunks[0].restored == 0
    assert "CheckpointError" in (tmp_path / "run" / "errors" / "one.txt").read_text()


def test_a_worker_that_lost_its_device_takes_no_other_job(saboteur: Any, tmp_path: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("needs a machine without a GPU: there every use of one fails, as after an illegal access")
    actor = make_actor(tmp_path / "run", job("one"), device="cuda")
    (chunk,) = finish(actor)
    assert chunk.outcome is Outcome.FAILED
    with pytest.raises(TypeError, match="exit_actor API is called on a non-actor"):  # within Ray it ends the worker
        actor.reset_config({"job": job("two")})


def test_a_disk_that_refuses_a_checkpoint_is_not_the_jobs_failure(
    saboteur: Any, small_disk: Callable[[str], Path]
) -> None:
    disk = small_disk("256k")
    whole = scores(finish(make_actor(disk / "whole", job("one"))))
    actor = make_actor(disk / "run", job("one"))
    actor._save_seconds = 0.0  # a checkpoint is due after every chunk
    (disk / "filler").write_bytes(bytes(free_bytes(disk)))
    chunk = actor.step()["chunk"]
    assert chunk.outcome is Outcome.GOING
    assert chunk.disk_error is not None
    assert chunk.disk_error.errno == errno.ENOSPC
    assert "checkpoints/one" in chunk.disk_error.filename
    actor.cleanup()  # refused again, and no reason to raise
    (disk / "filler").unlink()
    again = make_actor(disk / "run", job("one"))
    assert scores(finish(again)) == whole


def test_a_refit_whose_model_cannot_be_written_is_not_done(saboteur: Any, small_disk: Callable[[str], Path]) -> None:
    disk = small_disk("256k")
    refit = job("refit", folds="refit", last_epoch=4, pauses=(), model_folder="final/refit")
    actor = make_actor(disk / "run", refit)
    (disk / "run" / "final").mkdir()
    (disk / "filler").write_bytes(bytes(free_bytes(disk)))
    chunk = actor.step()["chunk"]
    assert chunk.outcome is Outcome.GOING
    assert chunk.disk_error.errno == errno.ENOSPC
    assert [report.epoch for report in chunk.reports] == [1, 2, 3, 4]
    (disk / "filler").unlink()
    actor.cleanup()  # there is room again: what it trained is saved
    again = make_actor(disk / "run", refit)
    (rest,) = finish(again)
    assert rest.outcome is Outcome.DONE
    assert rest.restored == 4
    assert [report.epoch for report in rest.reports] == [1, 2, 3, 4]  # from the checkpoint: nothing was trained again
    assert all(math.isnan(report.val_uar) for report in rest.reports)
    assert load_model(disk / "run" / "final" / "refit").classes == ("calm", "happy")


def test_a_read_only_disk_is_told_as_such(saboteur: Any, small_disk: Callable[[str], Path]) -> None:
    disk = small_disk("256k")
    actor = make_actor(disk / "run", job("bad", "host memory"))
    mount("-o", "remount,ro", str(disk))
    *_, chunk = finish(actor)
    assert chunk.outcome is Outcome.FAILED  # for its own reason
    assert chunk.disk_error is not None
    assert chunk.disk_error.errno == errno.EROFS


def test_a_node_without_the_runs_storage_trains_nothing_and_says_so(saboteur: Any, tmp_path: Path) -> None:
    actor = make_actor(tmp_path / "run", job("one"))
    (tmp_path / "run").rename(tmp_path / "elsewhere")
    chunk = actor.step()["chunk"]
    assert (chunk.outcome, chunk.reports) == (Outcome.GOING, [])
    assert "does not see the run folder; --run-dir must lie on storage of all nodes" in str(chunk.disk_error)
    assert not (tmp_path / "run").exists()
    (tmp_path / "elsewhere").rename(tmp_path / "run")
    assert finish(actor)[-1].outcome is Outcome.DONE


def free_bytes(folder: Path) -> int:
    status = os.statvfs(folder)
    return status.f_bavail * status.f_frsize
