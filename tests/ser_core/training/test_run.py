"""Training: it learns, repeats itself bit by bit, resumes as if never interrupted, and leaves no trace."""

import math
import pickle
import random
import subprocess
import sys
import weakref
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from ser_core.architectures import default_config
from ser_core.config import Config
from ser_core.features.device_clips import DeviceClips
from ser_core.features.frames import end_to_end
from ser_core.features.normalisation import no_normalisation, normalisation_of
from ser_core.features.store import FeatureStore
from ser_core.splits import Fold
from ser_core.targets import Emotions
from ser_core.training.checkpoint import CheckpointError
from ser_core.training.optim import build_optimizer, learning_rate
from ser_core.training.run import Diverged, TrainingRun, train
from ser_core.training.steps import batches_of

CLIPS, FIT, CLASSES = 60, 45, ("neutral", "happy", "sad")
NO_ROWS = np.empty(0, dtype=np.int64)
SETTINGS = {
    "features.n_mels": 16,
    "features.deltas": 0,
    "features.n_mfcc": 16,
    "features.window_ms": 25.0,
    "features.hop_ms": 20.0,
    "features.clip_seconds": 0.64,
    "model.width": 4,
    "optim.epochs": 4,
    "optim.learning_rate": 3e-3,
    "optim.batch_size": 8,
    "augment.freq_mask_bins": 3,
    "augment.time_mask_frames": 4,
    "augment.mixup_alpha": 0.2,
    "augment.noise_std": 0.1,
    "precision": "fp32",
}


def config_with(**changes: float | str) -> Config:
    """The toy configuration; `optim__epochs=2` changes optim.epochs."""
    return default_config("shallow_cnn", SETTINGS | {name.replace("__", "."): v for name, v in changes.items()})


def toy_store(config: Config, seed: int = 0) -> FeatureStore:
    """Clips of 20 to 59 frames of noise, in which each class raises bins of its own."""
    rng = np.random.default_rng(seed)
    labels, counts = np.arange(CLIPS) % 3, rng.integers(20, 60, CLIPS)
    frames = rng.normal(5, 2, (counts.sum(), 16))
    frames += 2 * np.repeat(np.eye(3)[labels], counts, axis=0) @ np.kron(np.eye(3), np.ones(6))[:, :16]
    return FeatureStore(
        frames=frames.astype(np.float32),
        bounds=end_to_end(np.concatenate([[0], np.cumsum(counts)])),
        truth=labels,
        clip_ids=tuple(f"clip{index}" for index in range(CLIPS)),
        target=Emotions(CLASSES),
        settings=config.features,
        fingerprint=f"toy{seed}",
    )


FOLD = Fold(fit=np.arange(FIT), evaluate=np.arange(FIT, CLIPS))


def start(resume: Path | None = None, fold: Fold = FOLD, **changes: float | str) -> TrainingRun:
    config = config_with(**changes)
    return train(config, fold, toy_store(config), device="cpu", resume=resume)


def untimed(run: Iterator) -> list:
    return [replace(report, seconds=0.0) for report in run]


@pytest.fixture(scope="module")
def finished() -> TrainingRun:
    run = start()
    list(run)
    return run


# -- learning ----------------------------------------------------------------------------------------------------------


def test_it_learns() -> None:
    run = start(optim__epochs=12, augment__mixup_alpha=0.0)
    reports = list(run)
    assert [report.epoch for report in reports] == list(range(1, 13))
    assert reports == run.reports
    assert reports[-1].train_loss < reports[0].train_loss
    assert max(report.score("uar") for report in reports) > 0.9
    probabilities = run.predict(FOLD.evaluate)
    assert probabilities.shape == (CLIPS - FIT, 3)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)


