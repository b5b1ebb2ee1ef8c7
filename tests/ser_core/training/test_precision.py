"""Reduced precision: taken where the hardware has it, compared with fp32 before it is trusted, refused where it errs.

The tests run emulated bf16, and break it on purpose, so they check the same on every machine.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ser_core.architectures import architectures, default_config
from ser_core.config import Config
from ser_core.features.frames import end_to_end
from ser_core.features.store import FeatureStore
from ser_core.splits import Fold
from ser_core.targets import Emotions
from ser_core.training.folds import FoldsRun, train_folds
from ser_core.training.precision import bf16_fault, resolve_precision
from ser_core.training.run import TrainingRun, train

CLIPS, FIT = 30, 20
FOLD = Fold(fit=np.arange(FIT), evaluate=np.arange(FIT, CLIPS))
SETTINGS = {
    "features.n_mels": 16,
    "features.deltas": 0,
    "features.hop_ms": 20.0,
    "features.clip_seconds": 0.64,
    "model.width": 4,
    "optim.epochs": 3,
    "optim.batch_size": 8,
    "augment.freq_mask_bins": 3,
    "augment.time_mask_frames": 4,
}


def config_with(precision: str) -> Config:
    return default_config("shallow_cnn", SETTINGS | {"precision": precision})


def store() -> FeatureStore:
    config = config_with("fp32")
    return FeatureStore(
        frames=np.random.default_rng(0).normal(5, 2, (CLIPS * 30, 16)).astype(np.float32),
        bounds=end_to_end(np.arange(0, CLIPS * 30 + 1, 30)),
        truth=np.arange(CLIPS) % 3,
        clip_ids=tuple(map(str, range(CLIPS))),
        target=Emotions(("neutral", "happy", "sad")),
        settings=config.features,
        fingerprint="made",
    )


def start(precision: str, resume: Path | None = None) -> TrainingRun:
    return train(config_with(precision), FOLD, store(), device="cpu", resume=resume)


def losses(run: TrainingRun) -> list[tuple[float, float]]:
    return [(report.train_loss, report.val_loss) for report in run.reports]


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[float], None]]:
    """`broken(x)` makes every convolution add x to its results in bf16, as a wrong kernel does with NaN or garbage."""
    computed = nn.Conv2d._conv_forward
    with monkeypatch.context() as patch:

        def break_with(error: float) -> None:
            def convolve(self: nn.Conv2d, *arguments: Any) -> Tensor:
                right = computed(self, *arguments)
                return right + error if right.dtype == torch.bfloat16 else right

            patch.setattr(nn.Conv2d, "_conv_forward", convolve)

        yield break_with


# -- what is asked for -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("setting", "preferred", "expected"), [("fp32", "bf16", "fp32"), ("bf16", "fp32", "bf16")])
def test_an_explicit_precision_is_taken(setting: str, preferred: str, expected: str) -> None:
    assert resolve_precision(setting, preferred, torch.device("cpu")) == expected


@pytest.mark.parametrize("instructions", ["avx512_bf16", "amx_bf16"])
@pytest.mark.parametrize(("native", "expected"), [(True, "bf16"), (False, "fp32")])
def test_auto_precision_follows_the_hardware(
    monkeypatch: pytest.MonkeyPatch, instructions: str, native: bool, expected: str
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {instructions: native})
    assert resolve_precision("auto", "bf16", torch.device("cpu")) == expected
    assert resolve_precision("auto", "fp32", torch.device("cpu")) == "fp32"


def test_bf16_trains_and_predicts_in_fp32() -> None:
    run = start("bf16")
    assert (run.precision, run.precision_note) == ("bf16", "")
    assert math.isfinite(next(run).train_loss)
    features, lengths = run._clips.batch(torch.tensor(FOLD.evaluate))
    with torch.inference_mode():
        expected = run.model.eval()(features, lengths).softmax(dim=1)
    np.testing.assert_array_equal(run.predict(FOLD.evaluate), expected.numpy())


def test_validation_scores_what_is_predicted(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a machine whose `auto` is bf16, too: the score of an epoch is that of the numbers that `predict` gives."""
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"amx_bf16": True})
    run = start("auto")
    report = next(run)
    assert run.precision == "bf16"
    labels, probabilities = torch.from_numpy(store().truth[FOLD.evaluate]), run.predict(FOLD.evaluate)
    assert report.val_loss == pytest.approx(F.nll_loss(torch.from_numpy(probabilities).log(), labels).item(), rel=1e-5)


