"""Targets: sums of clips by group, scores of them, and what an epoch's report keeps."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import jensenshannon

from ser_core.config import ConfigError
from ser_core.metrics.resampled import score_intervals, scores_of, speaker_sums
from ser_core.named_scores import OBJECTIVES, SCORES
from ser_core.targets import Dimensions, Emotions, Target, Votes, js_divergence, kind_of, make_target, objectives_of
from ser_core.training.report import EpochReport, pooled_score

CLIPS, SPEAKERS = 60, 6
WHO = np.repeat(np.arange(SPEAKERS), CLIPS // SPEAKERS)


def made(target: Target) -> tuple[np.ndarray, np.ndarray]:
    """Truth and what a model says of it, of any target."""
    rng, names = np.random.default_rng(3), len(target.names)
    if isinstance(target, Dimensions):
        truth = rng.uniform(1, 7, (CLIPS, names))
        return truth, truth * 0.7 + rng.normal(size=truth.shape)
    told = rng.dirichlet(np.ones(names), CLIPS)
    if isinstance(target, Votes):
        return rng.dirichlet(np.ones(names), CLIPS), told
    return rng.integers(0, names, CLIPS), told


TARGETS: tuple[Target, ...] = (Emotions(("a", "b", "c")), Votes(("a", "b", "c")), Dimensions(("arousal", "valence")))


@pytest.mark.parametrize("target", TARGETS, ids=[target.kind for target in TARGETS])
def test_sums_of_groups_add_up_to_those_of_all_and_weights_count_clips(target: Target) -> None:
    truth, told = made(target)
    groups = target.sums(truth, told, WHO, SPEAKERS)
    whole = target.sums(truth, told, np.zeros(CLIPS, dtype=np.int64), 1)[0]
    np.testing.assert_allclose(groups.sum(axis=0), whole)
    twice = target.sums(truth, told, WHO, SPEAKERS, np.full(CLIPS, 2.0))
    np.testing.assert_allclose(twice, 2 * groups)
    own = WHO == 2
    alone = scores_of(target, truth[own], told[own])
    for name in target.scores:
        assert float(target.score(name, groups[2])) == pytest.approx(alone[name], nan_ok=True)
        assert SCORES[name].least <= alone[name] <= SCORES[name].most


@pytest.mark.parametrize("target", TARGETS, ids=[target.kind for target in TARGETS])
def test_intervals_hold_the_score_and_repeat_themselves(target: Target) -> None:
    truth, told = made(target)
    found = score_intervals(target, truth, told, WHO, resamples=500)
    assert found == score_intervals(target, truth, told[None], WHO, resamples=500)
    for name, value in scores_of(target, truth, told).items():
        assert found[name].low < value < found[name].high
    assert speaker_sums(target, truth, told, WHO).shape[:2] == (SPEAKERS, 1)


@pytest.mark.parametrize("target", TARGETS, ids=[target.kind for target in TARGETS])
def test_reports_of_folds_pool_to_the_score_of_all_clips(target: Target) -> None:
    truth, told = made(target)
    reports = []
    for fold in range(3):
        rows = np.flatnonzero(fold == WHO % 3)
        (sums,) = target.sums(truth[rows], told[rows], np.zeros(len(rows), dtype=np.int64), 1)
        scores = {name: float(target.score(name, sums)) for name in target.scores}
        report = EpochReport(
            epoch=1, train_loss=1.0, val_loss=1.0, learning_rate=0.1, seconds=1.0, scores=scores,
            sums=target.reported(sums),
        )  # fmt: skip
        reports.append(EpochReport.of_json(report.as_json()))
        assert reports[-1] == report
    whole = scores_of(target, truth, told)
    for name in objectives_of(target.kind):
        assert pooled_score(name, reports) == pytest.approx(whole[name])


def test_a_dimension_without_a_score_is_left_out_of_the_mean_of_folds_too() -> None:
    target = Dimensions(("arousal", "still"))
    truth, told = (np.stack([values, np.full(30, 2.0)], axis=1) for values in np.random.default_rng(0).random((2, 30)))
    (sums,) = target.sums(truth, told, np.zeros(30, dtype=np.int64), 1)
    report = EpochReport.of_score(1, 0.5, objective="ccc", sums=target.reported(sums))
    assert np.isnan(target.of_each("ccc", sums)[1])
    assert pooled_score("ccc", [report]) == pytest.approx(scores_of(target, truth, told)["ccc"])


def test_divergence_is_that_of_scipy() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.dirichlet(np.ones(4), (2, 50))
    first[:, 0], first[0] = 0.0, [0, 0, 0, 1]
    first /= first.sum(axis=1, keepdims=True)
    expected = jensenshannon(first, second, base=2, axis=1) ** 2
    np.testing.assert_allclose(js_divergence(first, second), expected, atol=1e-9)
    assert js_divergence(np.array([1.0, 0]), np.array([0, 1.0])) == pytest.approx(1)


def test_votes_are_scored_by_the_class_with_most_of_them_and_by_divergence() -> None:
    target = Votes(("calm", "happy"))
    truth, told = np.array([[0.75, 0.25], [0.4, 0.6]]), np.array([[0.75, 0.25], [0.9, 0.1]])
    found = scores_of(target, truth, told)
    assert found["uar"] == 0.5
    assert found["js_divergence"] == pytest.approx(js_divergence(truth[1], told[1]) / 2)


def test_a_target_has_its_own_objectives() -> None:
    assert {name for kind in ("emotion", "votes", "dimensions") for name in objectives_of(kind)} == set(OBJECTIVES)
    assert [kind_of(text) for text in ("emotion", "votes", "arousal", "arousal,valence")] == [
        "emotion", "votes", "dimensions", "dimensions",
    ]  # fmt: skip
    with pytest.raises(ConfigError, match=r"--objective must be one of ccc for predicted ratings; got uar"):
        make_target("dimensions", ["arousal"], "uar")
    with pytest.raises(ConfigError, match=r"must be one of uar, war, macro_f1 for predicted classes; got ccc"):
        make_target("votes", ["a", "b"], "ccc")
