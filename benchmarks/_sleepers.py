"""Workers for benchmarks/scale.py: they sleep as long as recorded training took, and import no torch.

A process with Ray Tune alone takes 180 MB, less than half of one with torch, so that 64 of them fit on a small machine.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ray.tune import Trainable

from search.jobs import Chunk, Job, Outcome
from ser_core.training.report import EpochReport


@dataclass(frozen=True, kw_only=True)
class SleepContext:
    """What the sleepers share.

    Attributes:
        run_folder: of the run; they write nothing there.
        curves: validation UAR after every epoch, of every recorded configuration.
        chunk_seconds: a real worker's time between reports, search.workers._job_run.CHUNK_SECONDS.
    """

    run_folder: str
    curves: Sequence[Sequence[float]]
    chunk_seconds: float


class Sleeper(Trainable):
    """Does what `search.workers.training_actor.TrainingActor` does, at the same moments, without training."""

    def setup(self, config: dict[str, Any]) -> None:
        self.reset_config(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self._context: SleepContext = new_config["context"].fetch()
        self._job: Job = new_config["job"]
        self._epochs = 0
        return True

    def step(self) -> dict[str, Any]:
        """Sleep until the next report is due."""
        curve = self._context.curves[int(self._job.params["curve"])]
        began, reports = time.monotonic(), list[EpochReport]()
        while True:
            started = time.monotonic()
            time.sleep(float(self._job.params["epoch_seconds"]))
            self._epochs += 1
            reports.append(epoch_report(self._epochs, curve[self._epochs - 1], time.monotonic() - started))
            if self._epochs >= self._job.last_epoch:
                outcome = Outcome.DONE
            elif self._epochs in self._job.pauses or time.monotonic() - began >= self._context.chunk_seconds:
                outcome = Outcome.GOING
            else:
                continue
            return {"chunk": Chunk(job=self._job.name, reports=reports, outcome=outcome, worker=f"pid:{os.getpid()}")}


def epoch_report(epoch: int, val_uar: float, seconds: float) -> EpochReport:
    """An epoch of which only score and duration are known."""
    return EpochReport(
        epoch=epoch, train_loss=math.nan, val_loss=math.nan, scores={"uar": val_uar, "war": math.nan},
        learning_rate=math.nan, seconds=seconds,
    )  # fmt: skip
