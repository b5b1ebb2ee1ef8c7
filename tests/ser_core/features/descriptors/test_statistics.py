"""Functionals beside numpy and scipy, and of curves too short or too flat for them."""

import numpy as np
import pytest
import scipy.stats
import torch

from ser_core.features.descriptors.statistics import QUANTILES, STATISTIC_NAMES, statistics


def of(values: np.ndarray) -> dict[str, float]:
    """The statistics of one curve by name."""
    found = statistics(torch.from_numpy(values.astype(np.float32))[:, None])[:, 0]
    return dict(zip(STATISTIC_NAMES, found.tolist(), strict=True))


def test_every_statistic_is_that_of_numpy_and_scipy():
    values = np.random.default_rng(0).gamma(2.0, 1.0, size=201).cumsum() % 7
    mean, quantiles = values.mean(), np.quantile(values, QUANTILES)
    time, steps = np.linspace(-1, 1, len(values)), np.diff(values)
    line, parabola = np.polyfit(time, values, 1), np.polyfit(time, values, 2)
    inner = values[1:-1]
    peaks = inner[(inner > values[:-2]) & (inner >= values[2:]) & (inner > mean)]
    valleys = inner[(inner < values[:-2]) & (inner <= values[2:]) & (inner < mean)]
    span = quantiles[-1] - quantiles[0]
    wanted = {
        "mean": mean,
        "standard deviation": values.std(),
        **{f"{share:.0%} quantile": value for share, value in zip(QUANTILES, quantiles, strict=True)},
        "quartile range": scipy.stats.iqr(values),
        "5 to 95 % range": quantiles[5] - quantiles[1],
        "slope": line[0],
        "residual": np.sqrt(np.mean((values - np.polyval(line, time)) ** 2)),
        "bend": parabola[0],
        "skewness": scipy.stats.skew(values),
        "kurtosis": scipy.stats.kurtosis(values, fisher=False),
        "time above a quarter": (values > quantiles[0] + span / 4).mean(),
        "time above three quarters": (values > quantiles[0] + 3 * span / 4).mean(),
        "mean rise": steps[steps > 0].mean(),
        "mean fall": steps[steps < 0].mean(),
        "peak rate": len(peaks) / len(values),
        "peak height": peaks.mean() - mean,
        "peak deviation": peaks.std(),
        "valley depth": valleys.mean() - mean,
    }
    assert of(values) == pytest.approx(wanted, rel=1e-3, abs=1e-4)


def test_columns_do_not_touch_one_another():
    values = torch.randn(60, 3, generator=torch.Generator().manual_seed(0))
    together = statistics(values)
    for column in range(3):
        torch.testing.assert_close(together[:, column], statistics(values[:, [column]])[:, 0])


@pytest.mark.parametrize("frames", [1, 2, 3])
def test_a_few_frames_have_finite_statistics(frames):
    assert statistics(torch.randn(frames, 4)).isfinite().all()


@pytest.mark.parametrize("frames", [1, 50])
def test_a_curve_that_never_moves_has_a_mean_and_quantiles_and_nothing_else(frames):
    found = of(np.full(frames, 2.5))
    level = {"mean", *(f"{share:.0%} quantile" for share in QUANTILES)}
    for name, value in found.items():
        assert value == pytest.approx(2.5 if name in level else 0.0, abs=1e-4), name
