"""What Optuna and the records say after a search, however it went."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any
from wsgiref.util import setup_testing_defaults

import optuna_dashboard
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from optuna.storages import BaseStorage

from search.jobs import Chunk, Job, Outcome
from search.run_folder.records import TrialState
from search.run_folder.records_reader import read_records
from search.run_folder.records_writer import RecordWriter
from search.study.asha import Asha
from search.study.search import Search, SearchStopped
from search.study.storage import open_study
from ser_core.config import ConfigError
from ser_core.training.report import EpochReport
from spaces.knobs import Choice, Float, Space
from tests.search.studies import study_of

SPACE = Space(
    knobs={"optim.learning_rate": Float(low=1e-4, high=1e-1, log=True), "optim.batch_size": Choice(values=(16, 32))},
    first=({"optim.learning_rate": 1e-3}, {"optim.learning_rate": 1e-2, "optim.batch_size": 32}),
)
MAX_EPOCHS = 9


def score(job: Job, epoch: int) -> float:
    """A learning curve that depends on the job alone."""
    distance = abs(math.log10(float(job.params["optim.learning_rate"])) + 2.2)
    return (0.9 - 0.3 * distance) * (1 - math.exp(-epoch / 4))


def chunks(job: Job, curve: Callable[[Job, int], float] = score, start: int = 0) -> Iterator[Chunk]:
    """A job trained up to each rung, as a worker would report it."""
    for stop in (*(pause for pause in job.pauses if pause > start), job.last_epoch):
        reports = [report(epoch, curve(job, epoch)) for epoch in range(start + 1, stop + 1)]
        outcome = Outcome.DONE if stop == job.last_epoch else Outcome.GOING
        yield Chunk(job=job.name, reports=reports, outcome=outcome, worker="host:1")
        start = stop


def report(epoch: int, val_uar: float) -> EpochReport:
    return EpochReport(
        epoch=epoch, train_loss=1.0, val_loss=1.0, val_uar=val_uar, val_war=0.5, learning_rate=1e-3, seconds=0.5
    )


@pytest.fixture(params=["journal", "sqlite", "postgresql"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Each kind of storage as `open_study` takes it."""
    if request.param == "postgresql":
        return str(request.getfixturevalue("postgres"))
    return f"sqlite:///{tmp_path / 'study.db'}" if request.param == "sqlite" else str(tmp_path / "shared.journal")


def make_search(folder: Path, storage: str = "", **changes: Any) -> tuple[Search, RecordWriter]:
    folder.mkdir(exist_ok=True)
    writer = RecordWriter(folder / "records.jsonl")
    study, flush = open_study(folder, storage, is_new=not writer.records.trials)
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


def fail_all(search: Search, reason: Callable[[int], str]) -> None:
    while (job := search.next_job()) is not None:
        why = reason(int(job.name[-5:]))
        search.report(Chunk(job=job.name, reports=[], outcome=Outcome.FAILED, worker="host:1", reason=why))


def check_agreement(folder: Path, trials: int, storage: str = "") -> None:
    """The study says what the records say, of exactly so many trials."""
    records, study = read_records(folder / "records.jsonl").trials, study_of(folder, storage)
    assert [trial.number for trial in study.trials] == sorted(records) == list(range(trials))
    for trial in study.trials:
        record = records[trial.number]
        assert trial.state.name == record.state.name != "RUNNING"
        assert trial.params == record.params
        told = {epoch.epoch: epoch.val_uar for epoch in record.epochs}
        assert {step: pytest.approx(value, nan_ok=True) for step, value in trial.intermediate_values.items()} == told
        if record.state is TrialState.COMPLETE:
            assert trial.value == record.value == max(told.values())
        else:
            assert trial.user_attrs["reason"] == record.reason != ""


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


def test_verdicts_of_a_rung_stand_after_a_kill(tmp_path: Path) -> None:
    """The second trial came first, when there was nothing to judge by; later it would have been ended."""
    search, writer = make_search(tmp_path / "run", trials=2, asha=Asha(MAX_EPOCHS, 3, 2))
    first, second = search.next_job(), search.next_job()
    assert first is not None
    assert second is not None
    assert search.report(next(chunks(second, lambda job, epoch: 0.5)))
    assert search.report(next(chunks(first, lambda job, epoch: 0.9)))
    writer.close()
    again, writer = make_search(tmp_path / "run", trials=2, asha=Asha(MAX_EPOCHS, 3, 2))
    assert [job.name for job in (again.next_job(), again.next_job()) if job] == [first.name, second.name]
    assert {trial.state for trial in writer.records.trials.values()} == {TrialState.RUNNING}


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


class Killed(BaseException):
    """Stands for kill -9: nothing after it runs."""


