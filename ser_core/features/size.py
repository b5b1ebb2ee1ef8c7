"""What features will take, before any is computed."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean
from typing import Any

import numpy as np

from ser_core.clips import Clip
from ser_core.config import CLIP_VECTORS, ENCODER_KINDS, FeatureConfig
from ser_core.features.audio import AudioError, duration_seconds
from ser_core.features.encoded import encoder_bins
from ser_core.features.functionals import functional_names
from ser_core.features.precision import stored_type
from ser_core.features.transforms import frame_seconds
from ser_core.modules.encoder_families import encoder_facts

MOST_LOOKED_AT = 200
"""Clips whose length is looked up, evenly from all: a header takes a tenth of a millisecond, more on networks."""

_OPENSMILE = {"egemaps": 88, "compare": 6_373}


def known_bins(settings: FeatureConfig) -> int:
    """Values per frame.

    Raises:
        PretrainedError: those of an encoder whose configuration cannot be had.
    """
    if settings.kind in ENCODER_KINDS:
        return encoder_bins(settings)
    if settings.kind in _OPENSMILE:
        return _OPENSMILE[settings.kind]
    if settings.kind == "functionals":
        return len(functional_names(settings))
    if settings.kind == "mfcc_stats":
        return 4 * settings.n_mfcc
    if settings.kind == "mfcc":
        return (1 + settings.deltas) * settings.n_mfcc
    return (1 + settings.deltas) * settings.n_mels


def known_type(settings: FeatureConfig) -> np.dtype[Any]:
    """Of the values; samples are int16.

    Raises:
        PretrainedError: see `known_bins`.
    """
    if settings.kind == "encoder_input" and encoder_facts(settings.encoder).takes_samples:
        return np.dtype(np.int16)
    return stored_type(settings)


def mean_seconds(clips: Sequence[Clip]) -> float | None:
    """The mean length of clips, s, from some of them; None where a file does not say."""
    rows = np.unique(np.linspace(0, len(clips) - 1, MOST_LOOKED_AT).round().astype(int))
    try:
        return fmean(duration_seconds(clips[row].path, clips[row].span) for row in rows)
    except AudioError:
        return None


def expected_bytes(settings: FeatureConfig, clips: int, seconds: float | None) -> int | None:
    """What the features of clips of that mean length take on a disk, at most where silence is cut; None if unknown.

    Raises:
        PretrainedError: see `known_bins`.
    """
    if seconds is None and settings.kind not in CLIP_VECTORS:
        return None
    bins = known_bins(settings)
    frames = 1.0 if settings.kind in CLIP_VECTORS or seconds is None else seconds / frame_seconds(settings)
    return round(clips * frames * bins * known_type(settings).itemsize)


def is_left_in_files(settings: FeatureConfig, clips: Sequence[Clip], limit_bytes: int) -> bool:
    """True for what an encoder takes of clips, where a store of it would be larger than a limit.

    Raises:
        PretrainedError: see `known_bins`.
    """
    if settings.kind != "encoder_input":
        return False
    expected = expected_bytes(settings, len(clips), mean_seconds(clips))
    return expected is not None and expected > limit_bytes