def test_predict_uses_the_best_epoch_and_training_goes_on_from_the_last(finished: TrainingRun) -> None:
    run = start()
    best = -math.inf
    expected: dict[str, torch.Tensor] = {}
    for report in run:
        if report.score("uar") > best:
            best, expected = report.score("uar"), {k: v.clone() for k, v in run.model.state_dict().items()}
            assert run.best_epoch == report.epoch
        run.predict(FOLD.evaluate)  # in between, as a dashboard might: it changes nothing
    assert best == max(report.score("uar") for report in run.reports)
    for name, tensor in run.best_weights().items():
        assert torch.equal(tensor, expected[name]), name
    assert untimed(run.reports) == untimed(finished.reports)
    labels = toy_store(run.config).truth[FOLD.evaluate]
    recalls = [(run.predict(FOLD.evaluate).argmax(axis=1) == labels)[labels == c].mean() for c in range(3)]
    assert np.mean(recalls) == pytest.approx(best)


def test_validation_loss_is_plain_cross_entropy_over_all_clips(finished: TrainingRun) -> None:
    run = start()
    report = next(run)
    labels = torch.from_numpy(toy_store(run.config).truth[FOLD.evaluate])
    probabilities = torch.from_numpy(run.predict(FOLD.evaluate))
    assert report.val_loss == pytest.approx(F.nll_loss(probabilities.log(), labels).item(), rel=1e-5)


def test_without_rows_to_evaluate_the_last_epoch_counts() -> None:
    run = start(fold=Fold(fit=np.arange(CLIPS), evaluate=NO_ROWS), optim__epochs=2, optim__early_stop_epochs=1)
    reports = list(run)
    assert len(reports) == 2  # nothing to stop early by
    assert run.best_epoch == 0
    assert all(math.isnan(report.score("uar")) and math.isnan(report.val_loss) for report in reports)
    for name, tensor in run.best_weights().items():
        assert torch.equal(tensor, run.model.state_dict()[name])


def test_early_stopping_ends_after_so_many_epochs_without_a_better_uar() -> None:
    run = start(optim__epochs=40, optim__early_stop_epochs=3, optim__learning_rate=1e-7, optim__schedule="constant")
    reports = list(run)
    assert len(reports) == run.best_epoch + 3 < 40


def test_class_weights_and_smoothing_change_the_loss_that_is_minimised() -> None:
    uneven = Fold(fit=np.flatnonzero((np.arange(CLIPS) % 3 != 2) | (np.arange(CLIPS) < 9)), evaluate=NO_ROWS)
    losses = {
        name: next(start(fold=uneven, optim__epochs=1, **changes)).train_loss
        for name, changes in {
            "plain": {"optim__label_smoothing": 0.0},
            "smooth": {"optim__label_smoothing": 0.5},
            "weighted": {"optim__label_smoothing": 0.0, "optim__class_weights": "inverse"},
        }.items()
    }
    assert len(set(losses.values())) == 3


def test_a_last_batch_of_one_clip_is_left_out() -> None:
    run = start(fold=Fold(fit=np.arange(9), evaluate=NO_ROWS), optim__batch_size=8, optim__epochs=1)
    assert math.isfinite(next(run).train_loss)
    optim = default_config("mlp", {"optim.batch_size": 8}).optim
    assert [len(batch) for batch in batches_of(torch.arange(17), optim)] == [8, 8]
    assert [len(batch) for batch in batches_of(torch.arange(18), optim)] == [8, 8, 2]


# -- data --------------------------------------------------------------------------------------------------------------


