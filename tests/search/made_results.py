"""What a made run says of a test and of its data: from random numbers and a model that has learned nothing."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np
import torch

from search.finals.insight import count_parts, draw_pictures, picture_rows
from search.finals.test_scores import score_test
from search.run_folder.predictions import Predictions
from ser_core.architectures import build_model, default_config
from ser_core.artifact import Predictor
from ser_core.clips import Clip, Manifest
from ser_core.config import ENCODER_KINDS
from ser_core.features.frames import end_to_end
from ser_core.features.normalisation import normalisation_of
from ser_core.features.size import known_bins
from ser_core.features.store import FeatureStore
from ser_core.features.transforms import clip_frames, extractor
from ser_core.outputs import Probabilities
from ser_core.splits import PARTS, make_split
from ser_core.targets import Dimensions, Emotions
from ser_core.training.seeding import seeded
from ser_core.whole_file import defined
from tests.tiny_encoders import save_tiny_encoder


@cache
def scores_of_six_speakers(classes: tuple[str, ...]) -> str:
    """What result.json says on the test, as JSON: three seeds on six speakers, some of whom are recognised better."""
    rng = np.random.default_rng(7)
    labels = np.tile(np.arange(len(classes)), 30)
    names = np.repeat([str(number) for number in range(19, 25)], 5 * len(classes))
    skill = dict(zip(np.unique(names), (0.7, 1.1, 1.4, 1.7, 2.0, 2.6), strict=True))
    told = np.eye(len(classes))[labels] * np.array([skill[name] for name in names])[:, None]
    logits = 2 * (told + rng.normal(size=(3, len(labels), len(classes))))
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=2, keepdims=True)
    test = Predictions(
        target=Emotions(tuple(classes)),
        truth=labels,
        speakers=names,
        genders=np.where(names.astype(int) % 2, "male", "female"),
        clip_ids=tuple(f"clip-{row}" for row in range(len(labels))),
        told=probabilities,
    )
    return json.dumps(defined(score_test(test)))


@cache
def ratings_of_six_speakers(dimensions: tuple[str, ...]) -> str:
    """The same of dimensions on a scale from 1 to 5, whose predictions lie too near the mean."""
    rng = np.random.default_rng(7)
    names = np.repeat([str(number) for number in range(19, 25)], 20)
    truth = rng.uniform(1, 5, size=(len(names), len(dimensions)))
    noise = rng.normal(scale=0.6, size=(3, *truth.shape))
    test = Predictions(
        target=Dimensions(tuple(dimensions)),
        truth=truth,
        speakers=names,
        genders=np.where(names.astype(int) % 2, "male", "female"),
        clip_ids=tuple(f"clip-{row}" for row in range(len(names))),
        told=3 + 0.6 * (truth - 3) + noise,
    )
    return json.dumps(defined(score_test(test)))


@cache
def insight_of(classes: tuple[str, ...]) -> str:
    """insight.json of 24 speakers with 60 clips each, with pictures of a small CNN that has learned nothing."""
    clips = tuple(
        Clip(
            clip_id=f"{speaker:02d}-{number}",
            path=Path(f"{speaker:02d}-{number}.wav"),
            speaker=f"{speaker:02d}",
            emotion=classes[number % len(classes)],
            gender="male" if speaker % 2 else "female",
        )
        for speaker in range(1, 25)
        for number in range(60)
    )
    manifest = Manifest(corpus="ravdess", clips=clips, classes=classes)
    split = make_split(manifest, "speaker", 0)
    shown = [clips[row] for row in picture_rows(manifest, split)]
    predictor, store = untrained("shallow_cnn", [clip.emotion for clip in shown], classes)
    seconds = np.random.default_rng(7).gamma(30, 0.12, size=(3, 480))
    edges = np.histogram_bin_edges(seconds, bins=30)
    histograms = {part: np.histogram(values, edges)[0].tolist() for part, values in zip(PARTS, seconds, strict=True)}
    durations = {
        "edges_seconds": edges.tolist(),
        "clips": histograms,
        "shortest_seconds": seconds.min(),
        "median_seconds": float(np.median(seconds)),
        "longest_seconds": seconds.max(),
        "longer_share": float((seconds > 3).mean()),
        "clip_seconds": 3.0,
        "whole_clips": False,
        "trim_db": 0.0,
    }
    return json.dumps(
        {
            "model": "final/trial-00001-seed-1",
            "parts": count_parts(manifest, split),
            "durations": durations,
            "pictures": draw_pictures(predictor, shown, store),
        }
    )


@cache
def _encoder() -> str:
    """A folder with a tiny speech encoder."""
    folder = Path(mkdtemp())
    save_tiny_encoder(folder)
    return str(folder)


def untrained(
    name: str, emotions: Sequence[str], classes: Sequence[str], **params: Any
) -> tuple[Predictor, FeatureStore]:
    """A model with random weights, and a store of random features with a clip of each of `emotions`."""
    params = {key.replace("__", "."): value for key, value in params.items()}
    if default_config(name).features.kind in ENCODER_KINDS:
        params = {"model.pretrained": _encoder(), **params}
    config = default_config(name, params)
    rng, frames = np.random.default_rng(7), clip_frames(config.features)
    bins = known_bins(config.features)
    lengths = [frames if index % 2 == 0 else max(1, frames * 3 // 4) for index in range(len(emotions))]
    store = FeatureStore(
        frames=rng.normal(size=(sum(lengths), bins)).cumsum(axis=1).astype(np.float32),
        bounds=end_to_end(np.cumsum([0, *lengths])),
        truth=np.array([list(classes).index(word) for word in emotions]),
        clip_ids=tuple(f"clip-{index}" for index in range(len(emotions))),
        target=Emotions(tuple(classes)),
        settings=config.features,
        fingerprint="random",
    )
    with seeded(7, 0, torch.device("cpu")):
        model = build_model(config, frames=frames, bins=bins, classes=len(classes)).eval()
    predictor = Predictor(
        config=config,
        target=Emotions(tuple(classes)),
        meaning=Probabilities(),
        normalisation=normalisation_of(store.frames, store.bounds, np.arange(len(emotions))),
        model=model,
        device=torch.device("cpu"),
        extract=extractor(config.features) if config.features.kind not in ENCODER_KINDS else lambda clips: [],
        about={},
    )
    return predictor, store
