"""Who reaches the finals, who wins, and how often the test set may be read."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.driver.time_budget import finals_seconds, search_clock
from search.finals.finalists import (
    FinalChoice,
    FinalJobs,
    FinalsError,
    best_of,
    check_refits,
    choose_finalists,
    choose_winner,
    comparable,
    finalist_scores,
    refit_epochs,
)
from search.finals.lead import validation_lead
from search.finals.phases import Finals
from search.finals.result import overhead_numbers
from search.finals.test_scores import Spread
from search.finals.test_scores import score_test as numbers_of
from search.finals.test_set import ledger_readings as readings_of
from search.finals.test_set import read_test_set
from search.jobs import Chunk, Outcome
from search.run_folder.finals_rule import certain_finalists, finalists_of
from search.run_folder.limits import Limits
from search.run_folder.paths import validation_file
from search.run_folder.plan import SearchPlan
from search.run_folder.predictions import write_predictions
from search.run_folder.records import FinalRun, Phase, RunRecords, Session, TrialRecord, TrialState
from search.run_folder.records_writer import RecordWriter
from search.study.defaults import settings_of
from ser_core.architectures import default_config
from ser_core.artifact import save_model
from ser_core.clips import Clip, Manifest
from ser_core.features.frames import end_to_end
from ser_core.features.store import FeatureStore
from ser_core.metrics.scores import Interval
from ser_core.splits import Split
from ser_core.targets import Emotions
from ser_core.training.report import EpochReport
from ser_core.training.run import train


def epochs(*uars: float) -> list[EpochReport]:
    return [
        EpochReport(
            epoch=number, train_loss=1.0, val_loss=1.0, scores={"uar": uar, "war": 0.5}, learning_rate=1e-3, seconds=2.0
        )
        for number, uar in enumerate(uars, start=1)
    ]


def trial(number: int, state: TrialState, *uars: float, worker: str = "h:1", ended: float = 10.0) -> TrialRecord:
    return TrialRecord(
        number=number, params={}, origin="sampler", started=0.0, state=state, epochs=epochs(*uars), ended=ended,
        worker=worker, reason="" if state is TrialState.COMPLETE else "why: so",
    )  # fmt: skip


def final(number: int, seed: int, *uars: float, reason: str = "", phase: Phase = Phase.FINALIST) -> FinalRun:
    return FinalRun(phase, number, seed, 0.0, epochs=epochs(*uars), ended=1.0, reason=reason)


CLASSES = ("happy", "sad")
SPEAKERS = {f"{speaker}-{take}": speaker for speaker in "abcdef" for take in range(20)}
LABELS = np.arange(20) % 2


def write_run(folder: Path, number: int, seed: int, speakers: str, shares: Mapping[str, int]) -> None:
    """Predictions of a finalist that has the first clips of each speaker right, as many as `shares` says."""
    clips = [f"{speaker}-{take}" for speaker in speakers for take in range(20)]
    right = np.concatenate([np.arange(20) < shares[speaker] for speaker in speakers])
    labels = np.tile(LABELS, len(speakers))
    probabilities = np.eye(2)[np.where(right, labels, 1 - labels)]
    path = folder / validation_file(number, seed)
    write_predictions(path, clip_ids=clips, truth=labels, told=probabilities, target=Emotions(CLASSES))


def records_of(*trials: TrialRecord, finals: list[FinalRun] | None = None) -> RunRecords:
    return RunRecords(trials={t.number: t for t in trials}, finals=finals or [])


def plan_of(**changes: Any) -> SearchPlan:
    """The plan of a run whose finals go over two folds; its schedule has five epochs."""
    plan = SearchPlan.load(Path(__file__).parents[2] / "data" / "run-of-0.1" / "finished")
    defaults: dict[str, Any] = {
        "max_epochs": 5, "fixed": {"optim.epochs": 5}, "finalists": 3, "seeds": 2, "space": {}, "first": (),
        "finals_rule": 3, "final_folds": (("a",), ("b",)),
    }  # fmt: skip
    return replace(plan, **{**defaults, **changes})


def test_complete_trials_come_before_pruned_ones_and_failed_ones_never() -> None:
    records = records_of(
        trial(0, TrialState.COMPLETE, 0.3, 0.5, 0.4),
        trial(1, TrialState.PRUNED, 0.9),
        trial(2, TrialState.COMPLETE, 0.6, 0.2, 0.1),
        trial(3, TrialState.FAIL, 0.95, 0.95),
        trial(4, TrialState.PRUNED, 0.1, 0.2),
    )
    assert [t.number for t in choose_finalists(plan_of(finalists=9), records)] == [2, 0, 4, 1]
    assert [t.number for t in choose_finalists(plan_of(finalists=1), records)] == [2]


def test_without_a_score_there_are_no_finals() -> None:
    with pytest.raises(FinalsError, match=r"1 trial ended without a validation score.*why: so"):
        choose_finalists(plan_of(), records_of(trial(0, TrialState.FAIL)))


def test_the_winner_has_the_best_mean_over_seeds_not_the_best_seed() -> None:
    finals = [final(0, 1, 0.9), final(0, 2, 0.1), final(1, 1, 0.6), final(1, 2, 0.6), final(2, 1, 0.99, reason="x: y")]
    scores = finalist_scores(records_of(finals=finals), [0, 1, 2])
    assert {trial: spread.seeds for trial, spread in scores.items()} == {0: (0.9, 0.1), 1: (0.6, 0.6)}
    assert (scores[0].mean, scores[0].std) == (0.5, pytest.approx(0.5657, abs=1e-4))
    assert scores[1] == Spread((0.6, 0.6), Interval(0.6, 0.6))
    assert best_of(scores) == 1
    assert best_of({}) is None


def test_a_challenger_wins_where_it_leads_or_has_no_rival() -> None:
    assert choose_winner(0, 1, leads=True) == 1
    assert choose_winner(0, 1, leads=False) == 0
    assert choose_winner(0, None, leads=False) == 0
    assert choose_winner(None, 1, leads=False) == 1
    with pytest.raises(FinalsError, match="every run of every finalist failed"):
        choose_winner(None, None, leads=False)


def test_finalists_that_lack_a_seed_are_not_compared_with_those_that_have_it() -> None:
    """The seed that a finalist lacks was its run on speakers of whom others have many wrong."""
    scores = {0: Spread((0.5, 0.3)), 1: Spread((0.6,)), 2: Spread((0.4, 0.2))}
    assert list(comparable(scores)) == [0, 2]
    assert comparable({}) == {}


def recipe(state: TrialState, *uars: float, origin: str = "first") -> TrialRecord:
    return replace(trial(0, state, *uars), origin=origin)


def test_the_recipe_is_a_finalist_however_early_its_trial_ended() -> None:
    best = [trial(1, TrialState.COMPLETE, 0.6), trial(2, TrialState.COMPLETE, 0.5)]

    def numbers(first: TrialRecord, **changes: Any) -> list[int]:
        return [t.number for t in choose_finalists(plan_of(finalists=2, **changes), records_of(first, *best))]

    assert numbers(recipe(TrialState.PRUNED, 0.1)) == [1, 2, 0]
    assert numbers(recipe(TrialState.PRUNED)) == [1, 2, 0]  # the budget was used up before its first epoch
    assert numbers(recipe(TrialState.COMPLETE, 0.9)) == [0, 1]
    assert numbers(recipe(TrialState.FAIL, 0.1)) == [1, 2]
    assert numbers(recipe(TrialState.PRUNED, 0.1, origin="sampler")) == [1, 2]  # the space has none
    assert numbers(recipe(TrialState.PRUNED, 0.1, origin="warm")) == [1, 2]  # taken over from another run
    assert numbers(recipe(TrialState.PRUNED, 0.1), finals_rule=1) == [1, 2]


def finals_of(plan: SearchPlan, writer: RecordWriter, folder: Path, log: list[str] | None = None) -> Finals:
    return Finals(plan, writer, folder, SPEAKERS, lambda: False, (log if log is not None else []).append)


def repeats_of(plan: SearchPlan, writer: RecordWriter, folder: Path) -> FinalJobs:
    finals = finals_of(plan, writer, folder)
    finals.choose_finalists()
    return finals.repeats


def chosen(tmp_path: Path, records: RunRecords, **plan: Any) -> tuple[FinalChoice, int]:
    """What the finals choose from these records -> the choice, and the last epoch of its refits."""
    writer = RecordWriter(tmp_path / "records.jsonl")
    writer.records = records
    finals = finals_of(plan_of(**plan), writer, tmp_path)
    finals.choose_finalists()
    finals.choose_winner()
    job = finals.refits.next_job()
    assert job is not None
    return finals.choice, job.last_epoch


def test_the_recipe_stands_when_nothing_beats_it(tmp_path: Path) -> None:
    finals = [final(0, 1, 0.5, 0.5), final(0, 2, 0.3), final(1, 1, 0.4), final(1, 2, 0.4)]
    records = records_of(recipe(TrialState.PRUNED, 0.1), trial(1, TrialState.COMPLETE, 0.9), finals=finals)
    choice, last_epoch = chosen(tmp_path, records, finals_rule=2)
    assert (choice.winner, choice.recipe, choice.challenger) == (0, 0, 1)
    assert last_epoch == 5  # the whole schedule
    records.finals[2] = final(1, 1, 0.41)
    choice, _ = chosen(tmp_path, records, finals_rule=2)
    assert (choice.winner, choice.recipe, choice.challenger) == (1, 0, 1)


@pytest.mark.parametrize(
    ("right", "winner"),
    [
        ({"a": 14, "b": 15, "c": 14, "d": 15}, 1),  # every speaker has gained about as much
        ({"a": 20, "b": 10, "c": 12, "d": 10}, 0),  # one has
        ({"a": 8, "b": 9, "c": 8, "d": 9}, 0),
    ],
)
def test_a_challenger_needs_a_lead_beyond_luck(tmp_path: Path, right: dict[str, int], winner: int) -> None:
    for seed, speakers in enumerate(("ab", "cd"), 1):
        write_run(tmp_path, 0, seed, speakers, dict.fromkeys("abcd", 10))
        write_run(tmp_path, 1, seed, speakers, right)
    finals = [final(number, seed, 0.5 + number / 10) for number in (0, 1) for seed in (1, 2)]
    records = records_of(recipe(TrialState.PRUNED, 0.1), trial(1, TrialState.COMPLETE, 0.9), finals=finals)
    choice, _ = chosen(tmp_path, records)
    assert (choice.winner, choice.recipe, choice.challenger) == (winner, 0, 1)
    assert choice.lead is not None
    assert choice.lead.difference.value == pytest.approx(sum(right.values()) / 80 - 0.5)
    assert choice.lead.is_luck == (winner == 0)


SPACE_OF_TWO = {"architecture": {"type": "choice", "values": ["mlp", "shallow_cnn"], "when": None}}
PLAN_OF_TWO: dict[str, Any] = {
    "model": "auto", "space": SPACE_OF_TWO, "fixed": {"mlp/optim.epochs": 5, "shallow_cnn/optim.epochs": 8},
    "defaults": settings_of("auto", ("mlp", "shallow_cnn")), "max_epochs": 8,
}  # fmt: skip


def of(architecture: str, record: TrialRecord, **changes: Any) -> TrialRecord:
    return replace(record, params={"architecture": architecture}, **changes)


def test_finalists_of_several_architectures_meet_the_recipe_of_each() -> None:
    records = records_of(
        of("mlp", recipe(TrialState.PRUNED, 0.1)),
        of("shallow_cnn", trial(1, TrialState.COMPLETE, 0.6), origin="first"),
        of("shallow_cnn", trial(2, TrialState.COMPLETE, 0.7)),
        of("shallow_cnn", trial(3, TrialState.COMPLETE, 0.8)),
        of("mlp", trial(4, TrialState.COMPLETE, 0.65)),
    )
    numbers = [[t.number for t in choose_finalists(plan_of(finalists=n), records)] for n in (1, 2, 3)]
    assert numbers == [[3, 1], [3, 2, 1], [3, 2, 4, 1, 0]]


def test_the_best_mean_decides_the_architecture_and_its_own_recipe_is_met_within_it(tmp_path: Path) -> None:
    """Trial 3 has the best mean, and its lead over its own recipe is luck; each job has its architecture's schedule."""
    for seed, speakers in enumerate(("ab", "cd"), 1):
        for number in (1, 3):
            write_run(tmp_path, number, seed, speakers, dict.fromkeys("abcd", 10 + (number == 3 and seed == 1)))
    finals = [final(number, seed, 0.5 + number / 100) for number in (0, 1, 3, 4) for seed in (1, 2)]
    finals = [replace(run, epochs=epochs(0.53)) if run.trial == 4 else run for run in finals]
    records = records_of(
        of("mlp", recipe(TrialState.COMPLETE, 0.5)),
        of("shallow_cnn", trial(1, TrialState.COMPLETE, 0.6), origin="first"),
        of("shallow_cnn", trial(3, TrialState.COMPLETE, 0.8)),
        of("mlp", trial(4, TrialState.COMPLETE, 0.65)),
        finals=finals,
    )
    choice, last_epoch = chosen(tmp_path, records, **PLAN_OF_TWO)
    assert [t.number for t in choice.finalists] == [3, 4, 1, 0]
    assert (choice.winner, choice.recipe, choice.challenger, last_epoch) == (1, 1, 3, 8)
    writer = RecordWriter(tmp_path / "again.jsonl")
    writer.records.trials = records.trials
    jobs = FinalJobs(phase=Phase.FINALIST, plan=plan_of(**PLAN_OF_TWO, seeds=1), writer=writer)
    for each in choice.finalists:
        jobs.add(each, {"mlp": 5, "shallow_cnn": 8})
    found = [*iter(jobs.next_job, None)]
    assert [(job.name[9:14], job.last_epoch, job.params["architecture"]) for job in found] == [
        ("00003", 8, "shallow_cnn"), ("00004", 5, "mlp"), ("00001", 8, "shallow_cnn"), ("00000", 5, "mlp")
    ]  # fmt: skip
    assert all(job.params["optim.epochs"] == job.last_epoch for job in found)
    assert not any("/" in name for job in found for name in job.params)


