"""Who reaches the finals, who wins, and how often the test set may be read."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path

import numpy as np
import pytest

from search.driver.time_budget import finals_seconds, search_clock
from search.finals.finalists import (
    FinalsError,
    check_refits,
    choose_finalists,
    choose_winner,
    finalist_scores,
    refit_epochs,
)
from search.finals.result import overhead_numbers
from search.finals.test_scores import Spread
from search.finals.test_scores import score_test as numbers_of
from search.finals.test_set import ledger_readings as readings_of
from search.finals.test_set import read_test_set
from search.run_folder.plan import Limits
from search.run_folder.records import FinalRun, Phase, RunRecords, Session, TrialRecord, TrialState
from ser_core.architectures import default_config
from ser_core.artifact import save_model
from ser_core.clips import Clip, Manifest
from ser_core.features.store import FeatureStore
from ser_core.metrics.scores import Interval
from ser_core.splits import Split
from ser_core.training.report import EpochReport
from ser_core.training.run import train


def epochs(*uars: float) -> list[EpochReport]:
    return [
        EpochReport(
            epoch=number, train_loss=1.0, val_loss=1.0, val_uar=uar, val_war=0.5, learning_rate=1e-3, seconds=2.0
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


def records_of(*trials: TrialRecord, finals: list[FinalRun] | None = None) -> RunRecords:
    return RunRecords(trials={t.number: t for t in trials}, finals=finals or [])


def test_complete_trials_come_before_pruned_ones_and_failed_ones_never() -> None:
    records = records_of(
        trial(0, TrialState.COMPLETE, 0.3, 0.5, 0.4),
        trial(1, TrialState.PRUNED, 0.9),
        trial(2, TrialState.COMPLETE, 0.6, 0.2, 0.1),
        trial(3, TrialState.FAIL, 0.95, 0.95),
        trial(4, TrialState.PRUNED, 0.1, 0.2),
    )
    assert [t.number for t in choose_finalists(records, 9)] == [2, 0, 4, 1]
    assert [t.number for t in choose_finalists(records, 1)] == [2]


def test_without_a_score_there_are_no_finals() -> None:
    with pytest.raises(FinalsError, match=r"none of 1 trials has a validation score.*why: so"):
        choose_finalists(records_of(trial(0, TrialState.FAIL)), 3)


def test_the_winner_has_the_best_mean_over_seeds_not_the_best_seed() -> None:
    finals = [final(0, 1, 0.9), final(0, 2, 0.1), final(1, 1, 0.6), final(1, 2, 0.6), final(2, 1, 0.99, reason="x: y")]
    scores = finalist_scores(records_of(finals=finals), [0, 1, 2])
    assert {trial: spread.seeds for trial, spread in scores.items()} == {0: (0.9, 0.1), 1: (0.6, 0.6)}
    assert (scores[0].mean, scores[0].std) == (0.5, pytest.approx(0.5657, abs=1e-4))
    assert scores[1] == Spread((0.6, 0.6), Interval(0.6, 0.6))
    assert choose_winner(scores) == 1
    with pytest.raises(FinalsError, match="every run of every finalist failed"):
        choose_winner({})


def test_the_refit_trains_for_the_median_of_the_best_epochs() -> None:
    finals = [final(0, 1, 0.1, 0.2, 0.9), final(0, 2, 0.9, 0.2), final(0, 3, 0.1, 0.5, 0.4, 0.9)]
    assert refit_epochs(records_of(finals=finals), 0) == 3
    assert refit_epochs(records_of(finals=finals[:2]), 0) == 2


def test_of_complete_trials_the_best_is_first_however_early_it_ended() -> None:
    ran = [(0, 0.2, 0.2, 0.3), (1, 0.7), (2, 0.1, 0.4)]
    complete = [trial(number, TrialState.COMPLETE, *uars) for number, *uars in ran]
    pruned = [trial(3, TrialState.PRUNED, 0.9), trial(4, TrialState.PRUNED, 0.1, 0.2)]
    assert [t.number for t in choose_finalists(records_of(*complete, *pruned), 5)] == [1, 2, 0, 4, 3]


def test_the_test_set_stays_closed_when_a_refit_failed() -> None:
    good = final(0, 1, math.nan, phase=Phase.REFIT)
    check_refits(records_of(finals=[good]), 0, 1)
    bad = final(0, 2, phase=Phase.REFIT, reason="diverged: NaN")
    with pytest.raises(FinalsError, match=r"refit of trial 0 with seed 2 failed: diverged: NaN.*not read"):
        check_refits(records_of(finals=[good, bad]), 0, 2)


def test_the_time_for_the_finals_is_that_of_the_dearest_of_the_best() -> None:
    class Plan:
        finalists, seeds, max_epochs = 2, 3, 10

    records = records_of(trial(0, TrialState.COMPLETE, 0.5, 0.6), trial(1, TrialState.PRUNED, 0.1))
    assert finals_seconds(Plan(), records, concurrency=2) == 2.0 * 10 * (3 + 2)  # six repeats, then three refits
    assert finals_seconds(Plan(), records, concurrency=9) == 2.0 * 10 * 2  # refits wait for the winner


def test_the_clock_of_the_search_keeps_the_finals_aside_and_counts_earlier_sessions() -> None:
    class Plan:
        finalists, seeds, max_epochs, limits = 2, 3, 10, Limits(hours=0.1)

    records = records_of(trial(0, TrialState.COMPLETE, 0.5, 0.6))
    records.sessions += [Session(started=100.0, last=140.0), Session(started=980.0, last=980.0)]
    now = 1000.0
    left = search_clock(Plan(), records, concurrency=lambda: 2, clock=lambda: now)
    # An earlier session took 40 s, features 20 s of this one; the finals will take 2 s * 10 epochs * 5 rounds.
    assert left() == 360 - 40 - 20 - 100
    now += 30.0
    assert left() == 170
    Plan.limits = Limits()
    assert search_clock(Plan(), records, concurrency=lambda: 2)() == math.inf


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
        frames=frames.astype(np.float32), offsets=np.arange(49), labels=manifest.labels,
        clip_ids=tuple(c.clip_id for c in clips), classes=manifest.classes, settings=config.features, fingerprint="x",
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
    first = read_test_set(folder, ["final/seed-1"], manifest, split, store, allow_second=False, device="cpu")
    assert first.probabilities.shape == (1, 24, 2)
    assert set(first.speakers) == {"s2", "s3"}
    again = read_test_set(folder, ["final/seed-1"], manifest, split, store, allow_second=False, device="cpu")
    assert np.array_equal(first.probabilities, again.probabilities)
    assert len(readings_of(folder)) == 1  # the same predictions: a repetition after a crash, no second look
    with pytest.raises(FinalsError, match=r"read 1 time\(s\) before.*--allow-second-test-read"):
        read_test_set(folder, ["final/seed-2"], manifest, split, store, allow_second=False, device="cpu")
    assert len(readings_of(folder)) == 1
    read_test_set(folder, ["final/seed-2"], manifest, split, store, allow_second=True, device="cpu")
    assert [reading["models"] for reading in readings_of(folder)] == [["final/seed-1"], ["final/seed-2"]]


def test_predictions_and_scores_agree(trained: tuple[Path, Manifest, Split, FeatureStore]) -> None:
    folder, manifest, split, store = trained
    models = ["final/seed-1", "final/seed-2"]
    test = read_test_set(folder, models, manifest, split, store, allow_second=False, device="cpu")
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
