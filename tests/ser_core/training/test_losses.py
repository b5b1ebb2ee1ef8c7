"""Losses and weights of classes against PyTorch and numbers by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from ser_core.architectures import default_config
from ser_core.config import ConfigError
from ser_core.metrics.agreement import ccc, moments
from ser_core.targets import Dimensions, Emotions, Votes
from ser_core.training.heads import head_of
from ser_core.training.losses import agreement_loss, check_loss, class_weights, focal_loss

LOGITS = torch.tensor([[2.0, 0.5, -1.0], [0.0, 0.3, 0.1], [-1.0, 1.5, 0.2]])
WANTED = F.one_hot(torch.tensor([0, 2, 1]), 3).float()


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("weights", [None, torch.tensor([0.5, 1.0, 2.0])])
def test_focal_loss_of_gamma_0_is_cross_entropy(smoothing: float, weights: torch.Tensor | None) -> None:
    expected = F.cross_entropy(LOGITS, WANTED, weight=weights, label_smoothing=smoothing)
    assert focal_loss(LOGITS, WANTED, 0.0, weights=weights, label_smoothing=smoothing).item() == pytest.approx(
        expected.item(), rel=1e-6
    )


def test_focal_loss_by_hand() -> None:
    """Lin et al. 2017, equation 4: -(1 - p)^2 log p of p = 0.9 and 0.5."""
    logits = torch.tensor([[math.log(0.9), math.log(0.1)], [0.0, 0.0]])
    wanted = torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    expected = -(0.1**2 * math.log(0.9) + 0.5**2 * math.log(0.5)) / 2
    assert focal_loss(logits, wanted, 2.0).item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0])
def test_focal_loss_of_a_clip_that_is_wholly_sure_has_a_gradient(gamma: float) -> None:
    """(1 - p)^gamma has none at p = 1 for gamma below 1; what is learnt of other clips must not be lost by it."""
    logits = torch.tensor([[200.0, 0.0, 0.0], [0.0, 0.0, 0.0]], requires_grad=True)
    loss = focal_loss(logits, WANTED[:2], gamma)
    loss.backward()
    assert loss.item() == pytest.approx((2 / 3) ** gamma * math.log(3) / 2, rel=1e-5)
    assert logits.grad is not None
    assert logits.grad.isfinite().all()
    assert logits.grad[1].abs().max() > 0.1


def test_weights_of_classes_by_hand() -> None:
    """Three clips and one: inverse 4 / (2 n); effective by beta = 0.5, 1 / (1 - 0.5^3) and 1 / (1 - 0.5)."""
    labels = torch.tensor([0, 0, 0, 1])
    assert class_weights(labels, 3, "none", 0.9) is None
    inverse = class_weights(labels, 3, "inverse", 0.9)
    assert inverse is not None
    assert inverse.tolist() == pytest.approx([2 / 3, 2.0, 0.0])
    effective = class_weights(labels, 3, "effective", 0.5)
    assert effective is not None
    raw = np.array([1 / (1 - 0.5**3), 1 / 0.5])
    assert effective.tolist() == pytest.approx([*(raw * 4 / (3 * raw[0] + raw[1])), 0.0])
    assert (effective[labels].sum() / 4).item() == pytest.approx(1)


def test_the_loss_of_ratings_is_one_less_their_mean_concordance() -> None:
    generator = torch.Generator().manual_seed(0)
    told, wanted = torch.randn(2, 50, 3, generator=generator)
    expected = 1 - ccc(moments(wanted.double().numpy(), told.double().numpy()).sum(axis=0)).mean()
    assert agreement_loss(told, wanted).item() == pytest.approx(expected, abs=1e-5)
    assert agreement_loss(wanted, wanted).item() == pytest.approx(0, abs=1e-5)


def test_ratings_are_standardised_on_the_fit_part_and_undone_in_predictions() -> None:
    truth = np.array([[1.0, 10.0], [3.0, 10.0], [100.0, -7.0]])
    config = default_config("mlp")
    head = head_of(config, Dimensions(("arousal", "still")), truth, np.array([0, 1]), torch.device("cpu"))
    wanted = head.wanted(torch.tensor([0, 1, 2]))
    assert wanted.tolist() == [[-1.0, 0.0], [1.0, 0.0], [98.0, -17.0]]
    assert head.meaning(wanted).tolist() == truth.tolist()


def test_votes_are_fitted_softly() -> None:
    shares = np.array([[0.5, 0.5], [0.75, 0.25], [0.1, 0.9]])
    head = head_of(default_config("mlp"), Votes(("a", "b")), shares, np.arange(3), torch.device("cpu"))
    np.testing.assert_allclose(head.wanted(torch.arange(3)).numpy(), shares, atol=1e-7)
    logits = torch.tensor([[0.2, -0.1], [1.0, 0.0], [0.0, 2.0]])
    expected = -(torch.from_numpy(shares) * logits.log_softmax(dim=1)).sum(dim=1).mean().item()
    assert head.validation_loss(logits, torch.arange(3)).item() == pytest.approx(expected, rel=1e-6)


def test_balanced_sampling_draws_every_class_equally_often() -> None:
    labels = np.array([0] * 90 + [1] * 10)
    config = default_config("mlp", {"optim.sampling": "balanced"})
    head = head_of(config, Emotions(("a", "b")), labels, np.arange(100), torch.device("cpu"))
    torch.manual_seed(0)
    drawn = torch.cat([head.drawn(torch.arange(100)) for _ in range(20)])
    assert len(drawn) == 2000
    assert torch.from_numpy(labels)[drawn].float().mean().item() == pytest.approx(0.5, abs=0.05)
    plain = head_of(default_config("mlp"), Emotions(("a", "b")), labels, np.arange(100), torch.device("cpu"))
    assert sorted(plain.drawn(torch.arange(100)).tolist()) == list(range(100))


@pytest.mark.parametrize(
    ("settings", "kind", "message"),
    [
        ({"optim.loss": "focal"}, "dimensions", r"optim.loss must be auto or one of ccc, mse for ratings; got focal"),
        ({"optim.loss": "ccc"}, "votes", r"must be auto or one of cross_entropy, focal for classes; got ccc"),
        ({"optim.sampling": "balanced"}, "dimensions", r"ratings have no classes to balance"),
    ],
)
def test_a_loss_that_the_target_cannot_have_is_refused(settings: dict[str, str], kind: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        check_loss(default_config("mlp", settings).optim, kind)