# -- what is checked ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", architectures())
def test_rounding_is_no_fault_of_any_architecture(name: str, small: Any) -> None:
    """By PyTorch's own kernels: oneDNN's for AMX give nonsense for a convolution of two groups of eight channels, which
    the tiny encoder has and no real one, and the check finds it."""
    features, lengths, _ = small.batch(name)
    model = small.build(name).train()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    with torch.backends.mkldnn.flags(enabled=False):
        assert bf16_fault(model, features, lengths) == ""
    assert model.training
    for key, value in model.state_dict().items():
        assert torch.equal(value, before[key]), key  # statistics of batch norms, too


@pytest.mark.parametrize(
    ("error", "words"), [(math.nan, "gives values that are not finite"), (math.inf, "not finite"), (9.0, r"off by \d+")]
)
def test_a_broken_layer_is_named(small: Any, broken: Callable[[float], None], error: float, words: str) -> None:
    features, lengths, _ = small.batch("ast")
    broken(error)
    fault = bf16_fault(small.build("ast"), features, lengths)
    assert fault.startswith("layer transformer.patch_embed.proj ")
    assert re.search(words, fault)


class Functional(nn.Module):
    """Its one step that errs in bf16 is no layer."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 3)

    def forward(self, features: Tensor, lengths: Tensor) -> Tensor:
        logits: Tensor = self.linear(features.mean(dim=1))
        return logits + 5 if logits.dtype == torch.bfloat16 else logits


def test_what_is_no_layer_is_seen_in_the_outputs() -> None:
    fault = bf16_fault(Functional(), torch.randn(6, 5, 4), torch.full((6,), 5))
    assert re.fullmatch(r"the output is off by \d+ %", fault)


def test_values_that_fp32_cannot_hold_either_are_no_fault_of_bf16() -> None:
    model = Functional()
    nn.init.constant_(model.linear.weight, math.nan)
    assert bf16_fault(model, torch.randn(6, 5, 4), torch.full((6,), 5)) == ""


# -- what follows ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [math.nan, 9.0])
def test_a_run_whose_bf16_errs_trains_in_fp32_and_says_so(broken: Callable[[float], None], error: float) -> None:
    expected = start("fp32")
    list(expected)
    broken(error)
    run = start("bf16")
    assert run.precision == "fp32"
    assert run.precision_note.startswith("trained in fp32, since in bf16 layer ")
    list(run)
    assert losses(run) == losses(expected)


def test_a_resumed_run_keeps_the_decision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It was found on a machine where bf16 errs, and holds on the next one, where it would not."""
    with monkeypatch.context() as machine:
        machine.setattr("ser_core.training.run.bf16_fault", lambda *_batch: "layer x is off by 90 %")
        run = start("bf16")
        next(run)
        run.save(tmp_path / "last.safetensors")
    assert start("bf16").precision == "bf16"
    resumed = start("bf16", tmp_path / "last.safetensors")
    assert (resumed.precision, resumed.precision_note) == ("fp32", run.precision_note)
    list(run), list(resumed)
    assert losses(resumed) == losses(run)


def test_bf16_goes_on_as_bf16_on_a_machine_that_would_not_choose_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"amx_bf16": True})
    run = start("auto")
    next(run)
    run.save(tmp_path / "last.safetensors")
    monkeypatch.setattr(torch.cpu, "get_capabilities", dict)
    resumed = start("auto", tmp_path / "last.safetensors")
    assert resumed.precision == "bf16"
    list(run), list(resumed)
    assert losses(resumed) == losses(run)


def test_a_run_resumed_where_it_was_interrupted_keeps_bf16_and_one_resumed_elsewhere_says_why_it_does_not(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The check of first weights has passed; trained ones may fail it by rounding, and are not checked again."""
    run = start("bf16")
    next(run)
    run.save(tmp_path / "last.safetensors")
    list(run)
    monkeypatch.setattr("ser_core.training.run.bf16_fault", lambda *_batch: "layer x is off by 11 %")
    resumed = start("bf16", tmp_path / "last.safetensors")
    assert (resumed.precision, resumed.precision_note) == ("bf16", "")
    list(resumed)
    assert losses(resumed) == losses(run)
    monkeypatch.setattr("ser_core.training.run.machine_of", lambda device: "another one")
    moved = start("bf16", tmp_path / "last.safetensors")
    assert moved.precision == "fp32"
    assert moved.precision_note == (
        "trained in fp32 from epoch 2 on, on another machine, since in bf16 layer x is off by 11 %"
    )


def test_folds_have_the_note_of_the_first_that_errs(broken: Callable[[float], None]) -> None:
    folds = [FOLD, Fold(fit=FOLD.evaluate, evaluate=FOLD.fit)]
    broken(math.nan)
    run = train_folds(config_with("bf16"), folds, store(), device="cpu")
    assert isinstance(run, FoldsRun)
    assert run.precision_note.startswith("trained in fp32, since in bf16 layer ")
