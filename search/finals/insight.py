"""`insight.json`: what the data are, what the winner sees of them, and where it looks; made once, after the test.

The pictures are of validation clips: `make_insight` hands no other rows on. Of test clips it counts labels and
speakers, and reads how long their files are.
"""

from __future__ import annotations

import base64
import json
import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from search.run_folder.paths import INSIGHT_FILE
from ser_core.architectures import takes_raw_features
from ser_core.artifact import Predictor, load_model
from ser_core.clips import Clip, Manifest
from ser_core.config import CLIP_VECTORS, SPECTROGRAMS, FeatureConfig
from ser_core.features.audio import duration_seconds
from ser_core.features.store import FeatureStore
from ser_core.features.transforms import clip_frames, frame_seconds
from ser_core.modules.explain import explain, explained_by
from ser_core.splits import PARTS, Split
from ser_core.targets import DIMENSIONS
from ser_core.training.augment import augment
from ser_core.training.seeding import seeded
from ser_core.whole_file import write_whole

MOST_CLIPS = 12
"""Emotions that are shown, one clip each."""
MOST_RATED = 6
"""Clips that are shown where ratings are predicted, from the lowest rating to the highest."""
MOST_ROWS, MOST_COLUMNS = 64, 150
"""A picture is shrunk to this size, so that twelve emotions take less than 500 kB."""
MOST_DURATIONS = 5_000
"""Files whose length is read, spread evenly over the corpus: a header takes about 0.1 ms, more on a network."""
MOST_DURATION_BINS = 60
AUGMENT_SEED = 0
STATISTICS = ("mean", "std", "std of Δ", "std of ΔΔ")
"""The rows of `ser_core.features.transforms.mfcc_statistics`."""
UNORDERED = ("encoder", "encoder_layers", "encoder_stats", "functionals", "egemaps", "compare")
"""Kinds of features in which neighbouring values have nothing in common."""
TICKS_HZ = (250, 1000, 2000, 4000, 8000)


def write_insight(
    folder: Path, model: str, manifest: Manifest, split: Split, store: FeatureStore, *, log: Callable[[str], None]
) -> None:
    """Write `insight.json` into a run folder. No result may be lost for it, so what goes wrong is logged, not raised.

    Args:
        model: folder of the model to show, relative to `folder`.
        store: features of the whole manifest, made with the model's own settings.
        log: gets a line on what went wrong.
    """
    try:
        document = {"model": model, **make_insight(load_model(folder / model), manifest, split, store)}
        write_whole(folder / INSIGHT_FILE, json.dumps(document, allow_nan=False) + "\n")
    except Exception as error:
        log(
            f"{INSIGHT_FILE} could not be written ({type(error).__name__}: {error}); the dashboard will lack its part "
            f"on data and model. result.json is complete"
        )


def make_insight(predictor: Predictor, manifest: Manifest, split: Split, store: FeatureStore) -> dict[str, Any]:
    """All of `insight.json` but the model's folder, as JSON values.

    Raises:
        AudioError: a file that is gone.
        ValueError: a store of other features than the model's.
    """
    rows = picture_rows(manifest, split)
    return {
        "parts": count_parts(manifest, split),
        "durations": measure_durations(manifest, split, predictor.config.features),
        "pictures": draw_pictures(predictor, [manifest.clips[row] for row in rows], store.select(rows)),
    }


def picture_rows(manifest: Manifest, split: Split) -> list[int]:
    """The first validation clip of every emotion, in the order of the classes: rows of the manifest.

    Of ratings, clips over the range of the first dimension.
    """
    if manifest.target.kind == DIMENSIONS:
        first_ratings = manifest.truth[split.validation, 0]
        order = split.validation[np.argsort(first_ratings, kind="stable")]
        return order[np.unique(np.linspace(0, len(order) - 1, MOST_RATED).round().astype(np.int64))].tolist()
    labels = manifest.labels[split.validation]
    first = (split.validation[labels == label][:1] for label in range(len(manifest.classes)))
    return [int(rows[0]) for rows in first if len(rows)][:MOST_CLIPS]


