"""Features of a single clip."""

from __future__ import annotations

import numpy as np

from ser_core.config import FeatureConfig
from ser_core.features.precision import as_stored
from ser_core.features.transforms import extractor


def features_of(samples: np.ndarray, settings: FeatureConfig) -> np.ndarray:
    """(samples,) at `settings.sample_rate_hz` -> (frames, bins)."""
    return extractor(settings)([samples])[0]


def stored_features_of(samples: np.ndarray, settings: FeatureConfig) -> np.ndarray:
    """The same as a store keeps them."""
    return as_stored(features_of(samples, settings), settings)
