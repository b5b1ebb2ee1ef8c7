"""One worker, without Ray around it: job after job in the same process."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from search.jobs import Chunk, Job, Outcome
from search.workers.context import WorkerContext
from search.workers.training_actor import TrainingActor
from tests.search.workers.contexts import make_context, two_classes

EPOCHS = 3


def make_actor(run_folder: Path, first: Job, *, device: str = "cpu") -> TrainingActor:
    context = make_context(run_folder, two_classes(), model="saboteur", device=device)
    return TrainingActor(given(first, context))


@dataclass(frozen=True)
class Here:
    """A context that is in this process already."""

    context: WorkerContext

    def fetch(self) -> WorkerContext:
        return self.context


def given(job: Job, context: WorkerContext) -> dict[str, Any]:
    """What a worker gets with a job."""
    return {"job": job, "share": 0.0, "context": Here(context)}


def job(name: str, how: str = "never") -> Job:
    """Four batches an epoch; batch 10, in which it fails, lies in the last one."""
    params = {"optim.epochs": EPOCHS, "optim.batch_size": 8, "seed": 1, "model.how": how, "model.batch": 10}
    params["precision"] = "fp32"
    return Job(name=name, params=params, folds="search", last_epoch=EPOCHS)


def finish(actor: TrainingActor) -> list[Chunk]:
    """Let the actor work on its job until that has ended."""
    chunks: list[Chunk] = []
    while not chunks or chunks[-1].outcome is Outcome.GOING:
        chunks.append(actor.step()["chunk"])
        assert len(chunks) < 10
    return chunks


def scores(chunks: list[Chunk]) -> list[tuple[int, float, float]]:
    return [(r.epoch, r.train_loss, r.val_loss) for chunk in chunks for r in chunk.reports]


@pytest.mark.parametrize("how", ["never", "NaN", "Torch on the CPU"])
def test_a_job_leaves_no_trace_in_the_next_one_of_its_worker(how: str, saboteur: Any, tmp_path: Path) -> None:
    fresh = scores(finish(make_actor(tmp_path / "run", job("fresh"))))
    actor = make_actor(tmp_path / "run", job("before", how))
    finish(actor)
    assert actor.reset_config({**actor.config, "job": job("next")})
    assert scores(finish(actor)) == fresh  # bit by bit
    assert not saboteur.ALIVE


def test_a_worker_that_lost_its_device_takes_no_other_job(saboteur: Any, tmp_path: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("needs a machine without a GPU: there every use of one fails, as after an illegal access")
    actor = make_actor(tmp_path / "run", job("one"), device="cuda")
    (chunk,) = finish(actor)
    assert chunk.outcome is Outcome.FAILED
    with pytest.raises(TypeError, match="exit_actor API is called on a non-actor"):  # within Ray it ends the worker
        actor.reset_config({**actor.config, "job": job("two")})
