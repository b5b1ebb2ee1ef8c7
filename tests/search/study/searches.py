"""Searches over two knobs whose trials are trained by a formula, and what must hold after any of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from search.jobs import Chunk, Job, Outcome
from search.run_folder.records import TrialState
from search.run_folder.records_reader import read_records
from search.run_folder.records_writer import RecordWriter
from search.run_folder.scoring import EARLIER_SCORING, Scoring
from search.study.asha import Asha
from search.study.search import Search
from search.study.storage import open_study
from ser_core.training.report import EpochReport
from spaces.knobs import Choice, Float, Space
from tests.search.studies import study_of

SPACE = Space(
    knobs={"optim.learning_rate": Float(low=1e-4, high=1e-1, log=True), "optim.batch_size": Choice(values=(16, 32))},
    first=({"optim.learning_rate": 1e-3}, {"optim.learning_rate": 1e-2, "optim.batch_size": 32}),
)
MAX_EPOCHS = 9


def score(job: Job, epoch: int) -> float:
    """A learning curve that depends on the job alone; from its second fold on, of speakers who are told apart worse."""
    fold, own = divmod(epoch - 1, MAX_EPOCHS)
    distance = abs(math.log10(float(job.params["optim.learning_rate"])) + 2.2 - 0.2 * fold)
    return (0.9 - 0.3 * distance) * (1 - math.exp(-(own + 1) / 4))


def chunks(job: Job, curve: Callable[[Job, int], float] = score, start: int = 0) -> Iterator[Chunk]:
    """A job trained up to each rung, as a worker would report it."""
    for stop in (*(pause for pause in job.pauses if pause > start), job.last_epoch):
        reports = [report(epoch, curve(job, epoch), bool(job.later_folds)) for epoch in range(start + 1, stop + 1)]
        outcome = Outcome.DONE if stop == job.last_epoch else Outcome.GOING
        yield Chunk(job=job.name, reports=reports, outcome=outcome, worker="host:1")
        start = stop


def report(epoch: int, val_uar: float, in_turn: bool = False) -> EpochReport:
    """One epoch; of folds in turn with ten more clips in each fold than in the one before it."""
    clips = 10 * ((epoch - 1) // MAX_EPOCHS + 1) if in_turn else 0
    return EpochReport(
        epoch=epoch, train_loss=1.0, val_loss=1.0, scores={"uar": val_uar, "war": 0.5}, learning_rate=1e-3, seconds=0.5,
        sums={"hits": (val_uar * clips,), "clips": (clips,)} if clips else {},
    )  # fmt: skip


def make_search(
    folder: Path, storage: str = "", *, may_rebuild: bool = False, scoring: Scoring = EARLIER_SCORING, **changes: Any
) -> tuple[Search, RecordWriter]:
    """A search and its records, new or resumed, over the journal in its folder or the `storage`."""
    folder.mkdir(exist_ok=True)
    writer = RecordWriter(folder / "records.jsonl", scoring=scoring)
    study, flush = open_study(folder, storage, is_new=not writer.records.trials, may_rebuild=may_rebuild)
    arguments: dict[str, Any] = {
        "study": study, "flush": flush, "space": SPACE, "writer": writer, "asha": Asha(MAX_EPOCHS, 3, 3),
        "sampler": "tpe", "seed": 5, "fixed": {"optim.clip_norm": 1.0}, "trials": 12, **changes,
    }  # fmt: skip
    return Search(**arguments), writer


def train(search: Search, job: Job, curve: Callable[[Job, int], float] = score, start: int = 0) -> None:
    for chunk in chunks(job, curve, start):
        if not search.report(chunk):
            return


def finish(search: Search, writer: RecordWriter) -> None:
    """One worker trains until there is nothing more to do; an unfinished trial goes on behind its last epoch."""
    while (job := search.next_job()) is not None:
        train(search, job, start=len(writer.records.trials[int(job.name[-5:])].epochs))


def check_agreement(folder: Path, trials: int, storage: str = "") -> None:
    """The study says what the records say, of exactly so many trials."""
    records, study = read_records(folder / "records.jsonl").trials, study_of(folder, storage)
    assert [trial.number for trial in study.trials] == sorted(records) == list(range(trials))
    for trial in study.trials:
        record = records[trial.number]
        assert trial.state.name == record.state.name != "RUNNING"
        assert trial.params == record.params
        told = dict(enumerate(record.scoring.reported(record.epochs), 1))
        assert {step: pytest.approx(value, nan_ok=True) for step, value in trial.intermediate_values.items()} == told
        if record.state is TrialState.COMPLETE:
            assert trial.value == record.value
            assert record.scoring != EARLIER_SCORING or record.value == max(told.values())
        else:
            assert trial.user_attrs["reason"] == record.reason != ""
