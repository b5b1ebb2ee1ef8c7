"""Training is sound: without any search, the perceptron's recipe clears what a careless baseline does not.

A report claims 28 % accuracy for such a model on a random split of RAVDESS.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ser_core.architectures import default_config
from ser_core.corpora import load_corpus
from ser_core.features.store import feature_store
from ser_core.metrics.scores import Scores, scores
from ser_core.splits import make_split
from ser_core.training.run import train


@pytest.mark.parametrize(("split_kind", "score", "floor"), [("random", "war", 0.70), ("speaker", "uar", 0.48)])
def test_the_perceptron_on_ravdess(
    ravdess_root: Path, tmp_path_factory: pytest.TempPathFactory, split_kind: str, score: str, floor: float
) -> None:
    cache = tmp_path_factory.getbasetemp() / "ravdess-cache"
    manifest = load_corpus(str(ravdess_root), skip_bad=False, classes=None, cache_dir=cache)
    assert (len(manifest.clips), len(set(manifest.speakers.tolist())), len(manifest.classes)) == (1440, 24, 8)
    split = make_split(manifest, split_kind, seed=0)
    store = feature_store(manifest, default_config("mlp").features, cache_dir=cache)
    found: list[Scores] = []
    for seed in range(3):
        run = train(default_config("mlp", {"seed": seed}), split.refit_fold(), store, device="cpu")
        for _ in run:
            pass
        found.append(scores(store.truth[split.test], run.predict(split.test).argmax(axis=1), len(store.target.names)))
    assert np.mean([getattr(one, score) for one in found]) >= floor