def test_a_lead_without_an_interval_is_judged_by_itself(tmp_path: Path) -> None:
    """One speaker validates, so that nothing says how others would differ."""
    for number, right in enumerate((10, 12)):
        write_run(tmp_path, number, 1, "a", {"a": right})
    leads = [validation_lead(tmp_path, 1, *pair, SPEAKERS, "uar") for pair in ((1, 0), (0, 1), (0, 0))]
    assert [lead.is_luck for lead in leads if lead is not None] == [False, True, True]


def test_a_run_of_the_first_rule_ends_by_it(tmp_path: Path) -> None:
    """A recipe that did not come to the finals by its score is none, and the refit ends at the median best epoch."""
    finals = [final(1, 1, 0.1, 0.4, 0.2), final(1, 2, 0.1, 0.3)]
    records = records_of(recipe(TrialState.PRUNED, 0.1), trial(1, TrialState.COMPLETE, 0.9), finals=finals)
    choice, last_epoch = chosen(tmp_path, records, finals_rule=1, final_folds=(), finalists=1)
    assert ([t.number for t in choice.finalists], choice.recipe, choice.winner, last_epoch) == ([1], None, 1, 2)


def test_a_recipe_whose_run_failed_does_not_win(tmp_path: Path) -> None:
    finals = [final(0, 1, 0.9), final(0, 2, reason="diverged: so"), final(1, 1, 0.4), final(1, 2, 0.4)]
    records = records_of(recipe(TrialState.COMPLETE, 0.9), trial(1, TrialState.COMPLETE, 0.9), finals=finals)
    choice, _ = chosen(tmp_path, records)
    assert (choice.winner, choice.recipe, choice.challenger) == (1, 0, 1)


