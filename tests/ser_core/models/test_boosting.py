"""Boosted trees: what scikit-learn's own estimator says, an epoch at a time."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.ensemble import GradientBoostingClassifier

from ser_core.architectures import build_model, default_config
from ser_core.models.boosting import Boosting

SETTINGS = {"model.rounds": 3, "model.depth": 2, "optim.learning_rate": 0.2, "seed": 7}


@pytest.mark.parametrize("classes", [2, 4])
def test_probabilities_after_every_epoch_are_scikit_learns(classes: int) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(120, 100)).astype(np.float32), np.arange(120) % classes
    weights = 1.0 + y
    config = default_config("boosting", SETTINGS)
    model = build_model(config, frames=1, bins=100, classes=classes)
    assert isinstance(model, Boosting)
    whole = GradientBoostingClassifier(
        init="zero", n_estimators=12, learning_rate=0.2, max_depth=2, min_samples_leaf=5, subsample=0.5,
        max_features=0.02, random_state=7,
    ).fit(x, y, sample_weight=weights)  # fmt: skip
    staged = list(whole.staged_predict_proba(x))
    given = torch.from_numpy(x)[:, None], torch.from_numpy(y), torch.from_numpy(weights)
    for epoch in (1, 2, 4, 3):  # further, and back
        model.fit_clips(*given, epoch=epoch, config=config)
        logits = model(given[0], torch.ones(120))
        assert model.trees.roots.shape == (3 * epoch, 1 if classes == 2 else classes)
        np.testing.assert_allclose(logits.softmax(1).numpy(), staged[3 * epoch - 1], atol=2e-7)
