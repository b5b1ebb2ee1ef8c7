"""Jobs on a real Ray: what goes wrong in one stays there, and a lost worker's job goes on elsewhere."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from search.jobs import Chain, Chunk, Job, Link, Outcome, Wait
from search.run_folder.paths import checkpoint_file
from search.workers import _tune_parts
from search.workers._lanes import Lane, Lanes
from search.workers.context import WorkerContext
from search.workers.placement import Demand, Request
from search.workers.ray_session import check_fits
from search.workers.run_jobs import lane_of, run_jobs, work_through
from search.workers.shared_features import CommonFeatures, share_stores
from ser_core.artifact import load_model
from ser_core.features.transforms import settings_key
from tests.search.workers.contexts import make_context, two_classes

EPOCHS = 6


class Jobs:
    """Hands out the given jobs and keeps every chunk."""

    def __init__(self, jobs: list[Job], after_report: Callable[[Chunk], None] = lambda chunk: None) -> None:
        self.jobs, self.after_report = jobs, after_report
        self.chunks: list[Chunk] = []
        self.losses: dict[str, str] = {}

    def next_job(self) -> Job | Wait | None:
        return self.jobs.pop(0) if self.jobs else None

    def report(self, chunk: Chunk) -> bool:
        self.chunks.append(chunk)
        self.after_report(chunk)
        return chunk.outcome is Outcome.GOING

    def lost(self, job: str, reason: str) -> None:
        self.losses[job] = reason

    def tick(self) -> bool:
        return False

    def epochs(self, name: str) -> list[int]:
        return [report.epoch for chunk in self.chunks if chunk.job == name for report in chunk.reports]

    def last(self, name: str) -> Chunk:
        return next(chunk for chunk in reversed(self.chunks) if chunk.job == name)


def job(name: str, last_epoch: int = EPOCHS, **changes: Any) -> Job:
    params = {"optim.epochs": last_epoch, "seed": 1, **changes.pop("params", {})}
    return Job(name=name, params=params, folds="search", last_epoch=last_epoch, pauses=(2,), **changes)


def run(source: Any, folder: Path, concurrency: int = 1, device: str = "cpu") -> None:
    demand = Demand(requests=[Request(cpus=1, gpus=0)], concurrency=concurrency)
    run_jobs(source, context_in(folder, device), demand)


def context_in(folder: Path, device: str = "cpu") -> WorkerContext:
    store = two_classes(apart=2.0)
    shared = share_stores(
        {settings_key(store.settings): store}, np.arange(len(store.truth)), CommonFeatures(folder), print
    )
    return make_context(folder, store, device=device, about={"corpus": "test"}, shared=shared)


def lane_in(folder: Path, source: Any) -> Lane:
    return lane_of(source, context_in(folder), Demand(requests=[Request(cpus=1, gpus=0)]), print)


def test_failures_stay_in_their_job_and_the_actor_serves_the_next(ray_here: None, tmp_path: Path) -> None:
    source = Jobs(
        [
            job("good"),
            job("unknown", params={"model.nonsense": 3}),
            job("too small", params={"optim.batch_size": 1}),
            job("after"),
            job("twin"),
        ]
    )
    run(source, tmp_path / "run")
    for name in ("good", "after", "twin"):
        assert source.epochs(name) == list(range(1, EPOCHS + 1))
        assert source.last(name).outcome is Outcome.DONE
    assert source.last("unknown").outcome is Outcome.FAILED
    assert source.last("unknown").reason.startswith("bad configuration: unknown settings 'model.nonsense'")
    assert source.last("too small").reason.startswith("bad configuration: optim.batch_size must be at least 2")
    assert "unknown settings" in (tmp_path / "run" / "errors" / "unknown.txt").read_text()
    assert len({chunk.worker for chunk in source.chunks}) == 1  # one actor, one process, for all of them
    scores = [[r.val_loss for c in source.chunks if c.job == name for r in c.reports] for name in ("after", "twin")]
    assert scores[0] == scores[1] == [r.val_loss for c in source.chunks if c.job == "good" for r in c.reports]


def test_rungs_are_reported_before_training_goes_on(ray_here: None, tmp_path: Path) -> None:
    source = Jobs([job("one")])
    run(source, tmp_path / "run")
    assert [[report.epoch for report in chunk.reports] for chunk in source.chunks] == [[1, 2], [3, 4, 5, 6]]


def test_two_at_once_and_a_refit_leaves_its_model(ray_here: None, tmp_path: Path) -> None:
    refit = Job(
        name="refit",
        params={"optim.epochs": 9, "seed": 1},
        folds="refit",
        last_epoch=4,
        model_folder="final/refit",
    )
    source = Jobs([job("one"), refit, job("two"), job("three")])
    run(source, tmp_path / "run", concurrency=2)
    assert source.epochs("refit") == [1, 2, 3, 4]
    assert len({chunk.worker for chunk in source.chunks}) == 2
    predictor = load_model(tmp_path / "run" / "final" / "refit")
    assert predictor.classes == ("calm", "happy")
    assert predictor.about["corpus"] == "test"


def test_a_killed_worker_loses_no_epoch_that_was_saved(ray_here: None, tmp_path: Path) -> None:
    killed: list[str] = []
    checkpoint = tmp_path / "run" / "checkpoints" / "long" / "last.safetensors"

    def kill_once(chunk: Chunk) -> None:
        if not killed and checkpoint.exists():
            killed.append(chunk.worker)
            kill(chunk)

    epochs = 10_000  # more than the test waits for
    source = Jobs([job("long", last_epoch=epochs)], after_report=kill_once)
    source.report = stop_at(source, source.report)  # type: ignore[method-assign]
    run(source, tmp_path / "run")
    assert killed
    assert source.losses == {}
    workers = list(dict.fromkeys(chunk.worker for chunk in source.chunks))
    assert len(workers) == 2
    first = next(chunk for chunk in source.chunks if chunk.worker == workers[1])
    assert first.restored > 1  # it went on from the checkpoint …
    assert [report.epoch for report in first.reports] == list(
        range(1, len(first.reports) + 1)
    )  # … and reports all of it
    assert not checkpoint.exists()  # and the job's end cleared it away


def stop_at(source: Jobs, report: Callable[[Chunk], bool]) -> Callable[[Chunk], bool]:
    """End the job once a second worker has reported."""

    def wrapped(chunk: Chunk) -> bool:
        return report(chunk) and len({c.worker for c in source.chunks}) < 2

    return wrapped


def kill(chunk: Chunk) -> None:
    os.kill(int(chunk.worker.rpartition(":")[2]), signal.SIGKILL)


@pytest.mark.slow
def test_a_job_that_loses_every_worker_fails_and_says_so(ray_here: None, tmp_path: Path) -> None:
    source = Jobs(
        [job("doomed", last_epoch=10_000), job("after")],
        after_report=lambda chunk: kill(chunk) if chunk.job == "doomed" else None,
    )
    run(source, tmp_path / "run")
    assert list(source.losses) == ["doomed"]
    assert re.match(r"worker lost: 4 workers died with this trial\. .*worker process has died", source.losses["doomed"])
    assert len({chunk.worker for chunk in source.chunks if chunk.job == "doomed"}) == 4
    assert source.last("after").outcome is Outcome.DONE
    assert not (tmp_path / "run" / "checkpoints" / "doomed").exists()


def test_a_worker_that_dies_between_two_jobs_costs_neither(ray_here: None, tmp_path: Path) -> None:
    source = Jobs(
        [job("one"), job("two")], after_report=lambda chunk: kill(chunk) if chunk.outcome is Outcome.DONE else None
    )
    run(source, tmp_path / "run")
    assert source.losses == {}
    assert source.epochs("one") == source.epochs("two") == list(range(1, EPOCHS + 1))
    assert source.last("one").worker != source.last("two").worker


@pytest.mark.slow
def test_a_worker_without_its_device_is_replaced(ray_here: None, tmp_path: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("needs a machine without a GPU, where every use of one fails, as after an illegal access")
    source = Jobs([job("one"), job("two")])
    run(source, tmp_path / "run", device="cuda")
    assert [chunk.outcome for chunk in source.chunks] == [Outcome.FAILED] * 2
    assert len({chunk.worker for chunk in source.chunks}) == 2
    assert source.losses == {}


def test_what_a_workers_disk_refuses_ends_the_run_and_keeps_the_checkpoint(ray_here: None, tmp_path: Path) -> None:
    """A file stands where the model's folder should be: root may write anywhere else."""
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "final").write_text("in the way")
    refit = Job(
        name="refit", params={"optim.epochs": 9, "seed": 1}, folds="refit", last_epoch=4, model_folder="final/refit"
    )
    source = Jobs([refit, job("never")])
    with pytest.raises(OSError, match="final"):
        run(source, tmp_path / "run")
    assert source.last("refit").outcome is Outcome.GOING
    assert source.epochs("never") == []
    (tmp_path / "run" / "final").unlink()
    again = Jobs([refit])
    run(again, tmp_path / "run")
    assert again.last("refit").outcome is Outcome.DONE
    assert again.last("refit").restored == 4  # saved as the worker was sent home: nothing is trained again
    assert load_model(tmp_path / "run" / "final" / "refit").classes == ("calm", "happy")


