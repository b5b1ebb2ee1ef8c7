"""Training on clips that are streamed gives what training on resident ones gives, to the last bit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from ser_core.architectures import default_config
from ser_core.config import Config
from ser_core.features.cache import map_frames, write_arrays
from ser_core.features.frames import end_to_end
from ser_core.features.placement import Where
from ser_core.features.store import FeatureStore
from ser_core.splits import Fold
from ser_core.targets import Emotions
from ser_core.training.folds import train_folds
from ser_core.training.folds_in_turn import FoldsInTurn
from ser_core.training.run import TrainingRun, train

CLIPS = 60
FOLD = Fold(fit=np.arange(40), evaluate=np.arange(40, CLIPS))
PLAIN = {
    "features.n_mels": 16,
    "features.clip_seconds": 1.28,
    "features.deltas": 0,
    "model.width": 2,
    "optim.epochs": 3,
    "optim.batch_size": 8,
    "augment.mixup_alpha": 0.2,
    "augment.noise_std": 0.1,
    "precision": "fp32",
}
WAYS = {
    "plain": {},
    "accumulated": {"optim.accumulation": 3},
    "bucketed": {"optim.bucketing": True},
    "by seconds": {"optim.batch_size": 0, "optim.batch_seconds": 9.0},
    "no shifts": {"augment.time_shift_seconds": 0.0},
}


def config_of(way: str = "plain", **changes: float) -> Config:
    own = {name.replace("__", "."): value for name, value in changes.items()}
    return default_config("shallow_cnn", {**PLAIN, **WAYS[way], **own})


def mapped_store(folder: Path, config: Config) -> FeatureStore:
    """Noise of 8 to 59 frames in half precision, in a file that is mapped."""
    rng = np.random.default_rng(0)
    counts = rng.integers(8, 60, CLIPS)
    offsets = np.concatenate([[0], np.cumsum(counts)])
    frames = rng.normal(5, 2, (offsets[-1], 16)).astype(np.float16)
    if not folder.exists():
        write_arrays(folder, np.split(frames, offsets[1:-1]))
    return FeatureStore(
        frames=map_frames(folder / "frames.npy"),
        bounds=end_to_end(offsets),
        truth=np.arange(CLIPS) % 3,
        clip_ids=tuple(map(str, range(CLIPS))),
        target=Emotions(("a", "b", "c")),
        settings=config.features,
        fingerprint="noise",
    )


def untimed(reports: list) -> list:
    return [replace(report, seconds=0.0) for report in reports]


def assert_equal(one: TrainingRun, other: TrainingRun) -> None:
    assert untimed(one.reports) == untimed(other.reports)
    for name, tensor in one.model.state_dict().items():
        assert torch.equal(tensor, other.model.state_dict()[name]), name
    rows = np.arange(CLIPS)
    np.testing.assert_array_equal(one.predict(rows), other.predict(rows))


@pytest.mark.parametrize("way", WAYS)
def test_streamed_training_equals_resident_training(way: str, tmp_path: Path) -> None:
    config = config_of(way)
    store = mapped_store(tmp_path / "store", config)
    runs = [train(config, FOLD, store, device="cpu", room_bytes=room) for room in (store.frames.nbytes, 0)]
    assert [run.placement.where for run in runs] == [Where.RESIDENT, Where.MAPPED]
    for run in runs:
        list(run)
    assert_equal(*runs)


@pytest.mark.parametrize("way", ["plain", "by seconds"])
def test_a_run_goes_on_streamed_where_it_was_left_resident(way: str, tmp_path: Path) -> None:
    config = config_of(way)
    store = mapped_store(tmp_path / "store", config)
    whole = train(config, FOLD, store, device="cpu")
    list(whole)
    begun = train(config, FOLD, store, device="cpu")
    next(begun)
    begun.save(tmp_path / "checkpoint")
    gone_on = train(config, FOLD, store, device="cpu", resume=tmp_path / "checkpoint", room_bytes=0)
    list(gone_on)
    assert_equal(whole, gone_on)


def test_one_seed_gives_one_result_and_another_another(tmp_path: Path) -> None:
    losses = []
    for seed in (0, 0, 1):
        config = config_of("bucketed", seed=seed)
        losses.append(next(train(config, FOLD, mapped_store(tmp_path / "s", config), device="cpu", room_bytes=0)))
    assert untimed(losses)[0] == untimed(losses)[1]
    assert losses[2].train_loss != losses[0].train_loss


def test_folds_side_by_side_and_in_turn_are_streamed_too(tmp_path: Path) -> None:
    config = config_of(optim__epochs=2)
    store = mapped_store(tmp_path / "store", config)
    folds = [Fold(fit=np.flatnonzero(np.arange(CLIPS) % 3 != k), evaluate=np.arange(k, CLIPS, 3)) for k in range(2)]
    for run_of in (train_folds, FoldsInTurn):
        resident, streamed = (run_of(config, folds, store, device="cpu", room_bytes=room) for room in (10**9, 0))
        assert (resident.placement.where, streamed.placement.where) == (Where.RESIDENT, Where.MAPPED)
        assert untimed(list(resident)) == untimed(list(streamed))
