"""One job, without Ray around it: what fails, is freed, restored and refused."""

from __future__ import annotations

import errno
import gc
import math
import os
import shutil
import socket
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from search.jobs import Chunk, Job, Outcome
from search.run_folder.records import failure_kind
from search.workers._job_run import JobRun
from ser_core.artifact import load_model
from ser_core.features.cache import FeatureStoreError
from ser_core.features.clip_source import MOST_ON_HOST_BYTES
from ser_core.features.placement import Where
from tests.search.disks import mount
from tests.search.workers.contexts import make_context, two_classes

EPOCHS = 6


@pytest.fixture(autouse=True)
def _slow_machines_report_as_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("search.workers._job_run.CHUNK_SECONDS", math.inf)
    monkeypatch.setattr("search.workers._job_run.FIRST_CHECKPOINT_SECONDS", math.inf)


def make_run(run_folder: Path, job: Job, *, device: str = "cpu") -> JobRun:
    """A job at work on forty clips of two classes."""
    store = two_classes()
    context = make_context(run_folder, store, model="saboteur", device=device)
    return JobRun(job, context, lambda config: store)


def job(name: str, how: str = "never", *, batch: int = 10, precision: str = "fp32", **changes: Any) -> Job:
    """Four batches an epoch, so that batch 10 lies in epoch 3, after the pause."""
    params = {"optim.epochs": EPOCHS, "optim.batch_size": 8, "seed": 1, "model.how": how, "model.batch": batch}
    params["precision"] = precision
    values: dict[str, Any] = {"folds": "search", "last_epoch": EPOCHS, "pauses": (2,), **changes}
    return Job(name=name, params=params, **values)


def finish(run: JobRun) -> list[Chunk]:
    """Let the job train until it has ended."""
    chunks: list[Chunk] = []
    while not chunks or chunks[-1].outcome is Outcome.GOING:
        chunks.append(run.step())
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
    run = make_run(tmp_path / "run", job("bad", how))
    fresh = scores(finish(make_run(tmp_path / "run", job("fresh"))))
    gc.collect()
    gc.disable()  # what the job leaves to the collector's moods would not be freed in time on a GPU
    try:
        chunks = finish(run)
        assert not saboteur.ALIVE
    finally:
        gc.enable()
    assert chunks[-1].outcome is Outcome.FAILED
    assert failure_kind(chunks[-1].reason) == kind
    assert "\n" not in chunks[-1].reason
    assert [epoch for epoch, *_ in scores(chunks)] == [1, 2]  # what it had before is reported
    assert "Traceback" in (tmp_path / "run" / "errors" / "bad.txt").read_text()
    assert scores(finish(make_run(tmp_path / "run", job("next")))) == fresh  # bit by bit