def test_a_run_that_is_stopped_alone_is_saved_before_it_has_ended(ray_here: None, tmp_path: Path) -> None:
    """Its worker gets no other job, and the other run goes on until it has seen that."""

    class Stopping(Jobs):
        def tick(self) -> bool:
            return bool(self.chunks)

    class Going(Jobs):
        def report(self, chunk: Chunk) -> bool:
            super().report(chunk)
            return not lane.done.is_set()

    stopped, other = Stopping([job("one", last_epoch=10_000)]), Going([job("two", last_epoch=10_000)])
    lanes = Lanes()
    lane, second = (lane_in(tmp_path / name, source) for name, source in (("stopped", stopped), ("other", other)))
    lanes.add(lane)
    lanes.add(second)
    lanes.close()
    work_through(lanes)
    assert second.error is None
    assert stopped.last("one").outcome is other.last("two").outcome is Outcome.GOING
    assert checkpoint_file(tmp_path / "stopped", "one").exists()
    assert not checkpoint_file(tmp_path / "other", "two").exists()


def test_what_the_source_raises_comes_out_after_the_workers_stopped(ray_here: None, tmp_path: Path) -> None:
    def fail(chunk: Chunk) -> None:
        raise OSError(28, "No space left on device", "records.jsonl")

    with pytest.raises(OSError, match="No space left on device"):
        run(Jobs([job("one"), job("two")], after_report=fail), tmp_path / "run")


