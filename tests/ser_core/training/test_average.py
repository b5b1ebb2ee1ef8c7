"""The moving average of weights is what is validated, kept and saved, and survives a checkpoint."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from ser_core.architectures import default_config
from ser_core.inference import evaluate
from ser_core.splits import Fold
from ser_core.training.run import TrainingRun, train
from tests.ser_core.training.thirds import SETTINGS, THIRDS, store

DECAY = 0.8


def start(fold: Fold = THIRDS[0], decay: float = DECAY, resume: Path | None = None) -> TrainingRun:
    config = default_config("mlp", {**SETTINGS, "optim.average_decay": decay})
    return train(config, fold, store(), device="cpu", resume=resume)


def test_it_equals_the_sum_written_out(monkeypatch: pytest.MonkeyPatch) -> None:
    run, seen = start(), list[torch.Tensor]()
    step = run._optimizer.step

    def watched() -> None:
        step()
        seen.append(run.model.head.weight.detach().clone())

    monkeypatch.setattr(run._optimizer, "step", watched)
    next(run)
    expected = seen[0]
    for weight in seen[1:]:
        expected = DECAY * expected + (1 - DECAY) * weight
    assert len(seen) > 3
    torch.testing.assert_close(run._kept.head.weight, expected)
    assert not torch.equal(run.model.head.weight, expected)


def test_it_is_what_is_validated_and_kept() -> None:
    run = start()
    report = next(run)
    rows = torch.tensor(THIRDS[0].evaluate)
    hits = evaluate(run._kept, run._clips, rows).argmax(dim=1) == torch.from_numpy(run._truth)[rows]
    assert sum(report.sums["hits"]) == hits.sum()
    assert torch.equal(run.best_weights()["head.weight"], run._kept.head.weight)


def test_without_validation_its_last_state_is_kept() -> None:
    run = start(fold=Fold(fit=THIRDS[0].fit, evaluate=np.empty(0, dtype=np.int64)))
    list(run)
    assert torch.equal(run.best_weights()["head.weight"], run._kept.head.weight)
    assert not torch.equal(run.best_weights()["head.weight"], run.model.head.weight)


def test_by_default_the_weights_themselves_are_kept() -> None:
    run = start(decay=0.0)
    assert run._kept is run.model
    assert default_config("mlp").optim.average_decay == 0


def test_training_goes_on_from_a_checkpoint_as_if_nothing_had_been(tmp_path: Path) -> None:
    whole, run = start(), start()
    list(whole)
    next(run)
    run.save(tmp_path / "last.safetensors")
    resumed = start(resume=tmp_path / "last.safetensors")
    list(resumed)
    assert [each.score("uar") for each in resumed.reports] == [each.score("uar") for each in whole.reports]
    for name, tensor in whole._kept.state_dict().items():
        assert torch.equal(resumed._kept.state_dict()[name], tensor), name