def test_the_seeds_of_every_finalist_go_over_the_same_folds_in_turn(tmp_path: Path) -> None:
    records = records_of(recipe(TrialState.PRUNED, 0.1), trial(1, TrialState.COMPLETE, 0.9))
    writer = RecordWriter(tmp_path / "records.jsonl")
    writer.records = records
    plan = plan_of(seeds=4, finalists=1, final_folds=(("a",), ("b",), ("c",)))
    assert jobs_of(repeats_of(plan, writer, tmp_path)) == [
        (f"finalist-{number:05d}-seed-{seed}", f"inner-{(1, 2, 3, 1)[seed - 1]}")
        for number in (1, 0)
        for seed in (1, 2, 3, 4)
    ]
    without = replace(plan, final_folds=())
    assert {folds for _, folds in jobs_of(repeats_of(without, writer, tmp_path))} == {"search"}


def jobs_of(source: FinalJobs) -> list[tuple[str, str]]:
    """Names and folds of all jobs of a source."""
    return [(job.name, job.folds) for job in iter(source.next_job, None)]


def test_the_refit_trains_for_the_median_of_the_best_epochs_where_no_schedule_ends_it() -> None:
    finals = [final(0, 1, 0.1, 0.2, 0.9), final(0, 2, 0.9, 0.2), final(0, 3, 0.1, 0.5, 0.4, 0.9)]
    early = plan_of(fixed={"optim.epochs": 5, "optim.early_stop_epochs": 2})
    first = trial(0, TrialState.COMPLETE, 0.9)
    for plan in (plan_of(finals_rule=1, final_folds=()), early):
        assert refit_epochs(plan, records_of(first, finals=finals), 0) == 3
        assert refit_epochs(plan, records_of(first, finals=finals[:2]), 0) == 2
    assert refit_epochs(plan_of(), records_of(first, finals=finals), 0) == 5