def test_links_follow_one_another_on_the_same_worker(ray_here: None, tmp_path: Path) -> None:
    first, second = Jobs([job("a"), job("b")]), Jobs([job("c")])
    run(Chain(iter([Link(first), Link(second)])), tmp_path / "run", concurrency=2)
    assert first.last("b").outcome is second.last("c").outcome is Outcome.DONE
    assert {chunk.worker for chunk in second.chunks} <= {chunk.worker for chunk in first.chunks}


def test_tune_does_not_keep_what_has_ended(ray_here: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    forget, held = _tune_parts.forget_ended, []

    def count(controller: Any) -> None:
        forget(controller)
        held.append((len(controller.get_trials()), len(controller._trials_to_cache), len(controller._stopped_trials)))

    monkeypatch.setattr(_tune_parts, "forget_ended", count)
    run(Jobs([job(str(number), last_epoch=2) for number in range(5)]), tmp_path / "run")
    assert held == [(1, 0, 0)] * 5


def test_a_trial_that_fits_nowhere_is_refused_unless_the_cluster_may_grow(ray_here: None) -> None:
    requests = [Request(cpus=1000, gpus=0)]
    with pytest.raises(ValueError, match=r"no trial fits: one asks for 1000 CPUs.*--cpus-per-trial.*--concurrency N"):
        check_fits(Demand(requests=requests, surplus=1))
    check_fits(Demand(requests=requests, surplus=1, concurrency=4))


def test_a_stop_right_after_a_rung_loses_no_epoch(ray_here: None, tmp_path: Path) -> None:
    """Its worker is just given more to train, and another one is starting, as at the first rung of every search."""
    source = Jobs([job("one", last_epoch=10_000), job("two", last_epoch=10_000)])
    source.tick = lambda: bool(source.chunks)  # type: ignore[method-assign]
    run(source, tmp_path / "run", concurrency=2)
    first = source.chunks[0].job
    assert source.epochs(first) == [1, 2]
    again = Jobs([job(first, last_epoch=10_000)])
    again.tick = lambda: bool(again.chunks)  # type: ignore[method-assign]
    run(again, tmp_path / "run")
    assert again.chunks[0].restored >= 2