def test_a_failure_while_the_model_is_built_leaves_nothing_either(saboteur: Any, tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", job("bad", "Torch on the CPU", batch=0))
    gc.disable()
    try:
        (chunk,) = finish(run)
        assert not saboteur.ALIVE
    finally:
        gc.enable()
    assert chunk.reason.startswith("out of memory: ")
    assert chunk.reports == []


def test_a_job_restored_from_a_checkpoint_reports_what_its_dead_worker_could_not(saboteur: Any, tmp_path: Path) -> None:
    """The worker died between its checkpoint and its report: no epoch may be missing, nor a rung go unjudged."""
    whole = scores(finish(make_run(tmp_path / "whole", job("one"))))
    first = make_run(tmp_path / "run", job("one"))
    first.step()  # its report is lost
    first.leave()
    second = make_run(tmp_path / "run", job("one"))
    on_rung = second.step()
    assert on_rung.outcome is Outcome.GOING
    assert on_rung.restored == 2
    assert scores([on_rung]) == whole[:2]
    rest = finish(second)
    assert scores([on_rung, *rest]) == whole
    assert all(chunk.restored == 2 for chunk in rest)


@pytest.mark.parametrize("epochs", [2, EPOCHS, EPOCHS + 1, 2 * EPOCHS])
def test_folds_in_turn_go_on_elsewhere_from_any_epoch(saboteur: Any, tmp_path: Path, epochs: int) -> None:
    """The worker dies after its checkpoint and before its report, within a fold, at its end, or in the next."""
    in_turn: dict[str, Any] = {"folds": "inner-1", "later_folds": ("inner-2", "inner-3"), "last_epoch": 3 * EPOCHS}
    whole = finish(make_run(tmp_path / "whole", job("one", **in_turn)))
    assert [epoch for epoch, *_ in scores(whole)] == list(range(1, 3 * EPOCHS + 1))
    run = make_run(tmp_path / "run", job("one", **{**in_turn, "pauses": (epochs,)}))
    assert run.step().reports[-1].epoch == epochs
    run.leave()
    again = finish(make_run(tmp_path / "run", job("one", **in_turn)))
    assert again[0].restored == epochs
    assert scores(again) == scores(whole)
    assert again[-1].outcome is Outcome.DONE


def test_a_fold_in_turn_is_trained_as_it_is_alone(saboteur: Any, tmp_path: Path) -> None:
    later: dict[str, Any] = {"later_folds": ("inner-2",), "last_epoch": 2 * EPOCHS}
    both = scores(finish(make_run(tmp_path / "run", job("both", folds="inner-1", **later))))
    second = scores(finish(make_run(tmp_path / "run", job("second", folds="inner-2"))))
    assert [(epoch - EPOCHS, *losses) for epoch, *losses in both[EPOCHS:]] == second


def test_the_first_report_says_why_a_job_trains_in_fp32(
    saboteur: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Linear layers give NaN in bf16 here, as convolutions do on some processors."""
    expected = finish(make_run(tmp_path / "fp32", job("one", precision="fp32")))
    computed = torch.nn.Linear.forward

    def broken(self: torch.nn.Linear, values: torch.Tensor) -> torch.Tensor:
        right = computed(self, values)
        return right * math.nan if right.dtype == torch.bfloat16 else right

    monkeypatch.setattr(torch.nn.Linear, "forward", broken)
    chunks = finish(make_run(tmp_path / "run", job("one", precision="bf16")))
    assert scores(chunks) == scores(expected)
    reason = "trained in fp32, since in bf16 layer layers.0 gives values that are not finite"
    assert [chunk.precision_note for chunk in chunks] == [reason, ""]
    assert {chunk.precision_note for chunk in expected} == {""}


def test_a_torn_checkpoint_costs_its_epochs_and_not_the_job(saboteur: Any, tmp_path: Path) -> None:
    first = make_run(tmp_path / "run", job("one"))
    first.step()
    first.leave()
    checkpoint = tmp_path / "run" / "checkpoints" / "one" / "last.safetensors"
    checkpoint.write_bytes(checkpoint.read_bytes()[:-100])
    chunks = finish(make_run(tmp_path / "run", job("one")))
    assert [epoch for epoch, *_ in scores(chunks)] == list(range(1, EPOCHS + 1))
    assert chunks[-1].outcome is Outcome.DONE
    assert chunks[0].restored == 0
    assert "CheckpointError" in (tmp_path / "run" / "errors" / "one.txt").read_text()


def test_a_job_that_ended_meanwhile_leaves_no_checkpoint(saboteur: Any, tmp_path: Path) -> None:
    """ASHA ends it after its report; its worker hears of that only by being sent home, or given another job."""
    run = make_run(tmp_path / "run", job("one"))
    run.step()
    folder = tmp_path / "run" / "checkpoints" / "one"
    assert folder.is_dir()
    shutil.rmtree(folder)  # as the driver does
    run.leave()
    assert not folder.exists()


def test_a_disk_that_refuses_a_checkpoint_is_not_the_jobs_failure(
    saboteur: Any, small_disk: Callable[[str], Path]
) -> None:
    disk = small_disk("256k")
    whole = scores(finish(make_run(disk / "whole", job("one"))))
    run = make_run(disk / "run", job("one"))
    run._save_seconds = 0.0  # a checkpoint is due after every chunk
    (disk / "filler").write_bytes(bytes(free_bytes(disk)))
    chunk = run.step()
    assert chunk.outcome is Outcome.GOING
    assert chunk.disk_error is not None
    assert chunk.disk_error.errno == errno.ENOSPC
    assert "checkpoints/one" in chunk.disk_error.filename
    run.leave()  # refused again, and no reason to raise
    (disk / "filler").unlink()
    again = make_run(disk / "run", job("one"))
    assert scores(finish(again)) == whole


def test_a_refit_whose_model_cannot_be_written_is_not_done(saboteur: Any, small_disk: Callable[[str], Path]) -> None:
    disk = small_disk("256k")
    refit = job("refit", folds="refit", last_epoch=4, pauses=(), model_folder="final/refit")
    run = make_run(disk / "run", refit)
    (disk / "run" / "final").mkdir()
    (disk / "filler").write_bytes(bytes(free_bytes(disk)))
    chunk = run.step()
    assert chunk.outcome is Outcome.GOING
    assert chunk.disk_error.errno == errno.ENOSPC
    assert [report.epoch for report in chunk.reports] == [1, 2, 3, 4]
    (disk / "filler").unlink()
    run.leave()  # there is room again: what it trained is saved
    again = make_run(disk / "run", refit)
    (rest,) = finish(again)
    assert rest.outcome is Outcome.DONE
    assert rest.restored == 4
    assert [report.epoch for report in rest.reports] == [1, 2, 3, 4]  # from the checkpoint: nothing was trained again
    assert all(math.isnan(report.score("uar")) for report in rest.reports)
    assert load_model(disk / "run" / "final" / "refit").classes == ("calm", "happy")


def test_a_read_only_disk_is_reported_as_such(saboteur: Any, small_disk: Callable[[str], Path]) -> None:
    disk = small_disk("256k")
    run = make_run(disk / "run", job("bad", "host memory"))
    mount("-o", "remount,ro", str(disk))
    *_, chunk = finish(run)
    assert chunk.outcome is Outcome.FAILED  # for its own reason
    assert chunk.disk_error is not None
    assert chunk.disk_error.errno == errno.EROFS


def test_a_node_without_the_runs_storage_trains_nothing_and_says_so(saboteur: Any, tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", job("one"))
    (tmp_path / "run").rename(tmp_path / "elsewhere")
    chunk = run.step()
    assert (chunk.outcome, chunk.reports) == (Outcome.GOING, [])
    assert "does not see the run folder; --run-dir must lie on storage of all nodes" in str(chunk.disk_error)
    assert not (tmp_path / "run").exists()
    (tmp_path / "elsewhere").rename(tmp_path / "run")
    assert finish(run)[-1].outcome is Outcome.DONE


def test_the_first_report_says_where_clips_come_from(saboteur: Any, tmp_path: Path) -> None:
    chunks = finish(make_run(tmp_path / "run", job("one")))
    first, *others = [chunk.placement for chunk in chunks]
    assert first is not None
    assert (first.where, first.size_bytes) == (Where.RESIDENT, two_classes().frames.nbytes)
    assert 0 < first.room_bytes <= MOST_ON_HOST_BYTES
    assert others == [None]


def free_bytes(folder: Path) -> int:
    status = os.statvfs(folder)
    return status.f_bavail * status.f_frsize


def test_storage_without_the_features_of_a_job_stops_the_run_and_fails_no_job(saboteur: Any, tmp_path: Path) -> None:
    context = make_context(tmp_path / "run", two_classes(), model=saboteur.__name__.rpartition(".")[2])
    other = job("trial-00000")
    asks = replace(other, params={**other.params, "features.kind": "kaldi_fbank"})
    run = JobRun(asks, context, lambda config: context.open_store(config.features))
    chunk = run.step()
    assert (chunk.outcome, chunk.reports) == (Outcome.GOING, [])
    assert isinstance(chunk.disk_error, OSError)
    assert f"{socket.gethostname()} has no features: no kaldi_fbank for 1 threads" in str(chunk.disk_error)


def test_a_corpus_that_is_changed_meanwhile_stops_the_run_and_fails_no_job(saboteur: Any, tmp_path: Path) -> None:
    store = two_classes()
    unreadable = replace(store, frames=Changed(store.frames))
    run = JobRun(job("one"), make_context(tmp_path / "run", store, model="saboteur"), lambda config: unreadable)
    chunk = run.step()
    assert (chunk.outcome, chunk.reports) == (Outcome.GOING, [])
    assert "0.wav is another file" in str(chunk.disk_error)


class Changed:
    """Frames of which the first half can be read, once, for their statistics."""

    def __init__(self, frames: Any) -> None:
        self._frames, self.shape, self.dtype, self.nbytes = frames, frames.shape, frames.dtype, frames.nbytes
        self._left = 30

    def __getitem__(self, part: slice) -> Any:
        self._left -= 1
        if self._left < 0:
            raise FeatureStoreError("0.wav is another file than when the run began")
        return self._frames[part]