def test_of_complete_trials_the_best_is_first_however_early_it_ended() -> None:
    ran = [(0, 0.2, 0.2, 0.3), (1, 0.7), (2, 0.1, 0.4)]
    complete = [trial(number, TrialState.COMPLETE, *uars) for number, *uars in ran]
    pruned = [trial(3, TrialState.PRUNED, 0.9), trial(4, TrialState.PRUNED, 0.1, 0.2)]
    found = choose_finalists(plan_of(finalists=5), records_of(*complete, *pruned))
    assert [t.number for t in found] == [1, 2, 0, 4, 3]


def test_the_test_set_stays_closed_when_a_refit_failed() -> None:
    good = final(0, 1, math.nan, phase=Phase.REFIT)
    check_refits(records_of(finals=[good]), 0, 1)
    bad = final(0, 2, phase=Phase.REFIT, reason="diverged: NaN")
    with pytest.raises(FinalsError, match=r"refit of trial 0 with seed 2 failed: diverged: NaN.*not read"):
        check_refits(records_of(finals=[good, bad]), 0, 2)


def test_the_time_for_the_finals_is_that_of_the_dearest_of_the_best() -> None:
    plan = plan_of(finalists=2, seeds=3, max_epochs=10, finals_rule=1, final_folds=())
    records = records_of(trial(0, TrialState.COMPLETE, 0.5, 0.6), trial(1, TrialState.PRUNED, 0.1))
    assert finals_seconds(plan, records, concurrency=2) == 2.0 * 10 * (3 + 2)  # six repeats, then three refits
    assert finals_seconds(plan, records, concurrency=9) == 2.0 * 10 * 2  # refits wait for the winner


