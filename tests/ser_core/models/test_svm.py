"""The support vector machine: LIBLINEAR's planes, and a temperature that changes no decision."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.svm import LinearSVC
from sklearn.utils.class_weight import compute_sample_weight
from torch import Tensor

from ser_core.architectures import build_model, default_config
from ser_core.metrics.calibration import expected_calibration_error
from ser_core.models.svm import SVM
from ser_core.training.losses import class_weights

CLASSES, BINS = 3, 12


def clips(count: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Vectors whose classes overlap, the first class three times as frequent as the others: (count, 1, bins)."""
    rng = np.random.default_rng(seed)
    labels = np.array([0, 0, 0, 1, 2])[np.arange(count) % 5]
    vectors = rng.normal(size=(count, BINS)) + np.eye(CLASSES, BINS)[labels] * 1.5
    return torch.from_numpy(vectors.astype(np.float32))[:, None], torch.from_numpy(labels)


def fitted(features: Tensor, labels: Tensor, *, weights: Tensor | None = None, **settings: float) -> SVM:
    config = default_config("svm", {f"model.{name}": value for name, value in settings.items()})
    model = build_model(config, frames=1, bins=BINS, classes=CLASSES)
    assert isinstance(model, SVM)
    weights = torch.ones(len(labels)) if weights is None else weights
    model.fit_clips(features, labels, weights, epoch=1, config=config)
    return model.eval()


def test_logits_are_liblinears_distances_over_one_temperature() -> None:
    features, labels = clips(200)
    others, _ = clips(50, seed=1)
    model = fitted(features, labels, complexity=0.1)
    solver = LinearSVC(C=0.1, dual=True, random_state=0).fit(features[:, 0].numpy(), labels.numpy())
    distances = solver.decision_function(others[:, 0].numpy())
    logits = model(others, torch.ones(50)).detach().numpy()
    scale = float((logits * distances).sum() / np.square(distances).sum())
    np.testing.assert_allclose(logits, scale * distances, atol=2e-3)
    assert scale > 0
    assert np.array_equal(logits.argmax(axis=1), solver.predict(others[:, 0].numpy()))


@pytest.mark.parametrize("count", [8, 200])  # fewer clips than values, and more
def test_every_clip_counts_by_its_weight(count: int) -> None:
    features, labels = clips(count)
    balanced = class_weights(labels, CLASSES, "inverse", 0.0)
    assert balanced is not None
    weights = balanced[labels]
    model = fitted(features, labels, weights=weights, complexity=0.1)
    solver = LinearSVC(C=0.1, dual=True, random_state=0, tol=1e-8, max_iter=100_000)
    planes = solver.fit(features[:, 0].numpy(), labels.numpy(), compute_sample_weight("balanced", labels)).coef_
    found = model.head.weight.detach().numpy()
    np.testing.assert_allclose(found / np.linalg.norm(found), planes / np.linalg.norm(planes), atol=2e-3)


def test_probabilities_are_as_sure_as_the_model_is_right() -> None:
    """Distances of clips that it has learned by heart would make it far surer of others than it may be."""
    features, labels = clips(300)
    others, truth = clips(2_000, seed=1)
    logits = fitted(features, labels, complexity=1.0)(others, torch.ones(2_000)).detach()
    errors = [expected_calibration_error(truth.numpy(), (k * logits).softmax(1).numpy()) for k in (1, 3, 9)]
    assert errors[0] < 0.05
    assert errors == sorted(errors)


def test_a_machine_that_is_not_solved_says_what_to_lower(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ser_core.models.svm.MOST_PASSES", 1)
    with pytest.raises(ValueError, match=r"not solved after 1 passes; lower model.complexity \(1\)"):
        fitted(*clips(60), complexity=1.0)
