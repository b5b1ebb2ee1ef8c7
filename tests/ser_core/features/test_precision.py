"""Features are stored in half precision where that loses nothing; others keep their caches."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ser_core.config import HALF_KINDS, FeatureConfig
from ser_core.features.cache import FeatureStoreError
from ser_core.features.precision import as_stored, stored_type
from ser_core.features.transforms import settings_key

EARLIER_KEYS = {
    "log_mel": "0d102aa84c73a27f",
    "mfcc": "1377617143f2b61c",
    "kaldi_fbank": "872a19d75fc6f8c8",
    "encoder": "3d221838c0bb7c60",
    "encoder_input": "93ae6fd14e88a4a8",
    "mfcc_stats": "b194985277114a3c",
    "functionals": "e758c01275b48e55",
    "egemaps": "d5b171a1361e90f1",
    "compare": "599f5aa5c549dfe2",
    "encoder_stats": "11036178ab87aca3",
}
"""`settings_key` by kind when all but encoder_stats and samples were stored in single precision."""


@pytest.mark.parametrize("kind", EARLIER_KEYS)
def test_a_cache_of_another_precision_is_another_cache(kind: str) -> None:
    same = settings_key(FeatureConfig(kind=kind)) == EARLIER_KEYS[kind]
    assert same is (kind not in HALF_KINDS or kind == "encoder_stats")


@pytest.mark.parametrize("kind", EARLIER_KEYS)
def test_values_are_rounded_where_that_loses_nothing(kind: str) -> None:
    settings = FeatureConfig(kind=kind)
    values = np.random.default_rng(0).normal(0, 30, (5, 4)).astype(np.float32)
    stored = as_stored(values, settings)
    assert stored.dtype == stored_type(settings) == (np.float16 if kind in HALF_KINDS else np.float32)
    np.testing.assert_allclose(stored, values, rtol=2**-11)


def test_samples_stay_as_they_are() -> None:
    samples = np.arange(-5, 5, dtype=np.int16)[:, None]
    assert as_stored(samples, FeatureConfig(kind="encoder_input")) is samples


def test_what_half_precision_cannot_hold_is_refused_and_kept_by_kinds_that_may_need_it() -> None:
    values, settings = np.full((1, 2), 7e4, dtype=np.float32), FeatureConfig(kind="functionals")
    assert as_stored(values, settings) is values
    with pytest.raises(
        FeatureStoreError, match=r"kind encoder are not finite, or larger than half precision .* \(65,504\)"
    ):
        as_stored(values, replace(settings, kind="encoder"))
    with pytest.raises(
        FeatureStoreError, match=r"functionals are not .* than single precision holds \(3\.40282e\+38\)"
    ):
        as_stored(np.full((1, 2), np.inf, dtype=np.float32), settings)