def test_the_time_for_the_finals_counts_the_recipe_and_one_fold_alone() -> None:
    records = records_of(recipe(TrialState.COMPLETE, 0.5, 0.6), trial(1, TrialState.PRUNED, 0.1))
    plan = plan_of(finalists=2, seeds=3, max_epochs=10, folds=4, first=({"model.width": 80},))
    assert finals_seconds(plan, records, concurrency=1) == 2.0 / 4 * 10 * (9 + 3)


def test_the_clock_of_the_search_keeps_the_finals_aside_and_counts_earlier_sessions() -> None:
    plan = plan_of(finalists=2, seeds=3, max_epochs=10, finals_rule=1, final_folds=(), limits=Limits(hours=0.1))
    records = records_of(trial(0, TrialState.COMPLETE, 0.5, 0.6))
    records.sessions += [Session(started=100.0, last=140.0), Session(started=980.0, last=980.0)]
    now = 1000.0
    left = search_clock(plan, records, concurrency=lambda: 2, clock=lambda: now)
    # An earlier session took 40 s, features 20 s of this one; the finals will take 2 s * 10 epochs * 5 rounds.
    assert left() == 360 - 40 - 20 - 100
    now += 30.0
    assert left() == 170
    assert search_clock(replace(plan, limits=Limits()), records, concurrency=lambda: 2)() == math.inf


