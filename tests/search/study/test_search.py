"""What Optuna and the records say after a search."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest

from search.jobs import Chunk, Job, Outcome
from search.run_folder.records import TrialState
from search.run_folder.records_reader import read_records
from search.study.asha import Asha
from search.study.search import Search, SearchStopped
from tests.search.studies import study_of
from tests.search.study.searches import (
    MAX_EPOCHS,
    check_agreement,
    chunks,
    finish,
    make_search,
    report,
    score,
    train,
)


def fail_all(search: Search, reason: Callable[[int], str]) -> None:
    while (job := search.next_job()) is not None:
        why = reason(int(job.name[-5:]))
        search.report(Chunk(job=job.name, reports=[], outcome=Outcome.FAILED, worker="host:1", reason=why))


def test_optuna_is_told_what_happened(tmp_path: Path) -> None:
    search, writer = make_search(tmp_path / "run")
    finish(search, writer)
    check_agreement(tmp_path / "run", 12)
    records = writer.records.trials
    assert {trial.state for trial in records.values()} == {TrialState.COMPLETE, TrialState.PRUNED}
    pruned = next(trial for trial in records.values() if trial.state is TrialState.PRUNED)
    assert len(pruned.epochs) == 3  # the stopping rung's epoch is reported too
    assert pruned.reason == "rung 3"


def test_first_configurations_come_first_and_the_sampler_fills_their_gaps(tmp_path: Path) -> None:
    search, writer = make_search(tmp_path / "run", trials=3)
    finish(search, writer)
    trials = writer.records.trials
    assert [trials[number].origin for number in range(3)] == ["first", "first", "sampler"]
    assert trials[0].params["optim.learning_rate"] == 1e-3
    assert trials[0].params["optim.batch_size"] in (16, 32)
    assert trials[1].params == {"optim.learning_rate": 1e-2, "optim.batch_size": 32}


def test_jobs_carry_fixed_settings_a_seed_and_the_rungs(tmp_path: Path) -> None:
    search, _ = make_search(tmp_path / "run")
    one, two = search.next_job(), search.next_job()
    assert one is not None
    assert two is not None
    assert one.params["optim.clip_norm"] == 1.0
    assert one.params["seed"] != two.params["seed"]
    assert (one.pauses, one.last_epoch) == ((3,), MAX_EPOCHS)


def test_the_same_seed_gives_the_same_search(tmp_path: Path) -> None:
    for name in ("one", "two"):
        finish(*make_search(tmp_path / name))
    finish(*make_search(tmp_path / "other", seed=6))
    one, two, other = (study_of(tmp_path / name).trials for name in ("one", "two", "other"))
    key = [(t.params, t.state, t.value, t.intermediate_values) for t in one]
    assert key == [(t.params, t.state, t.value, t.intermediate_values) for t in two]
    assert key != [(t.params, t.state, t.value, t.intermediate_values) for t in other]


def test_a_failure_is_told_with_its_reason(tmp_path: Path) -> None:
    search, writer = make_search(tmp_path / "run", trials=2)
    job = search.next_job()
    assert job is not None
    failed = Chunk(
        job=job.name, reports=[report(1, 0.4)], outcome=Outcome.FAILED, worker="h:1", reason="diverged: loss is NaN"
    )
    assert not search.report(failed)
    lost = search.next_job()
    assert lost is not None
    search.lost(lost.name, "worker lost: 4 workers died")
    check_agreement(tmp_path / "run", 2)
    assert [t.reason for t in writer.records.trials.values()] == [
        "diverged: loss is NaN",
        "worker lost: 4 workers died",
    ]


def test_a_trial_without_any_score_has_failed(tmp_path: Path) -> None:
    search, writer = make_search(tmp_path / "run", trials=1)
    job = search.next_job()
    assert job is not None
    train(search, job, curve=lambda job, epoch: math.nan)
    check_agreement(tmp_path / "run", 1)
    assert writer.records.trials[0].reason.startswith("diverged: no epoch")


def test_many_failures_of_one_kind_end_the_search(tmp_path: Path) -> None:
    search, _ = make_search(tmp_path / "run", trials=30)
    with pytest.raises(SearchStopped, match=r"7 of the last 7 trials failed for one reason, 'out of memory'.*resume"):
        fail_all(search, lambda number: f"out of memory: {number} GiB")
    check_agreement(tmp_path / "run", 7)


def test_workers_lost_again_and_again_end_the_search_too(tmp_path: Path) -> None:
    search, _ = make_search(tmp_path / "run", trials=30)

    def lose_all() -> None:
        while (job := search.next_job()) is not None:
            search.lost(job.name, "worker lost: 4 workers died with this trial")

    with pytest.raises(SearchStopped, match=r"7 of the last 7 trials failed for one reason, 'worker lost'"):
        lose_all()
    check_agreement(tmp_path / "run", 7)


def test_epochs_of_a_checkpoint_that_were_never_reported_are_not_missing(tmp_path: Path) -> None:
    """Worker or driver died after the checkpoint of epoch 5 and before its report; epochs 1 to 3 had been reported."""
    search, writer = make_search(tmp_path / "run", trials=1)
    job = search.next_job()
    assert job is not None
    assert search.report(next(chunks(job)))
    reports = [report(epoch, score(job, epoch)) for epoch in range(1, 7)]
    search.report(Chunk(job=job.name, reports=reports, outcome=Outcome.GOING, worker="host:2", restored=5))
    assert [epoch.epoch for epoch in writer.records.trials[0].epochs] == [1, 2, 3, 4, 5, 6]
    lines = [json.loads(line) for line in (tmp_path / "run" / "records.jsonl").read_text().splitlines()]
    told = [[one["epoch"] for one in line["reports"]] for line in lines if line["event"] == "epochs"]
    assert told == [[1, 2, 3], [4, 5, 6]]  # what was known is not written again


def test_failures_of_different_kinds_do_not(tmp_path: Path) -> None:
    search, _ = make_search(tmp_path / "run", trials=18)
    fail_all(search, lambda number: f"kind {number % 3}: message")
    check_agreement(tmp_path / "run", 18)


def test_the_epoch_budget_ends_running_trials_as_pruned(tmp_path: Path) -> None:
    search, writer = make_search(tmp_path / "run", epochs_total=10)
    finish(search, writer)
    check_agreement(tmp_path / "run", 2)
    assert writer.records.trials[1].reason == "budget used up"


def test_the_clock_ends_the_search(tmp_path: Path) -> None:
    left = iter([1.0, 0.0, 0.0])
    search, writer = make_search(tmp_path / "run", time_left=lambda: next(left))
    finish(search, writer)
    check_agreement(tmp_path / "run", 1)
    assert writer.records.trials[0].state is TrialState.PRUNED


def test_configurations_of_an_earlier_study_follow_the_published_ones(tmp_path: Path) -> None:
    warm = [{"optim.learning_rate": 0.05, "optim.batch_size": 16}, {"optim.learning_rate": 5e-4}]
    search, writer = make_search(tmp_path / "run", trials=5, warm=warm)
    finish(search, writer)
    trials = writer.records.trials
    assert [trials[number].origin for number in range(5)] == ["first", "first", "warm", "warm", "sampler"]
    assert trials[2].params == warm[0]
    assert trials[3].params["optim.learning_rate"] == 5e-4
    assert [trial.user_attrs.get("origin") for trial in study_of(tmp_path / "run").trials][2:] == ["warm", "warm", None]


def test_epochs_that_were_lost_with_a_worker_are_counted_once(tmp_path: Path) -> None:
    search, writer = make_search(tmp_path / "run", trials=1)
    job = search.next_job()
    assert job is not None
    three, rest = chunks(job)
    assert search.report(three)
    again = [report(epoch, score(job, epoch)) for epoch in (2, 3)]  # the checkpoint was that of epoch 1
    assert search.report(Chunk(job=job.name, reports=again, outcome=Outcome.GOING, worker="host:2"))
    assert not search.report(rest)
    check_agreement(tmp_path / "run", 1)
    assert [epoch.epoch for epoch in writer.records.trials[0].epochs] == list(range(1, MAX_EPOCHS + 1))


def test_the_first_rung_is_found_from_the_first_complete_trials(tmp_path: Path) -> None:
    search, writer = make_search(tmp_path / "run", asha=Asha(MAX_EPOCHS, None, 3), trials=30)
    finish(search, writer)
    check_agreement(tmp_path / "run", 30)
    trials, grace = read_records(tmp_path / "run" / "records.jsonl").trials, writer.records.grace
    assert grace is not None
    assert grace.trials == tuple(range(10))
    assert all(trials[number].state is TrialState.COMPLETE for number in range(10))
    assert grace.epochs == 1  # these curves never cross
    assert grace.spearman == pytest.approx(1.0)
    assert {len(trial.epochs) for trial in trials.values() if trial.state is TrialState.PRUNED} <= {1, 3}
    assert set(search._asha.rungs[1]) == set(range(30))
    resumed, writer = make_search(tmp_path / "run", asha=Asha(MAX_EPOCHS, None, 3), trials=30)
    assert resumed._asha.rungs == search._asha.rungs


def test_more_trials_extend_a_finished_search(tmp_path: Path) -> None:
    finish(*make_search(tmp_path / "run", trials=5))
    finish(*make_search(tmp_path / "run", trials=9))
    check_agreement(tmp_path / "run", 9)


def test_a_rung_placed_while_a_trial_is_at_work_is_not_passed_over(tmp_path: Path) -> None:
    search, writer = make_search(tmp_path / "run", asha=Asha(MAX_EPOCHS, None, 3), trials=11)
    last = [job for _ in range(11) if (job := search.next_job()) is not None][-1]
    for number in range(10):
        job = Job(name=f"trial-{number:05d}", params={}, folds="search", last_epoch=MAX_EPOCHS)
        train(search, job, curve=lambda job, epoch: int(job.name[-5:]) / 100 + epoch / 1000)
    assert writer.records.grace is not None
    assert writer.records.grace.epochs == 1
    far = [report(epoch, 0.001) for epoch in range(1, 6)]
    assert not search.report(Chunk(job=last.name, reports=far, outcome=Outcome.GOING, worker="h:1"))
    assert writer.records.trials[10].reason == "rung 1"