def count_parts(manifest: Manifest, split: Split) -> dict[str, Any]:
    """Part -> clips, clips by class, speakers by gender ("unstated" where the corpus does not say)."""
    counts = {}
    for part in PARTS:
        clips = [manifest.clips[row] for row in getattr(split, part)]
        genders = {clip.speaker: clip.gender or "unstated" for clip in clips}
        emotions = Counter(clip.emotion for clip in clips)
        counts[part] = {
            "clips": len(clips),
            "classes": {word: emotions[word] for word in manifest.classes},
            "speakers": dict(sorted(Counter(genders.values()).items())),
        }
    return counts


def measure_durations(manifest: Manifest, split: Split, settings: FeatureConfig) -> dict[str, Any]:
    """A histogram of the files' lengths per part, and what the features take of them; lengths in seconds."""
    clips = len(manifest.clips)
    measured = np.unique(np.linspace(0, clips - 1, min(clips, MOST_DURATIONS)).round().astype(np.int64))
    looked_at = [manifest.clips[row] for row in measured]
    seconds = np.array([duration_seconds(clip.path, clip.span) for clip in looked_at])
    edges = np.histogram_bin_edges(seconds, bins="auto")
    if len(edges) > MOST_DURATION_BINS + 1:
        edges = np.histogram_bin_edges(seconds, bins=MOST_DURATION_BINS)
    return {
        "edges_seconds": edges.tolist(),
        "clips": {
            part: np.histogram(seconds[np.isin(measured, getattr(split, part))], edges)[0].tolist() for part in PARTS
        },
        "shortest_seconds": float(seconds.min()),
        "median_seconds": float(np.median(seconds)),
        "longest_seconds": float(seconds.max()),
        "longer_share": float((seconds > settings.clip_seconds).mean()),
        "clip_seconds": settings.clip_seconds,
        "whole_clips": settings.kind in CLIP_VECTORS,
        "trim_db": settings.trim_db,
    }


def draw_pictures(predictor: Predictor, clips: Sequence[Clip], store: FeatureStore) -> dict[str, Any]:
    """Features of each clip as the model is given them, as training alters them, and where the model looks.

    Args:
        clips: the clips of `store`, in its order: validation clips.
    """
    settings = predictor.config.features
    features, lengths = predictor.inputs(store)  # (clips, frames, bins), (clips,)
    told = predictor.predict_store(store)  # (clips, outputs)
    ratings = predictor.target.kind == DIMENSIONS
    predicted = torch.from_numpy(np.zeros(len(told), dtype=np.int64) if ratings else told.argmax(axis=1))
    # One by one: the attention of a large transformer over a dozen clips takes gigabytes.
    each = zip(features.split(1), lengths.split(1), predicted.split(1), strict=True)
    maps = torch.cat([explain(predictor.model, *clip) for clip in each])
    seen, altered = _plane(features, settings), _plane(_augmented(predictor, features, lengths), settings)
    low, high = np.percentile(seen, (1, 99)).tolist()
    shades = [_encoded(seen, low, high), _encoded(altered, low, high), _encoded(_plane(maps, settings), 0.0, 1.0)]
    described = [
        {
            "clip_id": clip.clip_id,
            "speaker": clip.speaker,
            "emotion": f"{predictor.classes[0]} {truth[0]:.2f}" if ratings else clip.emotion,
            "predicted": f"{own[0]:.2f}" if ratings else predictor.classes[label],
            "probability": None if ratings else float(own[label]),
            "real_columns": math.ceil(seen.shape[2] * length / features.shape[1]),
            **dict(zip(("features", "augmented", "map"), pictures, strict=True)),
        }
        for clip, length, label, own, truth, pictures in zip(
            clips,
            lengths.tolist(),
            predicted.tolist(),
            told,
            np.atleast_2d(store.truth.T).T,
            zip(*shades, strict=True),
            strict=True,
        )
    ]
    method = explained_by(predictor.model)
    return {
        **_axes(settings, rows=seen.shape[1], columns=seen.shape[2]),
        "kind": settings.kind,
        "unit": "" if takes_raw_features(predictor.config) else "standard deviations from the bin's mean",
        "low": low,
        "high": high,
        "augment": vars(predictor.config.augment),
        "altered": not torch.equal(seen, altered),
        "method": {"name": method.name, "source": method.source, "of_class": method.of_class},
        "clips": described,
    }