def kill_after(search: Search, writer: RecordWriter, steps: int) -> None:
    """Die just before or just after the n-th time that the search touches a disk."""
    count = 0

    def step() -> None:
        nonlocal count
        count += 1
        if count > steps:
            raise Killed

    def wrapped(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            step()
            result = function(*args, **kwargs)
            step()
            return result

        return call

    writer._append = wrapped(writer._append)  # type: ignore[method-assign]
    study = search._open.study
    search._open.flush = wrapped(search._open.flush)
    study.tell = wrapped(study.tell)  # type: ignore[method-assign]
    study.ask = wrapped(study.ask)  # type: ignore[method-assign]
    for name in ("create_new_trial", "set_trial_param", "set_trial_intermediate_value", "set_trial_state_values"):
        setattr(study._storage, name, wrapped(getattr(study._storage, name)))


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(kills=st.lists(st.integers(0, 120), min_size=1, max_size=4), grace=st.sampled_from([3, None]))
def test_killed_anywhere_and_resumed_ends_like_an_unbroken_search(
    kills: list[int], grace: int | None, tmp_path_factory: pytest.TempPathFactory
) -> None:
    def make(folder: Path) -> tuple[Search, RecordWriter]:
        return make_search(folder, asha=Asha(MAX_EPOCHS, grace, 3))

    folder = tmp_path_factory.mktemp("killed") / "run"
    for steps in kills:
        search, writer = make(folder)
        kill_after(search, writer, steps)
        try:
            finish(search, writer)
        except Killed:
            writer.close()
    search, writer = make(folder)
    finish(search, writer)
    check_agreement(folder, 12)
    unbroken = tmp_path_factory.mktemp("unbroken") / "run"
    whole, whole_writer = make(unbroken)
    finish(whole, whole_writer)
    assert search._asha.rungs == whole._asha.rungs
    ours, theirs = study_of(folder).trials, study_of(unbroken).trials
    assert [(t.params, t.state, t.value) for t in ours] == [(t.params, t.state, t.value) for t in theirs]


def test_killed_anywhere_and_resumed_with_every_storage(tmp_path: Path, storage: str) -> None:
    folder, unbroken, random = tmp_path / "killed", tmp_path / "unbroken", Random(1)
    options: dict[str, Any] = {"warm": [{"optim.learning_rate": 5e-3}], "trials": 5}
    for _ in range(4):
        search, writer = make_search(folder, storage, **options)
        kill_after(search, writer, random.randrange(40))
        with pytest.raises(Killed):
            finish(search, writer)
        writer.close()
    for run in (folder, unbroken):  # two runs in one storage
        finish(*make_search(run, storage, **options))
        check_agreement(run, 5, storage)
    ours, theirs = study_of(folder, storage).trials, study_of(unbroken, storage).trials
    assert [(t.params, t.state, t.value) for t in ours] == [(t.params, t.state, t.value) for t in theirs]
    assert optuna_dashboard_lists(study_of(folder, storage)._storage) == ["killed", "unbroken"]


def optuna_dashboard_lists(storage: BaseStorage) -> list[str]:
    """The studies that optuna-dashboard serves."""
    environment: dict[str, Any] = {"PATH_INFO": "/api/studies", "REQUEST_METHOD": "GET"}
    setup_testing_defaults(environment)
    status: list[str] = []
    body = b"".join(optuna_dashboard.wsgi(storage)(environment, lambda code, headers, *_: status.append(code)))
    assert status == ["200 OK"], body
    return sorted(study["study_name"] for study in json.loads(body)["study_summaries"])


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


def test_a_study_that_is_not_the_runs_is_refused(tmp_path: Path) -> None:
    finish(*make_search(tmp_path / "run", trials=3))
    (tmp_path / "run" / "study.journal").unlink()
    with pytest.raises(ConfigError, match=r"study.journal holds no study 'run'.*--storage that the run was started"):
        make_search(tmp_path / "run")


def test_a_renamed_run_keeps_its_study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    finish(*make_search(tmp_path / "run", trials=3))
    (tmp_path / "run").rename(tmp_path / "renamed")
    monkeypatch.chdir(tmp_path / "renamed")
    finish(*make_search(Path(), trials=5))  # as `--resume .`
    study = study_of(tmp_path / "run", str(tmp_path / "renamed" / "study.journal"))
    assert [trial.state.is_finished() for trial in study.trials] == [True] * 5


def test_what_the_records_lost_comes_back_from_the_study(tmp_path: Path) -> None:
    """A power cut may leave the records behind the study, and so does who mends them by hand."""
    finish(*make_search(tmp_path / "run", trials=8))
    path = tmp_path / "run" / "records.jsonl"
    whole, lines = read_records(path).trials, path.read_text().splitlines(keepends=True)
    third = next(row for row, line in enumerate(lines) if '"trial": 3' in line and '"epochs"' in line)
    path.write_text("".join(lines[: third + 1]))
    finish(*make_search(tmp_path / "run", trials=10))
    check_agreement(tmp_path / "run", 10)
    again = read_records(path).trials
    for number, trial in whole.items():
        assert [epoch.val_uar for epoch in again[number].epochs] == [epoch.val_uar for epoch in trial.epochs]
        assert (again[number].state, again[number].params) == (trial.state, trial.params)
    assert again[9].origin == "sampler"


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