def test_normalisation_comes_from_fit_rows_alone() -> None:
    config = config_with()
    store = toy_store(config)
    normalisation = train(config, FOLD, store, device="cpu").normalisation
    fit = store.frames[: store.bounds[FIT, 0]]
    np.testing.assert_allclose(normalisation.mean, fit.mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(normalisation.std, fit.std(axis=0), rtol=1e-4)
    frames = store.frames.copy()
    frames[store.bounds[FIT, 0] :] = 1e3
    again = train(config, FOLD, replace(store, frames=frames), device="cpu").normalisation
    np.testing.assert_array_equal(again.mean, normalisation.mean)


def test_a_bin_that_never_moves_is_only_centred() -> None:
    normalisation = normalisation_of(
        np.full((10, 2), -13.8, dtype=np.float32), end_to_end(np.array([0, 4, 10])), np.arange(2)
    )
    assert normalisation.std.tolist() == [1, 1]
    np.testing.assert_allclose(normalisation.mean, -13.8, rtol=1e-6)


def clips_of(lengths: list[int], view: int, crop: str) -> DeviceClips:
    """Clips whose frames hold 1, 2, 3 …, so that a batch shows which frames it took."""
    frames = np.concatenate([np.arange(1, n + 1, dtype=np.float32) for n in lengths])[:, None]
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    return DeviceClips(
        frames, end_to_end(offsets), no_normalisation(1), view_frames=view, crop=crop, device=torch.device("cpu")
    )


def test_who_trains_at_once_on_the_same_frames_shares_one_copy_on_the_device() -> None:
    """The device without memory stands for a GPU: it cannot hold the array's own."""
    frames, elsewhere = np.ones((6, 2), dtype=np.float32), torch.device("meta")
    first, second = (
        DeviceClips(frames, np.array([[0, 6]]), no_normalisation(2), view_frames=4, crop="start", device=elsewhere)
        for _ in range(2)
    )
    assert first._source._placed.tensor is second._source._placed.tensor
    assert first._source._placed.tensor.device == elsewhere
    gone = weakref.ref(first._source._placed.tensor)
    del first, second
    assert gone() is None


@pytest.mark.parametrize(("crop", "first"), [("center", 3), ("start", 1)])
def test_crop_and_padding(crop: str, first: int) -> None:
    features, lengths = clips_of([8, 2], 4, crop).batch(torch.tensor([0, 1]))
    assert features[0, :, 0].tolist() == [first, first + 1, first + 2, first + 3]
    assert features[1, :, 0].tolist() == [1, 2, 0, 0]
    assert lengths.tolist() == [4, 2]


@pytest.mark.parametrize(
    ("shift", "long", "short", "length"),
    [
        (-1, [2, 3, 4, 5], [0, 1, 2, 0], 3),
        (-9, [1, 2, 3, 4], [0, 0, 1, 2], 4),
        (1, [4, 5, 6, 7], [1, 2, 0, 0], 2),
        (9, [5, 6, 7, 8], [1, 2, 0, 0], 2),
    ],
)
def test_shifts_hide_nothing_that_could_be_seen(shift: int, long: list, short: list, length: int) -> None:
    features, lengths = clips_of([8, 2], 4, "center").batch(torch.tensor([0, 1]), torch.full((2,), shift))
    assert features[..., 0].tolist() == [long, short]
    assert lengths.tolist() == [4, length]


def test_read_only_frames_are_used_in_place_without_a_warning(recwarn: pytest.WarningsRecorder) -> None:
    config = config_with(optim__epochs=1)
    store = toy_store(config)
    store.frames.setflags(write=False)
    list(train(config, FOLD, store, device="cpu"))
    assert not [warning for warning in recwarn if "writable" in str(warning.message)]


def test_a_store_of_other_features_is_refused() -> None:
    with pytest.raises(ValueError, match=r"store holds features of .*n_mels=16.* asks for .*n_mels=20"):
        train(config_with(features__n_mels=20), FOLD, toy_store(config_with()), device="cpu")


def test_another_clip_length_needs_no_other_store() -> None:
    config = config_with(features__clip_seconds=0.32, optim__epochs=1)
    assert len(list(train(config, FOLD, toy_store(config_with()), device="cpu"))) == 1


def test_too_few_clips_are_refused() -> None:
    with pytest.raises(ValueError, match="at least two clips to fit; got 1"):
        start(fold=Fold(fit=np.arange(1), evaluate=NO_ROWS))


# -- optimiser ---------------------------------------------------------------------------------------------------------


def test_learning_rate_is_a_pure_function_of_the_step() -> None:
    optim = config_with(optim__learning_rate=1.0, optim__warmup_fraction=0.25).optim
    rates = [learning_rate(step, 100, optim) for step in range(100)]
    assert rates[0] == pytest.approx(1 / 26)
    assert rates[25] == 1.0 == max(rates)
    assert rates[62] == pytest.approx(0.5 * (1 + math.cos(math.pi * 37 / 75)))
    assert rates[-1] < 1e-3
    assert learning_rate(0, 100, replace(optim, schedule="cosine")) == 1.0
    assert learning_rate(99, 100, replace(optim, schedule="constant")) == 1.0


def test_a_stopped_run_saw_the_schedule_of_the_full_budget(finished: TrainingRun) -> None:
    run = start()
    assert [next(run).learning_rate, next(run).learning_rate] == [r.learning_rate for r in finished.reports[:2]]


def test_biases_and_norms_do_not_decay() -> None:
    config = config_with(optim__weight_decay=0.3)
    model = train(config, FOLD, toy_store(config), device="cpu").model
    decayed, spared = build_optimizer(model, config.optim).param_groups
    assert (decayed["weight_decay"], spared["weight_decay"]) == (0.3, 0.0)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    assert all("norm" in names[id(p)] or names[id(p)].endswith("bias") for p in spared["params"])
    assert {id(p) for p in [*decayed["params"], *spared["params"]]} == set(names)


def test_fused_steps_follow_the_memory_layout_of_weights() -> None:
    """A fused kernel walks over raw memory, so weights, gradients and state must lie alike: here channels last."""
    config = config_with(optim__weight_decay=0.1)
    models = [train(config, FOLD, toy_store(config), device="cpu").model for _ in range(2)]
    decayed, spared = build_optimizer(models[1], config.optim).param_groups
    groups = [{"params": g["params"], "weight_decay": g["weight_decay"]} for g in (decayed, spared)]
    plain = torch.optim.AdamW(groups, lr=config.optim.learning_rate, foreach=False)
    features, lengths, labels = torch.randn(8, 64, 16), torch.full((8,), 64), torch.arange(8) % 3
    for model, optimizer in zip(models, (build_optimizer(models[0], config.optim), plain), strict=True):
        model.eval()  # no dropout
        for _ in range(3):
            optimizer.zero_grad()
            F.cross_entropy(model(features, lengths), labels).backward()
            optimizer.step()
    for (name, fused), expected in zip(models[0].named_parameters(), models[1].parameters(), strict=True):
        torch.testing.assert_close(fused, expected, msg=lambda text, name=name: f"{name}: {text}")


# -- same seed, same result --------------------------------------------------------------------------------------------


def test_global_random_state_is_left_alone() -> None:
    states = random.getstate(), np.random.get_state()[1].copy(), torch.get_rng_state()  # noqa: NPY002
    list(start(optim__epochs=1))
    assert random.getstate() == states[0]
    np.testing.assert_array_equal(np.random.get_state()[1], states[1])  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), states[2])