def test_overhead_leaves_out_the_start_of_each_worker_and_tells_it_apart() -> None:
    trials = [
        trial(0, TrialState.COMPLETE, 0.5, worker="a", ended=12.0),
        trial(1, TrialState.COMPLETE, 0.5, worker="b", ended=13.0),
        trial(2, TrialState.COMPLETE, 0.5, worker="a", ended=2.25),
    ]
    sessions = [Session(started=-1.0, last=20.0)]
    expected = {"overhead_seconds_per_trial": 0.25, "worker_start_seconds": 10.5}
    assert overhead_numbers(trials, sessions) == expected
    over_night = trial(3, TrialState.COMPLETE, 0.5, worker="a", ended=30_000.0)
    sessions.append(Session(started=29_000.0, last=30_000.0))
    assert overhead_numbers([*trials, over_night], sessions) == expected
    assert overhead_numbers([], []) == {"overhead_seconds_per_trial": None, "worker_start_seconds": None}


@pytest.fixture
def trained(tmp_path: Path) -> tuple[Path, Manifest, Split, FeatureStore]:
    """A model folder, and a corpus of four speakers whose last two are the test set."""
    labels = np.arange(48) % 2
    config = default_config("mlp", {"optim.epochs": 2})
    frames = np.random.default_rng(0).normal(size=(48, 160)) + labels[:, None]
    clips = tuple(
        Clip(clip_id=f"c{row:02d}", path=Path("x"), speaker=f"s{row // 12}", emotion=("happy", "sad")[label])
        for row, label in enumerate(labels)
    )
    manifest = Manifest(corpus="made", clips=clips, classes=("happy", "sad"))
    store = FeatureStore(
        frames=frames.astype(np.float32), bounds=end_to_end(np.arange(49)), truth=manifest.labels,
        clip_ids=tuple(c.clip_id for c in clips), target=Emotions(manifest.classes), settings=config.features,
        fingerprint="x",
    )  # fmt: skip
    rows = np.arange(48)
    split = Split(kind="speaker", train=rows[:12], validation=rows[12:24], test=rows[24:])
    for seed in (1, 2):
        run = train(config.with_params({"seed": seed}), split.refit_fold(), store, device="cpu")
        list(run)
        save_model(tmp_path / f"final/seed-{seed}", run, about={})
    return tmp_path, manifest, split, store