def _augmented(predictor: Predictor, features: Tensor, lengths: Tensor) -> Tensor:
    """What a training step makes of the clips, all but mixup, which would lay two clips over one another."""
    settings = replace(predictor.config.augment, mixup_alpha=0.0)
    targets = torch.zeros(len(features), len(predictor.classes))
    with seeded(AUGMENT_SEED, 1, features.device):
        return augment(features, lengths, targets, settings, of=predictor.config.features)[0]


def _plane(features: Tensor, settings: FeatureConfig) -> Tensor:
    """(clips, frames, bins) -> (clips, rows, columns), frequency upwards and time to the right, shrunk to the limits.

    Time derivatives are left out. The MFCC statistics of a clip, which have no time, become a row per statistic and a
    column per cepstral coefficient. Neighbours among an encoder's units or a clip's functionals have nothing in common,
    so there some are left out where others are averaged.
    """
    if settings.kind == "mfcc_stats":
        features = features.view(len(features), len(STATISTICS), settings.n_mfcc).transpose(1, 2)
    plane = features[..., : features.shape[2] // (1 + settings.deltas)].transpose(1, 2)  # (clips, bins, frames)
    columns = min(plane.shape[2], MOST_COLUMNS)
    if settings.kind == "encoder_input" and plane.shape[1] == 1:
        return F.adaptive_max_pool2d(plane.abs(), (1, columns))  # of samples their peaks: their mean is silence
    plane = F.adaptive_avg_pool2d(plane, (plane.shape[1], columns))
    if settings.kind in UNORDERED:
        return plane[:, np.linspace(0, plane.shape[1] - 1, min(plane.shape[1], MOST_ROWS)).round().astype(np.int64)]
    return F.adaptive_avg_pool2d(plane, (min(plane.shape[1], MOST_ROWS), columns))


def _encoded(planes: Tensor, low: float, high: float) -> list[str]:
    """(clips, rows, columns) in 256 steps from `low` to `high`, row by row, a byte each, in base64."""
    steps = ((planes - low) / max(high - low, 1e-9) * 255).round().clamp(0, 255).to(torch.uint8)
    return [base64.b64encode(plane.numpy().tobytes()).decode("ascii") for plane in steps]


def _axes(settings: FeatureConfig, *, rows: int, columns: int) -> dict[str, Any]:
    """What rows and columns of a picture mean; ticks are (position in rows from 0, text)."""
    axes: dict[str, Any] = {"rows": rows, "columns": columns, "ticks": []}
    if settings.kind == "mfcc_stats":
        return axes | {
            "x": "cepstral coefficient",
            "column_step": 1,
            "y": "over the clip",
            "ticks": list(enumerate(STATISTICS)),
        }
    if settings.kind in CLIP_VECTORS:
        of_encoder = settings.kind == "encoder_stats"
        return axes | {"x": "whole clip", "column_step": 1, "y": "encoder statistic" if of_encoder else "functional"}
    axes |= {"x": "time, s", "column_step": clip_frames(settings) * frame_seconds(settings) / columns}
    if settings.kind in SPECTROGRAMS:
        return axes | {"y": "frequency, Hz", "ticks": _frequency_ticks(settings, rows)}
    names = {
        "mfcc": "cepstral coefficient",
        "encoder": "encoder unit",
        "encoder_layers": "encoder unit, layer by layer",
        "encoder_input": "input of the encoder",
    }
    return axes | {"y": names[settings.kind]}


def _frequency_ticks(settings: FeatureConfig, rows: int) -> list[tuple[float, str]]:
    """Rows at which mel filters have their centre; the HTK scale, which Kaldi shares."""
    low, high = _mel(settings.low_hz), _mel(settings.high_hz)
    ticks = []
    for hertz in TICKS_HZ:
        filter_index = (_mel(hertz) - low) / (high - low) * (settings.n_mels + 1) - 1  # of n_mels from 0
        row = (filter_index + 0.5) * rows / settings.n_mels - 0.5
        if -0.5 <= row <= rows - 0.5:
            ticks.append((row, f"{hertz:,}"))
    return ticks


def _mel(hertz: float) -> float:
    return math.log(1 + hertz / 700)