def test_the_seed_decides_and_nothing_else(finished: TrainingRun) -> None:
    torch.manual_seed(99)
    run = start()
    for _ in run:
        torch.rand(3)  # someone else draws in between
    assert untimed(run.reports) == untimed(finished.reports)
    np.testing.assert_array_equal(run.predict(FOLD.evaluate), finished.predict(FOLD.evaluate))
    other = start(seed=1)
    assert next(other).train_loss != run.reports[0].train_loss


def test_another_process_gets_the_same(finished: TrainingRun) -> None:
    program = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "import torch; torch.set_num_threads(1)\n"
        "import test_run as t; run = t.start(); list(run)\n"
        "print(run.predict(t.FOLD.evaluate).tobytes().hex())"
    )
    output = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert output.strip() == finished.predict(FOLD.evaluate).tobytes().hex()


# -- checkpoints -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("epochs", [1, 3])
def test_resumed_training_equals_uninterrupted_training(finished: TrainingRun, tmp_path: Path, epochs: int) -> None:
    run = start()
    for _ in range(epochs):
        next(run)
    run.save(tmp_path / "last.safetensors")
    resumed = start(resume=tmp_path / "last.safetensors")
    assert resumed.reports == run.reports
    assert len(list(resumed)) == 4 - epochs
    assert untimed(resumed.reports) == untimed(finished.reports)
    assert resumed.best_epoch == finished.best_epoch
    for name, tensor in finished.model.state_dict().items():
        assert torch.equal(resumed.model.state_dict()[name], tensor), name
    for name, tensor in finished.best_weights().items():
        assert torch.equal(resumed.best_weights()[name], tensor), name


