"""The type in which features are stored: half precision where that loses nothing."""

from __future__ import annotations

from typing import Any

import numpy as np

from ser_core.config import HALF_KINDS, FeatureConfig
from ser_core.features.cache import FeatureStoreError


def stored_type(settings: FeatureConfig) -> np.dtype[Any]:
    """Of features that are real numbers."""
    return np.dtype(np.float16 if settings.kind in HALF_KINDS else np.float32)


def as_stored(features: np.ndarray, settings: FeatureConfig) -> np.ndarray:
    """Features of a clip (frames, bins) in the type in which they are stored; samples, which are int16, as they are.

    Raises:
        FeatureStoreError: values that half precision does not hold.
    """
    if features.dtype == np.int16:
        return features
    with np.errstate(over="ignore"):
        stored = features.astype(stored_type(settings), copy=False)
    if not np.isfinite(stored).all():
        half = stored.dtype == np.float16
        raise FeatureStoreError(
            f"features of kind {settings.kind} are not finite, or larger than {'half' if half else 'single'} precision "
            f"holds ({np.finfo(stored.dtype).max:,.6g}): they cannot be stored; of an encoder, take another layer"
        )
    return stored
