"""Ensembles: weights come from validation alone, and members must speak of the same clips."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import log_loss

from search.comparison.ensemble import ensemble_of, ensemble_weights, pooled_ensemble
from search.comparison.folds import predictions_of
from search.run_folder.paths import PREDICTIONS_FILE, validation_file
from search.run_folder.predictions import pooled, prediction_table, write_predictions, write_table
from ser_core.config import ConfigError
from ser_core.targets import Emotions

CLASSES = ("angry", "happy", "sad")
OLD_RUN = Path(__file__).parents[2] / "data" / "run-of-0.1" / "finished"


def told(rng: np.random.Generator, labels: np.ndarray, skill: float) -> np.ndarray:
    """Probabilities (clips, classes) of a model that knows so much."""
    logits = rng.normal(size=(len(labels), 3)) + skill * np.eye(3)[labels]
    shares: np.ndarray = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return shares


def make_run(folder: Path, skill: float, seed: int, *, clips: str = "c", **changes: Any) -> Path:
    """A run folder as far as an ensemble reads it: 60 validation and 40 test clips, two seeds."""
    rng, labels = np.random.default_rng(seed), np.arange(60) % 3
    (folder / "final").mkdir(parents=True)
    result = json.loads((OLD_RUN / "result.json").read_text())
    (winner,) = result["finalists"]
    result |= {"finalists": [{**winner, "trial": 7}], "winner": {**result["winner"], "trial": 7}}
    (folder / "result.json").write_text(json.dumps(result))
    for number in (1, 2):
        write_predictions(
            folder / validation_file(7, number), clip_ids=[f"v{row}" for row in range(60)], truth=labels,
            told=told(rng, labels, changes.get("validation_skill", skill)), target=Emotions(CLASSES),
        )  # fmt: skip
    tables = [
        prediction_table(
            clip_ids=[f"{clips}{row}" for row in range(40)], truth=labels[:40],
            told=told(rng, labels[:40], skill), target=Emotions(changes.get("classes", CLASSES)),
            facts={"speaker": np.repeat(["01", "02"], 20), "gender": ["female"] * 40, "seed": number},
        )
        for number in (1, 2)
    ]  # fmt: skip
    write_table(folder / PREDICTIONS_FILE, pd.concat(tables))
    return folder


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), models=st.integers(2, 5))
def test_no_other_shares_have_less_cross_entropy(seed: int, models: int) -> None:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, 80)
    probabilities = np.stack([told(rng, labels, rng.uniform(0, 3)) for _ in range(models)])
    shares = ensemble_weights(probabilities, labels)
    assert shares.min() >= 0
    assert shares.sum() == pytest.approx(1)

    def loss(weights: np.ndarray) -> float:
        return float(log_loss(labels, np.tensordot(weights, probabilities, axes=1), labels=[0, 1, 2]))

    best = loss(shares)
    others = rng.dirichlet(np.ones(models), 200)
    assert best <= min(map(loss, [*others, *np.eye(models)])) + 1e-6


def test_weights_come_from_validation_and_not_from_the_test(tmp_path: Path) -> None:
    """The member that is best on validation weighs most, although it knows nothing of the test clips."""
    fraud = make_run(tmp_path / "fraud", 0.0, 1, validation_skill=4.0)
    honest = make_run(tmp_path / "honest", 4.0, 2, validation_skill=0.5)
    ensemble = ensemble_of({"fraud": fraud, "honest": honest})
    assert ensemble.weights["fraud"] > 0.8
    mixed = sum(
        share * predictions_of(folder).told.mean(axis=0)
        for share, folder in zip(ensemble.weights.values(), (fraud, honest), strict=True)
    )
    np.testing.assert_allclose(ensemble.test.told[0], mixed)
    assert ensemble.test.speakers.tolist() == ["01"] * 20 + ["02"] * 20


def test_the_folds_of_a_protocol_are_joined(tmp_path: Path) -> None:
    folds = [
        {
            name: make_run(tmp_path / f"{name}{fold}", skill, fold, clips=f"f{fold}-")
            for name, skill in (("a", 1.0), ("b", 2.0))
        }
        for fold in (1, 2)
    ]
    together = pooled_ensemble(folds)
    assert together.test.told.shape == (1, 80, 3)
    assert sum(together.weights.values()) == pytest.approx(1)
    alone = [ensemble_of(runs) for runs in folds]
    assert together.weights["a"] == pytest.approx(np.mean([each.weights["a"] for each in alone]))
    np.testing.assert_array_equal(together.test.told[:, 40:], alone[1].test.told)
    with pytest.raises(ConfigError, match="a clip is tested in more than one fold"):
        pooled([alone[0].test, alone[0].test])


def test_members_that_do_not_belong_together_are_refused(tmp_path: Path) -> None:
    one = make_run(tmp_path / "one", 1.0, 1)
    with pytest.raises(ConfigError, match="takes two or more runs; got one"):
        ensemble_of({"one": one})
    with pytest.raises(ConfigError, match="other and one have different test clips"):
        ensemble_of({"one": one, "other": make_run(tmp_path / "other", 1.0, 1, clips="d")})
    with pytest.raises(ConfigError, match="predicts calm, happy, sad, one angry, happy, sad"):
        ensemble_of({"one": one, "calm": make_run(tmp_path / "calm", 1.0, 1, classes=("calm", "happy", "sad"))})
    old = make_run(tmp_path / "old", 1.0, 1)
    for path in (old / "final/validation").iterdir():
        path.unlink()
    with pytest.raises(ConfigError, match="holds no validation predictions of its winner"):
        ensemble_of({"one": one, "old": old})
    (old / "result.json").unlink()
    with pytest.raises(ConfigError, match="the run has not ended"):
        ensemble_of({"one": one, "old": old})


def test_emotions_may_be_named_by_digits(tmp_path: Path) -> None:
    read = predictions_of(make_run(tmp_path / "coded", 1.0, 0, classes=("0", "1", "2")))
    assert read.target.names == ("0", "1", "2")
    assert read.truth.tolist() == [row % 3 for row in range(40)]