def test_a_refit_without_validation_resumes_too(tmp_path: Path) -> None:
    fold = Fold(fit=np.arange(CLIPS), evaluate=NO_ROWS)
    whole, half = start(fold=fold), start(fold=fold)
    list(whole)
    next(half)
    half.save(tmp_path / "last")
    resumed = start(resume=tmp_path / "last", fold=fold)
    assert math.isnan(resumed.reports[0].score("uar"))
    list(resumed)
    np.testing.assert_array_equal(resumed.predict(FOLD.evaluate), whole.predict(FOLD.evaluate))


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    run = start()
    next(run)
    run.save(tmp_path / "last.safetensors")
    return tmp_path / "last.safetensors"


def test_saving_leaves_one_file(checkpoint: Path) -> None:
    assert [path.name for path in checkpoint.parent.iterdir()] == ["last.safetensors"]


def test_a_failed_save_keeps_the_old_checkpoint(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before, run = checkpoint.read_bytes(), start(resume=checkpoint)
    next(run)

    def full(*args: object, **kwargs: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr("ser_core.tensor_file.save_file", full)
    with pytest.raises(OSError, match="no space"):
        run.save(checkpoint)
    assert checkpoint.read_bytes() == before
    assert len(list(checkpoint.parent.iterdir())) == 1


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.999])
def test_a_truncated_checkpoint_is_refused(checkpoint: Path, share: float) -> None:
    content = checkpoint.read_bytes()
    checkpoint.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(CheckpointError, match=r"last\.safetensors is truncated or no checkpoint .* start the run anew"):
        start(resume=checkpoint)


def test_a_foreign_safetensors_file_is_refused(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    save_file({"weight": torch.zeros(2)}, tmp_path / "model.safetensors")
    with pytest.raises(CheckpointError, match="its format is None, not 'ser-checkpoint-1'"):
        start(resume=tmp_path / "model.safetensors")


def test_a_missing_checkpoint_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="there is no checkpoint at"):
        start(resume=tmp_path / "none")


def test_a_checkpoint_of_another_run_is_refused(checkpoint: Path) -> None:
    with pytest.raises(CheckpointError) as caught:
        start(resume=checkpoint, optim__learning_rate=0.5, fold=Fold(fit=np.arange(30), evaluate=FOLD.evaluate))
    message = str(caught.value)
    assert "optim.learning_rate: 0.003 in the checkpoint, 0.5 asked for" in message
    assert "rows to fit" in message
    assert "rows to evaluate" not in message


def test_other_features_than_the_checkpoint_was_trained_on_are_refused(checkpoint: Path) -> None:
    with pytest.raises(CheckpointError, match="features: 'toy0' in the checkpoint, 'toy1' asked for"):
        train(config_with(), FOLD, toy_store(config_with(), seed=1), device="cpu", resume=checkpoint)


# -- divergence and the end --------------------------------------------------------------------------------------------


def test_a_diverging_run_says_when_and_why() -> None:
    run = start(optim__learning_rate=1.0, optim__optimizer="adam", optim__epochs=3)
    with torch.no_grad():
        run.model.head.weight.fill_(1e30)  # the next step overflows
    with pytest.raises(Diverged, match=r"diverged in epoch 1: training loss .* lower optim.learning_rate") as caught:
        list(run)
    assert run.reports == []
    again = pickle.loads(pickle.dumps(caught.value))  # it travels between processes
    assert (again.epoch, str(again)) == (1, str(caught.value))


def test_weights_that_break_in_the_last_step_are_noticed_by_validation(monkeypatch: pytest.MonkeyPatch) -> None:
    run = start()

    def break_weights(epoch: int) -> tuple[float, float]:
        with torch.no_grad():
            run.model.head.bias.fill_(math.nan)
        return 1.0, 1e-3

    monkeypatch.setattr(run, "_fit_epoch", break_weights)
    with pytest.raises(Diverged, match="validation loss nan"):
        next(run)


def test_close_frees_the_tensors() -> None:
    import gc
    import weakref

    run = start(optim__epochs=1)
    list(run)
    held = [weakref.ref(run.model), weakref.ref(run._clips), weakref.ref(next(run.model.parameters()))]
    run.close()
    gc.collect()
    assert [ref() for ref in held] == [None, None, None]
    assert len(run.reports) == 1
