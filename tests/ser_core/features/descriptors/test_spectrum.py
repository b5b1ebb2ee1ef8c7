"""Spectral shape beside plain numpy, and at spectra whose shape is known."""

import numpy as np
import pytest
import torch

from ser_core.features.descriptors.spectrum import ROLL_OFFS, SHAPE_NAMES, SLOPES_HZ, spectral_shape

RATE_HZ, BINS = 16_000, 257
HERTZ = np.linspace(0, RATE_HZ / 2, BINS)


def column(shape: torch.Tensor, name: str) -> np.ndarray:
    return shape[:, SHAPE_NAMES.index(name)].numpy()


def random_power(seed: int = 0) -> np.ndarray:
    """(20, bins), falling with frequency as speech does."""
    rng = np.random.default_rng(seed)
    return (rng.gamma(1.0, 1.0, size=(20, BINS)) * np.exp(-HERTZ / 1_500)).astype(np.float32)


def test_every_descriptor_is_that_of_its_definition_in_numpy():
    power = random_power().astype(np.float64)
    found = spectral_shape(torch.from_numpy(power.astype(np.float32)), RATE_HZ)
    for frame, row in enumerate(power):
        share = row / row.sum()
        centroid = np.average(HERTZ, weights=row)
        spread = np.sqrt(np.average((HERTZ - centroid) ** 2, weights=row))
        wanted = {
            "centroid": centroid,
            "spread": spread,
            "skewness": np.average(((HERTZ - centroid) / (spread + 1)) ** 3, weights=row),
            "kurtosis": np.average(((HERTZ - centroid) / (spread + 1)) ** 4, weights=row),
            "entropy": -(share * np.log(share + 1e-10)).sum() / np.log(BINS),
        }
        for part in ROLL_OFFS:
            wanted[f"roll-off {part:g}"] = HERTZ[np.searchsorted(share.cumsum(), part)]
        for low, high in SLOPES_HZ:
            band = (low <= HERTZ) & (high >= HERTZ)
            line = np.polyfit(HERTZ[band] / 1_000, np.log(row[band] + 1e-10), 1)
            wanted[f"slope {low} to {high} Hz"] = line[0]
        if frame:
            magnitudes = [np.sqrt(it) / np.sqrt(it).sum() for it in power[frame - 1 : frame + 1]]
            wanted["flux"] = np.linalg.norm(magnitudes[1] - magnitudes[0])
        else:
            wanted["flux"] = 0.0
        assert set(wanted) == set(SHAPE_NAMES)
        for name, value in wanted.items():
            assert column(found, name)[frame] == pytest.approx(value, rel=2e-3, abs=2e-4), name


def test_the_shape_does_not_depend_on_loudness():
    power = random_power()
    quiet = spectral_shape(torch.from_numpy(0.01 * power), RATE_HZ)
    np.testing.assert_allclose(quiet, spectral_shape(torch.from_numpy(power), RATE_HZ), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("power", [np.zeros((4, BINS)), np.eye(4, BINS, 40)])
def test_silence_and_pure_tones_have_a_finite_shape(power):
    assert spectral_shape(torch.tensor(power, dtype=torch.float32), RATE_HZ).isfinite().all()


def test_the_lowest_sample_rate_still_fills_every_band():
    shape = spectral_shape(torch.from_numpy(random_power()[:, :65]), 4_000)
    assert shape.isfinite().all()