def test_the_test_set_is_read_once_and_the_ledger_says_so(
    trained: tuple[Path, Manifest, Split, FeatureStore],
) -> None:
    folder, manifest, split, store = trained
    first = read_test_set(folder, ["final/seed-1"], manifest, split, store, groups=(), allow_second=False, device="cpu")
    assert first.told.shape == (1, 24, 2)
    assert set(first.speakers) == {"s2", "s3"}
    again = read_test_set(folder, ["final/seed-1"], manifest, split, store, groups=(), allow_second=False, device="cpu")
    assert np.array_equal(first.told, again.told)
    assert len(readings_of(folder)) == 1  # the same predictions: a repetition after a crash, no second look
    with pytest.raises(FinalsError, match=r"read 1 time\(s\) before.*--allow-second-test-read"):
        read_test_set(folder, ["final/seed-2"], manifest, split, store, groups=(), allow_second=False, device="cpu")
    assert len(readings_of(folder)) == 1
    read_test_set(folder, ["final/seed-2"], manifest, split, store, groups=(), allow_second=True, device="cpu")
    assert [reading["models"] for reading in readings_of(folder)] == [["final/seed-1"], ["final/seed-2"]]


def test_predictions_and_scores_agree(trained: tuple[Path, Manifest, Split, FeatureStore]) -> None:
    folder, manifest, split, store = trained
    models = ["final/seed-1", "final/seed-2"]
    test = read_test_set(folder, models, manifest, split, store, groups=(), allow_second=False, device="cpu")
    numbers = numbers_of(test)
    with (folder / "final/test_predictions.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 48
    for seed, accuracy in enumerate(numbers["war"]["seeds"], start=1):
        own = [row for row in rows if row["seed"] == str(seed)]
        assert accuracy == pytest.approx(np.mean([row["emotion"] == row["predicted"] for row in own]))
        assert all(float(row["p_happy"]) + float(row["p_sad"]) == pytest.approx(1, abs=1e-5) for row in own)
    assert np.sum(numbers["confusion"]) == 48
    assert np.isnan(numbers["uar"]["interval"]).all()  # both test speakers score alike, so nothing can be said
    assert numbers["speakers"] == 2
    json.dumps(numbers)


# -- begun ahead -------------------------------------------------------------------------------------------------------


@given(
    states=st.lists(
        st.tuples(st.sampled_from(["running", "complete", "pruned", "failed"]), st.integers(1, 9)),
        min_size=1,
        max_size=9,
    ),
    outcomes=st.lists(
        st.tuples(st.sampled_from(["complete", "pruned", "failed"]), st.integers(1, 9)), min_size=9, max_size=9
    ),
    finalists=st.integers(1, 4),
)
def test_whoever_is_certain_is_a_finalist_whatever_becomes_of_the_others(
    states: list[tuple[str, int]], outcomes: list[tuple[str, int]], finalists: int
) -> None:
    """Tried with every way in which the trials at work may end; scores tie often."""
    plan = plan_of(finalists=finalists)

    def record(number: int, state: str, tenths: int) -> TrialRecord:
        kinds = {
            "running": TrialState.RUNNING, "complete": TrialState.COMPLETE,
            "pruned": TrialState.PRUNED, "failed": TrialState.FAIL,
        }  # fmt: skip
        uars = [tenths / 10] * (5 if state == "complete" else 2)
        return replace(trial(number, kinds[state], *uars), origin="first" if number == 0 else "sampler")

    now = records_of(*(record(number, *each) for number, each in enumerate(states)))
    then = records_of(
        *(record(number, *(outcomes[number] if each[0] == "running" else each)) for number, each in enumerate(states))
    )
    certain = [t.number for t in certain_finalists(plan, now, all_begun=True)]
    assert {*certain} <= {t.number for t in finalists_of(plan, then)}
    to_come = [trial(len(states) + number, TrialState.COMPLETE, *[0.99] * 5) for number in range(4)]
    later = records_of(*then.trials.values(), *to_come)
    certain_already = {t.number for t in certain_finalists(plan, now, all_begun=False)}
    assert certain_already <= {0} & {*certain} & {t.number for t in finalists_of(plan, later)}
    if "running" not in dict(states):
        assert certain == [t.number for t in finalists_of(plan, now)]


def test_nobody_is_certain_where_architectures_compete_or_by_the_first_rule() -> None:
    """Of several architectures only those of the best have their recipes among the finalists."""
    one, running = recipe(TrialState.COMPLETE, 0.9), trial(1, TrialState.RUNNING, 0.1)
    both = [of("mlp", one), of("shallow_cnn", running, origin="first")]
    assert certain_finalists(plan_of(**PLAN_OF_TWO), records_of(*both), all_begun=False) == []
    assert certain_finalists(plan_of(finals_rule=1), records_of(one, running), all_begun=True) == []


def test_the_recipe_is_repeated_while_the_search_goes_on_and_once_only(tmp_path: Path) -> None:
    writer = RecordWriter(tmp_path / "records.jsonl")
    writer.records.trials = records_of(recipe(TrialState.COMPLETE, 0.5), trial(1, TrialState.RUNNING, 0.4)).trials
    finals = finals_of(plan_of(finalists=1), writer, tmp_path)
    finals.begin_repeats(all_begun=False)
    ahead = finals.repeats.next_job()
    assert ahead is not None
    assert ahead.name == "finalist-00000-seed-1"
    writer.records.trials[1] = trial(1, TrialState.COMPLETE, 0.9)
    finals.choose_finalists()
    assert [name for name, _ in jobs_of(finals.repeats)] == [
        "finalist-00000-seed-2", "finalist-00001-seed-1", "finalist-00001-seed-2"
    ]  # fmt: skip


def test_the_recipe_is_refitted_ahead_and_its_refits_end_when_another_wins(tmp_path: Path) -> None:
    writer, log = RecordWriter(tmp_path / "records.jsonl"), list[str]()
    writer.records.trials = records_of(recipe(TrialState.COMPLETE, 0.5), trial(1, TrialState.COMPLETE, 0.9)).trials
    finals = finals_of(plan_of(), writer, tmp_path, log)
    finals.choose_finalists()
    finals.begin_refits()
    finals.begin_refits()
    [ahead, never] = [finals.refits.next_job() for _ in range(2)]
    assert ahead is not None
    assert never is not None
    assert (ahead.name, never.name) == ("refit-00000-seed-1", "refit-00000-seed-2")
    writer.records.finals += [final(number, seed, value) for number, value in ((0, 0.2), (1, 0.9)) for seed in (1, 2)]
    for number in (0, 1):
        for seed, speaker in ((1, "a"), (2, "b")):
            write_run(tmp_path, number, seed, speaker, {speaker: 4 + 14 * number})
    finals.choose_winner()
    assert finals.choice.winner == 1
    assert log == ["trial 1 won: the refits of trial 0 that were begun meanwhile are not used"]
    going = Chunk(job=ahead.name, reports=epochs(0.1), outcome=Outcome.GOING, worker="h:1")
    assert not finals.refits.report(going)
    ended = writer.records.final(Phase.REFIT, 0, 1)
    assert ended is not None
    assert ended.reason.startswith("discarded: ")
    assert [name for name, _ in jobs_of(finals.refits)] == ["refit-00001-seed-1", "refit-00001-seed-2"]


def test_a_refit_whose_end_its_finals_decide_does_not_begin_before_them(tmp_path: Path) -> None:
    writer = RecordWriter(tmp_path / "records.jsonl")
    writer.records.trials = records_of(recipe(TrialState.COMPLETE, 0.5), trial(1, TrialState.COMPLETE, 0.9)).trials
    finals = finals_of(plan_of(fixed={"optim.epochs": 5, "optim.early_stop_epochs": 2}), writer, tmp_path)
    finals.choose_finalists()
    finals.begin_refits()
    assert finals.refits.next_job() is None
