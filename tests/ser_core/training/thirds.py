"""Made clips of two classes, and the thirds of them as folds."""

from __future__ import annotations

import numpy as np

from ser_core.architectures import default_config
from ser_core.features.frames import end_to_end
from ser_core.features.store import FeatureStore
from ser_core.splits import Fold
from ser_core.targets import Emotions

CLIPS = 48
SETTINGS = {"model.width": 8, "optim.epochs": 4, "optim.batch_size": 8, "seed": 3}
THIRDS = tuple(
    Fold(fit=np.flatnonzero(np.arange(CLIPS) % 3 != third), evaluate=np.flatnonzero(np.arange(CLIPS) % 3 == third))
    for third in range(3)
)


def store() -> FeatureStore:
    labels = np.arange(CLIPS) // 4 % 2
    frames = np.random.default_rng(0).normal(size=(CLIPS, 160)) + 0.3 * labels[:, None]
    return FeatureStore(
        frames=frames.astype(np.float32), bounds=end_to_end(np.arange(CLIPS + 1)), truth=labels.astype(np.int64),
        clip_ids=tuple(map(str, range(CLIPS))), target=Emotions(("calm", "happy")),
        settings=default_config("mlp").features, fingerprint="made",
    )  # fmt: skip
