"""What makes a learning curve a score, of one fold and of several."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score

from search.run_folder.records import RunRecords, TrialRecord, TrialState
from search.run_folder.scoring import STATISTICS, Scoring
from search.run_folder.standing import best_trial
from ser_core.training.report import EpochReport

EACH = 4


def report(epoch: int, uar: float) -> EpochReport:
    """An epoch of a fold whose clips count alike in every fold."""
    return EpochReport.of_score(epoch, uar, sums={"hits": (uar,), "clips": (1.0,)})


def reports(*values: float) -> list[EpochReport]:
    return [report(epoch, value) for epoch, value in enumerate(values, 1)]


@pytest.mark.parametrize(
    ("score", "values", "expected"),
    [
        ("best", [0.2, 0.9, 0.4], 0.9),
        ("best-third", [0.2, 0.9], 0.55),
        ("best-third", [0.2, 0.9, 0.4, 0.3], (0.9 + 0.4 + 0.3) / 3),
        ("best-third", [*[0.1] * 8, 0.5, 0.6, 0.7, 0.8], (0.5 + 0.6 + 0.7 + 0.8) / 4),
        ("last", [0.9, 0.1, 0.2, 0.3, 0.4, 0.5], 0.3),
        ("last", [0.9], 0.9),
    ],
)
def test_each_score_by_hand(score: str, values: list[float], expected: float) -> None:
    assert STATISTICS[score](values) == pytest.approx(expected)
    assert Scoring(score).of(reports(*values)) == pytest.approx(expected)


@pytest.mark.parametrize("score", STATISTICS)
def test_nan_counts_as_nothing(score: str) -> None:
    assert STATISTICS[score]([math.nan, 0.4]) == 0.4
    assert math.isnan(STATISTICS[score]([math.nan]))
    assert math.isnan(Scoring(score).of([]))


@pytest.mark.parametrize("score", STATISTICS)
def test_over_folds_it_is_that_of_the_pooled_predictions(score: str) -> None:
    """Folds of different sizes; the reference is scikit-learn's balanced accuracy of all clips together."""
    rng, sizes, classes = np.random.default_rng(1), (7, 19, 30), 3
    labels = [np.concatenate([np.arange(classes), rng.integers(0, classes, size - classes)]) for size in sizes]
    guesses = [[np.where(rng.random(len(own)) < 0.6, own, rng.integers(0, classes, len(own))) for _ in range(EACH)]
               for own in labels]  # fmt: skip
    run = []
    for own, of_fold in zip(labels, guesses, strict=True):
        for guess in of_fold:
            hits = tuple(np.bincount(own[own == guess], minlength=classes).tolist())
            uar = balanced_accuracy_score(own, guess)
            counts = tuple(np.bincount(own).tolist())
            run.append(EpochReport.of_score(len(run) + 1, uar, sums={"hits": hits, "clips": counts}))
    scoring = Scoring(score, EACH)
    for folds in (2, 3):
        curve = [
            balanced_accuracy_score(
                np.concatenate(labels[:folds]), np.concatenate([own[epoch] for own in guesses[:folds]])
            )
            for epoch in range(EACH)
        ]
        assert scoring.curve(run[: folds * EACH]) == pytest.approx(curve)
        assert scoring.of(run[: folds * EACH]) == pytest.approx(STATISTICS[score](curve))
        assert scoring.best_epoch(run[: folds * EACH]) == 1 + int(np.argmax(curve))


def test_a_later_fold_counts_once_it_is_complete() -> None:
    run, scoring = reports(0.1, 0.4, 0.3, 0.2, 0.9, 0.8, 0.9, 0.9), Scoring("best", EACH)
    assert [scoring.of(run[:epochs]) for epochs in range(1, 8)] == [0.1, 0.4, 0.4, 0.4, 0.4, 0.4, 0.4]
    assert scoring.of(run) == pytest.approx(0.6)
    assert scoring.best_epoch(run) == 2
    assert scoring.reported(run) == [0.1, 0.4, 0.3, 0.2, 0.4, 0.4, 0.4, pytest.approx(0.6)]
    assert scoring.so_far(run) == [0.1, 0.4, 0.4, 0.4, 0.4, 0.4, 0.4, pytest.approx(0.6)]
    assert [scoring.folds(epochs) for epochs in (0, 3, 4, 7, 8)] == [0, 0, 1, 1, 2]


@pytest.mark.parametrize("score", STATISTICS)
def test_what_optuna_was_told_is_the_score_where_it_is_all_that_is_left(score: str) -> None:
    scoring, rng = Scoring(score, EACH), np.random.default_rng(0)
    run = reports(*rng.random(3 * EACH).tolist())
    for epochs in range(1, len(run) + 1):
        told = scoring.reported(run[:epochs])
        assert told == scoring.reported(run)[:epochs]
        restored = [EpochReport.of_score(epoch, value) for epoch, value in enumerate(told, 1)]
        assert scoring.reported(restored) == pytest.approx(told)
        assert scoring.of(restored) == pytest.approx(scoring.of(run[:epochs]))


def test_trials_with_more_folds_rank_first_and_a_fold_under_way_counts_for_nothing() -> None:
    def trial(number: int, uar: float, epochs: int, state: TrialState = TrialState.PRUNED) -> TrialRecord:
        record = TrialRecord(number, {}, "sampler", 0.0, scoring=Scoring("best", EACH), state=state)
        record.epochs += reports(*[uar] * epochs)
        return record

    trials = [
        trial(0, 0.9, 2), trial(1, 0.5, 4), trial(2, 0.6, 4), trial(3, 0.55, 6), trial(4, 0.3, 8),
        trial(5, 0.2, 12, TrialState.COMPLETE), trial(6, 0.1, 3),
    ]  # fmt: skip
    records = RunRecords(trials={each.number: each for each in trials})
    assert [each.number for each in records.ranked()] == [5, 4, 2, 3, 1, 6, 0]


@pytest.mark.parametrize("values", [[0.9, *[math.nan] * 5], [math.nan], []])
def test_a_trial_without_a_score_is_no_finalist_whatever_an_epoch_of_it_had(values: list[float]) -> None:
    """Else a run could end without a best trial, which nothing that reads its result expects."""
    record = TrialRecord(0, {}, "sampler", 0.0, scoring=Scoring("last"), state=TrialState.PRUNED)
    record.epochs.extend(reports(*values))
    records = RunRecords(trials={0: record})
    assert records.ranked() == []
    assert best_trial(records) is None
