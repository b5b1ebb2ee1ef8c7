"""openSMILE's sets as features; skipped where the package is not installed, but for what is said of that."""

from importlib.util import find_spec

import numpy as np
import pytest

from ser_core.config import ConfigError, FeatureConfig
from ser_core.features import opensmile as ours
from ser_core.features.transforms import clip_frames, extractor, traceable_features
from tests.ser_core.one_clip import features_of

installed = pytest.mark.skipif(find_spec("opensmile") is None, reason="the opensmile extra is not installed")
SIZES = {"egemaps": 88, "compare": 6_373}


def noise(samples: int) -> np.ndarray:
    return 0.1 * np.random.default_rng(0).standard_normal(samples).astype(np.float32)


@installed
@pytest.mark.parametrize("kind", SIZES)
def test_the_values_are_those_of_opensmile(kind):
    import opensmile

    smile = opensmile.Smile(
        feature_set={"egemaps": opensmile.FeatureSet.eGeMAPSv02, "compare": opensmile.FeatureSet.ComParE_2016}[kind],
        feature_level=opensmile.FeatureLevel.Functionals,
    )
    samples = noise(16_000)
    found = features_of(samples, FeatureConfig(kind=kind))
    assert found.shape == (1, SIZES[kind])
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, np.nan_to_num(smile.process_signal(samples, 16_000).to_numpy()), rtol=1e-6)


@installed
@pytest.mark.parametrize("kind", SIZES)
@pytest.mark.parametrize("samples", [noise(1), noise(500), np.zeros(16_000, dtype=np.float32)])
def test_short_and_silent_clips_have_finite_values(kind, samples):
    found = features_of(samples, FeatureConfig(kind=kind))
    assert found.shape == (1, SIZES[kind])
    assert np.isfinite(found).all()


@pytest.mark.parametrize("kind", SIZES)
def test_a_missing_package_is_named_with_its_licence_and_a_way_without(kind, monkeypatch):
    monkeypatch.setattr(ours, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=f"features.kind = {kind} needs openSMILE, whose licence excludes commercial"):
        extractor(FeatureConfig(kind=kind))


@pytest.mark.parametrize("kind", SIZES)
def test_a_clip_is_one_vector_and_no_part_of_a_graph(kind):
    assert clip_frames(FeatureConfig(kind=kind)) == 1
    with pytest.raises(ConfigError, match="features that come from openSMILE cannot be part of the graph"):
        traceable_features(FeatureConfig(kind=kind))
